"""Orthorectification: a frame's pixels to ground tiles, by inverse mapping.

Tile by tile: lattice of exact projections (`lattice`), enlarged to every pixel, `cv2.remap`. Ground that is
hidden, unknown, outside the image, or beyond range gets quality 0 and rgb 0. A tile's bytes depend on
frame, pose, terrain and tile only: not on the range that it is computed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import TILE_SIZE_PX, PlanarMap, TileRange, get_range_bounds
from flycam.geometry.lattice import (
    MAX_LATTICE_ERROR_PX,
    QUARTER_PX,
    QUARTERS,
    STEPS_PX,
    FrameLattices,
    TileLattices,
    build_frame_lattices,
)
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.posts import PostView, has_few_posts, has_fine_posts
from flycam.geometry.quality_bounds import compute_wanted_extents, get_full_extents
from flycam.geometry.terrain import TerrainGrid

# -- Sampling of an image at enlarged lattices, tile by tile ---------------------------------------
#
# The bytes of a pixel depend on frame, pose, terrain and tile only: coordinates of a tile count from one
# place, whatever part of it is requested, and only whole rows are left out of an enlargement.


Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]
_Node = TypeVar("_Node", np.float32, np.uint16)

OUTSIDE_PX = -32000.0
"""Image coordinate outside every image, for pixels that have no source."""
# Source pixels on each side that the widest kernel (Lanczos) reads.
_KERNEL_PX = 4
_FULL_EXTENT = [0, TILE_SIZE_PX, 0, TILE_SIZE_PX]


def tile_window(tiles: TileRange, index: int) -> tuple[slice, slice]:
    """Return rows and columns of a tile (its number, row by row) in a range's raster."""
    row, col = divmod(index, tiles.shape_tiles[1])
    y, x = row * TILE_SIZE_PX, col * TILE_SIZE_PX
    return slice(y, y + TILE_SIZE_PX), slice(x, x + TILE_SIZE_PX)


@dataclass(frozen=True, slots=True)
class SampleWindow:
    """Part of one tile that touches the image, enlarged: views into reused buffers.

    tile        number of the range's tile, row by row
    rows, cols  its place in the tile
    origin      (left, top) of the image part that the whole tile needs; map_uv counts from there
    source      (left, top, right, bottom) of the part that this window needs
    """

    tile: int
    rows: slice
    cols: slice
    origin: tuple[int, int]
    source: tuple[int, int, int, int]
    map_uv: NDArray[np.float32]
    quality: NDArray[np.uint16]
    valid: Bytes | None

    def window(self, tiles: TileRange) -> tuple[slice, slice]:
        """Return its rows and columns in the raster of the whole range."""
        rows, cols = tile_window(tiles, self.tile)
        return (
            slice(rows.start + self.rows.start, rows.start + self.rows.stop),
            slice(cols.start + self.cols.start, cols.start + self.cols.stop),
        )


@dataclass(frozen=True, slots=True)
class _Quarter:
    """Quarter of a tile with a lattice of its own, number `number` of some lattices."""

    of: TileLattices
    number: int
    row: int
    col: int

    @classmethod
    def by_tile(cls, lattices: list[TileLattices]) -> dict[int, list[_Quarter]]:
        """Group all quarters by their tile."""
        found: dict[int, list[_Quarter]] = {}
        for of in lattices:
            for number, index in enumerate(of.index.tolist()):
                tile, place = divmod(index, QUARTERS * QUARTERS)
                found.setdefault(tile, []).append(cls(of, number, *divmod(place, QUARTERS)))
        return found

    def overlaps(self, rows: slice, cols: slice) -> bool:
        """Return True if it has pixels in a window of its tile."""
        return all(
            place * QUARTER_PX < window.stop and (place + 1) * QUARTER_PX > window.start
            for place, window in ((self.row, rows), (self.col, cols))
        )

    def windows(self, rows: slice, cols: slice) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return its pixels in a window of its tile, and in its own enlarged lattice.

        The first count in the window; the enlarged lattice begins half a step before the quarter.
        """
        here, there, before = [], [], self.of.step_px // 2
        for place, window in ((self.row, rows), (self.col, cols)):
            start, stop = place * QUARTER_PX, (place + 1) * QUARTER_PX
            first, end = max(start, window.start), min(stop, window.stop)
            here.append(slice(first - window.start, end - window.start))
            there.append(slice(first - start + before, end - start + before))
        return tuple(here), tuple(there)


@dataclass(frozen=True, slots=True)
class _UvBounds:
    """Lowest and highest image coordinates (u, v) of a tile's nodes.

    is_known: none of them is NaN.
    """

    low: list[float]
    high: list[float]
    is_known: bool

    @classmethod
    def of(cls, lattices: TileLattices, number: int) -> _UvBounds:
        """Return the bounds of one tile or quarter."""
        low, high = lattices.reach_uv[number].tolist()
        return cls(low, high, bool(lattices.known[number]))

    def merge(self, other: _UvBounds) -> _UvBounds:
        """Return the bounds of both."""
        return _UvBounds(
            [min(pair) for pair in zip(self.low, other.low, strict=True)],
            [max(pair) for pair in zip(self.high, other.high, strict=True)],
            self.is_known and other.is_known,
        )


class LatticeSampler:
    """Sampler that enlarges lattices to pixels and samples the image.

    Its buffers are reused.
    """

    def __init__(self, view: FrameView, pixels: Bytes, interpolation: int) -> None:
        self._pixels = pixels
        self._interpolation = interpolation
        # a valid pixel never reads beyond the image, except with the wider kernels
        wide = interpolation not in {cv2.INTER_NEAREST, cv2.INTER_LINEAR}
        self._border = cv2.BORDER_REPLICATE if wide else cv2.BORDER_CONSTANT
        width, height = view.interior.image_size_px
        self._last = (width - 1.0, height - 1.0)
        largest = TILE_SIZE_PX + STEPS_PX[0]
        self._map_uv = np.empty((largest, largest, 2), dtype=np.float32)
        self._quality = np.empty((largest, largest), dtype=np.uint16)
        self._margin = np.empty((largest, largest), dtype=np.float32)
        finer = QUARTER_PX + STEPS_PX[1]
        self._finer_uv = np.empty((finer, finer, 2), dtype=np.float32)
        self._finer_margin = np.empty((finer, finer), dtype=np.float32)
        self._finer_quality = np.empty((finer, finer), dtype=np.uint16)
        self._window = np.empty(0, dtype=np.uint8)
        self._rgba = np.empty((TILE_SIZE_PX, TILE_SIZE_PX, 4), dtype=np.uint8)
        self._rgb = np.empty((TILE_SIZE_PX, TILE_SIZE_PX, 3), dtype=np.uint8)
        self.inside_px = 0
        self.visible_px = 0

    def iterate_windows(self, lattices: FrameLattices, extents: Indices) -> Iterator[SampleWindow]:
        """Enlarge the lattices tile by tile; tiles without a valid pixel are skipped.

        extents  the requested pixels of each tile of the range (first and stop row, first and stop column)
        """
        quarters = _Quarter.by_tile(lattices.quarters)
        for tiles in lattices.tiles:
            for number, tile in enumerate(tiles.index.tolist()):
                piece = self._piece(tiles, number, quarters.get(tile, []), extents[tile].tolist())
                if piece is not None:
                    yield piece

    def _piece(
        self, tiles: TileLattices, number: int, quarters: list[_Quarter], extent: list[int]
    ) -> SampleWindow | None:
        """Enlarge the requested part of one tile.

        Its bytes do not depend on the extent: coordinates count from one place, and rows (each enlarged
        independently) are left out, but not columns.
        """
        step = tiles.step_px
        first_row, last_row, col, last_col = _box_with(tiles.box[number].tolist(), quarters, step)
        row, end_row = _cells(first_row, last_row, extent[:2], step)
        rows, crop_rows = _pixel_rows(row, end_row, step, extent[:2])
        cols, crop_cols = _pixel_rows(col, last_col, step, extent[2:])
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return None
        looked = _UvBounds.of(tiles, number)
        for one in quarters:
            looked = looked.merge(_UvBounds.of(one.of, one.number))
        source = self._source(looked)
        origin = source[:2]
        nodes, crop = (number, slice(row, end_row + 2), slice(col, last_col + 2)), (crop_rows, crop_cols)
        start = np.array(origin, dtype=np.float32)
        map_uv = _enlarge(tiles.map_uv[nodes] - start, step, self._map_uv)[crop]
        quality = _enlarge(tiles.quality[nodes], step, self._quality)[crop]
        margin = None
        if tiles.hidden[number] or any(one.of.hidden[one.number] for one in quarters):
            margin = _enlarge(tiles.margin[nodes], step, self._margin)[crop]
        for one in quarters:
            if not one.overlaps(rows, cols):
                continue
            here, there, finer = *one.windows(rows, cols), one.of.step_px
            map_uv[here] = _enlarge(one.of.map_uv[one.number] - start, finer, self._finer_uv)[there]
            quality[here] = _enlarge(one.of.quality[one.number], finer, self._finer_quality)[there]
            if margin is not None:
                margin[here] = _enlarge(one.of.margin[one.number], finer, self._finer_margin)[there]
        valid = self._valid(map_uv, margin, origin, looked)
        if valid is not None and not valid.any():
            return None
        if extent != _FULL_EXTENT:
            source = self._part(map_uv, origin, source)
        return SampleWindow(int(tiles.index[number]), rows, cols, origin, source, map_uv, quality, valid)

    def write(self, piece: SampleWindow, rgb: Bytes, quality: NDArray[np.uint16]) -> None:
        """Sample the image into windows of the result, which are zero before."""
        height, width = quality.shape
        rgba = self._rgba[:height, :width]
        cv2.remap(  # type: ignore[call-overload]  # the stubs do not know that one map may hold both
            self._picture(piece.source, piece.origin),
            piece.map_uv,
            None,
            self._interpolation,
            dst=rgba,
            borderMode=self._border,
        )
        if piece.valid is None:
            cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB, dst=rgb)
            quality[...] = piece.quality
            return
        cv2.copyTo(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB, dst=self._rgb[:height, :width]), piece.valid, rgb)
        cv2.copyTo(piece.quality, piece.valid, quality)

    def _first(self, looked: _UvBounds) -> tuple[int, int]:
        """Return the first column and row that are read, with room for the kernel."""
        left, top = (
            max(min(math.floor(low) - _KERNEL_PX, int(last)), 0)
            for low, last in zip(looked.low, self._last, strict=True)
        )
        return left, top

    def _source(self, looked: _UvBounds) -> tuple[int, int, int, int]:
        """Return the part of the image that is read: left, top, right, bottom.

        With room for the kernel.
        """
        left, top = self._first(looked)
        right, bottom = (
            max(min(math.ceil(high) + _KERNEL_PX, int(last)), first) + 1
            for high, last, first in zip(looked.high, self._last, (left, top), strict=True)
        )
        return left, top, right, bottom

    def _part(
        self, map_uv: NDArray[np.float32], origin: tuple[int, int], source: tuple[int, int, int, int]
    ) -> tuple[int, int, int, int]:
        """Return the part of `source` that these pixels read."""
        lows, highs = zip(
            *(cv2.minMaxLoc(cv2.extractChannel(map_uv, axis))[:2] for axis in (0, 1)), strict=True
        )
        low = [max(one + first, 0.0) for one, first in zip(lows, origin, strict=True)]
        high = [one + first for one, first in zip(highs, origin, strict=True)]
        left, top, right, bottom = self._source(_UvBounds(low, high, is_known=True))
        return max(left, source[0]), max(top, source[1]), min(right, source[2]), min(bottom, source[3])

    def _picture(self, source: tuple[int, int, int, int], origin: tuple[int, int]) -> Bytes:
        """Return part of the image in four channels, in an array that begins at `origin`.

        The rest of the array is not sampled. OpenCV 5 samples four channels in less than half the time of
        three, to the same bytes; and a part just copied is in the cache for sampling across its rows.
        """
        left, top, right, bottom = source
        width, height = right - origin[0], bottom - origin[1]
        if self._window.size < width * height * 4:
            self._window = np.empty(width * height * 4, dtype=np.uint8)
        array = self._window[: width * height * 4].reshape(height, width, 4)
        part = array[top - origin[1] :, left - origin[0] :]
        cv2.cvtColor(self._pixels[top:bottom, left:right], cv2.COLOR_RGB2RGBA, dst=part)
        return array

    def _valid(
        self,
        map_uv: NDArray[np.float32],
        margin: NDArray[np.float32] | None,
        origin: tuple[int, int],
        looked: _UvBounds,
    ) -> Bytes | None:
        """Return the mask of valid pixels, None if all are.

        Only sides of the image that nodes lie beyond are tested: interpolation stays between nodes.
        """
        tests: list[NDArray[np.bool_]] = []
        for axis in (0, 1):
            before = looked.low[axis] < 0.0 or not looked.is_known
            behind = looked.high[axis] > self._last[axis]
            at = np.asarray(cv2.extractChannel(map_uv, axis)) if before or behind else map_uv
            if before:
                tests.append(at >= np.float32(-origin[axis]))  # False where NaN
            if behind:
                tests.append(at <= np.float32(self._last[axis] - origin[axis]))
        count = map_uv.shape[0] * map_uv.shape[1]
        if not tests and margin is None:
            self.inside_px += count
            self.visible_px += count
            return None
        valid = tests[0] if tests else np.ones(map_uv.shape[:2], dtype=bool)
        for test in tests[1:]:
            valid &= test
        mask = valid.view(np.uint8)
        self.inside_px += cv2.countNonZero(mask)
        if margin is not None:
            valid &= margin >= 0.0
        if not looked.is_known:
            # remap must not be given NaN
            cv2.patchNaNs(map_uv, OUTSIDE_PX)
        self.visible_px += cv2.countNonZero(mask)
        return mask


def _enlarge(nodes: NDArray[_Node], step_px: int, buffer: NDArray[_Node]) -> NDArray[_Node]:
    """Enlarge nodes bilinearly into the corner of a buffer: step×step pixels a node."""
    height, width = nodes.shape[0] * step_px, nodes.shape[1] * step_px
    target = buffer[:height, :width]
    cv2.resize(nodes, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return target


def _box_with(box: list[int], quarters: list[_Quarter], step_px: int) -> list[int]:
    """Extend a box of cells by the quarters.

    First and last row, first and last column.
    """
    first_row, last_row, first_col, last_col = box
    side = QUARTER_PX // step_px
    for one in quarters:
        first_row, last_row = min(first_row, one.row * side), max(last_row, (one.row + 1) * side - 1)
        first_col, last_col = min(first_col, one.col * side), max(last_col, (one.col + 1) * side - 1)
    return [first_row, last_row, first_col, last_col]


def _cells(first: int, last: int, extent: list[int], step_px: int) -> tuple[int, int]:
    """Return the rows (or columns) first..last of cells that hold an extent's pixels."""
    return max(first, extent[0] // step_px), min(last, (extent[1] - 1) // step_px)


def _pixel_rows(first: int, last: int, step_px: int, extent: list[int]) -> tuple[slice, slice]:
    """Return pixel rows (or columns) of an extent in cells first..last.

    In the tile, and in the enlarged nodes. Node i lies between pixels i · step - 1 and i · step (at step 1:
    on pixel i), and is the centre of the pixels that it is enlarged to.
    """
    start, stop = max(first * step_px, extent[0]), min((last + 1) * step_px, extent[1])
    shift = first * step_px - step_px // 2
    return slice(start, stop), slice(start - shift, stop - shift)


# -- Orthorectification of a frame onto a range of tiles -------------------------------------------


# Tiles that a grid is laid on: around the middle of the world, where their coordinates are exact.
_GRID_ZOOM, _GRID_TILE = 20, 1 << 19
# Pixels on each side that cubic interpolation reads.
_INTERPOLATED_PX = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class OrthorectificationResult:
    """One frame over a range of tiles.

    rgb               H×W×3 uint8, (H, W) = tiles.shape_px; 0 where quality is 0
    quality           H×W uint16; 0 = no data
    lattice_step_px   the finest lattice step that was needed (0 if no tile sees the frame)
    lattice_error_px  largest interpolation error measured inside the image, source pixels
    visible_fraction  share of the requested pixels inside the image that are not hidden
    """

    rgb: Bytes
    quality: NDArray[np.uint16]
    lattice_step_px: int
    lattice_error_px: float
    visible_fraction: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCoordinates:
    """Source image coordinates of each pixel of a range of tiles.

    u, v   H×W float32 image coordinates; NaN where not valid
    valid  H×W bool: visible and inside the image
    """

    u: NDArray[np.float32]
    v: NDArray[np.float32]
    valid: NDArray[np.bool_]
    lattice_step_px: int
    lattice_error_px: float


def orthorectify(
    pixels: Bytes,
    view: FrameView,
    tiles: TileRange,
    *,
    max_lattice_error_px: float = MAX_LATTICE_ERROR_PX,
    interpolation: int = cv2.INTER_LINEAR,
    wanted: NDArray[np.bool_] | None = None,
    lattices: FrameLattices | None = None,
    posts: PostView | None = None,
) -> OrthorectificationResult:
    """Orthorectify a frame onto `tiles`.

    pixels         H×W×3 uint8 RGB, of the interior's image_size_px
    interpolation  as in cv2 (INTER_NEAREST, INTER_LINEAR, INTER_CUBIC)
    wanted         flags of blocks of 32×32 pixels (8·rows×8·columns of tiles.shape_tiles); others may be left
                   out (0), and the bytes of wanted blocks do not depend on the flags
    lattices       of all tiles with wanted blocks, if already made (`quality_bounds.compute_quality_bounds`)
    posts          result of `create_post_view` for this view, to orthorectify piece by piece

    Raises ValueError if the size of pixels is not that of the interior orientation.
    """
    if pixels.shape[1::-1] != view.interior.image_size_px:
        raise ValueError(f"pixels are {pixels.shape[1::-1]}, the interior says {view.interior.image_size_px}")
    rgb = np.zeros((*tiles.shape_px, 3), dtype=np.uint8)
    quality = np.zeros(tiles.shape_px, dtype=np.uint16)
    extents = get_full_extents(tiles) if wanted is None else compute_wanted_extents(tiles, wanted)
    posts = posts or create_post_view(view)
    if posts is not None:
        return _rectify_over_posts(posts, pixels, tiles, interpolation, extents, rgb, quality)
    sampler = LatticeSampler(view, pixels, interpolation)
    if lattices is None:
        lattices = build_frame_lattices(view, tiles, max_lattice_error_px, extents[:, 1] > 0)
    for piece in sampler.iterate_windows(lattices, extents):
        window = piece.window(tiles)
        sampler.write(piece, rgb[window], quality[window])
    return OrthorectificationResult(
        rgb=rgb,
        quality=quality,
        lattice_step_px=lattices.finest_step_px,
        lattice_error_px=lattices.largest_error_px,
        visible_fraction=sampler.visible_px / sampler.inside_px if sampler.inside_px else 0.0,
    )


def orthorectify_onto_grid(
    pixels: Bytes,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    origin_m: tuple[float, float],
    gsd_m: float,
    shape_px: tuple[int, int],
) -> OrthorectificationResult:
    """Orthorectify a frame onto a north-up grid of the work CRS, as `orthorectify` does onto tiles.

    By cubic convolution.

    origin_m  (west, north) outer corner of the first pixel, work CRS of pose and terrain
    gsd_m     side of a pixel, metres of the work CRS
    shape_px  (rows, columns)

    Raises ValueError if the size of pixels is not that of the interior orientation.
    """
    rows, cols = (math.ceil(side / TILE_SIZE_PX) for side in shape_px)
    tiles = TileRange(
        z=_GRID_ZOOM,
        x_start=_GRID_TILE,
        y_start=_GRID_TILE,
        x_stop=_GRID_TILE + cols,
        y_stop=_GRID_TILE + rows,
    )
    half_width, half_height = (0.5 * gsd_m * TILE_SIZE_PX * count for count in (cols, rows))
    # Tiles only number the pixels here: an affine map lays them on the grid.
    to_work = PlanarMap(
        bounds=get_range_bounds(tiles),
        coefficients=np.array(
            [
                [[origin_m[0] + half_width, 0.0], [half_width, 0.0]],
                [[origin_m[1] - half_height, half_height], [0.0, 0.0]],
            ]
        ),
        residual_m=0.0,
    )
    view = FrameView(interior, exterior, terrain, to_work)
    made = orthorectify(pixels, view, tiles, interpolation=cv2.INTER_CUBIC)
    grid = slice(shape_px[0]), slice(shape_px[1])
    return replace(made, rgb=made.rgb[grid], quality=made.quality[grid])


def create_post_view(view: FrameView, *, include_coarse: bool = False) -> PostView | None:
    """Create the frame's view of the terrain's posts.

    It serves many calls of `orthorectify`. None where the posts are too far apart for it, unless
    include_coarse: then interpolation between posts is far.
    """
    worth = has_few_posts if include_coarse else has_fine_posts
    return PostView(view) if worth(view) else None


def compute_source_coordinates(
    view: FrameView, tiles: TileRange, *, max_lattice_error_px: float = MAX_LATTICE_ERROR_PX
) -> SourceCoordinates:
    """Return the image coordinates at which `orthorectify` samples.

    They trace a pixel of the mosaic to its place in the photo.
    """
    u, v = (np.full(tiles.shape_px, np.nan, dtype=np.float32) for _ in range(2))
    posts = create_post_view(view)
    if posts is not None:
        for tile in posts.tiles(tiles):
            place = tile_window(tiles, tile.index)
            u[place] = np.where(tile.seen, tile.u, np.float32(np.nan))
            v[place] = np.where(tile.seen, tile.v, np.float32(np.nan))
        valid = np.isfinite(u)
        return SourceCoordinates(
            u=u, v=v, valid=valid, lattice_step_px=1 if valid.any() else 0, lattice_error_px=0.0
        )
    sampler = LatticeSampler(view, np.zeros((1, 1, 3), np.uint8), cv2.INTER_NEAREST)
    lattices = build_frame_lattices(view, tiles, max_lattice_error_px)
    for piece in sampler.iterate_windows(lattices, get_full_extents(tiles)):
        window = piece.window(tiles)
        sampled = slice(None) if piece.valid is None else piece.valid.astype(bool)
        u[window][sampled] = piece.map_uv[..., 0][sampled] + np.float32(piece.origin[0])
        v[window][sampled] = piece.map_uv[..., 1][sampled] + np.float32(piece.origin[1])
    return SourceCoordinates(
        u=u,
        v=v,
        valid=np.isfinite(u),
        lattice_step_px=lattices.finest_step_px,
        lattice_error_px=lattices.largest_error_px,
    )


def _rectify_over_posts(
    posts: PostView,
    pixels: Bytes,
    tiles: TileRange,
    interpolation: int,
    extents: Indices,
    rgb: Bytes,
    quality: NDArray[np.uint16],
) -> OrthorectificationResult:
    """Fill rgb and quality (zero before) tile by tile; see `PostView.tiles`."""
    inside_px = seen_px = 0
    for tile in posts.tiles(tiles, extents):
        inside_px += int(np.count_nonzero(tile.inside))
        seen_px += int(np.count_nonzero(tile.seen))
        seen = tile.seen.view(np.uint8)
        height, width = pixels.shape[:2]
        rows, cols = _shown(tile.v, seen, height), _shown(tile.u, seen, width)
        u, v = (_counted_from(shown.start, plane) for plane, shown in ((tile.u, cols), (tile.v, rows)))
        sampled = _sampled(pixels[rows, cols], u, v, interpolation)
        whole_rows, whole_cols = tile_window(tiles, tile.index)
        window = (
            slice(whole_rows.start + tile.rows.start, whole_rows.start + tile.rows.stop),
            slice(whole_cols.start + tile.cols.start, whole_cols.start + tile.cols.stop),
        )
        cv2.copyTo(sampled, seen, rgb[window])
        quality[window] = tile.quality
    return OrthorectificationResult(
        rgb=rgb,
        quality=quality,
        lattice_step_px=1 if seen_px else 0,
        lattice_error_px=0.0,
        visible_fraction=seen_px / inside_px if inside_px else 0.0,
    )


def _sampled(
    pixels: Bytes, u: NDArray[np.float32], v: NDArray[np.float32], interpolation: int
) -> NDArray[np.uint8]:
    """Sample part of an image at coordinates within it.

    OpenCV 5 samples four channels bilinearly in less than half the time of three, to the same bytes; with
    wider kernels it does not.
    """
    if interpolation != cv2.INTER_LINEAR:
        return np.asarray(cv2.remap(pixels, u, v, interpolation, borderMode=cv2.BORDER_REPLICATE))
    rgba = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    sampled = cv2.remap(rgba, u, v, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(sampled, cv2.COLOR_RGBA2RGB))


def _shown(coordinate: NDArray[np.float32], seen: NDArray[np.uint8], size: int) -> slice:
    """Return the image rows or columns that a map's seen pixels are sampled from.

    size is their number in the image.
    """
    low, high, _, _ = cv2.minMaxLoc(coordinate, seen)
    return slice(max(int(low) - _INTERPOLATED_PX, 0), min(int(high) + _INTERPOLATED_PX + 2, size))


def _counted_from(start: int, coordinate: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return image coordinates relative to `start`; NaN becomes OUTSIDE_PX."""
    cv2.patchNaNs(coordinate, OUTSIDE_PX)
    return coordinate - np.float32(start)
