"""Telemetry: samples of where the aircraft was and how it and its gimbal were turned."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from flycam.errors import TelemetryGap

Floats = NDArray[np.float64]

_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg", "gimbal_yaw_deg", "gimbal_pitch_deg", "gimbal_roll_deg")


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetrySample:
    """One instant. Angles in degrees as they come from the door; NaN where not known.

    height_m with height_datum: "EGM96", "ELLIPSOID", "TAKEOFF" (metres above the take-off point).
    relative_height_m is always above take-off. Yaw is clockwise from true north; pitch up positive;
    roll right wing down positive. Gimbal angles are absolute (world), not relative to the aircraft.
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
    speed_mps: float = float("nan")
    fix: str = "unknown"
    origin: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryTrack:
    """Samples of one aircraft in order of time, strictly increasing.

    max_gap_s  the widest hole between two samples across which `pose_at` may interpolate
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
        """Sample interpolated at a time; angles along the shorter arc.

        Raises TelemetryGap outside the track (never extrapolates) or inside a hole wider than max_gap_s.
        """
        if not self.samples or not self._t_ns[0] <= t_utc_ns <= self._t_ns[-1]:
            raise TelemetryGap("the frame's time lies outside the telemetry")
        right = int(np.searchsorted(self._t_ns, t_utc_ns))
        if self._t_ns[right] == t_utc_ns:
            return self.samples[right]
        before, after = self.samples[right - 1], self.samples[right]
        gap_s = (after.t_utc_ns - before.t_utc_ns) / 1e9
        if gap_s > self.max_gap_s:
            raise TelemetryGap(f"no telemetry for {gap_s:.1f} s around the frame's time")
        return _blend(before, after, (t_utc_ns - before.t_utc_ns) / 1e9 / gap_s, t_utc_ns)


def _blend(a: TelemetrySample, b: TelemetrySample, w: float, t_utc_ns: int) -> TelemetrySample:
    values: dict[str, object] = {}
    for f in fields(TelemetrySample):
        va, vb = getattr(a, f.name), getattr(b, f.name)
        if f.name in _ANGLES:
            values[f.name] = (va + w * ((vb - va + 180.0) % 360.0 - 180.0) + 180.0) % 360.0 - 180.0
        elif isinstance(va, float):
            values[f.name] = va + w * (vb - va)
        else:
            values[f.name] = va
    values["t_utc_ns"] = t_utc_ns
    return TelemetrySample(**values)  # type: ignore[arg-type]
