"""The parts of `finish` that can be judged without a flight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.errors import InputUnusable
from flycam.geometry.terrain import TerrainGrid, interpolate_heights, make_flat_terrain
from flycam.model.flight import Layer
from flycam.model.records import MosaicInfo
from flycam.mosaic.adjustment.block import TerrainPrior
from flycam.mosaic.finish.report import hash_block_inputs, require_common_crs
from flycam.mosaic.finish.workflow import compute_height_sigma
from flycam.mosaic.surface.surface import Surface
from tests.suites.catalog_suite import EXTERIOR, SECOND, STORM_NS, frame

MOSAIC = MosaicInfo(mosaic_id="f1-colour", flight_id="f1", layer=Layer.COLOUR, base_zoom=20, min_zoom=8)


def records(count: int = 6, step_m: float = 20.0, step_s: float = 2.0):
    """A straight strip flown northwards."""
    result = []
    for number in range(count):
        at = (500_000.0, 2_400_000.0 + number * step_m, 800.0)
        record = frame(number, exterior=replace(EXTERIOR, projection_centre_m=at))
        captured = STORM_NS + int(number * step_s * SECOND)
        result.append(replace(record, header=replace(record.header, captured_ns=captured)))
    return result


def test_the_hash_is_of_all_that_decides_and_of_nothing_else() -> None:
    made = records()
    options = {"surface": True, "gsd_m": None}
    known = hash_block_inputs(MOSAIC, made, "dem-1", options)
    assert hash_block_inputs(MOSAIC, made[::-1], "dem-1", dict(reversed(options.items()))) == known
    moved = replace(EXTERIOR, projection_centre_m=(1.0, 2.0, 3.0))
    lens = replace(made[0].header.interior, focal_length_px=(3001.0, 3001.0))
    others = [
        hash_block_inputs(MOSAIC, made[:-1], "dem-1", options),
        hash_block_inputs(MOSAIC, [replace(made[0], exterior=moved), *made[1:]], "dem-1", options),
        hash_block_inputs(MOSAIC, made, "dem-2", options),
        hash_block_inputs(MOSAIC, made, "dem-1", options | {"surface": False}),
        hash_block_inputs(replace(MOSAIC, base_zoom=21), made, "dem-1", options),
        hash_block_inputs(
            MOSAIC,
            [replace(made[0], header=replace(made[0].header, interior=lens)), *made[1:]],
            "dem-1",
            options,
        ),
    ]
    assert len({known, *others}) == 1 + len(others)


def test_poses_in_two_systems_are_no_block() -> None:
    made = records(2)
    other = replace(made[1], exterior=replace(EXTERIOR, vertical_datum="EGM2008"))
    with pytest.raises(InputUnusable, match=r"DJI_0001\.JPG: .* EGM2008"):
        require_common_crs([made[0], other])


def test_heights_are_known_less_well_beside_the_surface_s_support() -> None:
    terrain = TerrainGrid(
        heights_m=np.zeros((41, 41), np.float32),
        origin_m=(0.0, 40.0),
        post_spacing_m=(1.0, 1.0),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="s",
    )
    prior = TerrainPrior(terrain=terrain)
    support, compared = np.zeros((2, 41, 41), bool)
    support[:, :10] = compared[:, :20] = True
    surface = Surface(
        terrain=terrain,
        support=support,
        sigma_m=np.where(support, np.float32(0.2), np.float32(np.nan)),
        terrain_sigma_m=np.full((41, 41), np.float32(0.5)),
        unagreed_sigma_m=np.where(compared, np.float32(1.2), np.float32(np.nan)),
        cover_m=6.0,
    )
    row = compute_height_sigma(terrain, surface, prior).heights_m[20]
    assert row[:10] == pytest.approx(0.2)
    assert row[10:20] == pytest.approx(np.hypot(0.5, 1.2)), "views were compared and did not agree"
    assert row[20:] == pytest.approx(np.hypot(0.5, 6.0)), "the corrected terrain and what stands on it"
    bald = replace(surface, cover_m=0.1)
    assert compute_height_sigma(terrain, bald, prior).heights_m[20, 40] == pytest.approx(
        np.hypot(0.5, 32.0**0.5)
    )
    unsaid = replace(surface, terrain_sigma_m=None)
    model = np.hypot(3.0, 32.0**0.5)
    assert compute_height_sigma(terrain, unsaid, prior).heights_m[20, 40] == pytest.approx(model)
    assert interpolate_heights(
        compute_height_sigma(terrain, None, prior), np.array([[5.0, 5.0]])
    ) == pytest.approx([41.0**0.5])
    plane = make_flat_terrain(100.0, "EPSG:32648", "LOCAL", (0.0, 0.0, 10.0, 10.0))
    assert interpolate_heights(
        compute_height_sigma(plane, None, prior), np.array([[5.0, 5.0]])
    ) == pytest.approx([30.0])
