"""Heights to rectify on: kept where pictures bear them, smooth where they do not."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.mosaic.surface.laying_surface import (
    NadirViews,
    compute_plane_residuals,
    extend_smoothly,
    find_nadir_views,
    fit_laying_surface,
)
from flycam.mosaic.surface.plan import PostGrid
from tests.mosaic.surface.scene import CAMERA, HEIGHT_M, scene

ROWS, COLS, SPACING_M = 96, 128, 0.5
FOREST = np.s_[:, :48]  # left of it, crowns that no two views show alike; right of it, a house on a slope
HOUSE = np.s_[40:60, 90:110]


@pytest.fixture(scope="module")
def heights() -> np.ndarray:
    random = np.random.default_rng(5)
    dz = np.tile(np.linspace(0.0, 6.0, COLS, dtype=np.float32), (ROWS, 1))
    dz[FOREST] += cv2.GaussianBlur(random.normal(0.0, 6.0, (ROWS, COLS)).astype(np.float32), (0, 0), 1.5)[
        FOREST
    ]
    dz[HOUSE] += 5.0
    return dz


def laid(dz: np.ndarray, *, views: int = 5, bend: float = 3.0) -> np.ndarray:
    likeness = np.full(dz.shape, 0.8, np.float32)
    likeness[FOREST] = 0.1
    found = SimpleNamespace(likeness=likeness, views=np.full(dz.shape, views, np.uint8))
    sigma = np.where(likeness > 0.5, 0.1, 1.0).astype(np.float32)
    return fit_laying_surface(found, dz, sigma, np.zeros_like(dz), above(bend))


def above(bend: float) -> NadirViews:
    """One camera 100 m over the middle, with pixels of 0.125 m."""
    posts = PostGrid(west_m=0.0, north_m=ROWS * SPACING_M, spacing_m=SPACING_M, shape=(ROWS, COLS))
    centre = np.broadcast_to(
        np.array([COLS * SPACING_M / 2, ROWS * SPACING_M / 2, 100.0]), (ROWS // 8, COLS // 8, 3)
    )
    return NadirViews(posts, np.full((ROWS, COLS), bend, np.float32), centre, 0.125)


def test_what_pictures_bear_stays_and_crowns_become_a_hull(heights: np.ndarray) -> None:
    smooth = laid(heights)
    inner = np.s_[8:-8, 8:36]
    before, after = (compute_plane_residuals(h, 9)[inner].mean() for h in (heights, smooth))
    assert before > 0.5 and after < 0.05 * before
    assert np.abs(smooth - heights)[HOUSE].max() < 0.02
    assert np.abs(smooth - heights)[:, 64:].max() < 0.1
    assert abs(np.mean(smooth[inner]) - np.mean(heights[inner])) < 1.0


@given(
    values=st.lists(st.floats(-50.0, 50.0, width=32), min_size=24, max_size=24),
    firm=st.lists(st.booleans(), min_size=24, max_size=24),
    shift=st.floats(-100.0, 100.0),
)
def test_firm_values_are_kept_and_a_shift_goes_through(
    values: list[float], firm: list[bool], shift: float
) -> None:
    field = np.array(values, np.float32).reshape(4, 6)
    weights = np.where(firm, 1.0, 1e-4).astype(np.float32).reshape(4, 6)
    carried = extend_smoothly(field, weights)
    assert np.isfinite(carried).all()
    assert np.allclose(carried[weights == 1.0], field[weights == 1.0], atol=1e-3)
    assert np.allclose(extend_smoothly(field + np.float32(shift), weights), carried + shift, atol=2e-2)


@given(
    slope=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
    rough=st.floats(0.1, 3.0),
    side=st.sampled_from([5, 9, 15]),
)
def test_residuals_are_those_of_a_plane(slope: tuple[float, float], rough: float, side: int) -> None:
    row, col = np.mgrid[:40, :50].astype(np.float32)
    plane = (slope[0] * row + slope[1] * col).astype(np.float32)
    inner = np.s_[side:-side, side:-side]
    assert compute_plane_residuals(plane, side)[inner].max(initial=0.0) < 0.02
    board = np.where((row + col) % 2 == 0, rough, -rough).astype(np.float32)
    assert compute_plane_residuals(plane + board, side)[20, 25] == pytest.approx(rough, rel=0.05)


def test_a_metre_of_height_moves_the_straightest_view_by_its_tangent() -> None:
    world = scene()
    posts = PostGrid(west_m=-16.0, north_m=16.0, spacing_m=1.0, shape=(33, 33))
    ground = np.full(posts.shape, 100.0, np.float32)
    bend = find_nadir_views(world.views, posts, ground).px_per_m
    aside = min(np.hypot(e, n) for e in (-7.0, 7.0) for n in (-16.0, 0.0, 16.0))
    assert bend[16, 16] == pytest.approx(CAMERA.focal_length_px[0] * aside / HEIGHT_M**2, rel=0.05)


def test_noise_of_firm_ground_is_evened_out_and_walls_stand() -> None:
    noise = np.random.default_rng(7).normal(0.0, 0.3, (ROWS, COLS)).astype(np.float32)
    noise[HOUSE] += 5.0
    found = SimpleNamespace(
        likeness=np.full(noise.shape, 0.8, np.float32), views=np.full(noise.shape, 5, np.uint8)
    )
    even = fit_laying_surface(found, noise, np.full_like(noise, 0.1), np.zeros_like(noise), above(3.0))
    corner = np.s_[:16, :16]
    assert even[corner].std() < 0.5 * noise[corner].std()
    inside, around = even[44:56, 94:106], even[40:60, 74:84]
    assert inside.mean() - around.mean() == pytest.approx(5.0, abs=0.2)
