"""Telemetry: samples of position and attitude of the aircraft and its gimbal."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from flycam.errors import TelemetryGap
from flycam.geometry.pose import (
    angle_axis_from_rotation,
    gimbal_from_rotation,
    rotation_from_angle_axis,
    rotation_from_gimbal,
)
from flycam.messages import _

Floats = NDArray[np.float64]

_GIMBAL = ("gimbal_yaw_deg", "gimbal_pitch_deg", "gimbal_roll_deg")
_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg", *_GIMBAL)
# Two gimbal readings further apart than this in yaw or roll may be one rotation written in two ways.
_ONE_TURN_DEG = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetrySample:
    """One instant. Angles in degrees as the source gives them; NaN where not known.

    height_m with height_datum: "EGM96", "ELLIPSOID", "TAKEOFF" (metres above the take-off point) or
    "UNKNOWN" (not stated by the source: never to be taken for a height above sea). relative_height_m is
    always above take-off.

    Yaw is clockwise from true north; pitch up positive; roll right wing down positive. Gimbal angles are
    absolute (world), not relative to the aircraft; sigma_gimbal_deg: 1-sigma, where a gimbal does not report
    them itself.

    hfov_deg: of the whole image, as the source states; centre_height_m: where the middle of the image meets
    the ground, in the datum of height_m.
    """

    t_utc_ns: int
    lon_deg: float
    lat_deg: float
    height_m: float
    height_datum: str
    relative_height_m: float = float("nan")
    yaw_deg: float = float("nan")
    pitch_deg: float = float("nan")
    roll_deg: float = float("nan")
    gimbal_yaw_deg: float = float("nan")
    gimbal_pitch_deg: float = float("nan")
    gimbal_roll_deg: float = float("nan")
    sigma_gimbal_deg: float = float("nan")
    speed_mps: float = float("nan")
    hfov_deg: float = float("nan")
    centre_height_m: float = float("nan")
    fix: str = "unknown"
    origin: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryTrack:
    """Samples of one aircraft in order of time, strictly increasing.

    max_gap_s  the widest gap between two samples across which `pose_at` may interpolate
    """

    samples: tuple[TelemetrySample, ...]
    max_gap_s: float = 1.0
    _t_ns: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        t_ns = np.array([s.t_utc_ns for s in self.samples], dtype=np.int64)
        if t_ns.size and np.any(np.diff(t_ns) <= 0):
            raise ValueError("samples must be strictly increasing in time")
        object.__setattr__(self, "_t_ns", t_ns)

    def pose_at(self, t_utc_ns: int) -> TelemetrySample:
        """Interpolate a sample at a time; angles along the shorter arc.

        Raises TelemetryGap outside the track (never extrapolates), inside a gap wider than max_gap_s, and
        between two heights of different datums.
        """
        if not self.samples or not self._t_ns[0] <= t_utc_ns <= self._t_ns[-1]:
            raise TelemetryGap(_("the frame's time lies outside the telemetry"))
        right = int(np.searchsorted(self._t_ns, t_utc_ns))
        if self._t_ns[right] == t_utc_ns:
            return self.samples[right]
        before, after = self.samples[right - 1], self.samples[right]
        gap_s = (after.t_utc_ns - before.t_utc_ns) / 1e9
        if gap_s > self.max_gap_s:
            raise TelemetryGap(_("no telemetry for {gap_s:.1f} s around the frame's time", gap_s=gap_s))
        if before.height_datum != after.height_datum:
            raise TelemetryGap(_("the heights before and after the frame's time have different datums"))
        return _blend(before, after, (t_utc_ns - before.t_utc_ns) / 1e9 / gap_s, t_utc_ns)


def _blend(a: TelemetrySample, b: TelemetrySample, w: float, t_utc_ns: int) -> TelemetrySample:
    values: dict[str, object] = {}
    for f in fields(TelemetrySample):
        va, vb = getattr(a, f.name), getattr(b, f.name)
        if f.name in _ANGLES or (f.name == "lon_deg" and abs(vb - va) > 180.0):
            values[f.name] = (va + w * ((vb - va + 180.0) % 360.0 - 180.0) + 180.0) % 360.0 - 180.0
        elif isinstance(va, float):
            values[f.name] = va + w * (vb - va)
        else:
            values[f.name] = va
    values["t_utc_ns"] = t_utc_ns
    values.update(_gimbal_between(a, b, w))
    return TelemetrySample(**values)  # type: ignore[arg-type]


def _gimbal_between(a: TelemetrySample, b: TelemetrySample, w: float) -> dict[str, float]:
    """Interpolate gimbal angles by the shortest rotation where angles would mislead.

    Near nadir yaw and roll both turn about the vertical: two readings of nearly one attitude may differ by
    180 degrees in each, and halfway between the numbers lies another attitude.
    """
    angles = np.array([[getattr(s, name) for name in _GIMBAL] for s in (a, b)])
    difference_deg = np.abs((angles[1] - angles[0] + 180.0) % 360.0 - 180.0)
    if not np.isfinite(angles).all() or max(difference_deg[0], difference_deg[2]) <= _ONE_TURN_DEG:
        return {}
    first, second = rotation_from_gimbal(*np.radians(angles).T)
    turn = rotation_from_angle_axis(w * angle_axis_from_rotation(second @ first.T))
    found = np.degrees(gimbal_from_rotation(turn @ first))
    return dict(zip(_GIMBAL, (float(v) for v in found), strict=True))
