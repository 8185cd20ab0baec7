"""What the sigma of a height is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.mosaic.surface.gap_filling import estimate_agreed_sigma, estimate_unagreed_sigma

SIDE, SPACING = 40, 0.5


@dataclass(frozen=True)
class Swept:
    agreement: np.ndarray
    margin: np.ndarray
    precision_m: np.ndarray
    views: np.ndarray


def swept(agreement: float = 0.7, margin: float = 0.5, precision_m: float = 1.5, views: int = 4) -> Swept:
    of = np.ones((SIDE, SIDE), np.float32)
    return Swept(agreement * of, margin * of, precision_m * of, np.full((SIDE, SIDE), views, np.uint8))


LEVEL = np.zeros((SIDE, SIDE), np.float32)
ROUGH = np.random.default_rng(4).normal(size=(SIDE, SIDE)).astype(np.float32)


def one(found: Swept, heights: np.ndarray = LEVEL) -> float:
    return float(estimate_agreed_sigma(found, heights, SPACING)[SIDE // 2, SIDE // 2])


@given(
    agreement=st.floats(-1.0, 0.9),
    margin=st.floats(0.05, 1.0),
    precision_m=st.floats(0.05, 9.0),
    views=st.integers(2, 7),
)
def test_nothing_that_makes_a_height_better_makes_its_sigma_larger(
    agreement: float, margin: float, precision_m: float, views: int
) -> None:
    before = one(swept(agreement, margin, precision_m, views), ROUGH)
    better = 1.0 + 1e-5
    assert one(swept(agreement + 0.05, margin, precision_m, views), ROUGH) <= before * better
    assert one(swept(agreement, margin + 0.1, precision_m, views), ROUGH) <= before * better
    assert one(swept(agreement, margin, 0.9 * precision_m, views), ROUGH) <= before * better
    assert one(swept(agreement, margin, precision_m, views + 1), ROUGH) <= before * better
    assert one(swept(agreement, margin, precision_m, views), 0.5 * ROUGH) <= before * better


def test_a_step_is_uncertain_on_both_sides_of_it() -> None:
    step = np.where(np.arange(SIDE) < SIDE // 2, 0.0, 8.0)[None].repeat(SIDE, axis=0).astype(np.float32)
    sigma = estimate_agreed_sigma(swept(views=8), step, SPACING)[SIDE // 2]
    assert sigma[SIDE // 2 - 1] > 2.0
    assert sigma[SIDE // 2 + 1] > 2.0
    assert sigma[3] < 0.2


def test_where_no_two_views_were_compared_nothing_is_said() -> None:
    assert np.isnan(estimate_unagreed_sigma(swept(views=1), ROUGH, SPACING)).all()
    assert np.isfinite(estimate_unagreed_sigma(swept(views=2), ROUGH, SPACING)).all()
