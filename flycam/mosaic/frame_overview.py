"""Frame overviews: the basis on which radiometry and seamlines are decided.

An overview is a frame rectified a few zooms above the base, cropped to its data. All overviews of a block lie
on one global pixel grid, so two of them are compared without resampling. `FrameOverviewCache` keeps recently
used ones in memory up to a bound and makes the others again, so that a block's size does not matter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TILE_SIZE_PX

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint16]
Floats = NDArray[np.float64]

_MEMORY_BYTES = 160_000_000
_HALF_SCALE = 127.5  # place planes hold -1 to 1 in 0 to 255


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelBox:
    """A rectangle of global pixels of one zoom; stops are exclusive."""

    row: int
    col: int
    row_stop: int
    col_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the box: (rows, columns)."""
        return max(self.row_stop - self.row, 0), max(self.col_stop - self.col, 0)

    @property
    def is_empty(self) -> bool:
        return 0 in self.shape

    def intersection(self, other: PixelBox) -> PixelBox:
        """Return the pixels in both; may be empty."""
        return PixelBox(
            row=max(self.row, other.row),
            col=max(self.col, other.col),
            row_stop=min(self.row_stop, other.row_stop),
            col_stop=min(self.col_stop, other.col_stop),
        )

    def union(self, other: PixelBox) -> PixelBox:
        """Return the smallest box around both."""
        return PixelBox(
            row=min(self.row, other.row),
            col=min(self.col, other.col),
            row_stop=max(self.row_stop, other.row_stop),
            col_stop=max(self.col_stop, other.col_stop),
        )

    def padded(self, pixels: int) -> PixelBox:
        """Return the box with a margin on all sides."""
        return PixelBox(
            row=self.row - pixels,
            col=self.col - pixels,
            row_stop=self.row_stop + pixels,
            col_stop=self.col_stop + pixels,
        )

    def aligned(self, step: int) -> PixelBox:
        """Return the smallest box around it whose edges are multiples of `step`."""
        return PixelBox(
            row=self.row // step * step,
            col=self.col // step * step,
            row_stop=-(-self.row_stop // step) * step,
            col_stop=-(-self.col_stop // step) * step,
        )

    def slices_in(self, outer: PixelBox) -> tuple[slice, slice]:
        """Return the (rows, columns) of this box in an array that covers `outer`."""
        return (
            slice(self.row - outer.row, self.row_stop - outer.row),
            slice(self.col - outer.col, self.col_stop - outer.col),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameOverview:
    """One frame on the coarse grid.

    camera   frames with the same key share one vignetting
    z        zoom of the grid
    box      global pixels of zoom z that the planes cover
    rgb      H×W×3 uint8 as the camera gave it (not corrected); 0 where quality is 0
    quality  H×W uint16; 0 = no data
    place    H×W×2 uint8: position in the image (across, down), as `decode_offsets` reads it
    """

    frame_id: str
    camera: str
    z: int
    box: PixelBox
    rgb: Bytes
    quality: Words
    place: Bytes

    @property
    def nbytes(self) -> int:
        """Memory of its planes."""
        return self.rgb.nbytes + self.quality.nbytes + self.place.nbytes


def make_frame_overview(patch: OrthoPatch, place: Bytes, camera: str) -> FrameOverview:
    """Make an overview from a coarse patch, cropped to its data.

    place  `make_place_image` rectified like the patch (H×W×2 uint8)
    """
    rows = np.flatnonzero(patch.quality.any(axis=1))
    cols = np.flatnonzero(patch.quality.any(axis=0))
    row, row_stop = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    col, col_stop = (int(cols[0]), int(cols[-1]) + 1) if cols.size else (0, 0)
    crop = (slice(row, row_stop), slice(col, col_stop))
    top, left = patch.tiles.y_start * TILE_SIZE_PX, patch.tiles.x_start * TILE_SIZE_PX
    return FrameOverview(
        frame_id=patch.frame_id,
        camera=camera,
        z=patch.tiles.z,
        box=PixelBox(row=top + row, col=left + col, row_stop=top + row_stop, col_stop=left + col_stop),
        rgb=np.ascontiguousarray(patch.rgb[crop]),
        quality=np.ascontiguousarray(patch.quality[crop]),
        place=np.ascontiguousarray(place[crop]),
    )


def keep_unshared_ground(overview: FrameOverview, others: Iterable[FrameOverview]) -> FrameOverview:
    """Return an overview of the ground that none of the others sees, all of one zoom."""
    alone = overview.quality.copy()
    for other in others:
        both = overview.box.intersection(other.box)
        if not both.is_empty:
            alone[both.slices_in(overview.box)][other.quality[both.slices_in(other.box)] > 0] = 0
    return replace(overview, quality=alone, rgb=np.where(alone[..., None] > 0, overview.rgb, np.uint8(0)))


def make_place_image(size_px: tuple[int, int]) -> Bytes:
    """Make an image of (width, height) whose first two bands encode pixel position.

    H×W×3 uint8; rectified like a photo it becomes the place planes of an overview.
    """
    width, height = size_px
    across, down = to_centred(np.arange(float(width)), np.arange(float(height)), size_px)
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[..., 0] = np.rint((across + 1.0) * _HALF_SCALE)[None, :]
    picture[..., 1] = np.rint((down + 1.0) * _HALF_SCALE)[:, None]
    return picture


def to_centred(x: Floats, y: Floats, size_px: tuple[int, int]) -> tuple[Floats, Floats]:
    """Convert image coordinates to offsets from the middle, in half diagonals.

    Pixel centres lie at integers; the corners of an image of (width, height) are at distance 1.
    """
    width, height = size_px
    diagonal = float(np.hypot(width, height))
    return (x * 2.0 + 1.0 - width) / diagonal, (y * 2.0 + 1.0 - height) / diagonal


def decode_offsets(place: Bytes) -> Floats:
    """Decode place planes to the offsets of `to_centred`."""
    return place / _HALF_SCALE - 1.0


class FrameOverviewCache:
    """LRU cache of a block's overviews, by number; dropped ones are made again.

    overview_of   gives a frame's overview, always the same one; frame_ids in the order of the flight
    memory_bytes  bound for the planes kept
    """

    def __init__(
        self,
        frame_ids: Sequence[str],
        overview_of: Callable[[str], FrameOverview],
        *,
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        self.frame_ids = tuple(frame_ids)
        self._overview_of = overview_of
        self._memory_bytes = memory_bytes
        self._kept: OrderedDict[int, FrameOverview] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.frame_ids)

    def forget(self) -> None:
        """Drop the planes kept; those requested later are made again."""
        self._kept.clear()
        self._bytes = 0

    def __getitem__(self, number: int) -> FrameOverview:
        kept = self._kept.get(number)
        if kept is None:
            kept = self._overview_of(self.frame_ids[number])
            self._kept[number] = kept
            self._bytes += kept.nbytes
            while self._bytes > self._memory_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(number)
        return kept
