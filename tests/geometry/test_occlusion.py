"""Hidden ground against similar triangles, and against exact ray casting."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.frame_view import HorizonScan, SteepSlopes
from flycam.geometry.terrain import cast_rays, interpolate_heights
from tests.geometry.scenes import CENTRE, grid_of, hills

POST = 10.0


def profile(heights_of_east, n=101, post=POST):
    """A terrain that is the same along north; east counted from the scene's centre."""
    k = (np.arange(n) - (n - 1) / 2) * post
    return grid_of(np.broadcast_to(heights_of_east(k), (n, n)).copy(), post)


def line_of_points(t, start, stop, count=400, north=3.0):
    east = np.linspace(start, stop, count)
    xy = np.column_stack([CENTRE[0] + east, np.full(count, CENTRE[1] + north)])
    return east, np.column_stack([xy, interpolate_heights(t, xy)])


def margin_of(t, centre, points):
    """Margins of points N×3 by a scan that reaches all of them."""
    reach = np.hypot(*(points - centre)[:, :2].T).max()
    return HorizonScan(t, tuple(centre), reach).margin(*points.T)


def test_holes_hide_nothing_and_are_not_seen():
    t = profile(lambda e: np.where(np.abs(e) < 25.0, np.nan, 0.0))
    centre = np.array([CENTRE[0] - 200.0, CENTRE[1], 50.0])
    _, points = line_of_points(t, 60.0, 300.0)
    assert (margin_of(t, centre, points) >= 0.0).all()
    assert np.isnan(margin_of(t, centre, np.array([[CENTRE[0], CENTRE[1], np.nan]]))).all()
    beyond = SteepSlopes(t, tuple(centre), 600.0, 0.01).is_surely_visible(*points.T)
    assert not beyond[points[:, 0] > CENTRE[0] + 30.0].any()


@given(st.integers(0, 1000), st.floats(20.0, 90.0), st.floats(1.8, 2.3))
@settings(max_examples=15, deadline=None)
def test_against_exact_ray_casting(seed, above, roughness):
    rng = np.random.default_rng(seed)
    t = hills(seed=seed, relief_m=250.0, size=90, roughness=roughness)
    ground = float(interpolate_heights(t, np.array([CENTRE]))[0])
    centre = np.array([*CENTRE, ground + above])
    xy = np.array(CENTRE) + rng.uniform(-400, 400, (1500, 2))
    points = np.column_stack([xy, interpolate_heights(t, xy)])
    hits = cast_rays(t, centre, points - centre)
    short = np.linalg.norm(hits - centre, axis=1) < np.linalg.norm(points - centre, axis=1) - 0.05
    margin = margin_of(t, centre, points)
    wrong = (margin < 0.0) != short
    # where the two differ the line of sight grazes the ground: by less than what a DEM of 10 m posts knows
    assert wrong.mean() < 0.04
    assert np.abs(margin[wrong]).max(initial=0.0) < 0.25 * POST
    assert ((margin < 0.0) & ~short).mean() < 0.002
    for reach, sight in ((600.0, 0.01), (600.0, 0.5), (150.0, 0.2)):
        free = SteepSlopes(t, tuple(centre), reach, sight).is_surely_visible(*points.T)
        assert not (free & short).any()


def test_the_scan_gives_the_same_bits_however_it_is_asked():
    t = hills(seed=4, relief_m=300.0)
    centre = (*CENTRE, float(interpolate_heights(t, np.array([CENTRE]))[0]) + 60.0)
    rng = np.random.default_rng(0)
    xy = np.array(CENTRE) + rng.uniform(-500, 500, (300, 2))
    points = np.column_stack([xy, interpolate_heights(t, xy)])
    whole = HorizonScan(t, centre, 800.0).margin(*points.T)
    grown = HorizonScan(t, centre, 800.0)
    for order in (slice(7, 9), slice(200, 300), slice(0, 300)):
        np.testing.assert_array_equal(grown.margin(*points[order].T), whole[order])
    alone = [HorizonScan(t, centre, 800.0).margin(*p[:, None])[0] for p in points[:40]]
    np.testing.assert_array_equal(alone, whole[:40])
