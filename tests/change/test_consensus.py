"""The move that most windows follow, among wrong ones; and what chance alone brings together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.change.warp import WindowMatches, count_chance_agreements, find_consensus, fit_affine


def _evidence(place, displacement) -> WindowMatches:
    count = len(place)
    return WindowMatches(
        place_px=np.asarray(place, float),
        displacement_px=np.asarray(displacement, float),
        sigma_px=np.full(count, 0.2),
        margin=np.full(count, 20.0),
        score=np.full(count, 0.5),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.floats(0.3, 0.7), st.booleans()
)
def test_a_turned_and_scaled_move_is_found_among_wrong_windows(seed, scale, turn, wrong, affine):
    chance = np.random.default_rng(seed)
    place = chance.random((120, 2)) * (2000.0, 1400.0)
    matrix = np.array([[scale, -turn], [turn, scale]]) + (np.diag([0.003, -0.003]) if affine else 0.0)
    true = place @ matrix.T + (31.0, -17.0)
    measured = true + chance.normal(0, 0.3, true.shape)
    outlier = chance.random(120) < wrong
    measured[outlier] = chance.uniform(-80.0, 80.0, (outlier.sum(), 2))
    found = find_consensus(_evidence(place, measured), 4.0)
    assert found.agreed[~outlier].mean() > 0.95
    off = place @ found.affine[:, :2].T + found.affine[:, 2] - true
    assert np.hypot(*off.T).max() < 2.5


def test_windows_on_a_line_say_nothing_of_what_lies_beside_it():
    place = np.column_stack([np.linspace(0, 1000, 40), np.full(40, 300.0)])
    affine = fit_affine(_evidence(place, np.full((40, 2), 5.0)), np.ones(40), np.zeros((2, 3)))
    assert np.allclose(affine, [[0, 0, 5], [0, 0, 5]])


@pytest.mark.parametrize(("tried", "share"), [(50, 0.02), (400, 0.02), (400, 0.05)])
def test_chance_brings_together_fewer_than_are_asked_for(tried, share):
    least = count_chance_agreements(tried, share, 1e-9)
    drawn = np.random.default_rng(4).binomial(tried, share, 100_000)
    assert tried * share < least < tried and drawn.max() <= least
