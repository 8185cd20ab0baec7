"""Projection of a frame over fine posts: once per post, interpolated to pixels.

Where posts are few pixels apart (a DSM refined from the flight, a LiDAR model) a lattice would have to
follow every roof down to single pixels. Here every post in the frame's range is projected exactly, and
the horizon around the camera is scanned once over the same posts: a fixed cost per frame. Between posts
pixels are bilinear, as the surface itself is.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import (
    compute_valid_radius,
    compute_viewing_rays,
    correct_rolling_shutter,
    distort,
    transform_to_camera,
)
from flycam.geometry.frame_view import FrameView, compute_pixel_quality
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, TileRange, compute_grid_pixel_m
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid, build_max_pyramid, get_min_height

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Window = tuple[slice, slice]

# Posts are fine where interpolation between them, instead of projection of every place, is wrong by at most
# this many source pixels on ground of 45 degrees. Over p pixels such ground comes nearer by p / f of its
# distance, which makes a cell of posts out of square by p · p / f pixels: a quarter of that is missed at its
# centre.
_FINE_ERROR_PX = 0.05
_MAX_POSTS = 4_000_000
# Node step of the map from the tile grid to the posts: the map bends by millimetres over a tile.
_STEP_PX = 32
# Ground this close in front of a post, in posts, is its own neighbourhood and does not hide it.
_NEIGHBOURHOOD_POSTS = 1.0
# Height by which a line of sight may cut into the ground in front, in posts.
_SLACK_POSTS = 0.2
# Margins are clipped to this before they are averaged, so that the edge of hidden ground is a smooth line.
_MARGIN_CUT_POSTS = 2.0
_RINGS_PER_POST = 2.0
_OPEN = np.float32(-1.0e6)
_U, _V, _MARGIN, _QUALITY = range(4)
_FULL_EXTENT = [0, TILE_SIZE_PX, 0, TILE_SIZE_PX]


@dataclass(frozen=True, slots=True)
class PostTile:
    """One tile, or the requested rectangle of it (rows×cols), as seen by a frame.

    index       of the tile in its range, row by row
    rows, cols  of the tile's pixels
    u, v        float32 image coordinates; NaN where nothing is known
    quality     uint16
    inside      bool: in the image
    seen        bool: in the image and not hidden
    """

    index: int
    rows: slice
    cols: slice
    u: Singles
    v: Singles
    quality: NDArray[np.uint16]
    inside: NDArray[np.bool_]
    seen: NDArray[np.bool_]


def has_fine_posts(view: FrameView) -> bool:
    """Return True if a frame is better orthorectified post by post.

    Depends on frame and terrain alone.
    """
    drop = view.exterior.projection_centre_m[2] - get_min_height(view.terrain)
    if not drop > 0.0:
        return False
    focal_px = max(view.interior.focal_length_px)
    apart_px = max(view.terrain.post_spacing_m) * focal_px / drop
    if apart_px * apart_px > 4.0 * focal_px * _FINE_ERROR_PX:
        return False
    return has_few_posts(view)


def has_few_posts(view: FrameView) -> bool:
    """Return True if a frame sees posts, and few enough to project each."""
    window = _window(view, float("inf"))
    return window is not None and _size(window) <= _MAX_POSTS


class PostView:
    """Frame over the posts in its range: image coordinates, visibility and quality."""

    def __init__(self, view: FrameView) -> None:
        self.interior, self.to_work, self.terrain = view.interior, view.to_work, view.terrain
        self._through = False
        self.window = _window(view, view.reach_m)
        if self.window is not None:
            self.nodes = _nodes(view, self.window)

    def without_occlusion(self) -> PostView:
        """Return the same frame as if nothing were hidden.

        For ground that every frame takes for hidden, which is more often a wrong height in front of it than a
        place that no photo shows.
        """
        other = copy(self)
        other._through = True
        return other

    def tiles(self, tiles: TileRange, extents: NDArray[np.int64] | None = None) -> Iterator[PostTile]:
        """Yield the tiles of a range that the frame sees part of, row by row.

        extents  T×4 as `quality_bounds.get_full_extents`: the requested rectangle of each tile; None: all
        """
        if self.window is None:
            return
        width, height = self.interior.image_size_px
        columns = tiles.shape_tiles[1]
        wanted = [_FULL_EXTENT] * len(tiles) if extents is None else extents.tolist()
        for index, (top, bottom, left, right) in enumerate(wanted):
            y, x = divmod(index, columns)
            at = None
            if top < bottom:
                at = self._posts_at(tiles.z, tiles.x_start + x, tiles.y_start + y)
            if at is None:
                continue
            rows, cols = slice(top, bottom), slice(left, right)
            nodes = cv2.remap(
                self.nodes,
                at[0][rows, cols],
                at[1][rows, cols],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=[np.nan] * 4,
            )
            u, v, margin, graded = (np.asarray(plane, np.float32) for plane in cv2.split(nodes))
            inside = (u >= 0.0) & (u <= width - 1.0) & (v >= 0.0) & (v <= height - 1.0)
            seen = inside if self._through else inside & (margin >= 0.0)
            if not seen.any():
                continue
            quality = np.where(seen, graded + np.float32(0.5), np.float32(0.0)).astype(np.uint16)
            yield PostTile(index, rows, cols, u, v, quality, inside, seen)

    def _posts_at(self, z: int, x: int, y: int) -> tuple[Singles, Singles] | None:
        """Return columns and rows, among the window's posts, of a tile's pixels.

        None if the tile lies outside them.
        """
        assert self.window is not None  # noqa: S101 - called by `tiles` only
        offsets = (np.arange(TILE_SIZE_PX // _STEP_PX + 2, dtype=np.float64) - 0.5) * _STEP_PX
        res = compute_grid_pixel_m(z)
        mercator_x = (x * TILE_SIZE_PX + offsets) * res - HALF_WORLD_M
        mercator_y = HALF_WORLD_M - (y * TILE_SIZE_PX + offsets) * res
        east, north = self.to_work.mesh(mercator_x[None, :], mercator_y[:, None])
        rows, cols = self.window
        terrain = self.terrain
        col = (east - terrain.origin_m[0]) / terrain.post_spacing_m[0] - cols.start
        row = (terrain.origin_m[1] - north) / terrain.post_spacing_m[1] - rows.start
        high, wide = rows.stop - rows.start, cols.stop - cols.start
        if col.max() < 0.0 or row.max() < 0.0 or col.min() > wide - 1.0 or row.min() > high - 1.0:
            return None
        return _enlarged(col), _enlarged(row)


def _enlarged(nodes: Floats) -> Singles:
    """Interpolate nodes at block centres to the tile's pixels.

    The nodes reach one beyond the tile on each side.
    """
    side = nodes.shape[0] * _STEP_PX
    pixels = cv2.resize(nodes.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(pixels[_STEP_PX:-_STEP_PX, _STEP_PX:-_STEP_PX], np.float32)


def _nodes(view: FrameView, window: Window) -> Singles:
    """Return u, v, margin and quality of the window's posts, rows×cols×4 float32.

    u and v are NaN where not seen.
    """
    interior, exterior, terrain = view.interior, view.exterior, view.terrain
    height = terrain.heights_m[window]
    rows, cols = window
    steps_e, steps_s = (np.arange(part.start, part.stop, dtype=np.float64) for part in (cols, rows))
    east: Floats = terrain.origin_m[0] + terrain.post_spacing_m[0] * steps_e[None, :]
    north: Floats = terrain.origin_m[1] - terrain.post_spacing_m[1] * steps_s[:, None]
    place = transform_to_camera(exterior, east, north, height.astype(np.float64))
    x, y, depth = correct_rolling_shutter(interior, exterior, *place)
    square = x * x + y * y + depth * depth
    seen = (depth > 0.0) & (square <= view.reach_m * view.reach_m)
    with np.errstate(divide="ignore", invalid="ignore"):
        xn, yn = x / depth, y / depth
        seen &= xn * xn + yn * yn <= compute_valid_radius(interior) ** 2
        u, v = distort(interior, np.where(seen, xn, np.nan), yn)
        distance = np.sqrt(square)
        drop = (exterior.projection_centre_m[2] - height) * exterior.grid_scale
        focal = 0.5 * sum(interior.focal_length_px)
        quality = compute_pixel_quality(interior, u, v, drop / distance, distance / focal)
    nodes = np.empty((*height.shape, 4), np.float32)
    nodes[..., _U], nodes[..., _V], nodes[..., _QUALITY] = u, v, quality
    nodes[..., _MARGIN] = _margins(exterior, terrain, window)
    return nodes


def _margins(exterior: ExteriorOrientation, terrain: TerrainGrid, window: Window) -> Singles:
    """Return the visibility margins of the window's posts, metres (< 0: hidden).

    Height above the line of sight over the ground in front: the horizon's tangent on a polar grid around the
    camera (see `HorizonScan`), over the window's posts. The margin is clipped and averaged over 3×3 posts, so
    that the edge of hidden ground is a smooth line.
    """
    post = max(terrain.post_spacing_m)
    height = terrain.heights_m[window]
    ce, cn, ch = exterior.projection_centre_m
    rows, cols = window
    col = (ce - terrain.origin_m[0]) / terrain.post_spacing_m[0] - cols.start
    row = (terrain.origin_m[1] - cn) / terrain.post_spacing_m[1] - rows.start
    dx = ((np.arange(height.shape[1]) - col) * terrain.post_spacing_m[0]).astype(np.float32)[None, :]
    dy = ((np.arange(height.shape[0]) - row) * terrain.post_spacing_m[1]).astype(np.float32)[:, None]
    distance, angle = (
        np.asarray(a, np.float32)
        for a in cv2.cartToPolar(
            np.broadcast_to(dx, height.shape).copy(), np.broadcast_to(dy, height.shape).copy()
        )
    )
    ring_m = post / _RINGS_PER_POST
    rings = int(distance.max() / ring_m) + 2
    turns = int(np.ceil(2.0 * np.pi * float(distance.max()) / post)) + 1
    azimuth = (np.arange(turns + 1) * (2.0 * np.pi / turns)).astype(np.float32)[None, :]
    away = (np.arange(1, rings + 1) * ring_m).astype(np.float32)[:, None]
    cols_at = away * (np.cos(azimuth) / np.float32(terrain.post_spacing_m[0])) + np.float32(col)
    rows_at = away * (np.sin(azimuth) / np.float32(terrain.post_spacing_m[1])) + np.float32(row)
    relative = height - np.float32(ch)
    relative = np.where(np.isnan(relative), _OPEN, relative)
    polar = cv2.remap(
        relative, cols_at, rows_at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float(_OPEN)
    )
    horizon = np.full((rings + 1, turns + 1), _OPEN, np.float32)
    np.maximum.accumulate(polar / away, axis=0, out=horizon[1:])
    ring = np.maximum(distance / np.float32(ring_m) - np.float32(_NEIGHBOURHOOD_POSTS * _RINGS_PER_POST), 0.0)
    turn = angle * np.float32(turns / (2.0 * np.pi))
    tangent = cv2.remap(horizon, turn, ring, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    margin = height - np.float32(ch) - distance * tangent + np.float32(_SLACK_POSTS * post)
    cut = np.float32(_MARGIN_CUT_POSTS * post)
    margin = np.clip(np.nan_to_num(margin, nan=0.0), -cut, cut)
    return np.asarray(cv2.blur(margin, (3, 3), borderType=cv2.BORDER_REPLICATE), np.float32)


def _window(view: FrameView, reach_m: float) -> Window | None:
    """Return rows and columns of the posts that the frame may see; None if none.

    They include the nadir point. From the border's rays to the lowest and the highest post.
    """
    exterior, terrain = view.exterior, view.terrain
    width, height = view.interior.image_size_px
    k = np.linspace(0.0, 1.0, 9)
    zero, one = np.zeros_like(k), np.ones_like(k)
    u = np.concatenate([k, k, zero, one]) * width - 0.5
    v = np.concatenate([zero, one, k, k]) * height - 0.5
    origins, rays = compute_viewing_rays(view.interior, exterior, np.stack([u, v], -1))
    ce, cn, ch = exterior.projection_centre_m
    level = np.hypot(rays[:, 0], rays[:, 1])
    places = [np.array([[ce, cn]])]
    for ground in (get_min_height(terrain), float(build_max_pyramid(terrain)[-1].max())):
        with np.errstate(divide="ignore", invalid="ignore"):
            along = np.where(rays[:, 2] < 0.0, (ch - ground) * level / -rays[:, 2], np.inf)
            along = np.clip(np.fmin(along, min(reach_m, _farthest(exterior, terrain))), 0.0, None)
            step = np.where(level[:, None] > 0.0, rays[:, :2] / level[:, None], 0.0) * along[:, None]
        places.append(origins[:, :2] + np.nan_to_num(step))
    low, high = np.concatenate(places).min(axis=0), np.concatenate(places).max(axis=0)
    (west, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    rows, cols = terrain.heights_m.shape
    first_col, last_col = (
        max(int((low[0] - west) / step_e) - 2, 0),
        min(int((high[0] - west) / step_e) + 3, cols),
    )
    first_row, last_row = (
        max(int((north - high[1]) / step_s) - 2, 0),
        min(int((north - low[1]) / step_s) + 3, rows),
    )
    if last_col - first_col < 2 or last_row - first_row < 2:
        return None
    return slice(first_row, last_row), slice(first_col, last_col)


def _farthest(exterior: ExteriorOrientation, terrain: TerrainGrid) -> float:
    """Return the distance to the farthest corner of the posts."""
    west, south, east, north = terrain.bounds_m
    ce, cn, _ = exterior.projection_centre_m
    return float(np.hypot(max(abs(west - ce), abs(east - ce)), max(abs(south - cn), abs(north - cn))))


def _size(window: Window) -> int:
    rows, cols = window
    return int((rows.stop - rows.start) * (cols.stop - cols.start))
