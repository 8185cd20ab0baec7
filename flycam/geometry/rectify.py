"""Rectification: from a frame's pixels to the tiles of the ground, by inverse mapping.

Tile by tile: lattice of exact projections (`lattice`), enlarged to every pixel, `cv2.remap`. Ground that is
hidden, unknown, beside the picture, or beyond range gets quality 0 and rgb 0. A tile's bytes depend on
frame, pose, terrain and tile only: not on the range it is asked in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.grid import TILE_SIZE_PX, TileRange
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.lattice import STEPS_PX, TileLattices, TilePlaces, View, lattice_of
from flycam.geometry.planar import PlanarMap
from flycam.geometry.terrain import TerrainGrid

Bytes = NDArray[np.uint8]

MAX_LATTICE_ERROR_PX = 0.25
# Nodes evaluated together: about 100 MB of intermediate arrays at most, whatever range is asked for.
_NODES_AT_ONCE = 400_000


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


def rectify(  # noqa: PLR0917  the order in which a frame meets the ground
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
) -> Rectified:
    """Rectify a frame onto `tiles`.

    pixels H×W×3 uint8 RGB, of interior.image_size_px; to_work maps EPSG:3857 to the work CRS of pose and
    terrain; interpolation as in cv2 (INTER_NEAREST, INTER_LINEAR, INTER_CUBIC). Ground farther than
    max_range_m from the camera (default `footprint.view_range`) is left out.

    Raises ValueError if the pixels are not of the size the interior orientation says.
    """
    if pixels.shape[1::-1] != interior.image_size_px:
        raise ValueError(f"pixels are {pixels.shape[1::-1]}, the interior says {interior.image_size_px}")
    rgb = np.zeros((*tiles.shape_px, 3), dtype=np.uint8)
    quality = np.zeros(tiles.shape_px, dtype=np.uint16)
    view = View(interior, exterior, terrain, to_work, max_range_m)
    sampler = _Sampler(view, pixels, interpolation)
    steps, errors = [], [0.0]
    for lattices in _lattices(view, tiles, max_lattice_error_px):
        steps.append(lattices.step_px)
        errors.append(float(lattices.error_px.max()))
        for tile in sampler.tiles(lattices):
            rows, cols = _window(tiles, int(lattices.index[tile.number]))
            sampler.write(tile, rgb[rows, cols], quality[rows, cols])
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
    sampler = _Sampler(view, np.zeros((1, 1, 3), np.uint8), cv2.INTER_NEAREST)
    steps, errors = [], [0.0]
    for lattices in _lattices(view, tiles, max_lattice_error_px):
        steps.append(lattices.step_px)
        errors.append(float(lattices.error_px.max()))
        for tile in sampler.tiles(lattices):
            window = _window(tiles, int(lattices.index[tile.number]))
            valid = slice(None) if tile.valid is None else tile.valid.astype(bool)
            u[window][valid] = tile.map_uv[..., 0][valid]
            v[window][valid] = tile.map_uv[..., 1][valid]
    return SourceCoordinates(
        u=u,
        v=v,
        valid=np.isfinite(u),
        lattice_step_px=min(steps, default=0),
        lattice_error_px=max(errors),
    )


def _lattices(view: View, tiles: TileRange, tolerance_px: float) -> Iterator[TileLattices]:
    """Lattices of all tiles that see the frame, coarse steps first; every tile comes once."""
    columns = tiles.shape_tiles[1]
    index = np.arange(len(tiles))
    places = TilePlaces(tiles.z, tiles.x_start + index % columns, tiles.y_start + index // columns, index)
    for step_px in STEPS_PX:
        at_once = max(1, _NODES_AT_ONCE // (TILE_SIZE_PX // step_px + 2) ** 2)
        unfinished = np.zeros(len(tiles), dtype=bool)
        for start in range(0, len(places), at_once):
            good, bad = lattice_of(view, places.take(slice(start, start + at_once)), step_px, tolerance_px)
            unfinished[bad.index] = True
            if good.index.size:
                yield good
        places = places.take(unfinished[places.index])
        if not len(places):
            return


def _window(tiles: TileRange, index: int) -> tuple[slice, slice]:
    row, col = divmod(index, tiles.shape_tiles[1])
    return (
        slice(row * TILE_SIZE_PX, (row + 1) * TILE_SIZE_PX),
        slice(col * TILE_SIZE_PX, (col + 1) * TILE_SIZE_PX),
    )


@dataclass(frozen=True, slots=True)
class _Tile:
    """One tile enlarged: views into the sampler's buffers, good until the next tile."""

    number: int
    map_uv: NDArray[np.float32]
    quality: NDArray[np.uint16]
    valid: Bytes | None


class _Sampler:
    """Enlarges lattices to pixels and samples the picture, with buffers that are used again."""

    def __init__(self, view: View, pixels: Bytes, interpolation: int) -> None:
        # OpenCV 5 samples four channels in less than half the time of three, to the same bytes
        self._pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
        self._interpolation = interpolation
        # a valid pixel never weighs what lies beside the picture, except where the kernel is wider than linear
        wide = interpolation not in {cv2.INTER_NEAREST, cv2.INTER_LINEAR}
        self._border = cv2.BORDER_REPLICATE if wide else cv2.BORDER_CONSTANT
        width, height = view.interior.image_size_px
        self._last = (width - 1.0, height - 1.0)
        self._rgba = np.empty((TILE_SIZE_PX, TILE_SIZE_PX, 4), dtype=np.uint8)
        self._rgb = np.empty((TILE_SIZE_PX, TILE_SIZE_PX, 3), dtype=np.uint8)
        self.inside_px = 0
        self.visible_px = 0

    def tiles(self, lattices: TileLattices) -> Iterator[_Tile]:
        """Enlarge the lattices one tile after the other; tiles without a valid pixel are passed over."""
        step, side = lattices.step_px, lattices.map_uv.shape[1] * lattices.step_px
        crop = (slice(step, step + TILE_SIZE_PX), slice(step, step + TILE_SIZE_PX))
        nodes = lattices.map_uv
        low, high = nodes.min(axis=(1, 2)), nodes.max(axis=(1, 2))
        # interpolation stays between its nodes: if they all lie in the picture, so does every pixel
        whole = ((low >= 0.0) & (high <= self._last)).all(axis=1)
        hidden = lattices.margin.min(axis=(1, 2)) < 0.0
        map_uv = np.empty((side, side, 2), dtype=np.float32)
        quality = np.empty((side, side), dtype=np.uint16)
        for number in range(lattices.index.size):
            cv2.resize(nodes[number], (side, side), dst=map_uv, interpolation=cv2.INTER_LINEAR)
            cv2.resize(lattices.quality[number], (side, side), dst=quality, interpolation=cv2.INTER_LINEAR)
            valid = None
            if not whole[number] or hidden[number]:
                cv2.patchNaNs(map_uv, -1.0)
                margin = lattices.margin[number] if hidden[number] else None
                valid = self._valid(map_uv[crop], margin, side, crop)
                if valid is None:
                    continue
            else:
                self.inside_px += TILE_SIZE_PX * TILE_SIZE_PX
                self.visible_px += TILE_SIZE_PX * TILE_SIZE_PX
            yield _Tile(number, map_uv[crop], quality[crop], valid)

    def write(self, tile: _Tile, rgb: Bytes, quality: NDArray[np.uint16]) -> None:
        """Sample the picture into windows of the result, which are zero before."""
        cv2.remap(  # type: ignore[call-overload]  # the stubs do not know that one map may hold both
            self._pixels, tile.map_uv, None, self._interpolation, dst=self._rgba, borderMode=self._border
        )
        if tile.valid is None:
            cv2.cvtColor(self._rgba, cv2.COLOR_RGBA2RGB, dst=rgb)
            quality[...] = tile.quality
        else:
            cv2.cvtColor(self._rgba, cv2.COLOR_RGBA2RGB, dst=self._rgb)
            cv2.copyTo(self._rgb, tile.valid, rgb)
            cv2.copyTo(tile.quality, tile.valid, quality)

    def _valid(
        self,
        map_uv: NDArray[np.float32],
        margin: NDArray[np.float32] | None,
        side: int,
        crop: tuple[slice, slice],
    ) -> Bytes | None:
        valid = np.asarray(cv2.inRange(map_uv, (0.0, 0.0), self._last), dtype=np.uint8)
        self.inside_px += (inside := cv2.countNonZero(valid))
        if inside and margin is not None:
            enlarged = cv2.resize(margin, (side, side), interpolation=cv2.INTER_LINEAR)[crop]
            valid[enlarged < 0.0] = 0
            inside = cv2.countNonZero(valid)
        self.visible_px += inside
        return valid if inside else None
