from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.change.features import FAR_M, compute_coarse_size, compute_prior_water


def _coarse(values: np.ndarray, cell_m: float) -> np.ndarray:
    """The same in all three colours, as the water is asked."""
    thin = cv2.resize(
        values.astype(np.float32), compute_coarse_size(values.shape, cell_m), interpolation=cv2.INTER_AREA
    )
    return np.stack([thin, thin, thin])


def valley(cell_m: float) -> tuple[np.ndarray, np.ndarray]:
    """A river 10 m wide in the middle of 400 m × 200 m, banks that rise by one in ten."""
    east = (np.arange(round(400 / cell_m)) + 0.5) * cell_m - 200.0
    off = np.maximum(np.abs(east) - 5.0, 0.0)
    there = np.broadcast_to(off == 0.0, (round(200 / cell_m), len(east)))
    return there, np.broadcast_to(100.0 + 0.1 * off, there.shape).astype(np.float32)


@pytest.mark.parametrize("cell_m", [0.5, 2.0, 3.0])
def test_it_tells_how_far_off_and_how_high_above_the_water_a_place_is(cell_m: float) -> None:
    there, heights = valley(cell_m)
    east = np.arange(there.shape[1]) * cell_m
    colours = _coarse(np.where((np.abs(east - 200.0) < 60.0)[None], 0.3, -0.5) + 0.0 * heights, cell_m)
    water = compute_prior_water(there, ~there & False, heights, colours, cell_m)
    row, col = there.shape[0] // 2, round((200.0 + 55.0) / cell_m)
    assert water.distance_m[row, col] == pytest.approx(50.0, abs=cell_m + 3.0)
    assert water.height_m[row, col] == pytest.approx(5.0, abs=0.1 * cell_m + 0.3)
    assert water.unlike[row, col] == pytest.approx(np.log(0.05), abs=0.1), "of the river's own colour"
    assert water.unlike[row, round(300.0 / cell_m)] == pytest.approx(0.0), "of another"
    assert water.distance_m[row, round(200.0 / cell_m)] == pytest.approx(0.0, abs=1.0)
    assert water.distance_m[row, 0] == FAR_M
    assert water.height_m[row, 0] > water.height_m[row, col]


def test_where_no_water_was_the_lowest_ground_stands_for_it() -> None:
    low, heights = valley(1.0)
    nowhere = np.zeros_like(low)
    colours = _coarse(heights, 1.0)
    known, guessed = (
        compute_prior_water(*masks, heights, colours, 1.0) for masks in ((low, nowhere), (nowhere, low))
    )
    assert (guessed.height_m == known.height_m).all() and (guessed.unlike == known.unlike).all()
    assert not guessed.mask.any()
    near = np.zeros_like(low)
    near[:, 60:70] = True
    beside = compute_prior_water(low, near, heights, colours, 1.0)
    assert (beside.distance_m == known.distance_m).all(), "low ground near a river is a field"
