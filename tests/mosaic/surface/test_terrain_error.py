"""What supported ground says of the terrain's error where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.mosaic.surface.gap_filling import TerrainErrorPrior, correct_terrain

SPACING = 4.0
BELIEVED = TerrainErrorPrior(up_m=3.0, shift_m=5.0)
SIDE = 150  # posts: 600 m


def hills() -> np.ndarray:
    row, col = np.mgrid[:SIDE, :SIDE] * SPACING
    return (60.0 * np.sin(col / 130.0) + 45.0 * np.cos(row / 90.0 + col / 300.0)).astype(np.float32)


def half() -> np.ndarray:
    support = np.zeros((SIDE, SIDE), bool)
    support[:, : SIDE // 2] = True
    return support


def sigma_of(support: np.ndarray, sigma_m: float = 0.1) -> np.ndarray:
    return np.where(support, np.float32(sigma_m), np.float32(np.nan))


@settings(deadline=None, max_examples=8)
@given(east=st.floats(-6.0, 6.0), north=st.floats(-6.0, 6.0), up=st.floats(-4.0, 4.0))
def test_a_terrain_that_stands_aside_is_brought_back_far_from_support(
    east: float, north: float, up: float
) -> None:
    """found = true ground - terrain, where terrain(p) = ground(p - shift) - up.

    Less than half is left of what the shift does to the heights. The two parts of it are added up, for where
    they happen to cancel there is little to bring back and the error before says nothing of the shift.
    """
    row, col = np.mgrid[:SIDE, :SIDE] * SPACING

    def ground(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 60.0 * np.sin(x / 130.0) + 45.0 * np.cos(y / 90.0 + x / 300.0)

    terrain = ground(col - east, row + north) - up
    error = (ground(col, row) - terrain).astype(np.float32)
    correction = correct_terrain(error, sigma_of(half()), terrain.astype(np.float32), SPACING, BELIEVED)
    left = np.abs(correction.dz_m - error)[:, SIDE // 2 :]
    shifted = (np.abs(error - up) + abs(up))[:, SIDE // 2 :]
    assert np.percentile(left, 90) < 0.45 * np.percentile(shifted, 90) + 0.3
    assert (left <= 3.0 * correction.sigma_m[:, SIDE // 2 :] + 0.3).mean() > 0.95


def test_trees_on_the_ground_are_not_taken_for_ground() -> None:
    found = np.full((SIDE, SIDE), -2.0, np.float32)
    found[30:60, 10:40] += 9.0
    correction = correct_terrain(found, sigma_of(half()), hills(), SPACING, BELIEVED)
    assert np.abs(correction.dz_m + 2.0).max() < 0.5


def test_the_less_is_known_the_farther_from_support() -> None:
    correction = correct_terrain(
        np.zeros((SIDE, SIDE), np.float32), sigma_of(half()), hills(), SPACING, BELIEVED
    )
    along = correction.sigma_m[SIDE // 2]
    assert along[10] < 0.3
    assert (np.diff(along[SIDE // 2 + 6 : -8]) > -1e-3).all()
    assert along[-1] == pytest.approx(BELIEVED.field_m, rel=0.4)


def test_what_single_posts_err_by_is_uncertain_everywhere() -> None:
    """A coarse grid over rough ground: the flight says how rough, also where it does not look."""
    random = np.random.default_rng(6)
    found = np.kron(random.normal(size=(SIDE // 3, SIDE // 3)), np.ones((3, 3))).astype(np.float32) * 1.5
    correction = correct_terrain(found, sigma_of(half()), hills(), SPACING, BELIEVED)
    smooth = correct_terrain(np.zeros_like(found), sigma_of(half()), hills(), SPACING, BELIEVED)
    far = (slice(None), slice(SIDE // 2 + 20, None))
    added = np.sqrt(correction.sigma_m[far] ** 2 - smooth.sigma_m[far] ** 2)
    assert np.median(added) == pytest.approx(1.5, rel=0.35)
    z = (correction.dz_m - found)[far] / correction.sigma_m[far]
    assert 0.6 < (np.abs(z) < 1.0).mean() < 0.85
