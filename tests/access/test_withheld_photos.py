"""A photo that may show withheld ground is given whole to nobody: also where its footprint says less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.catalog.access import RestrictedArea
from flycam.drill.photo_drill import DrillReport
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import is_in_image, project
from flycam.geometry.terrain import TerrainGrid
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.records import AuditEntry, FrameRecord
from flycam.mosaic.orthorectify.rectification import project_frame
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.workspace import Workspace
from tests.finished_house import ingested
from tests.serve.running import running
from tests.serve.test_redacted_photos import facing
from tests.serve.world import add_account

Places = tuple[FrameRecord, shapely.Point, shapely.Point]


def look_ahead(photo: FrameRecord, terrain: TerrainGrid) -> Places:
    """The photo as of a camera that looks 20 degrees down, a place at 9 × its height ahead, one behind."""
    pose = replace(photo.exterior, rotation=tuple(map(tuple, facing(20.0).tolist())))
    seen = project_frame(replace(photo.header, exterior_prior=pose), terrain)
    ground_m = float(np.nanmin(terrain.heights_m))
    east, north, up = pose.projection_centre_m
    away_m = 9.0 * (up - ground_m)
    far = np.array([[east, north + away_m, ground_m], [east, north - away_m, ground_m]])
    uv, _ = project(photo.header.interior, pose, far[:1])
    assert is_in_image(photo.header.interior, uv[:, 0], uv[:, 1])[0]
    outline = shapely.to_wkb(seen.outline_lonlat)
    place, behind = shapely.points(to_lonlat(far[:, :2], pose.work_crs))
    return replace(photo, exterior=pose, footprint_wkb=outline), place, behind


def doubt(photo: FrameRecord, _terrain: TerrainGrid) -> Places:
    """The photo as placed to 300 m (1 sigma), a place half as far beside it, and one 3 × as far."""
    pose = replace(photo.exterior, sigma_position_m=(300.0, 300.0, 30.0))
    _, _, east, north = shapely.from_wkb(photo.footprint_wkb).bounds
    beside, far = (shapely.Point(east + metres / 111_320.0, north) for metres in (150.0, 900.0))
    return replace(photo, exterior=pose), beside, far


def withhold(workspace: Workspace, place: shapely.Point) -> None:
    ground = place.buffer(5.0 / 111_320.0)
    area = RestrictedArea(
        area_id="area-1",
        name="Doanh trại",
        roles=frozenset({Role.ADMIN}),
        sha256="0" * 64,
        added_ns=1,
        wkb=shapely.to_wkb(ground),
        bounds_lonlat_deg=ground.bounds,
    )
    entry = AuditEntry(who="x", what="restricted add", subject="area-1", detail="", at_ns=1)
    workspace.catalog.restrictions.put(area, entry)


@pytest.mark.parametrize("place_photo", [look_ahead, doubt])
def test_a_photo_that_may_show_restricted_ground_beyond_its_footprint_is_withheld(
    drill: DrillReport,
    tmp_path: Path,
    place_photo: Callable[[FrameRecord, TerrainGrid], Places],
) -> None:
    """Footprints end where mapping does: at 4 × the distance to the nearest ground (decision 0013)."""
    workspace = ingested(tmp_path / "house", drill)
    (flight,) = workspace.catalog.flights.flights()
    photo = next(one for one in workspace.catalog.frames.list_for_flight(flight.flight_id) if one.exterior)
    photo, place, outside = place_photo(photo, load_recorded_terrain(workspace, str(photo.dem_id)))
    away = shapely.distance(shapely.from_wkb(photo.footprint_wkb), place) * 111_320.0
    if not 60.0 < away < 5000.0:
        pytest.fail(f"{away:.0f} m: nothing is proven")
    workspace.catalog.placements.supersede([photo], "placed anew", "x", 1)
    add_account(workspace, "Lan", Role.OPERATOR, "lan")
    for withheld, status in ((outside, 200), (place, 403)):
        withhold(workspace, withheld)
        with running(Services(workspace=workspace)) as url:
            for path in ("", "/preview"):
                address = f"{url}/api/evidence/{photo.header.provenance.source_sha256}{path}"
                answer = httpx.get(address, headers={"Authorization": "Bearer lan"}, timeout=60)
                assert answer.status_code == status, (withheld, path)
