from __future__ import annotations

import numpy as np
import pytest

from flycam.analysis.old_water import FAR_M, old_water_of


def valley(cell_m: float) -> tuple[np.ndarray, np.ndarray]:
    """A river 10 m wide in the middle of 400 m × 200 m, banks that rise by one in ten."""
    east = (np.arange(round(400 / cell_m)) + 0.5) * cell_m - 200.0
    off = np.maximum(np.abs(east) - 5.0, 0.0)
    there = np.broadcast_to(off == 0.0, (round(200 / cell_m), len(east)))
    return there, np.broadcast_to(100.0 + 0.1 * off, there.shape).astype(np.float32)


@pytest.mark.parametrize("cell_m", [0.5, 2.0, 3.0])
def test_it_tells_how_far_off_and_how_high_above_the_water_a_place_is(cell_m: float) -> None:
    there, heights = valley(cell_m)
    water = old_water_of(there, heights, np.where(there, 0.3, -0.5).astype(np.float32), cell_m)
    row, col = there.shape[0] // 2, round((200.0 + 55.0) / cell_m)
    assert water.away_m[row, col] == pytest.approx(50.0, abs=cell_m + 3.0)
    assert water.over_m[row, col] == pytest.approx(5.0, abs=0.1 * cell_m + 0.3)
    assert water.redder[row, col] == pytest.approx(0.3, abs=0.01)
    assert water.away_m[row, round(200.0 / cell_m)] == pytest.approx(0.0, abs=1.0)
    assert water.away_m[row, 0] == FAR_M
    assert water.over_m[row, 0] > water.over_m[row, col]


def test_where_no_water_is_all_is_far_from_it_and_high() -> None:
    water = old_water_of(np.zeros((30, 40), bool), *np.full((2, 30, 40), 7.0, np.float32), 1.0)
    assert (water.away_m == FAR_M).all()
    assert (water.over_m == water.over_m.max()).all()
    assert water.over_m[0, 0] > 5.0
    assert (water.redder == 0.0).all()


def test_a_puddle_smaller_than_its_cells_is_still_water() -> None:
    there = np.zeros((64, 64), bool)
    there[33, 31] = True
    water = old_water_of(there, *np.zeros((2, 64, 64), np.float32), 0.5)
    assert water.away_m[33, 31] < 2.0
    assert water.away_m[0, 0] == pytest.approx(np.hypot(33, 31) * 0.5, abs=3.0)
