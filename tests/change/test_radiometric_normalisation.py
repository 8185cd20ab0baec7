from __future__ import annotations

import numpy as np
import pytest

from flycam.change.features import remove_haze, subtract_local_percentile

CELL_M = 1.0


def test_haze_is_taken_out_and_what_is_dark_stays_dark() -> None:
    rng = np.random.default_rng(3)
    ground = rng.uniform(0.0, 0.3, (400, 400, 3)).astype(np.float32)
    ground[::7, ::5] = 0.0
    ground = np.repeat(np.repeat(ground, 4, 0), 4, 1)[:400, :400]
    haze = np.array([0.05, 0.07, 0.1], np.float32)
    seen = np.ones((400, 400), bool)
    clear, hazy = remove_haze(ground, seen, CELL_M), remove_haze(ground + haze, seen, CELL_M)
    assert np.abs(hazy - clear).mean() < 0.012
    assert np.abs((ground + haze) - clear).mean() > 0.06


def test_what_is_usual_around_becomes_nothing() -> None:
    rng = np.random.default_rng(4)
    rows = np.linspace(0.0, 1.0, 600)[:, None]
    values = (rows + 0.1 * rng.standard_normal((600, 600))).astype(np.float32)
    values[250:330, 250:330] += 2.0  # a slide is not what is usual
    level = subtract_local_percentile(values, np.ones(values.shape, bool), CELL_M)
    assert abs(float(np.median(level[100:500]))) < 0.05
    assert level[260:320, 260:320].mean() == pytest.approx(2.0, abs=0.15)


def test_ground_that_was_not_seen_has_no_say() -> None:
    values = np.zeros((300, 300), np.float32)
    seen = np.zeros(values.shape, bool)
    seen[:, :150] = True
    values[~seen] = 50.0
    assert np.abs(subtract_local_percentile(values, seen, CELL_M)[:, :150]).max() < 1e-5
    assert np.isfinite(subtract_local_percentile(values, np.zeros_like(seen), CELL_M)).all()


def test_small_known_places_far_apart_fill_all_between_and_beyond() -> None:
    values = np.zeros((1200, 40 * 90), np.float32)
    seen = np.zeros(values.shape, bool)
    for at, value in ((0, 2.0), (3400, 6.0)):
        seen[:40, at : at + 40], values[:40, at : at + 40] = True, value
    level = subtract_local_percentile(values, seen, CELL_M)
    assert np.isfinite(level).all()
    assert np.abs(level[:40, :40]).max() < 0.1 and np.abs(level[:40, 3410:3440]).max() < 0.1
    # far from both, each takes the word of the nearer
    assert level[1100, 300] == pytest.approx(-2.0, abs=0.1) and level[1100, 3300] == pytest.approx(
        -6.0, abs=0.1
    )
