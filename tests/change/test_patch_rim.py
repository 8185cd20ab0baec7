from __future__ import annotations

import numpy as np
import pytest

from flycam.change.patches import Patch, compare_with_rim, make_rim, measure_edge_contrast

SIDE = 80


def patch(row: int, col: int, rows: int, cols: int) -> Patch:
    return Patch(rows=slice(row, row + rows), cols=slice(col, col + cols), mask=np.ones((rows, cols), bool))


def values(inside: float, around: float, one: Patch) -> np.ndarray:
    out = np.random.default_rng(1).normal(around, 0.02, (SIDE, SIDE)).astype(np.float32)
    out[one.place] += inside - around
    return out


def test_a_rim_is_what_lies_within_four_metres_and_the_clear_of_it_more_than_one_off() -> None:
    one = patch(30, 30, 20, 10)
    rim = make_rim(one, (SIDE, SIDE), 1.0)
    south, east = rim.rows - rim.rows.clip(30, 49), rim.cols - rim.cols.clip(30, 39)
    off = np.hypot(south, east)
    assert off.min() == 1.0, "none of the patch itself"
    assert 3.5 < off.max() <= 4.5
    assert off[rim.clear].min() > 1.0
    assert rim.clear.sum() > 0.6 * len(off)


def test_a_rim_ends_where_the_grid_does() -> None:
    rim = make_rim(patch(0, 0, SIDE, 5), (SIDE, SIDE), 0.5)
    assert rim.rows.min() == 0
    assert rim.rows.max() == SIDE - 1
    everything = patch(0, 0, SIDE, SIDE)
    nothing = make_rim(everything, (SIDE, SIDE), 0.5)
    assert nothing.rows.size == 0
    assert compare_with_rim(np.ones((SIDE, SIDE), np.float32), everything, nothing) == 0.0


def test_what_the_neighbourhood_shares_is_nothing_of_the_patch() -> None:
    one = patch(30, 30, 20, 20)
    rim = make_rim(one, (SIDE, SIDE), 1.0)
    assert compare_with_rim(values(0.5, 0.0, one), one, rim) == pytest.approx(0.5, abs=0.02)
    assert compare_with_rim(values(0.5, 0.5, one), one, rim) == pytest.approx(0.0, abs=0.02)


def test_a_field_has_an_edge_and_open_ground_has_none() -> None:
    one = patch(30, 30, 20, 20)
    assert measure_edge_contrast(values(0.6, 0.0, one), one, 1.0) > 0.4
    assert abs(measure_edge_contrast(values(0.0, 0.0, one), one, 1.0)) < 0.05
    # at the corner of the grid, and too small to have an inside
    assert measure_edge_contrast(
        values(0.6, 0.0, patch(0, 0, 2, 3)), patch(0, 0, 2, 3), 1.0
    ) == pytest.approx(0.0, abs=0.6)
