"""Rectification over fine posts: exact where it looks, the lattice's picture, nothing through a wall."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.geometry.camera import is_in_image, project
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import TileRange, make_tile_range
from flycam.geometry.orthorectification import compute_source_coordinates, orthorectify
from flycam.geometry.posts import has_fine_posts
from flycam.geometry.terrain import TerrainGrid, cast_rays
from tests.geometry.scenes import CENTRE, pose
from tests.geometry.test_orthorectification import SMALL, TO_WORK, ground_of, middle_tile, picture, tiles_of


def fine(terrain_height, spacing=1.0, half=160):
    """Posts `spacing` apart around the scenes' centre, from a function of eastings and northings."""
    axis = spacing * np.arange(-half, half + 1)
    east, north = np.meshgrid(CENTRE[0] + axis, CENTRE[1] - axis)
    return TerrainGrid(
        heights_m=terrain_height(east - CENTRE[0], north - CENTRE[1]).astype(np.float32),
        origin_m=(CENTRE[0] - spacing * half, CENTRE[1] + spacing * half),
        post_spacing_m=(spacing, spacing),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="fine",
    )


def waves(east, north):
    return 300.0 + 6.0 * np.sin(east / 17.0) * np.cos(north / 23.0) + 0.1 * east


def house(east, north):
    return 300.0 + 15.0 * ((np.abs(east - 25.0) < 12.0) & (np.abs(north) < 12.0))


@pytest.mark.parametrize("pitch", [-90.0, -60.0])
def test_every_seen_pixel_is_where_exact_projection_puts_it(pitch):
    terrain = fine(waves)
    exterior = pose(terrain, agl_m=100.0, pitch_deg=pitch)
    assert has_fine_posts(FrameView(SMALL, exterior, terrain, TO_WORK))
    tiles = tiles_of(SMALL, exterior, terrain)
    where = compute_source_coordinates(FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    exact, _ = project(SMALL, exterior, ground_of(tiles, terrain).reshape(-1, 3))
    off = np.hypot(where.u.ravel() - exact[:, 0], where.v.ravel() - exact[:, 1])[where.valid.ravel()]
    assert off.size > 10_000
    assert np.max(off) < 0.2


def test_a_tile_alone_has_the_bytes_it_has_among_others():
    terrain = fine(waves)
    exterior = pose(terrain, agl_m=100.0, pitch_deg=-70.0)
    tiles = tiles_of(SMALL, exterior, terrain)
    whole = orthorectify(picture(SMALL), FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    tile = middle_tile(tiles)
    alone = orthorectify(picture(SMALL), FrameView(SMALL, exterior, terrain, TO_WORK), make_tile_range(tile))
    rows, cols = tiles.window_px(tile)
    assert (whole.rgb[rows, cols] == alone.rgb).all()
    assert (whole.quality[rows, cols] == alone.quality).all()
    assert (alone.quality > 0).any()


def test_ground_behind_a_house_is_left_empty():
    terrain = fine(house)
    exterior = pose(terrain, agl_m=60.0, pitch_deg=-90.0)
    tiles = tiles_of(SMALL, exterior, terrain, z=20)
    where = compute_source_coordinates(FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    ground = ground_of(tiles, terrain)[::3, ::3]
    centre = np.array(exterior.projection_centre_m)
    hits = cast_rays(terrain, centre, (ground - centre).reshape(-1, 3)).reshape(ground.shape)
    uv, _ = project(SMALL, exterior, ground.reshape(-1, 3))
    inside = is_in_image(SMALL, uv[:, 0], uv[:, 1]).reshape(ground.shape[:2])
    hidden = (np.linalg.norm(hits - ground, axis=-1) > 0.5).astype(np.uint8)
    # the edge of what is hidden is a smooth line, within two posts of the true one
    posts = np.ones((11, 11), np.uint8)
    surely_hidden = inside & (cv2.erode(hidden, posts) > 0)
    surely_seen = inside & (cv2.dilate(hidden, posts) == 0)
    valid = where.valid[::3, ::3]
    assert surely_hidden.sum() > 50
    assert not valid[surely_hidden].any()
    assert valid[surely_seen].mean() > 0.999


def test_wanted_blocks_are_the_same_as_in_the_whole_and_tiles_without_are_left_out():
    terrain = fine(waves)
    exterior = pose(terrain, agl_m=100.0, pitch_deg=-90.0)
    tiles: TileRange = tiles_of(SMALL, exterior, terrain)
    pixels, (rows, cols) = picture(SMALL), tiles.shape_tiles
    whole = orthorectify(pixels, FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    wanted = np.zeros((8 * rows, 8 * cols), dtype=bool)
    assert not orthorectify(
        pixels, FrameView(SMALL, exterior, terrain, TO_WORK), tiles, wanted=wanted
    ).quality.any()
    at = tiles.window_px(middle_tile(tiles))
    top, left = at[0].start // 32, at[1].start // 32
    wanted[top + 2 : top + 5, left + 1], wanted[top + 6, left + 3 : left + 7] = True, True
    part = orthorectify(pixels, FrameView(SMALL, exterior, terrain, TO_WORK), tiles, wanted=wanted)
    asked = wanted.repeat(32, 0).repeat(32, 1)
    assert (part.quality[asked] > 0).any()
    np.testing.assert_array_equal(part.quality[asked], whole.quality[asked])
    np.testing.assert_array_equal(part.rgb[asked], whole.rgb[asked])
    part.quality[at] = 0
    assert not part.quality.any()
