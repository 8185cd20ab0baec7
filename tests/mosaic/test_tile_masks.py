"""Masked ground on maps that lay the same home elsewhere: covered as far as the margin goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.access.policy import REDACTION_MARGIN_M, AccessPolicy, RedactedGround
from flycam.geodata.crs import to_work
from flycam.geometry.expected_error import UNKNOWN_ERROR_M
from flycam.geometry.grid import get_tile_bounds, make_tile_range, mercator_to_lonlat
from flycam.geometry.terrain import make_flat_terrain
from flycam.http.guards import Services
from flycam.model.access import RedactionReason, Role
from flycam.model.flight import Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import FrameRecord, MosaicInfo
from flycam.mosaic.raster import COLOURS
from flycam.mosaic.redaction import MaskOverlay, RedactionRequest, add_redaction
from flycam.mosaic.terrain_codec import assign_content_id, encode_terrain
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.geometry.test_monoplotting import CAMERA, HEIGHT, pose
from tests.serve.running import running
from tests.serve.test_tile_route import TILE, picture
from tests.serve.world import add_account, make_workspace
from tests.suites.catalog_suite import flight, frame

MOSAIC = MosaicInfo(mosaic_id="m1", flight_id="f1", layer=Layer.COLOUR, base_zoom=18, min_zoom=17)
WEST, SOUTH, EAST, NORTH = get_tile_bounds(TILE)
((LON, LAT),) = mercator_to_lonlat(np.array([[(WEST + EAST) / 2, (SOUTH + NORTH) / 2]]))
METRE = 1.0 / (111_320.0 * np.cos(np.radians(LAT)))
HOME = shapely.box(LON, LAT, LON + 4 * METRE, LAT + 4 * METRE)
PIXEL_M = 156_543.034 * np.cos(np.radians(LAT)) / (1 << 18)
VIEWER = AccessPolicy(masks=RedactedGround({"p": (shapely.to_wkb(HOME),)}, (("p", shapely.to_wkb(HOME)),)))


def lay(workspace: Workspace, one: FrameRecord) -> None:
    """One tile that is all of this photo."""
    patch = OrthoPatch(
        tiles=make_tile_range(TILE),
        rgb=np.full((256, 256, 3), 200, np.uint8),
        quality=np.full((256, 256), 100, np.uint16),
        frame_id=one.frame_id,
        exterior_version=0,
        dem_id="dem",
    )
    with MosaicWriter(
        workspace.store, workspace.catalog.tiles, MOSAIC, origin="box", clock_ns=workspace.clock_ns
    ) as writer:
        writer.add(patch)


def masked_house(tmp_path: Path, sigma_m: float) -> Workspace:
    """A home masked on a photo from above the middle of a tile, which says so well where it was taken; the
    tile is another photo's."""
    workspace = make_workspace(tmp_path)
    bounds = (LON - 1e-3, LAT - 1e-3, LON + 1e-3, LAT + 1e-3)
    workspace.catalog.flights.put_flight(flight(bounds_lonlat_deg=bounds))
    workspace.catalog.tiles.put_mosaic(MOSAIC)
    ((east, north),) = to_work(np.array([[LON, LAT]]), "EPSG:32648")
    terrain = assign_content_id(
        make_flat_terrain(0.0, "EPSG:32648", "EGM96", (east - 2e3, north - 2e3, east + 2e3, north + 2e3))
    )
    workspace.store.put(keys.format_terrain_key(terrain.dem_id), encode_terrain(terrain))
    one = replace(
        frame(1),
        header=replace(frame(1).header, interior=CAMERA),
        exterior=replace(pose(sigma_m), projection_centre_m=(float(east), float(north), HEIGHT)),
        dem_id=terrain.dem_id,
        footprint_wkb=shapely.to_wkb(shapely.box(LON - 6e-4, LAT - 4e-4, LON + 6e-4, LAT + 4e-4)),
    )
    workspace.catalog.frames.put([one, frame(2)])
    lay(workspace, frame(2))
    corners = [(310.0, 230.0), (330.0, 230.0), (330.0, 250.0), (310.0, 250.0)]  # 2 m each way
    request = RedactionRequest(
        redaction_id="mask-00000001", frame_id=one.frame_id, reason=RedactionReason.HOME, corners=corners
    )
    add_redaction(workspace, request, "Lan")
    return workspace


def test_a_file_says_that_masks_cover_it_where_a_pixel_of_it_is(tmp_path: Path) -> None:
    workspace = masked_house(tmp_path, 0.5)
    head = workspace.catalog.tiles.head("m1", 0, TILE)
    assert head is not None
    middle = ((WEST + EAST) / 2, (SOUTH + NORTH) / 2)
    beside = shapely.box(middle[0] + 20.0, SOUTH, EAST, NORTH)  # of the same tile, clipped beside the home
    for within, says_so in ((None, True), (shapely.box(*middle, EAST, NORTH), True), (beside, False)):
        cover = MaskOverlay(VIEWER)
        _, seen = cover.wrap_reader(COLOURS, within).decode(workspace.store.get(head.key), TILE)
        assert not seen.all() and cover.has_covered is says_so


@pytest.mark.parametrize(("sigma_m", "is_rest_shown"), [(7.0, True), (UNKNOWN_ERROR_M, False)])
def test_no_door_shows_what_lies_within_the_margin_of_a_masked_home(
    tmp_path: Path, sigma_m: float, is_rest_shown: bool
) -> None:
    """The attack: a flight that lies off by nearly the margin shows the home so far beside. Where nobody
    knows the masked photo's place, all that it may show is withheld."""
    workspace = masked_house(tmp_path, sigma_m)
    for role in (Role.VIEWER, Role.ADMIN):
        add_account(workspace, role.value, role, role.value)
    within_m, beyond_m = REDACTION_MARGIN_M, REDACTION_MARGIN_M + 6.0  # 2 m of it is the home itself
    columns = [128 + int(metres / PIXEL_M) for metres in (within_m, beyond_m)]
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as client:

        def request(role: Role, path: str) -> httpx.Response:
            return client.get(path, headers={"Authorization": f"Bearer {role.value}"})

        for path in (f"/tiles/m1/{TILE}.png", f"/tiles/m1/{TILE}.png?revision=0"):
            mine, theirs = (picture(request(role, path)) for role in (Role.VIEWER, Role.ADMIN))
            assert not mine[128, columns[0]].any() and bool(mine[128, columns[1], 3]) is is_rest_shown
            assert theirs[128, columns[0], 3]
            again = request(Role.VIEWER, path)
            assert np.array_equal(picture(again), mine), "what is kept in memory is veiled too"
        for metres, is_held in ((within_m, True), (beyond_m, not is_rest_shown)):
            pixel = f"/api/pixel?flight=f1&lon={LON + metres * METRE}&lat={LAT}"
            assert (request(Role.VIEWER, pixel).status_code == 403) is is_held
            assert request(Role.ADMIN, pixel).status_code == 200
