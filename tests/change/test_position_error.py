"""The expected error of a place: what windows near it say, more the farther they are."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flycam.change.coregistration import (
    HAND_RIM_M,
    coregister_images,
    estimate_area_error_m2,
    estimate_place_error_m,
)
from flycam.change.features import COEFFICIENTS
from tests.change.ground import field, ground, moved, other_light

GSD_M = 0.25


def registered(places_px: np.ndarray, residual_px: np.ndarray, agreed: np.ndarray | None = None) -> Any:
    """As `coregister` tells of it, with these windows."""
    return SimpleNamespace(
        windows=SimpleNamespace(place_px=places_px.astype(float)),
        agreed=np.ones(len(places_px), bool) if agreed is None else agreed,
        residual_px=residual_px.astype(float),
        factor=1,
        gsd_m=GSD_M,
    )


def test_it_is_the_error_that_is_made() -> None:
    """Over ground that was moved by a known field: of many places the true error is as is said."""
    before = ground(5, 900)
    shape = before.shape[:2]
    true = field(shape, (9.0, -6.0), wave_px=4.0)
    after = other_light(moved(before, true))
    seen = np.ones(shape, bool)
    registration = coregister_images(before, seen, after, seen, gsd_m=GSD_M, names=("a", "b"))
    places = np.random.default_rng(3).uniform(150, 750, (60, 2))
    rows, cols = np.rint(places[:, ::-1]).astype(int).T
    made = np.hypot(*(registration.warp.displacement(places) - true[rows, cols]).T) * GSD_M
    said = estimate_place_error_m(registration, places)
    assert np.sqrt(np.mean(made**2)) < 1.5 * np.sqrt(np.mean(said**2))
    assert np.mean(said) < 0.5 * GSD_M


@pytest.mark.parametrize("kind", ["landslide", "flood"])
def test_an_area_is_as_uncertain_as_its_outline_is_long(kind: str) -> None:
    rim_m = COEFFICIENTS.rim_m[kind]
    assert estimate_area_error_m2(kind, 400.0, None) == pytest.approx(400.0 * rim_m)
    assert estimate_area_error_m2(kind, 800.0, 3.0) == pytest.approx(800.0 * math.hypot(rim_m, 3.0))


def test_a_hands_outline_errs_as_hands_do_and_what_is_not_judged_as_slides_do() -> None:
    assert estimate_area_error_m2("flood", 400.0, None, by_hand=True) == 400.0 * HAND_RIM_M
    assert estimate_area_error_m2("other", 400.0, 0.25) == estimate_area_error_m2("landslide", 400.0, 0.25)
