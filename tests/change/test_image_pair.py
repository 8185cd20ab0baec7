"""A pair lies on one grid, or is none; two that are alike to the pixel are one picture."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.change.image_pair import ImagePair, is_one_picture


def _pair(**other):
    arrays = {
        "before_rgb": np.zeros((4, 5, 3), np.uint8),
        "after_rgb": np.zeros((4, 5, 3), np.uint8),
        "before_seen": np.array([[True] * 5] * 4),
        "after_seen": np.eye(4, 5, dtype=bool),
        "heights_m": np.zeros((4, 5), np.float32),
    }
    return ImagePair(gsd_m=0.2, **(arrays | other))


@pytest.mark.parametrize("name", ["before_rgb", "after_rgb", "after_seen", "heights_m"])
def test_arrays_of_other_grids_are_no_pair(name):
    wrong = {
        "before_rgb": np.zeros((5, 4, 3), np.uint8),
        "after_rgb": np.zeros((5, 4, 3), np.uint8),
        "after_seen": np.ones((5, 4), bool),
        "heights_m": np.zeros((5, 4), np.float32),
    }
    with pytest.raises(ValueError, match="one shape"):
        _pair(**{name: wrong[name]})


def test_pictures_that_are_alike_wherever_both_show_ground_are_one():
    one = np.random.default_rng(1).integers(10, 245, (2100, 7, 3)).astype(np.uint8)
    seen = np.ones(one.shape[:2], bool)
    assert is_one_picture(one, one.copy(), seen)
    assert is_one_picture(one, one + np.uint8(1), seen), "written twice, rounded otherwise"
    assert not is_one_picture(one, one, ~seen), "of nothing in common nothing is known"
    other = one.copy()
    other[2050, 3, 1] += 2
    assert not is_one_picture(one, other, seen)
    seen[2050, 3] = False
    assert is_one_picture(one, other, seen)
