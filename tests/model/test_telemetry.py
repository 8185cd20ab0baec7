"""A track gives a pose between two samples or none at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flycam.errors import TelemetryGap
from flycam.geometry.pose import angle_axis_from_rotation, rotation_from_gimbal
from flycam.model.telemetry import TelemetrySample, TelemetryTrack


def sample(t_ns: int, **fields: object) -> TelemetrySample:
    values = {"lon_deg": 104.8, "lat_deg": 21.9, "height_m": 400.0, "height_datum": "EGM96", **fields}
    return TelemetrySample(t_utc_ns=t_ns, **values)  # type: ignore[arg-type]


def between(first: dict[str, object], second: dict[str, object], w: float = 0.5) -> TelemetrySample:
    track = TelemetryTrack(samples=(sample(0, **first), sample(1_000_000_000, **second)))
    return track.pose_at(round(w * 1e9))


def gimbal(yaw: float, pitch: float, roll: float) -> dict[str, object]:
    return {"gimbal_yaw_deg": yaw, "gimbal_pitch_deg": pitch, "gimbal_roll_deg": roll}


def turn(s: TelemetrySample) -> np.ndarray:
    return rotation_from_gimbal(*np.radians([s.gimbal_yaw_deg, s.gimbal_pitch_deg, s.gimbal_roll_deg]))


def apart(p: TelemetrySample, q: TelemetrySample) -> float:
    """Degrees of the one turn that takes one camera into the other."""
    return float(np.degrees(np.linalg.norm(angle_axis_from_rotation(turn(p) @ turn(q).T))))


def test_one_attitude_near_nadir_written_in_two_ways_stays_that_attitude():
    found = between(gimbal(10.0, -89.0, 0.0), gimbal(-170.0, -89.0, 180.0))
    assert found.gimbal_pitch_deg == pytest.approx(-90.0, abs=1e-3)
    assert (found.gimbal_yaw_deg + found.gimbal_roll_deg) % 360.0 == pytest.approx(10.0, abs=1e-3)


@given(
    a=st.tuples(st.floats(-180, 180), st.floats(-90, 0), st.floats(-180, 180)),
    b=st.tuples(st.floats(-180, 180), st.floats(-90, 0), st.floats(-180, 180)),
    w=st.floats(0.01, 0.99),
)
def test_a_wide_swing_is_one_even_turn_about_one_axis(a, b, w):
    first, second = sample(0, **gimbal(*a)), sample(1_000_000_000, **gimbal(*b))
    swing = np.abs((np.array(a) - np.array(b) + 180.0) % 360.0 - 180.0)
    whole = apart(first, second)
    assume(max(swing[0], swing[2]) > 30.0 and whole < 179.0)
    found = TelemetryTrack(samples=(first, second)).pose_at(round(w * 1e9))
    assert apart(first, found) == pytest.approx(w * whole, abs=0.02)
    assert apart(found, second) == pytest.approx((1.0 - w) * whole, abs=0.02)


def test_the_date_line_is_crossed_the_short_way():
    found = between({"lon_deg": 179.9999}, {"lon_deg": -179.9999}, 0.75)
    assert found.lon_deg == pytest.approx(-179.99995)


def test_heights_of_two_datums_are_not_mixed():
    with pytest.raises(TelemetryGap, match="datum"):
        between({}, {"height_datum": "ELLIPSOID"})


@pytest.mark.parametrize("t_ns", [-1, 1_000_000_001])
def test_nothing_is_extrapolated(t_ns):
    track = TelemetryTrack(samples=(sample(0), sample(1_000_000_000)))
    with pytest.raises(TelemetryGap):
        track.pose_at(t_ns)
