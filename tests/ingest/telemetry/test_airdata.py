"""AirData's CSV: units by its header, time to a tenth of a second, exposures."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.errors import SourceUnreadable
from flycam.ingest.poses.external_poses import has_poses
from flycam.ingest.telemetry.log_files import read_flight_log

FEET = (
    "time(millisecond),datetime(utc),latitude,longitude,height_above_takeoff(feet),"
    "height_above_ground_at_drone_location(feet),ground_elevation_at_drone_location(feet),"
    "altitude_above_seaLevel(feet),height_sonar(feet),speed(mph),distance(feet),mileage(feet),satellites,gpslevel,"
    "voltage(v),max_altitude(feet),max_ascent(feet),max_speed(mph),max_distance(feet), xSpeed(mph),"
    " ySpeed(mph), zSpeed(mph), compass_heading(degrees), pitch(degrees), roll(degrees),isPhoto,isVideo,"
    "rc_elevator,gimbal_heading(degrees),gimbal_pitch(degrees),gimbal_roll(degrees),flycState,message"
)
T0 = 1_758_333_600.35  # the start, between two whole seconds


def table(path, header=FEET, feet=0.3048, mph=0.44704, rows=80):
    lines = [header]
    for k in range(rows):
        t = T0 + k / 10
        stamp = np.datetime64(int(t), "s").item().isoformat(sep=" ")
        photo = int(k in (20, 21, 50))
        lat = 0 if k < 3 else 21.9 + k * 1e-6
        lines.append(
            f"{k * 100},{stamp},{lat},{0 if k < 3 else 104.8},{120 / feet},100,50,{420 / feet},0,{10 / mph},"
            f"0,0,12,5,15,0,0,0,0,0,0,0,90.5,2.0,-1.0,{photo},0,0,91.0,-89.9,0,Way Point,"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "feet", "mph"),
    [(FEET, 0.3048, 0.44704), (FEET.replace("(feet)", "(meters)").replace("(mph)", "(m/s)"), 1.0, 1.0)],
)
def test_a_flight_in_feet_or_metres(tmp_path, header, feet, mph):
    path = table(tmp_path / "Flight-AirData.csv", header, feet, mph)
    assert not has_poses(path)
    log = read_flight_log(path)
    assert len(log.track.samples) == 77  # three before the first fix
    sample = log.track.pose_at(round((T0 + 4.0) * 1e9 + 5e7))
    assert (sample.lon_deg, sample.yaw_deg, sample.gimbal_pitch_deg) == (104.8, 90.5, -89.9)
    assert sample.relative_height_m == pytest.approx(120.0)
    assert (sample.height_m, sample.height_datum) == (pytest.approx(420.0), "EGM96")
    assert sample.speed_mps == pytest.approx(10.0)


def test_time_is_known_to_a_tenth_of_a_second_and_a_photo_is_one_exposure(tmp_path):
    log = read_flight_log(table(tmp_path / "a.csv"))
    assert log.track.samples[0].t_utc_ns / 1e9 == pytest.approx(T0 + 0.3, abs=0.1)
    steps = np.diff([s.t_utc_ns for s in log.track.samples]) / 1e9
    np.testing.assert_allclose(steps, 0.1, atol=1e-6)
    apart = np.diff([e.t_utc_ns for e in log.camera_events]) / 1e9
    np.testing.assert_allclose(apart, [3.0], atol=1e-6)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("datetime(utc)", "when"),
        lambda text: "\n".join(text.splitlines()[:3]),
        lambda text: text.splitlines()[0] + "\n" + "x,y\n" * 5,
        lambda text: text.replace("2025-", "?-"),
    ],
)
def test_what_cannot_be_placed_in_time_is_refused_by_name(tmp_path, spoil):
    path = table(tmp_path / "a.csv")
    path.write_text(spoil(path.read_text()))
    with pytest.raises(SourceUnreadable, match=r"a\.csv"):
        read_flight_log(path)
