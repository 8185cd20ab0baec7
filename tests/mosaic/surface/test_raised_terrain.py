"""Terrain lifted to single heights: as high where they are, as it was where they say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.mosaic.surface.refinement import raise_terrain

ORIGIN = (500_000.0, 2_400_000.0)
ROUNDED_M = 1 / 64


def slope(step_m: float = 10.0, posts: int = 81) -> TerrainGrid:
    """Ground that rises to the north-east, bent."""
    x, y = np.meshgrid(np.linspace(0.0, 1.0, posts), np.linspace(0.0, 1.0, posts))
    return TerrainGrid(
        heights_m=(300.0 + 90.0 * x - 60.0 * y * y).astype(np.float32),
        origin_m=ORIGIN,
        post_spacing_m=(step_m, step_m),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="slope",
    )


def places(around: tuple[float, float], count: int, spread_m: float, seed: int = 1) -> np.ndarray:
    """Places N×2 in a square around one (metres east and south of the terrain's first post)."""
    off = np.random.default_rng(seed).uniform(-spread_m, spread_m, (count, 2))
    return np.array(ORIGIN) + np.array([around[0], -around[1]]) + off


def standing(terrain: TerrainGrid, place: np.ndarray, above_m: float | np.ndarray) -> np.ndarray:
    return np.column_stack([place, interpolate_heights(terrain, place) + above_m])


def box(terrain: TerrainGrid) -> tuple[float, float, float, float]:
    west, south, east, north = terrain.bounds_m
    return west + 100.0, south + 100.0, east - 100.0, north - 100.0


def test_a_wood_is_as_high_as_its_crowns_and_the_field_beside_it_is_not() -> None:
    terrain = slope()
    wood, field = places((250.0, 400.0), 120, 90.0), places((520.0, 400.0), 120, 90.0, seed=2)
    point = np.concatenate([standing(terrain, wood, 14.0), standing(terrain, field, 0.0)])
    ground = raise_terrain(terrain, point, np.full(240, 0.5), box(terrain))
    inside = places((250.0, 400.0), 200, 60.0, seed=3)
    beside = places((520.0, 400.0), 200, 60.0, seed=4)
    assert interpolate_heights(ground, inside) - interpolate_heights(terrain, inside) == pytest.approx(
        14.0, abs=0.8
    )
    assert interpolate_heights(ground, beside) - interpolate_heights(terrain, beside) == pytest.approx(
        0.0, abs=0.3
    )


@pytest.mark.parametrize("step_m", [10.0, 90.0])
def test_where_the_heights_are_the_terrain_s_own_nothing_changes(step_m: float) -> None:
    terrain = slope(step_m)
    middle = (40.0 * step_m, 40.0 * step_m)
    place = places(middle, 60, 120.0)
    west, south = place.min(0) - 30.0
    east, north = place.max(0) + 30.0
    ground = raise_terrain(
        terrain, standing(terrain, place, 0.0), np.full(60, 0.5), (west, south, east, north)
    )
    assert max(ground.post_spacing_m) <= 10.0 and ground.heights_m.size < terrain.heights_m.size * 9
    within = np.random.default_rng(5).uniform((west, south), (east, north), (500, 2))
    assert interpolate_heights(ground, within) == pytest.approx(
        interpolate_heights(terrain, within), abs=ROUNDED_M
    )
    assert (ground.vertical_datum, ground.work_crs) == (terrain.vertical_datum, terrain.work_crs)


@settings(max_examples=40, deadline=None)
@given(
    above=st.lists(st.floats(-50.0, 50.0), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
)
def test_nowhere_is_it_lifted_beyond_what_was_seen(above: list[float], seed: int) -> None:
    """The law of it: a mean of what was seen and of the terrain as it is."""
    terrain = slope(10.0, 41)
    point = standing(terrain, places((200.0, 200.0), len(above), 150.0, seed), np.array(above))
    ground = raise_terrain(terrain, point, np.full(len(above), 1.0), terrain.bounds_m)
    lift = ground.heights_m - terrain.heights_m
    assert lift.min() >= min(0.0, *above) - 0.1 and lift.max() <= max(0.0, *above) + 0.1


def test_what_cannot_be_and_what_nobody_knows_lifts_nothing() -> None:
    terrain = slope()
    place = places((400.0, 400.0), 50, 50.0)
    ones = np.ones(50)
    assert raise_terrain(terrain, standing(terrain, place, 200.0), ones, box(terrain)) is terrain
    assert raise_terrain(terrain, standing(terrain, place, 10.0), 9.0 * ones, box(terrain)) is terrain
    assert raise_terrain(terrain, np.full((50, 3), np.nan), ones, box(terrain)) is terrain
    assert raise_terrain(terrain, np.empty((0, 3)), np.empty(0), box(terrain)) is terrain
    west, south, _, _ = terrain.bounds_m
    beside = (west - 900.0, south, west - 500.0, south + 300.0)
    assert raise_terrain(terrain, standing(terrain, place, 10.0), ones, beside) is terrain
