"""What becomes of heights that the pictures agree on little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flycam.mosaic.surface.gap_filling import fill_heights
from flycam.mosaic.surface.plan import SurfaceOptions

SIDE, SPACING = 120, 0.5


@dataclass(frozen=True)
class Swept:
    dz_m: np.ndarray
    agreement: np.ndarray
    margin: np.ndarray
    precision_m: np.ndarray
    views: np.ndarray


def swept(dz: np.ndarray, agreement: np.ndarray) -> Swept:
    """A sweep of four views with clear peaks of 0.3 m."""
    one = np.ones((SIDE, SIDE), np.float32)
    views = np.full((SIDE, SIDE), 4, np.uint8)
    return Swept(dz.astype(np.float32), agreement.astype(np.float32), 0.5 * one, 0.3 * one, views)


def weak_middle() -> tuple[np.ndarray, np.ndarray]:
    """Agreement 0.8, and 0.12 in the middle; where that is, well inside."""
    agreement = np.full((SIDE, SIDE), 0.8)
    agreement[30:90, 30:90] = 0.12
    inside = np.zeros((SIDE, SIDE), bool)
    inside[45:75, 45:75] = True
    return agreement, inside


def finish(dz: np.ndarray, agreement: np.ndarray):
    flat = np.zeros((SIDE, SIDE), np.float32)
    return fill_heights(swept(dz, agreement), flat, flat + 100.0, SPACING, SurfaceOptions())


def test_a_wood_that_the_pictures_agree_on_little_stands_and_has_no_support() -> None:
    """Before, everything 4 m inside it was bare terrain."""
    agreement, inside = weak_middle()
    dz = np.zeros((SIDE, SIDE))
    dz[30:90, 30:90] = 8.0 + 0.2 * np.random.default_rng(1).normal(size=(60, 60))
    finished = finish(dz, agreement)
    assert not finished.support[inside].any()
    assert np.abs(finished.dz_m[inside] - 8.0).max() < 0.5


def test_noise_is_not_taken_for_ground() -> None:
    """Leaves in the wind, water: heights without agreement that stand up in spikes."""
    agreement, inside = weak_middle()
    dz = np.zeros((SIDE, SIDE))
    dz[30:90, 30:90] = np.random.default_rng(2).uniform(-12.0, 12.0, (60, 60))
    finished = finish(dz, agreement)
    assert not finished.support[inside].any()
    assert np.abs(finished.dz_m[inside]).max() < 0.5
