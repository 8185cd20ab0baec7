"""Volumes of scars, from two surfaces that lie metres off each other and are noisy as matching is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from flycam.change.volume import HeightPair, Volume, VolumeUnavailable, compute_volume
from flycam.drill.land import CENTRE_M, FIELD_STEP_M, Valley, build_valley_fields
from flycam.drill.world import with_drawn_slides

SPACING_M, SIDE = 0.5, 400
EAST, SOUTH = np.meshgrid(np.arange(SIDE) * SPACING_M, np.arange(SIDE) * SPACING_M)
SCAR = (np.abs(EAST - 100.0) < 15.0) & (np.abs(SOUTH - 100.0) < 40.0)
CHANGE_M = np.where(SCAR & (SOUTH < 115.0), -2.0, 0.0) + np.where(SCAR & (SOUTH >= 115.0), 1.5, 0.0)
LOST_M3, GAINED_M3 = (abs(CHANGE_M[sign * CHANGE_M > 0].sum()) * SPACING_M**2 for sign in (-1, 1))
OFF_M = (0.9, -0.6, 2.3)
SIGMA_M = 0.4


def hills(east: np.ndarray, south: np.ndarray) -> np.ndarray:
    """A slope of 0.6 to the south with spurs and hollows across it."""
    return 300.0 - 0.6 * south + 4.0 * np.sin(east / 17.0) * np.cos(south / 29.0) + 2.0 * np.sin(east / 7.0)


def noise(seed: int, width_m: float, sigma_m: float) -> np.ndarray:
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), width_m / SPACING_M)
    return rough * (sigma_m / rough.std())


def heights(seed: int) -> HeightPair:
    after = hills(EAST - OFF_M[0], SOUTH + OFF_M[1]) + CHANGE_M + OFF_M[2]
    return HeightPair(
        before_m=hills(EAST, SOUTH) + noise(seed, 1.2, SIGMA_M / np.sqrt(2.0)),
        after_m=after + noise(seed + 100, 1.2, SIGMA_M / np.sqrt(2.0)) + noise(seed + 200, 12.0, 0.15),
        known=np.ones((SIDE, SIDE), bool),
        sigma_m=np.full((SIDE, SIDE), SIGMA_M),
        spacing_m=SPACING_M,
    )


def require_volume(found: Volume | VolumeUnavailable) -> Volume:
    assert isinstance(found, Volume)
    return found


def test_what_went_and_what_came_are_told_whatever_the_surfaces_lie_off_each_other() -> None:
    one = require_volume(compute_volume(heights(1), SCAR, ~SCAR))
    east, north, up = one.shift_m
    assert east == pytest.approx(OFF_M[0], abs=0.25)
    # on one slope a step down it is as good as one up: only what both do to the heights can be told
    assert up - 0.6 * north == pytest.approx(OFF_M[2] - 0.6 * OFF_M[1], abs=0.15)
    assert one.measured_m2 == SCAR.sum() * SPACING_M**2
    assert one.lost_m3 == pytest.approx(LOST_M3, abs=3.0 * one.lost_sigma_m3)
    assert one.gained_m3 == pytest.approx(GAINED_M3, abs=3.0 * one.gained_sigma_m3)
    assert one.lost_sigma_m3 < 0.2 * LOST_M3


def test_why_a_volume_is_not_told() -> None:
    seen = heights(1)
    assert compute_volume(replace(seen, known=EAST < 95.0), SCAR, ~SCAR) is VolumeUnavailable.LITTLE_KNOWN
    assert compute_volume(seen, SCAR, SCAR) is VolumeUnavailable.LITTLE_STABLE
    assert compute_volume(seen, np.zeros_like(SCAR), ~SCAR) is VolumeUnavailable.LITTLE_KNOWN


MIDDLE = (slice(100, 300), slice(100, 300))
"""A hundred metres around the scar: enough unchanged ground, and quick."""

SHARED_M, WIDTH_M = 0.25, 4.0
PART_M = np.where(SCAR & (EAST < 100.0), CHANGE_M, 0.0)


@pytest.fixture(scope="module")
def shared_noise() -> list[np.ndarray]:
    return [noise(seed, WIDTH_M, SHARED_M)[MIDDLE] for seed in range(300, 330)]


@pytest.mark.parametrize("moved_m", [PART_M, 0.0 * CHANGE_M], ids=["part", "unmoved"])
def test_errors_that_neighbours_share_make_up_no_more_than_sigmas_say(
    moved_m: np.ndarray, shared_noise: list[np.ndarray]
) -> None:
    """Whatever of the scar moved: sorted by sign, errors alone are told as ground that went and came."""
    ground, change, scar = hills(EAST, SOUTH)[MIDDLE], moved_m[MIDDLE], SCAR[MIDDLE]
    truth = [abs(change[sign * change > 0].sum()) * SPACING_M**2 for sign in (-1, 1)]
    off, nothings = [], 0
    for rough in shared_noise:
        flown = HeightPair(
            before_m=ground,
            after_m=ground + change + rough + 1.4,
            known=np.ones_like(scar),
            sigma_m=np.full(scar.shape, SHARED_M),
            spacing_m=SPACING_M,
        )
        one = require_volume(compute_volume(flown, scar, ~scar))
        nothings += one.is_nothing
        off += [
            abs(one.lost_m3 - truth[0]) / one.lost_sigma_m3,
            abs(one.gained_m3 - truth[1]) / one.gained_sigma_m3,
        ]
    assert np.mean(np.array(off) <= 2.0) >= 0.9
    assert (nothings >= 25) if not any(truth) else (nothings == 0)


def test_slides_of_a_drill_whose_volumes_are_known() -> None:
    """The largest that lies whole in the picture; the others are ground that vouches for nothing."""
    seed = 3
    east, north = CENTRE_M
    bounds = (east - 200.0, north - 200.0, east + 200.0, north + 200.0)
    fields = with_drawn_slides(build_valley_fields(Valley(seed=seed), bounds), seed)
    ground, moved, scar = (
        np.flipud(fields.values[name]).astype(np.float64) for name in ("height", "moved", "scar")
    )
    labels, count = label(scar > 0.0)
    rims = np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    inner = [number for number in range(1, count + 1) if number not in rims]
    one = labels == max(inner, key=lambda number: (labels == number).sum())
    change = np.where(scar > 0.0, moved, 0.0)
    noisy = np.random.default_rng(seed).normal(0.0, 0.3, (2, *ground.shape))
    flown = HeightPair(
        before_m=ground + noisy[0],
        after_m=ground + change + 1.4 + noisy[1],
        known=np.ones(ground.shape, bool),
        sigma_m=np.full(ground.shape, 0.3 * np.sqrt(2.0)),
        spacing_m=FIELD_STEP_M,
    )
    found = require_volume(compute_volume(flown, one, scar < -FIELD_STEP_M))
    lost, gained = (abs(change[one & (sign * change > 0)].sum()) * FIELD_STEP_M**2 for sign in (-1, 1))
    assert lost > 100.0 < gained
    assert found.lost_m3 == pytest.approx(lost, abs=3.0 * found.lost_sigma_m3)
    assert found.gained_m3 == pytest.approx(gained, abs=3.0 * found.gained_sigma_m3)
    assert found.lost_sigma_m3 < 0.5 * lost
