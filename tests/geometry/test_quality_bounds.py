"""Bounds over blocks hold for every pixel, and leaving out blocks changes no byte of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flycam.geometry.footprint import compute_footprint
from flycam.geometry.frame_view import FrameView, group_compatible_views
from flycam.geometry.grid import TileRange
from flycam.geometry.lattice import FrameLattices
from flycam.geometry.orthorectification import orthorectify
from flycam.geometry.pose import CameraMotion
from flycam.geometry.quality_bounds import (
    BLOCKS,
    compute_quality_bounds,
    compute_wanted_extents,
    find_wanted_tiles,
)
from tests.geometry.scenes import camera, hills, mercator_map, pose, tiles_around

TO_WORK = mercator_map()
SMALL = camera(480, 360, 350.0)
PIXELS = np.random.default_rng(0).integers(1, 255, (360, 480, 3), dtype=np.uint8)


def scene(seed: int, pitch_deg: float, relief_m: float):
    terrain = hills(seed=seed, relief_m=relief_m, roughness=1.9)
    exterior = pose(terrain, agl_m=110.0, pitch_deg=pitch_deg, yaw_deg=float(seed * 37 % 360))
    tiles = tiles_around(compute_footprint(SMALL, exterior, terrain).bounds_m, 19, TO_WORK)
    return terrain, exterior, tiles


def blocks_of(raster: np.ndarray, tiles: TileRange) -> np.ndarray:
    """T×8×8×1024 pixels of a raster of the range."""
    rows, cols = tiles.shape_tiles
    side = raster.shape[0] // (rows * BLOCKS)
    split = raster.reshape(rows, BLOCKS, side, cols, BLOCKS, side).transpose(0, 3, 1, 4, 2, 5)
    return split.reshape(rows * cols, BLOCKS, BLOCKS, side * side)


@given(st.integers(0, 500), st.sampled_from([-90.0, -65.0, -40.0]), st.sampled_from([60.0, 250.0, 500.0]))
@settings(max_examples=6, deadline=None)
def test_every_pixel_lies_between_the_bounds(seed: int, pitch_deg: float, relief_m: float) -> None:
    terrain, exterior, tiles = scene(seed, pitch_deg, relief_m)
    made = orthorectify(PIXELS, FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    quality = blocks_of(made.quality, tiles)
    ((bounds, _),) = compute_quality_bounds([FrameView(SMALL, exterior, terrain, TO_WORK)], [tiles])
    assert not np.delete(quality, bounds.index, axis=0).any()
    seen = quality[bounds.index]
    assert (seen.min(axis=-1) >= bounds.lowest).all()
    assert (seen.max(axis=-1) <= bounds.highest).all()
    inner = bounds.lowest > 0
    assert inner.any()
    # tight enough to be of use: within blocks quality changes little
    slack = (bounds.highest.astype(int) - seen.max(axis=-1))[inner]
    assert np.median(slack) < 1500


@given(st.integers(0, 500), st.sampled_from([-90.0, -50.0]), st.floats(0.05, 0.6))
@settings(max_examples=5, deadline=None)
def test_what_is_wanted_has_the_same_bytes(seed: int, pitch_deg: float, share: float) -> None:
    terrain, exterior, tiles = scene(seed, pitch_deg, 350.0)
    rows, cols = tiles.shape_tiles
    wanted = np.random.default_rng(seed).random((rows * BLOCKS, cols * BLOCKS)) < share**3
    whole = orthorectify(PIXELS, FrameView(SMALL, exterior, terrain, TO_WORK), tiles)
    part = orthorectify(PIXELS, FrameView(SMALL, exterior, terrain, TO_WORK), tiles, wanted=wanted)
    pixels = wanted.repeat(32, axis=0).repeat(32, axis=1)
    np.testing.assert_array_equal(part.quality[pixels], whole.quality[pixels])
    np.testing.assert_array_equal(part.rgb[pixels], whole.rgb[pixels])
    made = part.quality > 0
    np.testing.assert_array_equal(part.quality[made], whole.quality[made])
    ((_, lattices),) = compute_quality_bounds([FrameView(SMALL, exterior, terrain, TO_WORK)], [tiles])
    assume(lattices is not None)  # over posts this fine none are made
    assert lattices is not None
    inner = TileRange(
        z=tiles.z,
        x_start=tiles.x_start + 1,
        y_start=tiles.y_start + 1,
        x_stop=tiles.x_stop,
        y_stop=tiles.y_stop,
    )
    wanted = wanted[BLOCKS:, BLOCKS:]
    again = orthorectify(
        PIXELS, FrameView(SMALL, exterior, terrain, TO_WORK), inner, wanted=wanted,
        lattices=lattices.restrict(tiles, inner, find_wanted_tiles(inner, wanted)),
    )  # fmt: skip
    np.testing.assert_array_equal(again.quality, part.quality[256:, 256:])
    np.testing.assert_array_equal(again.rgb, part.rgb[256:, 256:])


def bits_of(lattices: FrameLattices) -> dict[tuple[str, int], tuple[object, ...]]:
    """Every array of every tile and quarter, by its number."""
    names = ("map_uv", "quality", "margin", "box", "reach_uv", "known", "hidden", "error_px")
    return {
        (kind, index): (one.step_px, *(getattr(one, name)[row].tobytes() for name in names))
        for kind, every in (("tile", lattices.tiles), ("quarter", lattices.quarters))
        for one in every
        for row, index in enumerate(one.index.tolist())
    }


@pytest.mark.parametrize(("seed", "pitch_deg"), [(1, -65.0), (3, -40.0)])
def test_frames_together_have_the_bits_of_each_alone(seed: int, pitch_deg: float) -> None:
    terrain = hills(seed=seed, relief_m=450.0, roughness=1.9)
    rolling = replace(SMALL, readout_s=0.03)
    motion = CameraMotion(velocity_mps=(9.0, -8.0, 1.5), turn_radps=(0.02, -0.015, 0.03))
    views, tiles = [], []
    for number in range(7):
        exterior = pose(
            terrain, agl_m=90.0 + 25.0 * number, pitch_deg=pitch_deg, yaw_deg=float(number * 50 + seed)
        )
        # the third and fourth read their rows one after the other, the last has another lens
        lens = rolling if number in (2, 3) else camera(480, 360, 300.0) if number == 6 else SMALL
        moving = replace(exterior, motion=motion) if number in (2, 3) else exterior
        views.append(FrameView(lens, moving, terrain, TO_WORK))
        tiles.append(tiles_around(compute_footprint(lens, exterior, terrain).bounds_m, 18, TO_WORK))
    assert [len(run) for run in group_compatible_views(views)] == [2, 1, 1, 2, 1]
    together = compute_quality_bounds(views, tiles)
    assert any(lattices is not None for _, lattices in together)
    for view, one, (bounds, lattices) in zip(views, tiles, together, strict=True):
        own = FrameView(view.interior, view.exterior, terrain, TO_WORK)
        ((alone, alone_lattices),) = compute_quality_bounds([own], [one])
        for name in ("index", "lowest", "highest"):
            np.testing.assert_array_equal(getattr(bounds, name), getattr(alone, name))
        assert (lattices is None) == (alone_lattices is None)
        if lattices is not None and alone_lattices is not None:
            assert bits_of(lattices) == bits_of(alone_lattices)


def test_a_frame_that_sees_nothing_of_the_tiles_has_no_bounds() -> None:
    terrain, exterior, tiles = scene(1, -90.0, 60.0)
    far = TileRange(
        z=tiles.z,
        x_start=tiles.x_start + 40,
        y_start=tiles.y_start,
        x_stop=tiles.x_stop + 40,
        y_stop=tiles.y_stop,
    )
    ((bounds, _),) = compute_quality_bounds([FrameView(SMALL, exterior, terrain, TO_WORK)], [far])
    assert bounds.index.size == 0
    with pytest.raises(ValueError, match="reshape"):
        compute_wanted_extents(far, np.zeros((3, 3), dtype=bool))
