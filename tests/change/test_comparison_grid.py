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


@pytest.mark.parametrize(("overlap_px", "share"), [(20, 0.055), (200, None), (2 * SIDE, None)])
def test_two_slanted_strips_that_hardly_overlap_are_told_though_their_rectangles_are_one(
    tmp_path: Path, overlap_px: int, share: float | None
) -> None:
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    across = rows + cols - SIDE
    before = strip(tmp_path / "b.tif", across < overlap_px / 2)
    after = strip(tmp_path / "a.tif", across > -overlap_px / 2)
    grid, remarks = build_common_grid(before, after, CRS, None, "")
    assert grid.step_x == GSD_M and grid.west <= WEST and grid.north >= NORTH
    shares = [one.values["share"] for one in remarks if "share" in one.values]
    assert shares == ([] if share is None else [pytest.approx(share, abs=0.01)])
