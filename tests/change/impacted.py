"""Changes with roads, houses and masts around them: a slide over a road and houses, at the border of two
communes (LON + 0.006), and a flood that nobody has decided on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import shapely

from flycam.board.layers import LayerRequest, add_layer
from flycam.catalog.changes import ChangeVersion
from flycam.model.board import ChangeKind, ChangeStatus, LayerKind
from flycam.model.flight import Event, EventKind
from flycam.model.records import LayerRecord
from flycam.workspace import Workspace
from tests.serve.world import LAT, LON, add_communes, make_workspace
from tests.suites.change_suite import FOUND

EAST_M, NORTH_M = 1.0 / 103_300.0, 1.0 / 110_700.0
"""A metre in degrees there."""

SLIDE, FLOOD = "change-00000001", "change-00000002"
Thing = tuple[str, shapely.Geometry]


def place(east_m: float, north_m: float) -> tuple[float, float]:
    """Longitude and latitude of a place by metres from the slide's south-western corner."""
    return LON + east_m * EAST_M, LAT + north_m * NORTH_M


def point(east_m: float, north_m: float) -> shapely.Point:
    return shapely.Point(place(east_m, north_m))


def line(*places: tuple[float, float]) -> shapely.LineString:
    return shapely.LineString([place(*one) for one in places])


def square(west_m: float, south_m: float, size_m: float) -> shapely.MultiPolygon:
    corners = [place(west_m, south_m), place(west_m + size_m, south_m + size_m)]
    return shapely.MultiPolygon([shapely.box(*corners[0], *corners[1])])


def changed(change_id: str, shape: shapely.MultiPolygon, **more: object) -> ChangeVersion:
    west, south, east, north = (float(side) for side in shape.bounds)
    return replace(
        FOUND,
        change_id=change_id,
        wkb=shapely.to_wkb(shape),
        bounds_lonlat_deg=(west, south, east, north),
        area_m2=10_000.0,
        commune="99002",
        **more,  # type: ignore[arg-type]
    )


def add_things(
    workspace: Workspace, folder: Path, name: str, kind: LayerKind, things: Sequence[Thing], status: str = ""
) -> LayerRecord:
    """A layer of a file as an office would give it."""
    features = [
        {
            "type": "Feature",
            "properties": {"name": label, "status": status},
            "geometry": json.loads(shapely.to_geojson(shape)),
        }
        for label, shape in things
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    layer, _ = add_layer(workspace, LayerRequest(source=str(path), kind=kind, name=name), "Lan")
    return layer


def impacted_house(folder: Path) -> Workspace:
    """A slide of 100 m by 100 m that is confirmed, and a flood as large, 400 m east of it, that waits."""
    workspace = make_workspace(folder / "house")
    add_communes(workspace)
    for event_id, is_drill in (("e1", False), ("e2", True)):
        kind = EventKind.DRILL if is_drill else EventKind.STORM
        workspace.catalog.flights.put_event(
            Event(event_id=event_id, name=f"Bão {event_id}", kind=kind, is_drill=is_drill)
        )
    workspace.catalog.changes.append(
        [
            changed(SLIDE, square(0, 0, 100), status=ChangeStatus.ACCEPTED),
            changed(FLOOD, square(400, 0, 100), kind=ChangeKind.FLOOD),
            changed("change-00000003", square(0, 0, 100), status=ChangeStatus.REJECTED),
        ]
    )
    return workspace


def add_roads_and_masts(workspace: Workspace, folder: Path) -> None:
    add_things(
        workspace,
        folder,
        "Đường",
        LayerKind.ROAD,
        [
            ("ĐT 153", line((-200, 50), (900, 50))),
            ("", line((50, -200), (50, -10))),
            ("Đường mòn", line((-200, -500), (900, -500))),
        ],
    )
    masts = [("LCI0123", point(130, 50)), ("LCI0999", point(250, 50))]
    add_things(workspace, folder, "Trạm BTS", LayerKind.MAST, masts, "mất sóng")
