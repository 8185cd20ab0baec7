from __future__ import annotations

import numpy as np
import pytest

from bench.change_scoring import Score, add_scene, expected_calibration_error, found_of
from flycam.drill.appearance import Confuser
from flycam.drill.land import CellWindow
from tests.drill.topview import TopView, ViewPair


def square(col: float, row: float, side: float) -> np.ndarray:
    return np.array([[col, row], [col + side, row], [col + side, row + side], [col, row + side]], float)


def pair_of(change: np.ndarray, after: np.ndarray | None = None) -> ViewPair:
    rng = np.random.default_rng(1)
    rgb = rng.integers(60, 120, (*change.shape, 1)).repeat(3, -1).astype(np.uint8)
    clear = np.zeros(change.shape, bool)
    view = TopView(rgb=rgb, seen=~clear, clouded=clear, glinting=clear)
    changed = TopView(rgb=rgb if after is None else after, seen=~clear, clouded=clear, glinting=clear)
    return ViewPair(
        seed=1,
        window=CellWindow(cell_m=1.0, west_cell=0, north_cell=0, shape=change.shape),
        before=view,
        after=changed,
        heights_m=np.zeros(change.shape, np.float32),
        change=change,
        confuser=np.zeros_like(change),
        old_water=clear,
    )


@pytest.fixture
def change() -> np.ndarray:
    change = np.zeros((100, 120), np.uint8)
    change[10:30, 10:30] = 1
    change[60:64, 60:64] = 1  # 16 m²: too small to be missed
    change[70:90, 80:110] = 2
    return change


def test_the_truth_itself_is_found_and_right(change: np.ndarray) -> None:
    score = Score()
    shape = change.shape
    add_scene(
        score,
        pair_of(change),
        [
            found_of("landslide", 0.9, [square(10, 10, 19)], shape),
            found_of("landslide", 0.9, [square(60, 60, 3)], shape),
            found_of("flood", 0.9, [np.array([[80, 70], [109, 70], [109, 89], [80, 89]], float)], shape),
        ],
    )
    for kind, candidates in (("landslide", 2), ("flood", 1)):
        tally = score.tallies[kind]
        assert (tally.truths, tally.found, tally.candidates, tally.right) == (1, 1, candidates, candidates)
        assert tally.iou == 1.0
    assert score.tallies["landslide"].object_iou == [1.0]
    assert score.false_per_km2 == 0.0
    assert score.calibration_error == pytest.approx(0.1)


def test_another_kind_and_too_much_ground_are_false_alarms_by_name(change: np.ndarray) -> None:
    pair = pair_of(change)
    pair.confuser[40:60, 0:20] = Confuser.PLOUGHED
    score = Score()
    right = add_scene(
        score,
        pair,
        [
            found_of("flood", 0.5, [square(10, 10, 19)], change.shape),
            found_of("landslide", 0.5, [square(0, 40, 19)], change.shape),
            found_of("landslide", 0.5, [square(40, 0, 10)], change.shape),
        ],
    )
    assert right == [False, False, False]
    assert set(score.confused) == {
        "flood on landslide",
        "landslide on ploughed",
        "landslide on season, lean or cast shadow",
    }
    assert score.tallies["landslide"].recall == 0.0
    assert score.false_per_km2 == pytest.approx(3 / 0.012)


def test_ground_that_was_not_seen_counts_nowhere(change: np.ndarray) -> None:
    pair = pair_of(change)
    pair.after.seen[10:30, 10:30] = False
    score = Score()
    add_scene(score, pair, [])
    assert score.tallies["landslide"].truths == 0
    assert score.km2 == pytest.approx((12_000 - 400) / 1e6)


def test_calibration_error_of_honest_and_boastful_scores() -> None:
    honest = [(0.25, k % 4 == 0) for k in range(400)] + [(0.75, k % 4 != 0) for k in range(400)]
    assert expected_calibration_error(honest) == pytest.approx(0.0)
    assert expected_calibration_error([(1.0, False)] * 9 + [(1.0, True)]) == pytest.approx(0.9)
