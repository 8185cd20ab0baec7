from __future__ import annotations

import numpy as np

from flycam.change.patches import (
    compute_axes,
    compute_box_fill,
    compute_solidity,
    compute_straightness,
    trace_patch_outline,
)

SIDE = 120


def disc(radius: float) -> np.ndarray:
    rows, cols = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return np.hypot(rows, cols) < radius


def bar(rows: int, cols: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10 : 10 + rows, 20 : 20 + cols] = True
    return mask


def test_a_bar_is_as_long_and_as_wide_as_it_is() -> None:
    along, across, axis = compute_axes(bar(80, 12))
    assert abs(along - 80) < 3
    assert abs(across - 12) < 2
    assert abs(axis[1]) > 0.99
    assert compute_axes(bar(1, 2))[:2] == (1.0, 1.0)


def test_straight_rims_run_far_and_round_ones_do_not() -> None:
    field, pond = trace_patch_outline(bar(40, 30)), trace_patch_outline(disc(20.0))
    share, longest = compute_straightness(field, 1.0)
    assert share > 0.95
    assert 0.5 < longest < 0.65, "two long sides of four"
    assert compute_straightness(pond, 1.0)[1] < 0.4
    assert compute_straightness(trace_patch_outline(bar(1, 1)), 1.0) == (0.0, 0.0)


def test_a_field_fills_its_box_a_disc_only_its_hull() -> None:
    assert compute_box_fill(trace_patch_outline(bar(40, 30)), 1200) > 0.95
    pond = disc(30.0)
    assert 0.7 < compute_box_fill(trace_patch_outline(pond), int(pond.sum())) < 0.85
    assert compute_solidity(trace_patch_outline(pond), int(pond.sum())) > 0.97
