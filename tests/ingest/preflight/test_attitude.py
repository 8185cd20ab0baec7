from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.geodata.geoid import compute_declination_deg
from flycam.ingest.photos.xmp import Angles, Dialect
from flycam.ingest.preflight.attitude import resolve_attitude, resolve_nose_cameras
from flycam.ingest.preflight.files import resolve_capture_times
from flycam.ingest.preflight.flight_table import (
    build_flight_table,
    compute_course,
    split_sorties,
    wrap_degrees,
)
from flycam.model.diagnosis import Severity
from tests.ingest.photos.made_flights import LAT, LON, codes, strips, the, with_angles


def settle(photos):
    times, _ = resolve_capture_times(photos)
    table = build_flight_table(photos, times)
    return resolve_attitude(table, compute_course(table.lonlat, table.t_ns, split_sorties(table)))


def yaws(attitude):
    return attitude.angles_deg[:, 0]


def true_yaws(photos):
    return np.array([p.gimbal.yaw_deg for p in photos])


def assert_same_angle(a, b, within=0.01):
    np.testing.assert_allclose(wrap_degrees(np.asarray(a) - np.asarray(b)), 0.0, atol=within)


def test_gimbal_yaw_stuck_at_zero_gives_way_to_flight_yaw_by_the_course():
    photos = strips()
    falsified = [with_angles(p, gimbal={"yaw_deg": 0.0}) for p in photos]
    attitude, problems = settle(falsified)
    assert codes(problems) == ["yaw_choice"]
    assert_same_angle(yaws(attitude), true_yaws(photos))


def test_without_evidence_the_gimbal_is_kept_with_a_warning():
    photos = [with_angles(p, gimbal={"yaw_deg": 50.0}, aircraft={"yaw_deg": -70.0}) for p in strips()]
    attitude, problems = settle(photos)
    assert the(problems, "yaw_choice").severity is Severity.WARNING
    assert_same_angle(yaws(attitude), 50.0)


@pytest.mark.parametrize("honest_euler", [True, False])
def test_roll_180_is_settled_by_heading(honest_euler):
    photos = strips()
    falsified = list(photos)
    for k in (3, 8, 20, 31):
        yaw = photos[k].gimbal.yaw_deg + (180.0 if honest_euler else 0.0)
        falsified[k] = with_angles(photos[k], gimbal={"roll_deg": 180.0, "pitch_deg": -89.9, "yaw_deg": yaw})
    attitude, problems = settle(falsified)
    assert len(the(problems, "roll_180").frames) == 4
    assert_same_angle(yaws(attitude), true_yaws(photos))
    assert np.abs(attitude.angles_deg[:, 2]).max() < 1e-9


def test_gimbal_lock_jump_takes_the_usual_offset_to_the_aircraft():
    photos = strips()
    falsified = list(photos)
    falsified[5] = with_angles(photos[5], gimbal={"yaw_deg": photos[5].gimbal.yaw_deg - 75.0})
    attitude, problems = settle(falsified)
    assert the(problems, "gimbal_lock").frames == (photos[5].name,)
    assert_same_angle(yaws(attitude), true_yaws(photos), within=1.5)
    assert attitude.sigma_deg[5, 0] > attitude.sigma_deg[4, 0]


def test_magnetic_heading_is_found_on_strips_both_ways():
    photos = strips(lines=6)
    falsified = [
        with_angles(
            p, gimbal={"yaw_deg": p.gimbal.yaw_deg + 9.0}, aircraft={"yaw_deg": p.aircraft.yaw_deg + 9.0}
        )
        for p in photos
    ]
    attitude, problems = settle(falsified)
    assert "+9.0°" in str(the(problems, "heading_offset").sentence)
    assert_same_angle(yaws(attitude), true_yaws(photos), within=0.3)


def test_wind_is_not_taken_for_a_compass_error():
    photos = strips(lines=6, crab_deg=9.0)
    attitude, problems = settle(photos)
    assert "heading_offset" not in codes(problems)
    assert_same_angle(yaws(attitude), true_yaws(photos))


@pytest.mark.parametrize(
    ("written", "down_deg"),
    [([0.0, 38.0, 60.0], [90.0, 52.0, 30.0]), ([-90.0, -30.0, -45.0], [90.0, 30.0, 45.0])],
)
def test_pitches_in_pix4ds_words_count_from_nadir_or_from_the_horizon(written, down_deg):
    """Parrot's and Autel's old firmware write the first, Autel's XL715 the second under the same names."""
    photos = [
        replace(p, gimbal=Angles(), aircraft=Angles(), camera=replace(p.gimbal, pitch_deg=written[k % 3]))
        for k, p in enumerate(strips())
    ]
    attitude, problems = settle(photos)
    sight = attitude.rotations(np.zeros(len(photos)))[:, 2]
    np.testing.assert_allclose(np.degrees(np.arcsin(-sight[:, 2])), down_deg * (len(photos) // 3), atol=1e-6)
    assert "fixed_mount" not in codes(problems)


def test_a_camera_in_the_nose_is_not_laid_as_one_in_the_belly():
    photos = [replace(p, gimbal=Angles(), dialect=Dialect.BEBOP) for p in strips()]
    photos[0] = replace(photos[0], gimbal=strips()[0].gimbal)
    table, rejected, problems = resolve_nose_cameras(
        build_flight_table(photos, resolve_capture_times(photos)[0])
    )
    assert len(table) == 1 and len(rejected) == len(photos) - 1
    assert {r.reason for r in rejected} == {"no_sight"}
    assert codes(problems) == ["nose_camera"]


@pytest.mark.parametrize(
    ("pitch_deg", "expected"), [(-90.0, [0.7, 0.7, 1.5]), (0.0, [0.7, 1.5, 0.7]), (-45.0, [0.7, 1.17, 1.17])]
)
def test_sigma_is_a_tilt_about_level_axes_and_a_turn_about_the_vertical(pitch_deg, expected):
    photos = [with_angles(p, gimbal={"pitch_deg": pitch_deg}) for p in strips()]
    attitude, _ = settle(photos)
    sigma = attitude.sigma_camera_rad(attitude.rotations(np.zeros(48)))
    np.testing.assert_allclose(np.degrees(sigma[0]), expected, atol=0.01)


def test_an_offset_like_the_declination_is_called_magnetic_and_another_a_compass_error():
    there = (55.5, -LAT)  # Réunion, as far from the equator: strips keep their course
    (declination,) = compute_declination_deg(np.array([there]), int(1.75e18))
    assert declination < -15.0
    for offset, word in ((-declination, "magnetic"), (-9.0, "compass")):
        photos = []
        for p in strips(lines=6):
            yaw = p.gimbal.yaw_deg + offset
            moved = replace(p, lon_deg=p.lon_deg - LON + there[0], lat_deg=p.lat_deg - 2.0 * LAT)
            photos.append(with_angles(moved, gimbal={"yaw_deg": yaw}, aircraft={"yaw_deg": yaw}))
        _, problems = settle(photos)
        assert word in str(the(problems, "heading_offset").sentence)


def test_a_magnetic_image_direction_is_brought_to_true_north():
    bare = [replace(p, gimbal=Angles(), aircraft=Angles(), direction_deg=40.0) for p in strips()]
    true, _ = settle([replace(p, direction_reference="T") for p in bare])
    magnetic, problems = settle([replace(p, direction_reference="M") for p in bare])
    turned = magnetic.angles_deg[:, 0] - true.angles_deg[:, 0]
    assert ((turned > -2.0) & (turned < -1.0)).all()  # declination in the north of Vietnam
    assert "corrected by -1" in str(the(problems, "yaw_from_exif_direction").sentence)


def on_a_fixed_mount(photos, swing_deg):
    """Photos that carry only the aircraft's attitude, with its yaw off by `swing_deg` (one for each)."""
    return [
        replace(
            p, gimbal=Angles(), aircraft=Angles(yaw_deg=p.gimbal.yaw_deg + swing, pitch_deg=1.0, roll_deg=0.0)
        )
        for p, swing in zip(photos, swing_deg, strict=True)
    ]


def test_a_yaw_that_swings_from_photo_to_photo_is_trusted_less():
    photos = strips(lines=2, per_line=12)
    swing = np.random.default_rng(4).normal(0.0, 12.0, len(photos))
    attitude, problems = settle(on_a_fixed_mount(photos, swing))
    assert "unsteady_yaw" in codes(problems)
    assert 8.0 < attitude.sigma_deg[0, 0] < 18.0
    assert_same_angle(yaws(attitude), true_yaws(photos) + swing)


def test_gimbal_yaw_relative_to_the_aircraft_is_added():
    photos = strips()
    falsified = [
        with_angles(p, gimbal={"yaw_deg": 4.0}, aircraft={"yaw_deg": p.gimbal.yaw_deg - 4.0}) for p in photos
    ]
    attitude, problems = settle(falsified)
    assert codes(problems) == ["yaw_choice"]
    assert_same_angle(yaws(attitude), true_yaws(photos))
