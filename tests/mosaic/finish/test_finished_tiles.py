"""Finished tiles: the same in any block, without holes, each pixel with its frame and its error."""

from __future__ import annotations

import numpy as np
import pytest

from bench.seams import fine_detail, seam_gradients
from flycam.geometry.grid import TileId, TileRange
from flycam.model.frame import FIRST_EPOCH, MosaicTile, OrthoPatch
from flycam.mosaic.finish.finished_tiles import (
    OcclusionFill,
    decode_error_m,
    finish_tiles,
)
from flycam.mosaic.finish.radiometry import Radiometry, solve_radiometry
from flycam.mosaic.finish.seamline import SeamPlan, plan_seams
from flycam.mosaic.tiles.codec import compute_content_hash
from tests.mosaic.finish.block import BASE_ZOOM, CORNER, Block, strip

ERROR_M = {f"f{n}": np.float32(0.1 + 0.05 * n) for n in range(4)}


@pytest.fixture(scope="module")
def block() -> Block:
    gains = ((1.0, 1.0, 1.0), (1.1, 1.1, 1.1), (0.92, 0.92, 0.92), (1.0, 1.05, 1.0))
    shots = strip(falloff=-0.3)
    return Block([type(s)(**{**vars(s), "gain": g}) for s, g in zip(shots, gains, strict=True)])


@pytest.fixture(scope="module")
def planned(block: Block) -> tuple[Radiometry, SeamPlan]:
    overviews = block.overviews()
    radiometry = solve_radiometry(overviews)
    return radiometry, plan_seams(overviews, radiometry)


def error_of(frame_id: str, tile: TileId) -> np.ndarray:
    return np.full((256, 256), ERROR_M[frame_id], np.float32)


def made(block: Block, planned: tuple[Radiometry, SeamPlan], **options: object) -> list[MosaicTile]:
    radiometry, plan = planned
    return list(
        finish_tiles(
            plan,
            BASE_ZOOM,
            lambda name, tiles, wanted: block.patch(name, tiles, radiometry.correct, wanted),
            error_of,
            **options,  # type: ignore[arg-type]
        )
    )


@pytest.fixture(scope="module")
def tiles(block: Block, planned: tuple[Radiometry, SeamPlan]) -> list[MosaicTile]:
    return made(block, planned)


def whole(block: Block, tiles: list[MosaicTile]) -> tuple[np.ndarray, np.ndarray]:
    """rgb and source (1 + number of the frame) of the whole ground."""
    rgb = np.zeros((*block.shape, 3), np.uint8)
    source = np.zeros(block.shape, np.uint16)
    for tile in tiles:
        at = np.s_[
            (tile.tile_id.y - CORNER.y) * 256 : (tile.tile_id.y - CORNER.y + 1) * 256,
            (tile.tile_id.x - CORNER.x) * 256 : (tile.tile_id.x - CORNER.x + 1) * 256,
        ]
        rgb[at] = tile.rgb
        source[at] = np.array([0, *(1 + int(f[1:]) for f in tile.frames)])[tile.source]
    return rgb, source


def hashes(tiles: list[MosaicTile]) -> dict[TileId, str]:
    return {tile.tile_id: compute_content_hash(tile) for tile in tiles}


@pytest.mark.parametrize("options", [{"block_tiles": 1}, {"block_tiles": 3, "workers": 2}])
def test_a_tile_is_the_same_in_every_block_and_thread(
    block: Block, planned: tuple[Radiometry, SeamPlan], tiles: list[MosaicTile], options: dict[str, int]
) -> None:
    assert hashes(made(block, planned, **options)) == hashes(tiles)


def test_every_pixel_that_a_frame_sees_has_a_colour(block: Block, tiles: list[MosaicTile]) -> None:
    seen = np.zeros(block.shape, bool)
    for shot in block.shots.values():
        seen[block.window(shot)] = True
    _, source = whole(block, tiles)
    assert (source[seen] > 0).mean() > 0.9999
    assert not (source[~seen] > 0).any()


def test_quality_tells_the_error_of_the_frame_that_gave_the_pixel(tiles: list[MosaicTile]) -> None:
    for tile in tiles:
        assert tile.epoch == FIRST_EPOCH
        expected = np.array([np.nan, *(ERROR_M[f] for f in tile.frames)])[tile.source]
        np.testing.assert_allclose(decode_error_m(tile.quality), expected, atol=0.0006)
        assert (tile.rgb[tile.quality == 0] == 0).all()


def test_seams_cannot_be_told_and_nothing_is_blurred(
    block: Block, planned: tuple[Radiometry, SeamPlan], tiles: list[MosaicTile]
) -> None:
    rgb, source = whole(block, tiles)
    seams = seam_gradients(rgb, source)
    assert seams.count > 500
    assert seams.ratio <= 1.2

    def picture(number: int) -> tuple[np.ndarray, np.ndarray]:
        patch = block.patch(f"f{number - 1}", block.tiles(), planned[0].correct)
        assert patch is not None
        return patch.rgb[: block.shape[0]], patch.quality[: block.shape[0]] > 0

    detail = fine_detail(rgb, source, picture)
    assert 0.95 <= detail.ratio <= 1.05
    assert detail.ratio_near > 0.85


def test_the_ground_is_where_it_was(block: Block, tiles: list[MosaicTile]) -> None:
    """Gains and falloff taken out, the mosaic is the ground, up to one common brightness."""
    rgb, source = whole(block, tiles)
    ratio = rgb[source > 0] / block.ground[source > 0]
    assert np.std(np.log(ratio.mean(axis=1))) < 0.02


SPOT = np.s_[300:340, 380:430]  # base pixels of the block's ground, over a tile's border


def blinded(block: Block, radiometry: Radiometry):
    """patch_of of frames that all believe SPOT hidden."""

    def patch_of(frame_id: str, tiles: TileRange, wanted: np.ndarray) -> OrthoPatch | None:
        patch = block.patch(frame_id, tiles, radiometry.correct, wanted)
        if patch is not None:
            plane = np.zeros(block.tiles().shape_px, bool)
            plane[SPOT] = True
            top, left = (patch.tiles.y_start - CORNER.y) * 256, (patch.tiles.x_start - CORNER.x) * 256
            spot = plane[top : top + patch.quality.shape[0], left : left + patch.quality.shape[1]]
            patch.quality[spot] = 0
            patch.rgb[spot] = 0
        return patch

    return patch_of


def test_ground_that_every_frame_believes_hidden_is_shown_with_the_error_of_that(
    block: Block, planned: tuple[Radiometry, SeamPlan]
) -> None:
    """Before there was a hole where the live mosaic has pixels."""
    radiometry, plan = planned
    hidden = OcclusionFill(
        patch_of=lambda name, tiles, wanted: block.patch(name, tiles, radiometry.correct, wanted),
        error_of=lambda name, tile: error_of(name, tile) + np.float32(4.0),
    )
    blind = blinded(block, radiometry)
    empty = list(finish_tiles(plan, BASE_ZOOM, blind, error_of))
    assert not (whole(block, empty)[1][SPOT] > 0).any()
    filled = list(finish_tiles(plan, BASE_ZOOM, blind, error_of, occlusion_fill=hidden))
    rgb, source = whole(block, filled)
    assert (source[SPOT] > 0).all()
    ratio = rgb[SPOT] / block.ground[SPOT]
    assert np.std(np.log(ratio.mean(axis=-1))) < 0.05
    standing_in = sum(np.count_nonzero(decode_error_m(tile.quality) > 4.0) for tile in filled)
    assert 40 * 50 <= standing_in < 40 * 50 + 1e-4 * np.count_nonzero(source)
    alone = list(finish_tiles(plan, BASE_ZOOM, blind, error_of, occlusion_fill=hidden, block_tiles=1))
    assert hashes(alone) == hashes(filled)
