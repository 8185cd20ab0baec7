"""Heights, slopes and rays against the closed form and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.terrain import (
    cast_rays,
    interpolate_heights,
)
from tests.geometry.scenes import CENTRE, grid_of, hills


def tilted(a=0.3, b=-0.2, n=30, post=10.0):
    """The plane h = 100 + a·east + b·north about the scene's centre."""
    k = (np.arange(n) - (n - 1) / 2) * post
    return grid_of(100.0 + a * k[None, :] + b * -k[:, None], post)


def test_heights_are_bilinear_and_exact_at_the_posts_rim_included():
    t = hills(size=20)
    west, south, east, north = t.bounds_m
    e, n = np.linspace(west, east, 20), np.linspace(north, south, 20)
    xy = np.stack(np.meshgrid(e, n), -1).reshape(-1, 2)
    inside = xy + np.clip(np.array(CENTRE) - xy, -1e-7, 1e-7)
    np.testing.assert_allclose(interpolate_heights(t, inside).reshape(20, 20), t.heights_m, atol=1e-3)
    middle = np.array([[(e[3] + e[4]) / 2, (n[7] + n[8]) / 2]])
    assert interpolate_heights(t, middle)[0] == pytest.approx(t.heights_m[7:9, 3:5].mean(), abs=1e-3)


def test_heights_outside_and_in_holes_are_unknown():
    t = hills(size=20)
    t.heights_m[10, 10] = np.nan
    west, south, east, north = t.bounds_m
    hole = [west + 95.0, north - 95.0]
    beside = [west + 85.0, north - 85.0]
    h = interpolate_heights(
        t, np.array([[west - 0.1, south], [east + 5, north], hole, beside, [np.nan, 0.0]])
    )
    assert np.isnan(h[[0, 1, 2, 4]]).all()
    assert np.isfinite(h[3])


def brute_first_hit(t, origin, d, step=0.2, reach=1500.0):
    ts = np.arange(0.0, reach, step)
    p = origin + d / np.linalg.norm(d) * ts[:, None]
    below = np.flatnonzero(p[:, 2] < interpolate_heights(t, p[:, :2]))
    return ts[below[0]] if below.size else None


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_first_hit_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    t = hills(seed=seed, relief_m=300.0, size=int(rng.integers(17, 70)), roughness=1.6)
    origin = np.array([*CENTRE, float(np.nanmax(t.heights_m)) + rng.uniform(1, 60)])
    d = rng.normal(size=(12, 3)) * [1, 1, 0.5]
    d[:, 2] = -np.abs(d[:, 2])
    d[0] = [0, 0, -1.0]
    d[1] = [1.0, 0, -0.4]  # along a row of posts
    hits = cast_rays(t, origin, d)
    for ray, hit in zip(d, hits, strict=True):
        expected = brute_first_hit(t, origin, ray)
        if expected is None:
            # a graze thinner than the brute force's step may be a hit all the same
            assert np.isnan(hit[0]) or abs(interpolate_heights(t, hit[None, :2])[0] - hit[2]) < 1e-3
        else:
            at = np.linalg.norm(hit - origin)
            assert at <= expected + 1e-6
            assert abs(interpolate_heights(t, hit[None, :2])[0] - hit[2]) < 1e-3
            early = (
                brute_first_hit(t, origin, ray, step=0.002, reach=at - 0.01) if at < expected - 0.21 else None
            )
            assert early is None


def test_a_hole_stops_nothing_but_a_hit_inside_it_is_unknown():
    h = np.full((41, 41), 100.0)
    h[:, 20:] = 160.0  # a step up to a plateau in the east
    h[:, 18:23] = np.nan  # and the step itself is not known
    t = grid_of(h)
    origin = np.array([CENTRE[0] - 150.0, CENTRE[1], 130.0])
    down, into_hole, over = [0.3, 0, -1.0], [1.0, 0, -0.01], [1.0, 0, 0.25]
    below_then_up = [1.0, 0.0, 0.0]
    hits = cast_rays(t, origin, np.array([down, into_hole, over, below_then_up]))
    assert hits[0, 2] == pytest.approx(100.0)
    assert np.isnan(hits[1:]).all()
    high = np.array([CENTRE[0] - 150.0, CENTRE[1], 250.0])
    across = cast_rays(t, high, np.array([[1.0, 0.0, -0.4]]))
    assert across[0, 2] == pytest.approx(160.0)
    assert across[0, 0] == pytest.approx(CENTRE[0] - 150.0 + 225.0)
