"""Before-and-after images of confirmed changes, from the pair that they were found on, or drawn over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flycam.errors import ObjectMissing, TileCorrupt
from flycam.geometry.planar_map import Bounds
from flycam.mosaic.output_grid import OutputGrid, make_output_grid
from flycam.pipeline.briefing_pack.contents import PackContents, ShownChange
from flycam.pipeline.briefing_pack.image_pairs import MissingImage, PackImage, Pair
from flycam.pipeline.briefing_pack.maps import (
    MaskedImage,
    compose_mosaics,
    draw_change_outline,
    measure_longer_side,
)
from flycam.pipeline.tile_masks import MaskOverlay
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.report.pack_changes import name_change_picture
from flycam.report.pack_pictures import MapOverlay, draw_pair

MAX_PAIRS = 40
"""Only the largest changes: nobody leafs through more images."""

MAX_PAIR_SLIDES = 8
"""Number of places that a meeting goes through."""

_WIDE_PX, _HIGH_PX = 720, 540
# fraction of a change's longer side, on each side
_AROUND = 0.4
_MIN_WIDTH_M = 40.0


def draw_image_pairs(
    workspace: Workspace,
    contents: PackContents,
    overlay: MaskOverlay,
    band_png: bytes | None,
    progress: Progress = ignore_progress,
) -> tuple[PackContents, dict[str, bytes], dict[str, bytes]]:
    """Draw image pairs of the largest changes of which an image is stored.

    Returns the contents, in which pairs say what could not be drawn; JPEG by name for paper; and JPEG for
    slides without the mark of an exercise. Slides are the first pairs of which both images show ground: on a
    screen an empty half would be read as ground that was not flown.

    band_png  marks an exercise; None for a real flight
    """
    shown = [
        (number, patch, patch.pair)
        for number, patch in enumerate(contents.changes, 1)
        if patch.pair and any(isinstance(view, PackImage) for view in patch.pair)
    ][:MAX_PAIRS]
    drawn, slides = dict[str, bytes](), dict[str, bytes]()
    patches = list(contents.changes)
    for done, (number, patch, found_on) in enumerate(shown, 1):
        sides = _sides(workspace, patch, found_on, contents.work_crs, overlay)
        name = name_change_picture(number)
        drawn[name] = sides.jpeg(band_png)
        if sides.is_complete and len(slides) < MAX_PAIR_SLIDES:
            slides[name] = drawn[name] if band_png is None else sides.jpeg(None)
        patches[number - 1] = replace(patch, pair=sides.pair)
        progress("maps", done, len(shown))
    return replace(contents, changes=tuple(patches)), drawn, slides


@dataclass(frozen=True, kw_only=True, slots=True)
class _PairViews:
    """Both images of a change on one grid; `pair` says what could not be drawn."""

    pair: Pair
    before: MaskedImage
    after: MaskedImage
    step_m: float
    outline: MapOverlay

    @property
    def is_complete(self) -> bool:
        """True if both images show ground."""
        return all(bool(shown.any()) for _, shown in (self.before, self.after))

    def jpeg(self, band_png: bytes | None) -> bytes:
        return draw_pair(self.before, self.after, self.step_m, self.outline, band_png)


def _sides(
    workspace: Workspace, patch: ShownChange, pair: Pair, crs: str, overlay: MaskOverlay
) -> _PairViews:
    extent = next(view.extent for view in pair if isinstance(view, PackImage))
    wide_m = _wide_m(extent)
    grid = make_output_grid(_framed(extent, wide_m), crs, wide_m / _WIDE_PX, None)
    (before, left), (after, right) = (_view(workspace, one, grid, crs, overlay) for one in pair)
    return _PairViews(
        pair=(before, after),
        before=left,
        after=right,
        step_m=grid.step_x,
        outline=draw_change_outline(patch, grid, crs, ""),
    )


def _view(
    workspace: Workspace, view: PackImage | MissingImage, grid: OutputGrid, crs: str, overlay: MaskOverlay
) -> tuple[PackImage | MissingImage, MaskedImage]:
    """Return an image, empty if it is missing or its tiles are gone.

    The view says which.
    """
    nothing = np.zeros((grid.rows, grid.cols, 3), np.uint8), np.zeros((grid.rows, grid.cols), np.bool_)
    if isinstance(view, MissingImage):
        return view, nothing
    try:
        return view, compose_mosaics(workspace, [view], grid, crs, grid.step_x, overlay)
    except (ObjectMissing, TileCorrupt):
        return replace(view, is_lost=True), nothing


def _wide_m(extent: Bounds) -> float:
    """Return the width of a change's image, metres on the ground."""
    west, south, east, north = extent
    wide = max(east - west, (north - south) * _WIDE_PX / _HIGH_PX) * (1.0 + 2.0 * _AROUND)
    return max(measure_longer_side((west, south, west + wide, south)), _MIN_WIDTH_M)


def _framed(extent: Bounds, wide_m: float) -> Bounds:
    """Return a rectangle of this width around the centre of a change.

    Web Mercator metres.
    """
    west, south, east, north = extent
    x, y = (west + east) / 2.0, (south + north) / 2.0
    wide = wide_m / measure_longer_side((x, y, x + 1.0, y))
    high = wide * _HIGH_PX / _WIDE_PX
    return x - wide / 2.0, y - high / 2.0, x + wide / 2.0, y + high / 2.0
