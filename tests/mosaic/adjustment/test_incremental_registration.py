"""Frames registered as they come: on rendered ground, with errors that wander, and where nothing can be told.

`film` flies two strips to and fro with a picture every 18 m; its log errs as a consumer drone's does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from flycam.geometry.camera import compute_viewing_rays
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_angle_axis, to_mat3
from flycam.geometry.terrain import TerrainGrid, cast_rays, interpolate_heights
from flycam.mosaic.adjustment.incremental import Registrar, RegistrationFailure, RegistrationResult
from tests.mosaic.adjustment.flown import ORIGIN, SIZE, camera, hill, picture, pose, texture

STEP_M, HEIGHT_M = 18.0, 225.0
EVERY_S = 2.0


@dataclass(frozen=True)
class Film:
    exact: list[ExteriorOrientation]
    logged: list[ExteriorOrientation]
    pictures: list[np.ndarray]
    terrain: TerrainGrid

    def registered(self, registrar: Registrar | None = None) -> list[RegistrationResult]:
        registrar = registrar or Registrar(camera())
        return [
            registrar.add(pixels, logged, EVERY_S * k, self.terrain)
            for k, (pixels, logged) in enumerate(zip(self.pictures, self.logged, strict=True))
        ]


def wandering(exact: ExteriorOrientation, k: int) -> ExteriorOrientation:
    """The pose by a log whose errors change slowly: a bias, and a swing in position and attitude."""
    swing = np.sin(0.25 * k + np.arange(6))
    place = np.add(exact.projection_centre_m, [1.0, -0.8, 1.2]) + 0.5 * swing[:3]
    turn = rotation_from_angle_axis(np.radians([0.5, 0.5, 0.8]) * swing[3:])
    east, north, height = place.tolist()
    return replace(
        exact,
        projection_centre_m=(east, north, height),
        rotation=to_mat3(turn @ np.array(exact.rotation)),
        sigma_attitude_rad=(0.012, 0.012, 0.026),
    )


@pytest.fixture(scope="module")
def film() -> Film:
    terrain, ground, per_strip = hill(), texture(), 9
    exact = []
    for strip in range(2):
        for k in range(per_strip):
            along = (k if strip == 0 else per_strip - 1 - k) - (per_strip - 1) / 2
            place = (ORIGIN[0] + 60.0 * (strip - 0.5), ORIGIN[1] + STEP_M * along, HEIGHT_M)
            exact.append(pose(place, 0.0 if strip == 0 else 180.0))
    return Film(
        exact=exact,
        logged=[wandering(one, k) for k, one in enumerate(exact)],
        pictures=[picture(one, terrain, ground, 200 + k) for k, one in enumerate(exact)],
        terrain=terrain,
    )


def errors_m(film: Film, poses: list[ExteriorOrientation]) -> np.ndarray:
    """How far the ground lies off its place after one common shift, at nine points of each picture."""
    u, v = np.meshgrid(np.array([0.25, 0.5, 0.75]) * SIZE[0], np.array([0.25, 0.5, 0.75]) * SIZE[1])
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    off = []
    for one, true in zip(poses, film.exact, strict=True):
        ours, theirs = (cast_rays(film.terrain, *compute_viewing_rays(camera(), p, uv)) for p in (one, true))
        off.append((ours - theirs)[:, :2])
    flat = np.concatenate(off)
    return np.hypot(*(flat - np.median(flat, axis=0)).T)


def test_the_map_is_much_more_consistent_than_the_log(film: Film) -> None:
    answers = film.registered()
    before, after = errors_m(film, film.logged), errors_m(film, [one.pose for one in answers])
    assert np.median(before) > 0.6  # else there was nothing to do
    assert np.median(after) < 0.35 * np.median(before)
    assert np.percentile(after, 95) < 0.6 * np.percentile(before, 95)
    assert [one.failure for one in answers] == [RegistrationFailure.FIRST] + [None] * (len(answers) - 1)
    assert all(one.pose.source is PoseSource.REGISTERED for one in answers[1:])


def test_by_its_own_evidence_it_is_never_worse_than_the_log(film: Film) -> None:
    """The law of registration: what is laid by it makes no larger steps on the map than two pixels more."""
    pixel_m = (HEIGHT_M - 100.0) / 330.0
    for one in film.registered():
        if one.failure is None:
            by_log, fitted = one.seam_m
            assert fitted <= by_log + 2.0 * pixel_m
            assert (
                one.pose.sigma_position_m == film.logged[0].sigma_position_m
            )  # the map's own place is the log's


@pytest.mark.parametrize("what", ["blank", "water"])
def test_pictures_that_show_nothing_are_refused_and_laid_as_their_neighbours_were(
    film: Film, what: str
) -> None:
    random = np.random.default_rng(4)
    shown = list(film.pictures)
    for k in (4, 5):
        shown[k] = np.full_like(shown[k], 90)
        if what == "water":  # glitter: texture that the next picture does not show
            shown[k] = random.integers(0, 255, shown[k].shape, dtype=np.uint8)
    answers = replace(film, pictures=shown).registered()
    assert {answers[k].failure for k in (4, 5)} <= {
        RegistrationFailure.FIRST,
        RegistrationFailure.FEW,
        RegistrationFailure.UNCLEAR,
    }
    assert all(one.failure is None for one in (*answers[1:4], *answers[7:]))
    off = errors_m(film, [one.pose for one in answers]).reshape(len(answers), -1)
    by_log = errors_m(film, film.logged).reshape(len(answers), -1)
    assert np.median(off[4:6]) < np.median(by_log[4:6])


def test_a_log_that_jumps_beyond_its_sigmas_is_not_followed_by_the_rest(film: Film) -> None:
    """A wild attitude is not mended by ties that say something else than its sigmas allow: it is refused."""
    logged = list(film.logged)
    logged[6] = replace(
        logged[6], rotation=to_mat3(rotation_from_angle_axis([0.0, 0.0, 0.3]) @ logged[6].rotation)
    )
    answers = replace(film, logged=logged).registered()
    assert answers[6].failure is not None
    assert all(one.failure is None for one in answers[8:])


def test_frames_are_fitted_to_how_the_map_lies_not_to_where_it_should(film: Film) -> None:
    """What lies 3 m east on the map draws what comes next with it: steps are what people see."""
    registrar, usual = Registrar(camera()), [one.pose for one in film.registered()]
    for k in range(5):
        registrar.add(film.pictures[k], film.logged[k], EVERY_S * k, film.terrain)
        east, north, height = usual[k].projection_centre_m
        registrar.set_map_pose(replace(usual[k], projection_centre_m=(east + 3.0, north, height)))
    drawn = registrar.add(film.pictures[5], film.logged[5], EVERY_S * 5, film.terrain).pose
    moved = np.subtract(drawn.projection_centre_m, usual[5].projection_centre_m)
    np.testing.assert_allclose(moved, [3.0, 0.0, 0.0], atol=0.05)


def test_what_lies_farther_off_than_the_log_may_be_wrong_draws_nothing_with_it(film: Film) -> None:
    registrar, usual = Registrar(camera()), [one.pose for one in film.registered()]
    for k in range(5):
        registrar.add(film.pictures[k], film.logged[k], EVERY_S * k, film.terrain)
        east, north, height = usual[k].projection_centre_m
        registrar.set_map_pose(replace(usual[k], projection_centre_m=(east + 500.0, north, height)))
    expected = registrar.predict_pose(film.logged[5], EVERY_S * 5)
    drawn = registrar.add(film.pictures[5], film.logged[5], EVERY_S * 5, film.terrain).pose
    for one in (expected, drawn):
        assert np.hypot(*np.subtract(one.projection_centre_m, film.exact[5].projection_centre_m)[:2]) < 5.0


def test_a_frame_that_sees_no_ground_leaves_nothing_behind(film: Film) -> None:
    """It looks to the horizon: whether a picture can be laid is known only once it has its pose."""
    registrar = Registrar(camera())
    for k in range(4):
        registrar.add(film.pictures[k], film.logged[k], EVERY_S * k, film.terrain)
    level = pose((*ORIGIN, HEIGHT_M), 0.0)
    tilted = rotation_from_angle_axis(np.array([np.radians(85.0), 0.0, 0.0])) @ np.array(level.rotation)
    level = replace(level, rotation=to_mat3(tilted))
    frames, observed = len(registrar._frames), len(registrar._landmarks.frame)
    answer = registrar.add(film.pictures[4], level, EVERY_S * 4, film.terrain)
    assert answer.failure is not None and np.isfinite(answer.pose.projection_centre_m).all()
    registrar.forget_newest()
    assert (len(registrar._frames), len(registrar._landmarks.frame)) == (frames, observed)
    assert registrar.add(film.pictures[4], film.logged[4], EVERY_S * 4, film.terrain).failure is None


def test_what_stands_on_the_terrain_is_seen_to_stand_there(film: Film) -> None:
    """Half of the ground is a wood 12 m high that the terrain does not hold; two strips fly over its rim."""
    heights = film.terrain.heights_m.copy()
    heights[:, 41:] += 12.0
    wooded, ground = replace(film.terrain, heights_m=heights), texture()
    pictures = [picture(one, wooded, ground, 300 + k) for k, one in enumerate(film.exact)]
    registrar = Registrar(camera())
    assert registrar.within_bounds(film.terrain.bounds_m)[0].shape == (0, 3)
    replace(film, pictures=pictures).registered(registrar)
    point, sigma_m = registrar.within_bounds(film.terrain.bounds_m)
    above = point[:, 2] - interpolate_heights(film.terrain, point[:, :2])
    wood, field = point[:, 0] > ORIGIN[0] + 15.0, point[:, 0] < ORIGIN[0] - 5.0
    assert wood.sum() > 40 < field.sum()
    assert np.median(above[wood]) - np.median(above[field]) == pytest.approx(12.0, abs=1.0)
    known = sigma_m < 2.0
    spread = above[wood & known] - np.median(above[wood & known])
    assert np.mean(np.abs(spread) < 3.0 * sigma_m[wood & known] + 0.5) > 0.9
    west, south, _, north = film.terrain.bounds_m
    part, _ = registrar.within_bounds((west, south, ORIGIN[0], north))
    assert 0 < len(part) < len(point) and part[:, 0].max() < ORIGIN[0]
