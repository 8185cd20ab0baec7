"""Ties of a flight whose every pose is known: exact, everywhere, and never where there are none."""

from dataclasses import replace

import numpy as np
import pytest

from flycam.mosaic.adjustment.matching import compute_unit_rays
from flycam.mosaic.adjustment.ties import TieOptions, find_ties, rotate_frame
from flycam.mosaic.adjustment.tracks import compute_ray_errors_px, intersect_tracks

from .flown import flown

OPTIONS = TieOptions(features=1200)


@pytest.fixture(scope="module")
def flight():
    return flown(strips=2, per_strip=3)


@pytest.fixture(scope="module")
def report(flight):
    return find_ties(flight.frames, flight.pixels_of, flight.terrain, options=OPTIONS)


def true_misses(flight, ties, frames=None):
    """Pixels by which each observation misses its track's point under the exact poses."""
    ray = np.empty((ties.frame.size, 3))
    centre = np.empty_like(ray)
    for k, exact in enumerate(flight.exact):
        here = ties.frame == k
        ray[here] = compute_unit_rays(flight.frames[k], ties.uv_px[here]) @ np.array(exact.rotation)
        centre[here] = np.array(exact.projection_centre_m) * [1, 1, exact.grid_scale]
    track = ties.track.astype(np.int64)
    points, _ = intersect_tracks(track, centre, ray, ties.tracks)
    return compute_ray_errors_px(track, centre, ray, np.full(track.size, 330.0), points)


def test_ties_are_right_many_and_everywhere(flight, report):
    miss = true_misses(flight, report.ties)
    assert np.median(miss) < 0.1
    assert np.quantile(miss, 0.95) < 0.5
    assert np.mean(miss > 3.0) < 0.005
    assert min(report.tracks) >= 200
    assert min(report.cells_pct) >= 60.0
    assert not report.reasons and not report.resected
    assert set(report.turns) == {0}
    assert report.pairs_tied == report.pairs_tried
    ties = report.ties
    key = ties.track.astype(np.int64) * 1000 + ties.frame
    assert np.all(np.diff(key) > 0)
    assert np.all(np.bincount(ties.track) >= 2)
    assert np.all(np.isfinite(ties.uv_px))
    assert np.all((ties.sigma_px > 0) & (ties.sigma_px < 3))


class Cache(dict):
    """A cache of features and matches in memory."""

    def put(self, key, arrays):
        self[key] = {name: array.copy() for name, array in arrays.items()}


def test_workers_and_a_run_that_was_killed_give_the_same_bytes(flight, report):
    keep, looks = Cache(), []

    def until_killed(stage, done, of):
        if stage == "matches" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_ties(
            flight.frames,
            flight.pixels_of,
            flight.terrain,
            options=OPTIONS,
            keep=keep,
            workers=1,
            progress=until_killed,
        )

    def seen(number):
        looks.append(number)
        return flight.pixels_of(number)

    again = find_ties(flight.frames, seen, flight.terrain, options=OPTIONS, keep=keep, workers=1)
    assert sorted(looks) == list(range(6)), "features were kept: pixels are read once more, to measure"
    for name in ("frame", "track", "uv_px", "sigma_px"):
        assert np.array_equal(getattr(again.ties, name), getattr(report.ties, name)), name


def test_a_picture_that_was_turned_is_found_and_tied(flight, report):
    pictures = [p if k != 1 else np.ascontiguousarray(p[::-1, ::-1]) for k, p in enumerate(flight.pictures)]
    found = find_ties(flight.frames, pictures.__getitem__, flight.terrain, options=OPTIONS)
    assert list(found.turns) == [0, 2, 0, 0, 0, 0]
    assert min(found.tracks) >= 150
    frames = [rotate_frame(f, q) for f, q in zip(flight.frames, found.turns, strict=True)]
    exact = [
        e if k != 1 else replace(e, rotation=rotate_frame(replace(f, exterior=e), 2).exterior.rotation)
        for k, (f, e) in enumerate(zip(flight.frames, flight.exact, strict=True))
    ]
    turned = replace(flight, frames=frames, exact=exact)
    assert np.median(true_misses(turned, found.ties)) < 0.15


def test_water_gives_no_tie(flight):
    rng = np.random.default_rng(1)
    waves = [
        rng.integers(60, 90, p.shape[:2], dtype=np.uint8)[..., None].repeat(3, 2) for p in flight.pictures
    ]
    found = find_ties(flight.frames, waves.__getitem__, flight.terrain, options=OPTIONS)
    assert found.ties.tracks == 0
    assert set(found.reasons) == set(range(6))
    still = [np.full_like(p, 70) for p in flight.pictures]
    found = find_ties(flight.frames, still.__getitem__, flight.terrain, options=OPTIONS)
    assert found.ties.tracks == 0
    assert set(found.masked_pct) == {100.0}


def test_a_car_that_drives_is_no_tie(flight):
    pictures = [p.copy() for p in flight.pictures]
    rng = np.random.default_rng(9)
    car = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
    where = {}
    for k, picture in enumerate(pictures):
        u, v = 200 + 9 * k, 150 + 11 * k
        picture[v : v + 24, u : u + 24] = car
        where[k] = (u, v)
    found = find_ties(flight.frames, pictures.__getitem__, flight.terrain, options=OPTIONS)
    on_car = np.zeros(found.ties.frame.size, dtype=bool)
    for k, (u, v) in where.items():
        uv = found.ties.uv_px
        inside = (uv[:, 0] > u + 3) & (uv[:, 0] < u + 20) & (uv[:, 1] > v + 3) & (uv[:, 1] < v + 20)
        on_car |= (found.ties.frame == k) & inside
    assert on_car.sum() <= 2
