"""The refined surface on a scene of known truth: what it finds, and that it does not invent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.geometry.camera import is_in_image, project
from flycam.geometry.terrain import interpolate_heights_en
from flycam.mosaic.surface.refinement import refine_surface
from tests.mosaic.surface.scene import CAMERA, HEIGHT_M, HOUSE, scene, slope

SPACING = 1.0


def posts(surface):
    rows, cols = surface.terrain.heights_m.shape
    (west, north), step = surface.terrain.origin_m, SPACING
    return np.meshgrid(west + step * np.arange(cols), north - step * np.arange(rows))


@pytest.fixture(scope="module")
def found():
    world = scene()
    return world, refine_surface(world.views, world.pixels_of, world.ground, spacing_m=SPACING)


def within(east, north, side):
    return (np.abs(east) < side) & (np.abs(north) < side)


def test_heights_are_those_of_the_scene(found):
    world, surface = found
    east, north = posts(surface)
    error = surface.terrain.heights_m - interpolate_heights_en(world.truth, east, north)
    middle = within(east, north, 24.0)
    pixel_m = HEIGHT_M / CAMERA.focal_length_px[0]
    assert np.median(np.abs(error[middle])) < 0.5 * pixel_m
    assert np.percentile(np.abs(error[middle]), 90) < 2.0 * pixel_m
    assert surface.support[middle].mean() > 0.9
    assert (np.isfinite(surface.sigma_m) == surface.support).all()
    in_sigmas = np.abs(error / surface.sigma_m)[middle & surface.support]
    assert 0.2 < np.median(in_sigmas) < 1.5, "as sure as it says"


def test_a_house_stands_where_the_dem_has_none(found):
    _, surface = found
    east, north = posts(surface)
    easts, norths, high = HOUSE
    roof = (east > easts.start + 2) & (east < easts.stop - 2)
    roof &= (north > norths.start + 2) & (north < norths.stop - 2)
    above = surface.terrain.heights_m - slope(east, north)
    assert np.abs(np.median(above[roof]) - high) < 0.2


def test_what_less_than_two_pictures_see_is_the_terrain_moved_by_its_error_and_nothing_else(found):
    """No support, nothing that stands is carried on, and moved no farther than the flight says it knows."""
    world, surface = found
    east, north = posts(surface)
    ground = interpolate_heights_en(world.ground, east, north)
    seen = np.zeros(east.shape, int)
    for view in world.views:
        uv, _ = project(view.interior, view.exterior, np.stack([east, north, ground], -1).reshape(-1, 3))
        seen += is_in_image(view.interior, uv[:, 0], uv[:, 1]).reshape(east.shape)
    # windows and the blend reach a few posts out
    outside = cv2.dilate((seen >= 2).astype(np.uint8), np.ones((17, 17), np.uint8)) == 0
    assert outside.sum() > 100
    assert not surface.support[outside].any()
    moved = surface.terrain.heights_m - ground
    assert (np.abs(moved) <= 2.0 * surface.terrain_sigma_m)[outside].all()
    both = outside[:, 1:] & outside[:, :-1]
    assert np.abs(np.diff(moved, axis=1))[both].max() < 0.05


def test_without_texture_the_terrain_stays():
    world = scene(bare=True, texture=0.0)
    surface = refine_surface(world.views, world.pixels_of, world.ground, spacing_m=SPACING)
    east, north = posts(surface)
    assert surface.support.mean() < 0.02
    off = np.abs(surface.terrain.heights_m - slope(east, north))
    assert np.percentile(off, 95) < 0.05


def test_ground_that_moved_is_found():
    world = scene(bare=True, moved_m=5.0)
    surface = refine_surface(world.views, world.pixels_of, world.ground, spacing_m=SPACING)
    east, north = posts(surface)
    middle = within(east, north, 20.0)
    off = surface.terrain.heights_m - (slope(east, north) - 5.0)
    assert np.percentile(np.abs(off[middle]), 90) < 0.4


def test_for_rectification_draws_edges_straight_and_moves_nothing(found):
    _, surface = found
    straight = surface.rectification_terrain()
    inner = (slice(8, -8), slice(8, -8))
    before, after = surface.terrain.heights_m[inner], straight.heights_m[inner]
    assert np.median(np.abs(after - before)) < 0.1
    assert np.abs(np.diff(after, axis=1)).max() < np.abs(np.diff(before, axis=1)).max()
    assert straight.dem_id != surface.terrain.dem_id
    assert straight.origin_m == surface.terrain.origin_m
