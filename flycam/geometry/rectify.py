"""Rectification: from a frame's pixels to the tiles of the ground, by inverse mapping.

Tile by tile: lattice of exact projections (`lattice`), enlarged to every pixel, `cv2.remap`. Ground that is
hidden, unknown, beside the picture, or beyond range gets quality 0 and rgb 0. A tile's bytes depend on
frame, pose, terrain and tile only: not on the range it is asked in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.grid import TILE_SIZE_PX, TileRange
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.lattice import STEPS_PX, TileLattices, TilePlaces, View, lattice_of
from flycam.geometry.planar import PlanarMap
from flycam.geometry.posts import PostView, posts_are_fine
from flycam.geometry.terrain import TerrainGrid

Bytes = NDArray[np.uint8]
_Node = TypeVar("_Node", np.float32, np.uint16)

# Half a source pixel, reached only at kinks of the terrain; see decision 0009.
MAX_LATTICE_ERROR_PX = 0.5
# Nodes evaluated together: intermediate arrays stay in the cache, and small, whatever range is asked for.
_NODES_AT_ONCE = 70_000
# Source pixels on each side that the widest kernel (Lanczos) weighs.
_KERNEL_PX = 4
_NOWHERE_PX = -32000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rectified:
    """One frame over a range of tiles.

    rgb               H×W×3 uint8, (H, W) = tiles.shape_px; 0 where quality is 0
    quality           H×W uint16; 0 = no data
    lattice_step_px   the finest lattice step that was needed (0 if no tile sees the frame)
    lattice_error_px  largest interpolation error measured inside the picture, source pixels
    visible_fraction  of the asked-for pixels that fall into the picture, how many the camera really sees
    """

    rgb: Bytes
    quality: NDArray[np.uint16]
    lattice_step_px: int
    lattice_error_px: float
    visible_fraction: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCoordinates:
    """Where each pixel of a range of tiles lies in the source picture.

    u, v   H×W float32 image coordinates; NaN where not valid
    valid  H×W bool: seen by the camera and inside the picture
    """

    u: NDArray[np.float32]
    v: NDArray[np.float32]
    valid: NDArray[np.bool_]
    lattice_step_px: int
    lattice_error_px: float


def rectify(
    pixels: Bytes,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    tiles: TileRange,
    to_work: PlanarMap,
    *,
    max_lattice_error_px: float = MAX_LATTICE_ERROR_PX,
    interpolation: int = cv2.INTER_LINEAR,
    max_range_m: float | None = None,
    floors: NDArray[np.uint16] | None = None,
) -> Rectified:
    """Rectify a frame onto `tiles`.

    pixels H×W×3 uint8 RGB, of interior.image_size_px; to_work maps EPSG:3857 to the work CRS of pose and
    terrain; interpolation as in cv2 (INTER_NEAREST, INTER_LINEAR, INTER_CUBIC). Ground farther than
    max_range_m from the camera (default `footprint.view_range`) is left out. floors, of tiles.shape_tiles:
    a tile on which the frame is nowhere as good as this quality is left out, for none of its pixels could win
    there; 0 leaves nothing out.

    Raises ValueError if the pixels are not of the size the interior orientation says.
    """
    if pixels.shape[1::-1] != interior.image_size_px:
        raise ValueError(f"pixels are {pixels.shape[1::-1]}, the interior says {interior.image_size_px}")
    rgb = np.zeros((*tiles.shape_px, 3), dtype=np.uint8)
    quality = np.zeros(tiles.shape_px, dtype=np.uint16)
    view = View(interior, exterior, terrain, to_work, max_range_m)
    if posts_are_fine(interior, exterior, terrain):
        posts = PostView(interior, exterior, terrain, to_work, view.reach_m)
        return _rectify_over_posts(posts, pixels, tiles, interpolation, floors, rgb, quality)
    sampler = _Sampler(view, pixels, interpolation)
    steps, errors = [], [0.0]
    for lattices in _lattices(view, tiles, max_lattice_error_px):
        steps.append(lattices.step_px)
        errors.append(float(lattices.error_px.max()))
        for piece in sampler.pieces(lattices, None if floors is None else floors.reshape(-1)[lattices.index]):
            window = piece.window(tiles, lattices)
            sampler.write(piece, rgb[window], quality[window])
    return Rectified(
        rgb=rgb,
        quality=quality,
        lattice_step_px=min(steps, default=0),
        lattice_error_px=max(errors),
        visible_fraction=sampler.visible_px / sampler.inside_px if sampler.inside_px else 0.0,
    )


def source_coordinates(
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    tiles: TileRange,
    to_work: PlanarMap,
    *,
    max_lattice_error_px: float = MAX_LATTICE_ERROR_PX,
    max_range_m: float | None = None,
) -> SourceCoordinates:
    """The coordinates `rectify` samples at: evidence, from a pixel of the map to its place in the photo."""
    u, v = (np.full(tiles.shape_px, np.nan, dtype=np.float32) for _ in range(2))
    view = View(interior, exterior, terrain, to_work, max_range_m)
    if posts_are_fine(interior, exterior, terrain):
        for tile in PostView(interior, exterior, terrain, to_work, view.reach_m).tiles(tiles):
            place = _tile_window(tiles, tile.index)
            u[place] = np.where(tile.seen, tile.map_uv[..., 0], np.float32(np.nan))
            v[place] = np.where(tile.seen, tile.map_uv[..., 1], np.float32(np.nan))
        valid = np.isfinite(u)
        return SourceCoordinates(
            u=u, v=v, valid=valid, lattice_step_px=1 if valid.any() else 0, lattice_error_px=0.0
        )
    sampler = _Sampler(view, np.zeros((1, 1, 3), np.uint8), cv2.INTER_NEAREST)
    steps, errors = [], [0.0]
    for lattices in _lattices(view, tiles, max_lattice_error_px):
        steps.append(lattices.step_px)
        errors.append(float(lattices.error_px.max()))
        for piece in sampler.pieces(lattices):
            window = piece.window(tiles, lattices)
            sampled = slice(None) if piece.valid is None else piece.valid.astype(bool)
            u[window][sampled] = piece.map_uv[..., 0][sampled] + np.float32(piece.source[0])
            v[window][sampled] = piece.map_uv[..., 1][sampled] + np.float32(piece.source[1])
    return SourceCoordinates(
        u=u,
        v=v,
        valid=np.isfinite(u),
        lattice_step_px=min(steps, default=0),
        lattice_error_px=max(errors),
    )


def _rectify_over_posts(
    posts: PostView,
    pixels: Bytes,
    tiles: TileRange,
    interpolation: int,
    floors: NDArray[np.uint16] | None,
    rgb: Bytes,
    quality: NDArray[np.uint16],
) -> Rectified:
    """Fill rgb and quality (zero before) tile by tile; see `posts`."""
    rgba = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    inside_px = seen_px = 0
    for tile in posts.tiles(tiles):
        inside_px += int(tile.inside.sum())
        seen_px += int(tile.seen.sum())
        if floors is not None and tile.quality.max() < floors.reshape(-1)[tile.index]:
            continue
        window = _tile_window(tiles, tile.index)
        cv2.patchNaNs(tile.map_uv, _NOWHERE_PX)
        sampled = cv2.remap(  # type: ignore[call-overload]  # the stubs do not know that one map may hold both
            rgba, tile.map_uv, None, interpolation, borderMode=cv2.BORDER_REPLICATE
        )
        seen = tile.seen.view(np.uint8)
        cv2.copyTo(cv2.cvtColor(sampled, cv2.COLOR_RGBA2RGB), seen, rgb[window])
        quality[window] = tile.quality
    return Rectified(
        rgb=rgb,
        quality=quality,
        lattice_step_px=1 if seen_px else 0,
        lattice_error_px=0.0,
        visible_fraction=seen_px / inside_px if inside_px else 0.0,
    )


def _tile_window(tiles: TileRange, index: int) -> tuple[slice, slice]:
    row, col = divmod(index, tiles.shape_tiles[1])
    y, x = row * TILE_SIZE_PX, col * TILE_SIZE_PX
    return slice(y, y + TILE_SIZE_PX), slice(x, x + TILE_SIZE_PX)


def _lattices(view: View, tiles: TileRange, tolerance_px: float) -> Iterator[TileLattices]:
    """Lattices of all tiles that see the frame, coarse steps first; every tile comes once."""
    columns = tiles.shape_tiles[1]
    index = np.arange(len(tiles))
    places = TilePlaces(tiles.z, tiles.x_start + index % columns, tiles.y_start + index // columns, index)
    due = np.full(len(tiles), STEPS_PX[0])
    for step_px in STEPS_PX:
        now = places.take(due == step_px)
        at_once = max(1, _NODES_AT_ONCE // (TILE_SIZE_PX // step_px + 2) ** 2)
        for start in range(0, len(now), at_once):
            chunk = now.take(slice(start, start + at_once))
            good, next_step = lattice_of(view, chunk, step_px, tolerance_px)
            due[chunk.index] = next_step
            if good.index.size:
                yield good


@dataclass(frozen=True, slots=True)
class _Piece:
    """The part of one tile that touches the picture, enlarged: views into buffers that are used again.

    rows, cols  where it lies in the tile
    source      (left, top, right, bottom) of the part of the picture it looks at; map_uv counts from there
    """

    number: int
    rows: slice
    cols: slice
    source: tuple[int, int, int, int]
    map_uv: NDArray[np.float32]
    quality: NDArray[np.uint16]
    valid: Bytes | None

    def window(self, tiles: TileRange, lattices: TileLattices) -> tuple[slice, slice]:
        """Where it lies in the raster of the whole range."""
        row, col = divmod(int(lattices.index[self.number]), tiles.shape_tiles[1])
        y, x = row * TILE_SIZE_PX, col * TILE_SIZE_PX
        return (
            slice(y + self.rows.start, y + self.rows.stop),
            slice(x + self.cols.start, x + self.cols.stop),
        )


class _Sampler:
    """Enlarges lattices to pixels and samples the picture, with buffers that are used again."""

    def __init__(self, view: View, pixels: Bytes, interpolation: int) -> None:
        self._pixels = pixels
        self._interpolation = interpolation
        # a valid pixel never weighs what lies beside the picture, except where the kernel is wider
        wide = interpolation not in {cv2.INTER_NEAREST, cv2.INTER_LINEAR}
        self._border = cv2.BORDER_REPLICATE if wide else cv2.BORDER_CONSTANT
        width, height = view.interior.image_size_px
        self._last = (width - 1.0, height - 1.0)
        largest = TILE_SIZE_PX + 2 * STEPS_PX[0]
        self._map_uv = np.empty((largest, largest, 2), dtype=np.float32)
        self._quality = np.empty((largest, largest), dtype=np.uint16)
        self._margin = np.empty((largest, largest), dtype=np.float32)
        self._window = np.empty(0, dtype=np.uint8)
        self._rgba = np.empty((TILE_SIZE_PX, TILE_SIZE_PX, 4), dtype=np.uint8)
        self._rgb = np.empty((TILE_SIZE_PX, TILE_SIZE_PX, 3), dtype=np.uint8)
        self.inside_px = 0
        self.visible_px = 0

    def pieces(self, lattices: TileLattices, floors: NDArray[np.uint16] | None = None) -> Iterator[_Piece]:
        """Enlarge the lattices one tile after the other; tiles without a valid pixel are passed over.

        So are tiles whose best node is below their floor: pixels between nodes are never better than those.
        """
        for number, (row, last_row, col, last_col) in enumerate(lattices.box.tolist()):
            nodes = (number, slice(row, last_row + 2), slice(col, last_col + 2))
            if floors is not None and lattices.quality[nodes].max() < floors[number]:
                continue
            rows, crop_rows = _pixel_rows(row, last_row, lattices.step_px)
            cols, crop_cols = _pixel_rows(col, last_col, lattices.step_px)
            crop = (crop_rows, crop_cols)
            source = self._source(lattices.map_uv[nodes])
            local_uv = lattices.map_uv[nodes] - np.array(source[:2], dtype=np.float32)
            map_uv = _enlarge(local_uv, lattices.step_px, self._map_uv)[crop]
            margin = None
            if lattices.hidden[number]:
                margin = _enlarge(lattices.margin[nodes], lattices.step_px, self._margin)[crop]
            valid = self._valid(map_uv, margin, source, bool(lattices.whole[number]))
            if valid is not None and not valid.any():
                continue
            quality = _enlarge(lattices.quality[nodes], lattices.step_px, self._quality)[crop]
            yield _Piece(number, rows, cols, source, map_uv, quality, valid)

    def write(self, piece: _Piece, rgb: Bytes, quality: NDArray[np.uint16]) -> None:
        """Sample the picture into windows of the result, which are zero before."""
        height, width = quality.shape
        rgba = self._rgba[:height, :width]
        cv2.remap(  # type: ignore[call-overload]  # the stubs do not know that one map may hold both
            self._picture(piece.source),
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

    def _source(self, nodes: NDArray[np.float32]) -> tuple[int, int, int, int]:
        """The part of the picture between the nodes, with room for the kernel."""
        width, height = int(self._last[0]) + 1, int(self._last[1]) + 1
        points = nodes.reshape(-1, 2)
        low, high = np.fmin.reduce(points).tolist(), np.fmax.reduce(points).tolist()
        left, top = (max(min(math.floor(low[k]) - _KERNEL_PX, (width, height)[k] - 1), 0) for k in (0, 1))
        right, bottom = (
            max(min(math.ceil(high[k]) + _KERNEL_PX + 1, (width, height)[k]), (left, top)[k] + 1)
            for k in (0, 1)
        )
        return left, top, right, bottom

    def _picture(self, source: tuple[int, int, int, int]) -> Bytes:
        """A part of the picture in four channels.

        OpenCV 5 samples four channels in less than half the time of three, to the same bytes; and a part that
        was just copied lies in the cache, where sampling across its rows finds it.
        """
        left, top, right, bottom = source
        width, height = right - left, bottom - top
        if self._window.size < width * height * 4:
            self._window = np.empty(width * height * 4, dtype=np.uint8)
        part = self._window[: width * height * 4].reshape(height, width, 4)
        cv2.cvtColor(self._pixels[top:bottom, left:right], cv2.COLOR_RGB2RGBA, dst=part)
        return part

    def _valid(
        self,
        map_uv: NDArray[np.float32],
        margin: NDArray[np.float32] | None,
        source: tuple[int, int, int, int],
        whole: bool,
    ) -> Bytes | None:
        """Mask of the valid pixels, None if all are."""
        count = map_uv.shape[0] * map_uv.shape[1]
        if whole and margin is None:
            self.inside_px += count
            self.visible_px += count
            return None
        # NaN is outside for inRange, but not a coordinate that remap may be given
        left, top = source[:2]
        first, last = (-left, -top), (self._last[0] - left, self._last[1] - top)
        valid = np.asarray(cv2.inRange(map_uv, first, last), dtype=np.uint8)
        if not whole:
            cv2.patchNaNs(map_uv, _NOWHERE_PX)
        self.inside_px += cv2.countNonZero(valid)
        if margin is not None:
            valid[margin < 0.0] = 0
        self.visible_px += cv2.countNonZero(valid)
        return valid


def _enlarge(nodes: NDArray[_Node], step_px: int, buffer: NDArray[_Node]) -> NDArray[_Node]:
    """Nodes at block centres to pixels, bilinear, into the corner of a buffer."""
    height, width = nodes.shape[0] * step_px, nodes.shape[1] * step_px
    target = buffer[:height, :width]
    cv2.resize(nodes, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return target


def _pixel_rows(first: int, last: int, step_px: int) -> tuple[slice, slice]:
    """Pixel rows (or columns) between the nodes of cells first..last: in the tile, and in the enlarged block.

    Node i stands at pixel (i - 1/2) step - 1/2; the enlarged block begins at pixel (first - 1) step.
    """
    start = max(math.ceil((first - 0.5) * step_px - 0.5), 0)
    stop = min(math.floor((last + 0.5) * step_px - 0.5) + 1, TILE_SIZE_PX)
    shift = (first - 1) * step_px
    return slice(start, stop), slice(start - shift, stop - shift)
