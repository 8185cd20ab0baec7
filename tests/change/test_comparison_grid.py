"""What is said of the grid of two sides: how much of the ground they have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flycam.change.comparison_grid import FileImageSource, build_common_grid
from tests.change.compared import CRS, GSD_M, NORTH, WEST, picture

SIDE = 600


def strip(path: Path, seen: np.ndarray) -> FileImageSource:
    """A picture of which only a part was imaged."""
    rgb = np.full((*seen.shape, 3), 90, np.uint8)
    return FileImageSource(picture(path, rgb, hole=~seen))  # type: ignore[arg-type]


def said(before: FileImageSource, after: FileImageSource) -> list[str]:
    grid, remarks = build_common_grid(before, after, CRS, None, "")
    assert grid.step_x == GSD_M and grid.west <= WEST and grid.north >= NORTH
    return [said for said in map(str, remarks) if "only some" in said]


@pytest.mark.parametrize(("overlap_px", "little"), [(20, True), (200, False)])
def test_two_slanted_strips_that_hardly_overlap_are_told_though_their_rectangles_are_one(
    tmp_path: Path, overlap_px: int, little: bool
) -> None:
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    across = rows + cols - SIDE
    before = strip(tmp_path / "b.tif", across < overlap_px / 2)
    after = strip(tmp_path / "a.tif", across > -overlap_px / 2)
    told = said(before, after)
    assert bool(told) is little
    if little:
        assert any(f"some {percent}%" in told[0] for percent in (5, 6)), "the band that both show"


def test_all_in_common_says_nothing(tmp_path: Path) -> None:
    whole = np.ones((SIDE, SIDE), bool)
    assert said(strip(tmp_path / "b.tif", whole), strip(tmp_path / "a.tif", whole)) == []
