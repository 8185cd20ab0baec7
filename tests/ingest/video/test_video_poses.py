"""From a log to the camera's pose: heights, angles, sigmas, and samples that cannot be believed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from flycam.errors import PoseRejected, PositionMissing, TelemetryGap, TerrainMissing
from flycam.geometry.pose import PoseSource
from flycam.ingest.telemetry.flight_log import FlightLog, Home
from flycam.ingest.video.video_poses import filter_believable, resolve_video_poses, trim_unfinished
from flycam.model.flight import LOCAL_DATUM
from flycam.model.telemetry import TelemetrySample, TelemetryTrack

NAN = float("nan")
GROUND_M = 612.5


def terrain(lonlat: np.ndarray) -> tuple[np.ndarray, str]:
    return np.full(len(lonlat), GROUND_M), "EGM96"


def samples(count: int = 100, **changes: object) -> list[TelemetrySample]:
    """A flight north at 10 m/s, 80 m above take-off, ten samples a second."""
    return [
        replace(
            TelemetrySample(
                t_utc_ns=k * 100_000_000,
                lon_deg=104.8,
                lat_deg=21.9 + k * 1.0 / 111_000.0,
                height_m=700.0,
                height_datum="EGM96",
                relative_height_m=80.0,
                yaw_deg=5.0,
                pitch_deg=-6.0,
                roll_deg=1.0,
                gimbal_yaw_deg=0.0,
                gimbal_pitch_deg=-90.0,
                gimbal_roll_deg=0.0,
                speed_mps=10.0,
                fix="3d",
            ),
            **changes,
        )
        for k in range(count)
    ]


def log(logged: list[TelemetrySample], home: bool = True) -> FlightLog:
    place = Home(lon_deg=104.8, lat_deg=21.9, height_m=600.0) if home else None
    return FlightLog(name="x.tlog", track=TelemetryTrack(samples=tuple(logged)), clock="test", home=place)


def test_the_height_is_relative_to_the_ground_at_home() -> None:
    poses = resolve_video_poses(log(samples()), terrain)
    pose = poses.exterior_at(5_050_000_000, 0.05)
    assert pose.projection_centre_m[2] == pytest.approx(GROUND_M + 80.0)
    assert (pose.vertical_datum, pose.work_crs, pose.source) == ("EGM96", "EPSG:32648", PoseSource.GNSS)
    sigma = pose.sigma_position_m
    assert sigma[0] == pytest.approx(np.hypot(1.5, 0.5)) and 3.0 < sigma[2] < 4.0
    np.testing.assert_allclose(np.asarray(pose.rotation)[2], [0.0, 0.0, -1.0], atol=1e-9)  # straight down


def test_without_home_in_the_air_the_absolute_height_serves() -> None:
    assert (
        resolve_video_poses(log(samples(), home=False), terrain).exterior_at(0, 0.0).projection_centre_m[2]
        == 700.0
    )
    on_ground = [replace(samples()[0], relative_height_m=2.0), *samples()[1:]]
    height = (
        resolve_video_poses(log(on_ground, home=False), terrain)
        .exterior_at(10**9, 0.0)
        .projection_centre_m[2]
    )
    assert height == pytest.approx(GROUND_M + 80.0)


def test_heights_of_no_datum_are_not_taken_for_heights_above_sea() -> None:
    unknown = samples(height_datum="UNKNOWN", relative_height_m=NAN)
    with pytest.raises(PositionMissing, match=r"x\.tlog"):
        resolve_video_poses(log(unknown), terrain)
    with pytest.raises(TerrainMissing, match="--dem"):
        resolve_video_poses(log(samples(relative_height_m=NAN)), None)


def test_without_terrain_heights_count_from_the_ground_at_the_frame_centres() -> None:
    told = samples(relative_height_m=NAN, centre_height_m=580.0)
    told[50] = replace(told[50], centre_height_m=NAN)
    poses = resolve_video_poses(log(told, home=False), None)
    pose = poses.exterior_at(2_050_000_000, 0.05)
    assert (pose.projection_centre_m[2], pose.vertical_datum) == (pytest.approx(120.0), LOCAL_DATUM)
    assert 18.0 < pose.sigma_position_m[2] < 30.0
    assert poses.logged_poses(0).above_m[0] == pytest.approx(120.0)
    with pytest.raises(PoseRejected):
        poses.exterior_at(told[50].t_utc_ns, 0.05)
    # where terrain is known, it counts
    assert (
        resolve_video_poses(log(told, home=False), terrain).exterior_at(0, 0.0).projection_centre_m[2]
        == 700.0
    )


def test_without_a_gimbal_the_camera_looks_out_of_the_belly_with_a_larger_sigma() -> None:
    blind = samples(gimbal_pitch_deg=NAN)
    body, gimbal = (resolve_video_poses(log(s), terrain).exterior_at(0, 0.0) for s in (blind, samples()))
    assert body.sigma_attitude_rad[0] > 2.0 * gimbal.sigma_attitude_rad[0]
    assert np.degrees(np.arccos(-np.asarray(body.rotation)[2, 2])) == pytest.approx(6.1, abs=0.2)
    none = samples(gimbal_pitch_deg=NAN, pitch_deg=NAN)
    with pytest.raises(PoseRejected):
        resolve_video_poses(log(none), terrain).exterior_at(0, 0.0)
    assert len(resolve_video_poses(log(none), terrain).logged_poses(0).time_s) == 0


def test_what_follows_on_a_settled_log_tells_the_same_poses_as_all_of_it() -> None:
    every = samples(120)
    whole, early = resolve_video_poses(log(every), terrain), resolve_video_poses(log(every[:90]), terrain)
    grown = early.extended_with(every[60:], terrain)
    assert grown.track == whole.track and (grown.ground_m == whole.ground_m).all()
    assert grown.exterior_at(11_050_000_000, 0.05) == whole.exterior_at(11_050_000_000, 0.05)
    with pytest.raises(TelemetryGap):
        early.exterior_at(11_050_000_000, 0.05)
    logged = early.logged_poses(0).extended_with(grown.after(every[89].t_utc_ns).logged_poses(0))
    wanted = whole.logged_poses(0)
    for one, other in ((logged.time_s, wanted.time_s), (logged.centre_m, wanted.centre_m)):
        np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(logged.rotation, wanted.rotation, atol=1e-6)
    assert early.extended_with(every[60:90], terrain) is early


def test_the_newest_samples_wait_for_their_gimbal_but_not_for_one_that_fell_silent() -> None:
    every = samples(60)
    bare = {"gimbal_yaw_deg": NAN, "gimbal_pitch_deg": NAN, "gimbal_roll_deg": NAN}
    late = every[:57] + [replace(s, **bare) for s in every[57:]]
    assert list(trim_unfinished(late)) == every[:57]
    silent = every[:40] + [replace(s, **bare) for s in every[40:]]
    assert list(trim_unfinished(silent)) == silent
    none = samples(60, **bare)
    assert list(trim_unfinished(none)) == none and list(trim_unfinished([])) == []


def test_no_fix_a_jump_and_a_frozen_receiver_are_left_out_and_counted() -> None:
    logged = samples()
    logged[10:14] = [replace(s, fix="none") for s in logged[10:14]]
    logged[30:33] = [replace(s, lat_deg=s.lat_deg + 0.09) for s in logged[30:33]]  # 10 km away and back
    spot = logged[50].lat_deg  # for 2 s, at 10 m/s
    logged[50:70] = [replace(s, lat_deg=spot) for s in logged[50:70]]
    believed, why = filter_believable(logged)
    assert Counter(why.values()) == {"no_fix": 4, "jump": 3, "frozen": 19} and len(believed) == 74
    assert why.keys() == {s.t_utc_ns for s in logged} - {s.t_utc_ns for s in believed}
    with pytest.raises(PositionMissing, match="100 samples"):
        resolve_video_poses(log(samples(fix="none")), terrain)
