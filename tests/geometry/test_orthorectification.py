"""Rectification against exact projection, its laws, and the ground it must leave empty."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.geometry.camera import project
from flycam.geometry.footprint import compute_footprint, compute_mapping_range_m
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import TileId, TileRange, compute_pixel_centres
from flycam.geometry.orthorectification import MAX_LATTICE_ERROR_PX, compute_source_coordinates, orthorectify
from flycam.geometry.terrain import cast_rays, interpolate_heights
from tests.geometry.scenes import (
    CENTRE,
    camera,
    grid_of,
    hills,
    mercator_map,
    pose,
    tiles_around,
)

TO_WORK = mercator_map()
SMALL = camera(width=480, height=360, focal=350.0)


def picture(interior, seed=0):
    w, h = interior.image_size_px
    noise = np.random.default_rng(seed).integers(1, 255, (h // 6, w // 6, 3), dtype=np.uint8)
    return np.maximum(cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC), 1)


def ground_of(tiles, terrain):
    """Exact world points of every pixel of a range: H×W×3."""
    rows, cols = tiles.shape_px
    mercator = compute_pixel_centres(tiles, *np.mgrid[0:rows, 0:cols].astype(float))
    xy = TO_WORK(mercator.reshape(-1, 2))
    return np.column_stack([xy, interpolate_heights(terrain, xy)]).reshape(rows, cols, 3)


def tiles_of(interior, exterior, terrain, z=19):
    return tiles_around(compute_footprint(interior, exterior, terrain).bounds_m, z, TO_WORK)


def middle_tile(tiles):
    return TileId(z=tiles.z, x=(tiles.x_start + tiles.x_stop) // 2, y=(tiles.y_start + tiles.y_stop) // 2)


@pytest.mark.parametrize(
    ("pitch", "roughness", "bound_px"),
    [(-90.0, 2.3, 0.25), (-50.0, 1.8, MAX_LATTICE_ERROR_PX)],
)
def test_every_pixel_is_where_exact_projection_puts_it(pitch, roughness, bound_px):
    terrain = hills(relief_m=250.0, roughness=roughness)
    exterior = pose(terrain, agl_m=150.0, pitch_deg=pitch, roll_deg=3.0)
    tiles = tiles_of(SMALL, exterior, terrain, z=18)
    where = compute_source_coordinates(
        FrameView(SMALL, exterior, terrain, TO_WORK), tiles, max_lattice_error_px=bound_px
    )
    exact, _ = project(SMALL, exterior, ground_of(tiles, terrain).reshape(-1, 3))
    exact = exact.reshape(*tiles.shape_px, 2)[where.valid]
    error = np.hypot(where.u[where.valid] - exact[:, 0], where.v[where.valid] - exact[:, 1])
    assert where.valid.sum() > 12_000
    assert where.lattice_error_px <= bound_px
    # the middle of a cell is not always its worst place: the kinks of the DEM lie anywhere
    assert error.max() <= 3 * bound_px
    assert np.quantile(error, 0.99) <= bound_px


def test_the_bytes_are_those_of_remapping_at_the_exact_places():
    terrain = hills()
    exterior, pixels = pose(terrain, pitch_deg=-70.0), picture(SMALL)
    tiles = tiles_of(SMALL, exterior, terrain)
    ours = orthorectify(
        pixels, FrameView(SMALL, exterior, terrain, TO_WORK), tiles, max_lattice_error_px=0.02
    )
    exact, _ = project(SMALL, exterior, ground_of(tiles, terrain).reshape(-1, 3))
    maps = np.nan_to_num(exact, nan=-9.0).reshape(*tiles.shape_px, 2).astype(np.float32)
    theirs = cv2.remap(pixels, maps, None, cv2.INTER_LINEAR)
    inside = (maps >= 0.2).all(-1) & (maps <= np.array([479.0, 359.0]) - 0.2).all(-1)
    assert ((ours.quality > 0) == inside)[cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0].all()
    valid = ours.quality > 0
    difference = np.abs(ours.rgb[valid].astype(int) - theirs[valid])
    assert np.mean(difference) < 0.6
    assert ours.visible_fraction == 1.0


LAW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(
    seed=st.integers(0, 50),
    yaw=st.floats(-180, 180),
    pitch=st.floats(-90, -25),
    agl=st.floats(60, 200),
    relief=st.sampled_from([20.0, 180.0, 420.0]),
    hole=st.booleans(),
    picks=st.lists(
        st.tuples(st.floats(0, 0.999), st.floats(0, 0.999), st.integers(1, 3)), min_size=2, max_size=4
    ),
)
@LAW
def test_a_pixel_has_the_same_bytes_whatever_range_is_asked(seed, yaw, pitch, agl, relief, hole, picks):
    """The law that makes a refold equal the fold."""
    terrain = hills(seed=seed, relief_m=relief, size=120)
    exterior = pose(terrain, agl_m=agl, yaw_deg=yaw, pitch_deg=pitch)
    if hole:
        terrain.heights_m[50:58, 60:70] = np.nan
    pixels = picture(SMALL, seed)
    tiles = tiles_around((CENTRE[0] - 250, CENTRE[1] - 250, CENTRE[0] + 250, CENTRE[1] + 250), 18, TO_WORK)
    whole = orthorectify(pixels, FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    rows, cols = tiles.shape_tiles
    for fx, fy, size in picks:
        x0, y0 = tiles.x_start + int(fx * cols), tiles.y_start + int(fy * rows)
        part = TileRange(
            z=tiles.z, x_start=x0, y_start=y0,
            x_stop=min(x0 + size, tiles.x_stop), y_stop=min(y0 + 1, tiles.y_stop),
        )  # fmt: skip
        alone = orthorectify(pixels, FrameView(SMALL, exterior, terrain, TO_WORK), part)
        for tile in part:
            np.testing.assert_array_equal(alone.rgb[part.window_px(tile)], whole.rgb[tiles.window_px(tile)])
            np.testing.assert_array_equal(
                alone.quality[part.window_px(tile)], whole.quality[tiles.window_px(tile)]
            )


def test_it_is_deterministic_and_leaves_nothing_under_quality_zero():
    terrain = hills(relief_m=420.0)
    exterior, pixels = pose(terrain, pitch_deg=-35.0), picture(SMALL)
    tiles = tiles_of(SMALL, exterior, terrain, z=18)
    a, b = (orthorectify(pixels, FrameView(SMALL, exterior, terrain, TO_WORK), tiles) for _ in range(2))
    np.testing.assert_array_equal(a.rgb, b.rgb)
    np.testing.assert_array_equal(a.quality, b.quality)
    assert not a.rgb[a.quality == 0].any()
    assert a.rgb[a.quality > 0].all()  # the picture has no black


def test_hidden_ground_gets_no_pixel():
    """A cliff of 100 m: its foot, which the camera cannot see, stays empty; ray casting is the judge."""
    k = (np.arange(121) - 60) * 5.0
    heights = np.broadcast_to(np.where(k <= 0.0, 100.0, 0.0), (121, 121))
    terrain = grid_of(heights.copy(), 5.0)
    exterior = pose(terrain, agl_m=40.0, yaw_deg=90.0, pitch_deg=-45.0, offset=(-60.0, 0.0))
    tiles = tiles_around((CENTRE[0] - 60, CENTRE[1] - 120, CENTRE[0] + 280, CENTRE[1] + 120), 19, TO_WORK)
    result = orthorectify(picture(SMALL), FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    ground = ground_of(tiles, terrain)[::5, ::5].reshape(-1, 3)
    known = np.isfinite(ground[:, 2])
    centre = np.array(exterior.projection_centre_m)
    hits = cast_rays(terrain, centre, np.where(known[:, None], ground - centre, [0.0, 0.0, -1.0]))
    seen = np.linalg.norm(hits - ground, axis=1) < 0.5
    uv, _ = project(SMALL, exterior, ground)
    inside = known & (uv > 1.0).all(-1) & (uv < np.array(SMALL.image_size_px) - 2.0).all(-1)
    got = (result.quality[::5, ::5] > 0).ravel()
    assert not got[~inside & ~((uv >= 0).all(-1) & (uv <= np.array(SMALL.image_size_px) - 1).all(-1))].any()
    hidden = inside & ~seen
    assert hidden.sum() > 300
    assert got[hidden].mean() < 0.05
    assert got[inside & seen].mean() > 0.98
    assert 0.2 < result.visible_fraction < 0.95


def test_unknown_terrain_gets_no_pixel_and_its_neighbourhood_does():
    terrain = hills(size=100)
    terrain.heights_m[48:53, 48:53] = np.nan
    exterior = pose(hills(size=100), agl_m=120.0, offset=(40.0, 0.0))
    tiles = tiles_around((CENTRE[0] - 60, CENTRE[1] - 60, CENTRE[0] + 60, CENTRE[1] + 60), 20, TO_WORK)
    result = orthorectify(picture(SMALL), FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    unknown = np.isnan(ground_of(tiles, terrain)[..., 2])
    assert unknown.sum() > 10_000
    assert not result.quality[unknown].any()
    # the same frame over the DEM without its hole says what could have been seen
    full = orthorectify(picture(SMALL), FrameView(SMALL, exterior, hills(size=100), TO_WORK), tiles)
    # (its border may fall one pixel further: there the lattices differ)
    seen = cv2.erode((full.quality > 0).astype(np.uint8), np.ones((5, 5))) > 0
    lost = seen & (result.quality == 0)
    rim = cv2.dilate(unknown.astype(np.uint8), np.ones((2 * 9 + 1, 2 * 9 + 1))) > 0
    assert lost[unknown].any()
    assert not (lost & ~rim).any()


def test_beyond_the_terrain_and_beyond_range_nothing_is_drawn():
    terrain = hills(size=60)  # 590 m
    exterior = pose(terrain, agl_m=80.0, pitch_deg=-20.0, yaw_deg=0.0)
    tiles = tiles_around((CENTRE[0] - 500, CENTRE[1] - 100, CENTRE[0] + 500, CENTRE[1] + 900), 17, TO_WORK)
    result = orthorectify(picture(SMALL), FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    ground = ground_of(tiles, terrain)
    assert not result.quality[np.isnan(ground[..., 2])].any()
    wide = hills(size=250)
    range_m = compute_mapping_range_m(SMALL, exterior, wide)
    near = orthorectify(picture(SMALL), FrameView(SMALL, exterior, wide, TO_WORK), tiles)
    distance = np.linalg.norm(ground_of(tiles, wide) - exterior.projection_centre_m, axis=-1)
    assert range_m - 10.0 < distance[near.quality > 0].max() <= range_m + 0.1 < distance.max()
