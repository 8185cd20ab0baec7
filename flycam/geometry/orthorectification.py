"""Orthorectification: a frame's pixels to ground tiles, by inverse mapping.

Tile by tile: lattice of exact projections (`lattice`), enlarged to every pixel, `cv2.remap`. Ground that is
hidden, unknown, outside the image, or beyond range gets quality 0 and rgb 0. A tile's bytes depend on
frame, pose, terrain and tile only: not on the range that it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import TileRange
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.lattice import FrameLattices, build_frame_lattices
from flycam.geometry.planar_map import PlanarMap
from flycam.geometry.post_projection import PostView, has_few_posts, has_fine_posts
from flycam.geometry.quality_bounds import compute_wanted_extents, get_full_extents
from flycam.geometry.sampling import OUTSIDE_PX, LatticeSampler, tile_window
from flycam.geometry.terrain import TerrainGrid

Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

# Half a source pixel, reached only at kinks of the terrain; see decision 0009.
MAX_LATTICE_ERROR_PX = 0.5
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
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    tiles: TileRange,
    to_work: PlanarMap,
    *,
    max_lattice_error_px: float = MAX_LATTICE_ERROR_PX,
    interpolation: int = cv2.INTER_LINEAR,
    max_range_m: float | None = None,
    wanted: NDArray[np.bool_] | None = None,
    lattices: FrameLattices | None = None,
    posts: PostView | None = None,
) -> OrthorectificationResult:
    """Orthorectify a frame onto `tiles`.

    pixels         H×W×3 uint8 RGB, of interior.image_size_px
    to_work        maps EPSG:3857 to the work CRS of pose and terrain
    interpolation  as in cv2 (INTER_NEAREST, INTER_LINEAR, INTER_CUBIC)
    max_range_m    ground farther from the camera is left out; default `footprint.compute_mapping_range_m`
    wanted         flags of blocks of 32×32 pixels (8·rows×8·columns of tiles.shape_tiles); others may be left
                   out (0), and the bytes of wanted blocks do not depend on the flags
    lattices       of all tiles with wanted blocks, if already made with this max_lattice_error_px (see
                   `quality_bounds.compute_quality_bounds`)
    posts          result of `create_post_view` for this frame and terrain, to orthorectify piece by piece

    Raises ValueError if the size of pixels is not that of the interior orientation.
    """
    if pixels.shape[1::-1] != interior.image_size_px:
        raise ValueError(f"pixels are {pixels.shape[1::-1]}, the interior says {interior.image_size_px}")
    rgb = np.zeros((*tiles.shape_px, 3), dtype=np.uint8)
    quality = np.zeros(tiles.shape_px, dtype=np.uint16)
    view = FrameView(interior, exterior, terrain, to_work, max_range_m)
    extents = get_full_extents(tiles) if wanted is None else compute_wanted_extents(tiles, wanted)
    if posts is None and has_fine_posts(interior, exterior, terrain):
        posts = PostView(interior, exterior, terrain, to_work, view.reach_m)
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


def create_post_view(
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    to_work: PlanarMap,
    max_range_m: float | None = None,
    *,
    include_coarse: bool = False,
) -> PostView | None:
    """Create the frame's view of the terrain's posts.

    It serves many calls of `orthorectify`. None where the posts are too far apart for it, unless
    include_coarse: then interpolation between posts is far.
    """
    worth = has_few_posts if include_coarse else has_fine_posts
    if not worth(interior, exterior, terrain):
        return None
    reach_m = FrameView(interior, exterior, terrain, to_work, max_range_m).reach_m
    return PostView(interior, exterior, terrain, to_work, reach_m)


def compute_source_coordinates(
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    tiles: TileRange,
    to_work: PlanarMap,
    *,
    max_lattice_error_px: float = MAX_LATTICE_ERROR_PX,
    max_range_m: float | None = None,
) -> SourceCoordinates:
    """Return the image coordinates at which `orthorectify` samples.

    They trace a pixel of the mosaic to its place in the photo.
    """
    u, v = (np.full(tiles.shape_px, np.nan, dtype=np.float32) for _ in range(2))
    view = FrameView(interior, exterior, terrain, to_work, max_range_m)
    if has_fine_posts(interior, exterior, terrain):
        for tile in PostView(interior, exterior, terrain, to_work, view.reach_m).tiles(tiles):
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
    """Fill rgb and quality (zero before) tile by tile; see `post_projection`."""
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
