"""Masked ground on maps that lay the same home elsewhere: covered as far as their own pixels err."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.catalog.masked_ground import Masks
from flycam.catalog.records import FrameRecord, MosaicInfo, Role
from flycam.catalog.sharing_records import RedactionGround, RedactionLine
from flycam.catalog.withholding import Withholding
from flycam.frame.frame import Layer
from flycam.frame.redaction import RedactionReason, RedactionStep
from flycam.frame.tile import OrthoPatch
from flycam.geodata.crs import to_work
from flycam.geometry.grid import (
    TileId,
    mercator_to_lonlat,
    single_tile_range,
    tile_bounds,
)
from flycam.mosaic.finishing import quality_of_error
from flycam.mosaic.resample import COLOURS
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.veils import Cover, Veils, block_error_m
from flycam.pipeline.workspace import Workspace
from flycam.serve.services import Services
from tests.geometry.test_seen_ground import CAMERA, HEIGHT, pose
from tests.serve.running import running
from tests.serve.tiles.test_tile_route import TILE, picture
from tests.serve.world import add_account, make_workspace
from tests.suites.catalog_suite import finished, flight, frame

MOSAIC = MosaicInfo(mosaic_id="m1", flight_id="f1", layer=Layer.COLOUR, base_zoom=18, min_zoom=17)
WEST, SOUTH, EAST, NORTH = tile_bounds(TILE)
((LON, LAT),) = mercator_to_lonlat(np.array([[(WEST + EAST) / 2, (SOUTH + NORTH) / 2]]))
METRE = 1.0 / (111_320.0 * np.cos(np.radians(LAT)))
HOME = shapely.box(LON, LAT, LON + 4 * METRE, LAT + 4 * METRE)
BESIDE = (LON + 44 * METRE, LAT + 2 * METRE)
"""40 m east of the home: beyond the least rim."""
ROW = 124
COLUMN = 128 + int(44.0 / (156_543.034 * np.cos(np.radians(LAT)) / (1 << 18)))
VIEWER = Withholding(masks=Masks({"p": (shapely.to_wkb(HOME),)}, (("p", shapely.to_wkb(HOME)),)))


def photo(sigma_m: float, **changes: object) -> FrameRecord:
    """A photo from above the middle of the tile, that says how well its place is known."""
    ((east, north),) = to_work(np.array([[LON, LAT]]), "EPSG:32648")
    above = replace(pose(sigma_m), projection_centre_m=(float(east), float(north), HEIGHT))
    one = frame(1)
    values: dict[str, object] = {
        "header": replace(one.header, interior=CAMERA),
        "exterior": above,
        "gsd_m": HEIGHT / 500.0,
        "footprint_wkb": shapely.to_wkb(shapely.box(LON - 6e-4, LAT - 6e-4, LON + 6e-4, LAT + 6e-4)),
    }
    return replace(one, **(values | changes))  # type: ignore[arg-type]


def lay(workspace: Workspace, one: FrameRecord, mosaic: MosaicInfo, quality: int) -> None:
    """One tile that is all of this photo."""
    patch = OrthoPatch(
        tiles=single_tile_range(TILE),
        rgb=np.full((256, 256, 3), 200, np.uint8),
        quality=np.full((256, 256), quality, np.uint16),
        frame_id=one.frame_id,
        exterior_version=0,
        dem_id="dem",
    )
    with MosaicWriter(
        workspace.store, workspace.catalog.tiles, mosaic, origin="box", clock_ns=workspace.clock_ns
    ) as writer:
        writer.add(patch)


@pytest.fixture
def house(tmp_path: Path) -> Callable[[FrameRecord], Workspace]:
    def of(one: FrameRecord) -> Workspace:
        workspace = make_workspace(tmp_path)
        bounds = (LON - 1e-3, LAT - 1e-3, LON + 1e-3, LAT + 1e-3)
        workspace.catalog.flights.put_flight(flight(bounds_lonlat_deg=bounds))
        workspace.catalog.tiles.put_mosaic(MOSAIC)
        workspace.catalog.frames.put([one])
        lay(workspace, one, MOSAIC, 100)
        return workspace

    return of


def is_veiled(workspace: Workspace, info: MosaicInfo, tile: TileId = TILE) -> bool:
    """Whether the place beside the home is withheld, and the home is in any case."""
    head = workspace.catalog.tiles.head(info.mosaic_id, info.revision, tile)
    assert head is not None
    veil = Veils(workspace).over(info, head, VIEWER)
    assert veil is not None and veil.name == VIEWER.fingerprint
    step = 1 << (TILE.z - tile.z)
    row, column = (256 * (TILE.y % step) + 126) // step, (256 * (TILE.x % step) + 130) // step
    assert veil.hidden[row, column]
    row, column = (256 * (TILE.y % step) + ROW) // step, (256 * (TILE.x % step) + COLUMN) // step
    return bool(veil.hidden[row, column])


@pytest.mark.parametrize("zoom", [18, 17])
@pytest.mark.parametrize(("sigma_m", "is_hidden"), [(0.5, False), (2.0, False), (15.0, True), (400.0, True)])
def test_a_live_map_is_covered_as_far_as_its_own_poses_err(
    house: Callable[[FrameRecord], Workspace], sigma_m: float, is_hidden: bool, zoom: int
) -> None:
    tile = TILE if zoom == TILE.z else TILE.parent()
    assert is_veiled(house(photo(sigma_m)), MOSAIC, tile) is is_hidden


def test_where_nobody_knows_what_a_map_errs_it_is_covered_as_far_as_any(
    house: Callable[[FrameRecord], Workspace],
) -> None:
    on_plane = replace(pose(0.5), vertical_datum="LOCAL")
    assert is_veiled(house(photo(0.5, exterior=on_plane)), MOSAIC)


@pytest.mark.parametrize(
    ("error_m", "stats", "is_hidden"),
    [
        (0.1, {"accepted": True, "shift_sigma_m": [0.2, 0.2, 0.4]}, False),
        (0.1, {"accepted": True, "shift_sigma_m": [12.0, 9.0, 20.0]}, True),
        (0.1, {"accepted": True, "shift_sigma_m": [None, None, None]}, True),
        (0.1, {}, True),
        (25.0, {"accepted": True, "shift_sigma_m": [0.2, 0.2, 0.4]}, True),
        (3.0, {"accepted": False, "shift_sigma_m": [None, None, None]}, False),
        (25.0, {"accepted": False, "shift_sigma_m": [None, None, None]}, True),
    ],
)
def test_a_finished_map_without_the_masked_photo_is_covered_as_far_as_it_errs_absolutely(
    house: Callable[[FrameRecord], Workspace], error_m: float, stats: dict[str, object], is_hidden: bool
) -> None:
    one = photo(0.5)
    workspace = house(one)
    revisions = workspace.catalog.revisions
    number = revisions.open(MOSAIC, "hash-a", {}, 5)
    made = replace(MOSAIC, revision=number, published=False)
    lay(workspace, one, made, int(quality_of_error(np.array([error_m], np.float32))[0]))
    revisions.publish(finished(number, stats=stats))
    assert is_veiled(workspace, workspace.catalog.tiles.mosaic("m1", number)) is is_hidden
    assert is_veiled(workspace, MOSAIC) is False, "each revision by what it errs itself"


def test_a_file_says_that_masks_cover_it_where_a_pixel_of_it_is(
    house: Callable[[FrameRecord], Workspace],
) -> None:
    workspace = house(photo(0.5))
    head = workspace.catalog.tiles.head("m1", 0, TILE)
    assert head is not None
    middle = ((WEST + EAST) / 2, (SOUTH + NORTH) / 2)
    beside = shapely.box(middle[0] + 40.0, SOUTH, EAST, NORTH)  # of the same tile, clipped beside the rim
    for within, says_so in ((None, True), (shapely.box(*middle, EAST, NORTH), True), (beside, False)):
        cover = Cover(workspace, VIEWER)
        _, seen = cover.look(MOSAIC, COLOURS, within).of(workspace.store.get(head.key), TILE)
        assert not seen.all() and cover.has_covered is says_so


def test_what_is_unknown_of_a_block_is_radial() -> None:
    assert block_error_m({"accepted": True, "shift_sigma_m": [3.0, 4.0, 9.0]}) == 5.0


def test_no_door_shows_the_home_where_a_map_of_poor_poses_laid_it(
    house: Callable[[FrameRecord], Workspace],
) -> None:
    """The attack: a flight whose positions are 15 m off shows the home 40 m beside where its photo says."""
    workspace = house(photo(15.0))
    for role in (Role.VIEWER, Role.ADMIN):
        add_account(workspace, role.value, role, role.value)
    line = RedactionLine(
        mask_id="mask-00000001",
        step=RedactionStep.MADE,
        frame_id="elsewhere",
        reason=RedactionReason.HOME,
        author="Lan",
        at_ns=1,
        wkb=shapely.to_wkb(shapely.box(1, 1, 9, 9)),
    )
    workspace.catalog.redactions.append([line])
    ground = RedactionGround(line_id=line.line_id, lay="theirs", wkb=shapely.to_wkb(HOME))
    workspace.catalog.redactions.put_grounds([ground])
    pixel = f"/api/pixel?flight=f1&lon={BESIDE[0]}&lat={BESIDE[1]}"
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as client:

        def asked(role: Role, path: str) -> httpx.Response:
            return client.get(path, headers={"Authorization": f"Bearer {role.value}"})

        tile = f"/tiles/m1/{TILE}"
        for path in (f"{tile}.png", f"{tile}.png?revision=0", f"{tile}?layer=error"):
            mine, theirs = (picture(asked(role, path)) for role in (Role.VIEWER, Role.ADMIN))
            assert not mine[ROW, COLUMN].any() and theirs[ROW, COLUMN, 3]
            assert mine[ROW, 5, 3], "a tile is not hidden for a home"
            again = asked(Role.VIEWER, path)
            assert np.array_equal(picture(again), mine), "what is kept in memory is veiled too"
        assert asked(Role.VIEWER, pixel).status_code == 403
        assert asked(Role.ADMIN, pixel).json()["frame_id"] == photo(15.0).frame_id
