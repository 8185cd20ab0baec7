"""Before beside after: confirmed changes on the two pictures that they were found on, or drawn over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flycam.errors import ObjectMissing, TileCorrupt
from flycam.geometry.planar import Bounds
from flycam.mosaic.extent import OutputGrid, output_grid
from flycam.pipeline.pack.maps import Picture, laid, outlined, side_m
from flycam.pipeline.pack.pairs import FileName, PackView, Pair
from flycam.pipeline.pack.scene import PackPatch, PackScene
from flycam.pipeline.veils import Cover
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.report.pack_changes import picture_of_change
from flycam.report.pack_pictures import Drawn, pair_jpeg

MOST_PAIRS = 40
"""The largest changes: more pictures than that nobody leafs through."""

MOST_PAIR_SLIDES = 8
"""As many places as a meeting walks through."""

_WIDE_PX, _HIGH_PX = 720, 540
_AROUND = 0.4  # of the longer side of a change, on each side of it
_LEAST_WIDE_M = 40.0


def draw_pairs(
    workspace: Workspace,
    scene: PackScene,
    cover: Cover,
    band_png: bytes | None,
    progress: Progress = silent,
) -> tuple[PackScene, dict[str, bytes], dict[str, bytes]]:
    """JPEG by name, of the largest changes of which either picture is kept here, for paper; without the mark
    of a drill, for slides, the first of which both show something: an empty half would be read on a screen as
    ground that was not flown. And the scene, in which pairs say what could not be drawn.

    band_png  marks a drill; None for a real flight
    """
    shown = [
        (number, patch, patch.pair)
        for number, patch in enumerate(scene.patches, 1)
        if patch.pair and any(isinstance(view, PackView) for view in patch.pair)
    ][:MOST_PAIRS]
    drawn, slides = dict[str, bytes](), dict[str, bytes]()
    patches = list(scene.patches)
    for done, (number, patch, found_on) in enumerate(shown, 1):
        sides = _sides(workspace, patch, found_on, scene.work_crs, cover)
        name = picture_of_change(number)
        drawn[name] = sides.jpeg(band_png)
        if sides.is_whole and len(slides) < MOST_PAIR_SLIDES:
            slides[name] = drawn[name] if band_png is None else sides.jpeg(None)
        patches[number - 1] = replace(patch, pair=sides.pair)
        progress("maps", done, len(shown))
    return replace(scene, patches=tuple(patches)), drawn, slides


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sides:
    """Both views of a change on one grid; `pair` says what could not be drawn."""

    pair: Pair
    before: Picture
    after: Picture
    step_m: float
    outline: Drawn

    @property
    def is_whole(self) -> bool:
        """Whether either shows something."""
        return all(bool(shown.any()) for _, shown in (self.before, self.after))

    def jpeg(self, band_png: bytes | None) -> bytes:
        return pair_jpeg(self.before, self.after, self.step_m, self.outline, band_png)


def _sides(workspace: Workspace, patch: PackPatch, pair: Pair, crs: str, cover: Cover) -> _Sides:
    extent = next(view.extent for view in pair if isinstance(view, PackView))
    wide_m = _wide_m(extent)
    grid = output_grid(_framed(extent, wide_m), crs, wide_m / _WIDE_PX, None)
    (before, left), (after, right) = (_view(workspace, one, grid, crs, cover) for one in pair)
    return _Sides(
        pair=(before, after),
        before=left,
        after=right,
        step_m=grid.step_x,
        outline=outlined(patch, grid, crs, ""),
    )


def _view(
    workspace: Workspace, view: PackView | FileName, grid: OutputGrid, crs: str, cover: Cover
) -> tuple[PackView | FileName, Picture]:
    """Nothing where there is no such picture, or its tiles are gone; the view says which."""
    nothing = np.zeros((grid.rows, grid.cols, 3), np.uint8), np.zeros((grid.rows, grid.cols), np.bool_)
    if isinstance(view, FileName):
        return view, nothing
    try:
        return view, laid(workspace, [view], grid, crs, grid.step_x, cover)
    except (ObjectMissing, TileCorrupt):
        return replace(view, is_lost=True), nothing


def _wide_m(extent: Bounds) -> float:
    """How wide a picture of a change is, metres on the ground."""
    west, south, east, north = extent
    wide = max(east - west, (north - south) * _WIDE_PX / _HIGH_PX) * (1.0 + 2.0 * _AROUND)
    return max(side_m((west, south, west + wide, south)), _LEAST_WIDE_M)


def _framed(extent: Bounds, wide_m: float) -> Bounds:
    """The rectangle of a picture so wide around the middle of a change; Web Mercator metres."""
    west, south, east, north = extent
    x, y = (west + east) / 2.0, (south + north) / 2.0
    wide = wide_m / side_m((x, y, x + 1.0, y))
    high = wide * _HIGH_PX / _WIDE_PX
    return x - wide / 2.0, y - high / 2.0, x + wide / 2.0, y + high / 2.0
