"""What errors that the terrain's neighbours share do to a block, against draws of such errors."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flycam.mosaic.adjustment.block import AdjustOptions, Block
from flycam.mosaic.adjustment.bundle_adjustment import adjust_block
from tests.mosaic.adjustment.blocks import Scene, make_block

DRAWS = 12
OPTIONS = AdjustOptions(estimate_noise=False, self_calibration=False)
# a strip whose heights hang on its terrain: instruments say little of its tilt and bend
SCENE = Scene(
    strips=1,
    per_strip=20,
    relief=60.0,
    dem_noise=0.0,
    dem_shift=(0.0, 0.0, 0.0),
    bias=(0.0, 0.0, 0.0),
    sigma_m=(1.5, 1.5, 8.0),
    sigma_deg=(3.0, 3.0, 3.0),
    ties_a_frame=60,
)


def on_wrong_terrain(block: Block, seed: int) -> Block:
    """The block on terrain that errs by 1 m, alike over 200 m (1/e), and says so."""
    terrain = block.terrain.terrain
    field = shared_error(terrain.heights_m.shape, terrain.post_spacing_m[0], seed)
    wrong = replace(terrain, heights_m=(terrain.heights_m + field).astype(np.float32))
    return replace(block, terrain=replace(block.terrain, terrain=wrong, sigma_height_m=1.0, canopy_m=0.0))


def shared_error(shape: tuple[int, int], post_m: float, seed: int, length_m: float = 200.0) -> np.ndarray:
    """White noise through a Gaussian of s = L/2 has the correlation exp(-d²/L²), and 4 π s² less variance."""
    narrow, beside = length_m / 2.0 / post_m, 60
    white = np.random.default_rng(seed).normal(size=(shape[0] + 2 * beside, shape[1] + 2 * beside))
    smooth = cv2.GaussianBlur(white, (0, 0), narrow) * (2.0 * np.sqrt(np.pi) * narrow)
    return smooth[beside:-beside, beside:-beside]


def heights_of(block: Block, options: AdjustOptions = OPTIONS) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the projection centres less their mean, and their claimed sigmas, n each."""
    result = adjust_block(block, options)
    assert result.accepted, result.reason
    up = np.array([frame.exterior.projection_centre_m[2] for frame in result.frames])
    return up - up.mean(), np.array([frame.exterior.sigma_position_m[2] for frame in result.frames])


def test_a_strip_claims_what_errors_of_its_terrain_move_it_by():
    """Weights that take squares of the terrain for independent of each other claim 1.4 times too little."""
    block, _ = make_block(SCENE)
    found = [heights_of(on_wrong_terrain(block, seed)) for seed in range(DRAWS)]
    up, sigma = np.array([one for one, _ in found]), np.array([one for _, one in found])
    moved = up - up.mean(axis=0)  # everything but the terrain is the same in every draw
    ratio = np.sqrt(np.mean(np.square(moved / sigma)) * DRAWS / (DRAWS - 1))
    # the claim holds the instruments' share too, which does not change here
    assert 0.75 < ratio < 1.1


def test_squares_that_err_alone_change_nothing_and_neighbours_that_err_alike_only_the_sigmas():
    block, _ = make_block(SCENE)
    wrong = on_wrong_terrain(block, 1)
    alone, sigma_alone = heights_of(wrong, replace(OPTIONS, dem_length_m=1e-3))
    alike, sigma_alike = heights_of(wrong)
    assert alike == pytest.approx(alone, abs=1e-9)
    assert (sigma_alike > 1.2 * sigma_alone).sum() > len(alone) / 2
