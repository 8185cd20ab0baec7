"""The expected error against errors made on purpose."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.expected_error import (
    UNKNOWN_ERROR_M,
    compute_expected_error,
    compute_tile_error,
    compute_tile_height_sigma,
)
from flycam.geometry.grid import compute_pixel_centres, find_tile_at, lonlat_to_mercator, make_tile_range
from flycam.geometry.pose import (
    ExteriorOrientation,
    PoseSource,
    rotation_from_angle_axis,
    rotation_from_gimbal,
    to_mat3,
)
from flycam.geometry.terrain import TerrainGrid, make_flat_terrain
from tests.geometry.scenes import LAT, LON, WORK_CRS, mercator_map

UP = np.array([[0.0, 0.0, 1.0]])


def pose(
    height_m: float = 120.0,
    pitch_deg: float = -90.0,
    yaw_deg: float = 0.0,
    sigma_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    sigma_rad: tuple[float, float, float] = (0.0, 0.0, 0.0),
    at: tuple[float, float] = (0.0, 0.0),
) -> ExteriorOrientation:
    rotation = rotation_from_gimbal(math.radians(yaw_deg), math.radians(pitch_deg), 0.0)
    return ExteriorOrientation(
        projection_centre_m=(*at, height_m),
        rotation=to_mat3(rotation),
        work_crs=WORK_CRS,
        vertical_datum="EGM96",
        sigma_position_m=sigma_m,
        sigma_attitude_rad=sigma_rad,
        source=PoseSource.ADJUSTED,
    )


def test_what_is_not_known_of_the_height_leans_outwards() -> None:
    beside = np.array([[60.0, 0.0, 0.0], [0.0, -120.0, 0.0]])
    up = np.repeat(UP, 2, axis=0)
    assert compute_expected_error(pose(), beside, up, np.full(2, 5.0)) == pytest.approx([2.5, 5.0])
    falls_away = np.array([[math.sin(0.2), 0.0, math.cos(0.2)]])  # up the slope means towards the camera
    faces = falls_away * [-1, 1, 1]
    level, away, facing = (
        compute_expected_error(pose(), beside[:1], normal, np.ones(1))[0]
        for normal in (UP, falls_away, faces)
    )
    assert facing < level < away


@settings(max_examples=30)
@given(
    st.floats(-85.0, -50.0),
    st.floats(0.0, 360.0),
    st.floats(-0.5, 0.5),
    st.floats(-0.5, 0.5),
    st.integers(0, 2**31),
)
def test_it_is_the_spread_of_errors_made_on_purpose(
    pitch: float, yaw: float, slope_e: float, slope_n: float, seed: int
) -> None:
    """4,000 wrong poses with a covariance that ties position to attitude, met with a tilted plane."""
    rng = np.random.default_rng(seed)
    true = pose(pitch_deg=pitch, yaw_deg=yaw)
    scale = np.array([0.2, 0.2, 0.3, 0.002, 0.002, 0.004])
    mix = np.eye(6) + 0.5 * rng.standard_normal((6, 6))
    covariance = (mix @ mix.T) * np.outer(scale, scale) / 3.0
    ground = np.array([30.0, -40.0, 5.0])
    normal = np.array([-slope_e, -slope_n, 1.0]) / math.hypot(1.0, slope_e, slope_n)
    camera_ray = np.asarray(true.rotation) @ (ground - np.asarray(true.projection_centre_m))

    draws = rng.multivariate_normal(np.zeros(6), covariance, 4000)
    heights = rng.normal(0.0, 0.7, 4000)
    turned = rotation_from_angle_axis(draws[:, 3:]) @ np.asarray(true.rotation)
    rays = np.einsum("nki,k->ni", turned, camera_ray)
    centres = np.asarray(true.projection_centre_m) + draws[:, :3]
    planes = ground + np.outer(heights, [0.0, 0.0, 1.0])
    t = np.einsum("ni,i->n", planes - centres, normal) / (rays @ normal)
    met = centres + t[:, None] * rays
    spread = math.sqrt(np.square(met[:, :2] - ground[:2]).sum(axis=1).mean())

    said = compute_expected_error(true, ground[None], normal[None], np.full(1, 0.7), covariance)[0]
    assert said == pytest.approx(spread, rel=0.06)


def test_what_is_not_known_is_said_to_be_far_off() -> None:
    tile, _, _ = find_tile_at(19, tuple(lonlat_to_mercator(np.array([LON, LAT]))))
    elsewhere = make_flat_terrain(0.0, WORK_CRS, "EGM96", (0.0, 0.0, 10.0, 10.0))
    sigma_m = compute_tile_height_sigma(tile, mercator_map(), elsewhere)
    assert np.isnan(sigma_m).all()
    error = compute_tile_error(pose(), tile, mercator_map(), elsewhere, sigma_m)
    assert (error == UNKNOWN_ERROR_M).all()


def test_a_height_that_is_worse_known_at_one_post_is_so_at_the_pixels_there() -> None:
    """Sigmas of heights change from post to post; a lattice of every 32nd pixel passed over them."""
    tile, _, _ = find_tile_at(19, tuple(lonlat_to_mercator(np.array([LON, LAT]))))
    to_work = mercator_map()
    row, col = 100, 75  # between nodes
    place = to_work(
        compute_pixel_centres(make_tile_range(tile), np.array([row]), np.array([col])).reshape(-1, 2)
    )[0]
    sigma = np.full((101, 101), np.float32(0.2))
    sigma[49:52, 49:52] = 3.0
    grid = TerrainGrid(
        heights_m=sigma,
        origin_m=(float(place[0]) - 50.0, float(place[1]) + 50.0),
        post_spacing_m=(1.0, 1.0),
        work_crs=WORK_CRS,
        vertical_datum="EGM96",
        dem_id="sigma",
    )
    sigma_m = compute_tile_height_sigma(tile, to_work, grid)
    assert sigma_m[row, col] == pytest.approx(3.0)
    assert sigma_m[row, col + 40] == pytest.approx(0.2)
    exterior = replace(pose(), projection_centre_m=(float(place[0]) - 60.0, float(place[1]), 120.0))
    west, south, east, north = grid.bounds_m
    flat = make_flat_terrain(
        0.0, WORK_CRS, "EGM96", (west - 300.0, south - 300.0, east + 300.0, north + 300.0)
    )
    error = compute_tile_error(exterior, tile, to_work, flat, sigma_m)
    assert error[row, col] == pytest.approx(3.0 * 60.0 / 120.0, rel=1e-2)
