"""A photo that may show withheld ground is given whole to nobody: also where its footprint says less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import shapely

from flycam.access.policy import iterate_ground_projections
from flycam.catalog.access import RedactionFootprint, RedactionRecord, RestrictedArea
from flycam.drill.photo_drill import DrillReport
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import is_in_image, project
from flycam.geometry.terrain import TerrainGrid
from flycam.http.guards import Services
from flycam.model.access import RedactionReason, RedactionStep, Role
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


def mask(workspace: Workspace, frame_id: str, place: shapely.Point) -> None:
    """A mask drawn on a photo, whose ground is this place."""
    line = RedactionRecord(
        mask_id="mask-00000001",
        step=RedactionStep.MADE,
        frame_id=frame_id,
        reason=RedactionReason.HOME,
        author="x",
        at_ns=1,
        wkb=shapely.to_wkb(shapely.box(1, 1, 20, 20)),
    )
    workspace.catalog.redactions.append([line])
    photo = workspace.catalog.frames.get(frame_id)
    wkb = shapely.to_wkb(place.buffer(5.0 / 111_320.0))
    workspace.catalog.redactions.put_footprints(
        RedactionFootprint(line_id=line.line_id, lay=one.name, wkb=wkb)
        for one in iterate_ground_projections(workspace.catalog, photo)
    )


def test_an_oblique_photo_of_a_place_is_told_to_those_who_may_see_place_and_photo(
    drill: DrillReport, tmp_path: Path
) -> None:
    """A masked place is refused where a photo was found; a restricted one has no photo that may be told."""
    workspace = ingested(tmp_path / "house", drill)
    (flight,) = workspace.catalog.flights.flights()
    photo, other = [
        one for one in workspace.catalog.frames.list_for_flight(flight.flight_id) if one.exterior
    ][:2]
    pose = replace(photo.exterior, rotation=tuple(map(tuple, facing(45.0).tolist())))
    terrain = load_recorded_terrain(workspace, str(photo.dem_id))
    seen = project_frame(replace(photo.header, exterior_prior=pose), terrain)
    east, north, _ = pose.projection_centre_m
    place = shapely.Point(*to_lonlat(np.array([[east, north + 100.0]]), pose.work_crs)[0])
    oblique = replace(photo, exterior=pose, footprint_wkb=shapely.to_wkb(seen.outline_lonlat))
    workspace.catalog.placements.supersede([oblique], "placed anew", "x", 1)
    for name, role in (("lan", Role.OPERATOR), ("minh", Role.ADMIN)):
        add_account(workspace, name, role, name)

    def ask(token: str) -> tuple[int, bool]:
        asked = {"event": flight.event_id, "lon": place.x, "lat": place.y}
        with running(Services(workspace=workspace)) as url:
            answer = httpx.get(
                f"{url}/api/oblique", params=asked, headers={"Authorization": f"Bearer {token}"}, timeout=60
            )
        return answer.status_code, answer.status_code == 200 and answer.json() is not None

    assert ask("lan") == (200, True)
    mask(workspace, other.frame_id, place)
    assert ask("lan") == (403, False)
    withhold(workspace, place)
    assert ask("lan") == (200, False)
    assert ask("minh") == (200, True)
