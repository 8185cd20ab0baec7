from __future__ import annotations

import numpy as np
import pytest

from bench.change_validate import HeldOut, best_cut, quiet_cut, worth
from bench.logistic_fit import fit
from flycam.change.features import Logistic, to_probability


def storm(*told: tuple[float, bool, dict[int, int]], sizes: dict[int, int]) -> HeldOut:
    rows = [("landslide", score, so, covers) for score, so, covers in told]
    return HeldOut(storm=True, km2=1.0, told=rows, sizes={"landslide": sizes, "flood": {}})


def test_what_several_candidates_cover_together_is_found() -> None:
    scene = storm((0.9, True, {1: 30}), (0.6, True, {1: 30}), (0.5, False, {2: 10}), sizes={1: 100, 2: 100})
    calm = HeldOut(storm=False, km2=1.0, told=[("landslide", 0.55, False, {})], sizes={})
    everything = worth([scene, calm], "landslide", 0.5)
    assert (everything.truths, everything.found) == (2, 1)
    assert (everything.shown, everything.right, everything.calm_wrong) == (3, 2, 1)
    surer = worth([scene, calm], "landslide", 0.58)
    assert (surer.found, surer.shown, surer.right, surer.calm_wrong) == (1, 2, 2, 0)
    assert worth([scene, calm], "landslide", 0.7).found == 0


def test_the_cut_lies_in_the_middle_of_where_nothing_is_lacking() -> None:
    """Wrong ones below 0.3, right ones from 0.5 on: a little overlap is allowed on either side."""
    wrong = [(0.05 + 0.01 * k, False, {}) for k in range(25)]
    right = [(0.5 + 0.01 * k, True, {k + 1: 100}) for k in range(20)]
    scene = storm(*wrong, *right, sizes={k + 1: 100 for k in range(20)})
    assert best_cut([scene], "landslide") == pytest.approx(0.4, abs=0.03)


def test_other_changes_are_shown_from_where_half_a_false_alarm_a_square_kilometre_is_left() -> None:
    told = [("other", 0.1 * k, False, {}) for k in range(1, 9)]
    calm = HeldOut(storm=False, km2=4.0, told=told, sizes={})
    assert quiet_cut([calm], "other", {}) == pytest.approx(0.62), "two of four square kilometres"
    assert quiet_cut([storm(sizes={})], "other", {}) == pytest.approx(0.02)


def test_what_slides_and_floods_raise_is_not_left_to_other_changes() -> None:
    told = [("other", 0.1 * k, False, {}) for k in range(1, 9)]
    calm = HeldOut(storm=False, km2=4.0, told=[*told, ("landslide", 0.5, False, {})], sizes={})
    assert quiet_cut([calm], "other", {"landslide": 0.3, "flood": 0.3}) == pytest.approx(0.72), "one of two"
    assert quiet_cut([calm], "other", {"landslide": 0.6, "flood": 0.3}) == pytest.approx(0.62)


def test_a_fit_finds_the_weights_that_drew_the_labels() -> None:
    random = np.random.default_rng(5)
    values = random.normal(0.0, 1.0, (20_000, 2))
    drew = Logistic(cues=("a", "b"), mean=(0.0, 0.0), spread=(1.0, 1.0), bias=0.5, weights=(1.5, -0.8))
    labels = random.random(len(values)) < to_probability(drew.logits(values))
    model = fit(("a", "b"), values, labels, np.ones(len(values)), products=False, ridge=1e-6)
    np.testing.assert_allclose(model.weights, (1.5, -0.8), atol=0.1)
    assert model.bias == pytest.approx(0.5, abs=0.1)
