"""A house with one of everything that other programs can be told of, and what they must not be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from flycam.board.layers import LayerRequest, add_layer
from flycam.board.marks import write_mark
from flycam.geodata.crs import to_work
from flycam.geodata.raster import write_cog
from flycam.model.access import Role
from flycam.model.board import LayerKind, MarkStatus
from flycam.model.flight import FlightState
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.once import copied_once
from tests.serve.finished import add_parents, finish_by_hand
from tests.serve.world import LAT, LON, World, add_account, make_workspace, make_world, ns, rescue_asked

OPEN_MARK, REMOVED_MARK = "mark-00000001", "mark-00000002"
ENDED = "88000"
POLES = 7
VIEWER = "viewer-token"


@dataclass(frozen=True)
class Offering:
    """The house; `world.before` is withdrawn, `world.after` finished twice, the first time retired.

    clip  bytes of the clipped map of commune 99000, made of revision 2
    layer id of a layer of POLES points and one line from corner to corner
    """

    world: World
    layer: str
    clip: bytes

    @property
    def workspace(self) -> Workspace:
        return self.world.workspace

    @property
    def mosaic(self) -> str:
        return f"{self.world.after}-colour"


Built = tuple[str, str, str, str, bytes]
"""Ids of its flights and its layer, and the clip."""


def make_offering(root: Path) -> Offering:
    """A copy of one that was built in this run."""
    return offering_at(root, copied_once("offering", lambda folder: closed(build_offering(folder)), root))


def closed(offering: Offering) -> Built:
    """What one that was built is known by; nobody has it open any more."""
    offering.workspace.store.close()
    offering.workspace.catalog.close()  # what SQLite has beside its file goes into it
    world = offering.world
    return world.before, world.after, world.drill, offering.layer, offering.clip


def offering_at(root: Path, built: Built) -> Offering:
    """The one that was built in this folder, or in the one that it is a copy of."""
    before, after, drill, layer, clip = built
    world = World(workspace=make_workspace(root), before=before, after=after, drill=drill)
    return Offering(world=world, layer=layer, clip=clip)


def build_offering(root: Path, made: Callable[[Path], World] = make_world) -> Offering:
    """Build it on a world; about two seconds."""
    world = made(root)
    workspace = world.workspace
    add_account(workspace, "Lan", Role.VIEWER, VIEWER)
    _boundary_that_ended(workspace)
    _finish_twice(world)
    clip = _clip(world, root)
    before = workspace.catalog.flights.flight(world.before)
    workspace.catalog.flights.put_flight(replace(before, state=FlightState.WITHDRAWN))
    for mark_id in (OPEN_MARK, REMOVED_MARK):
        asked = rescue_asked(mark_id, (LON, LAT), "<b>3 người</b>")
        write_mark(workspace, asked, "Lan")
    gone = replace(asked, based_on=1, status=MarkStatus.REMOVED)
    write_mark(workspace, gone, "Lan")
    return Offering(world=world, layer=_layer(workspace, root), clip=clip)


def _boundary_that_ended(workspace: Workspace) -> None:
    """A commune that was where two are since, under a code of its own."""
    boundaries = workspace.catalog.boundaries
    now = boundaries.commune("99000")
    boundaries.put_communes([replace(now, code=ENDED, valid_from=date(2020, 1, 1))])
    assert boundaries.commune(ENDED).valid_to == now.valid_from


def _finish_twice(world: World) -> None:
    catalog = world.workspace.catalog
    finish_by_hand(world.workspace, world.after)
    frames = [one.frame_id for one in catalog.frames.list_for_flight(world.after)]
    catalog.revisions.retire_holding(frames, "one of its frames was withdrawn")
    assert finish_by_hand(world.workspace, world.after, darker=2) == 2
    add_parents(world.workspace, f"{world.after}-colour", 2)


def _clip(world: World, root: Path) -> bytes:
    """A small real COG under the key of a clipped map, named by the coverage of its commune."""
    catalog = world.workspace.catalog
    path = root / "clip.tif"
    ((west, north),) = to_work(np.array([[LON, LAT]]), "EPSG:32648").tolist()
    rgb = np.full((64, 96, 3), (40, 80, 120), np.uint8)
    write_cog(path, rgb, np.full((64, 96), 255, np.uint8), (1.0, 0.0, west, 0.0, -1.0, north), "EPSG:32648")
    key = keys.format_product_key(f"{world.after}-colour", 2, "99000.tif", "0123456789abcdef")
    world.workspace.store.put(key, path.read_bytes())
    covered = catalog.boundaries.coverage(world.after)
    catalog.boundaries.put_coverage(
        world.after, [replace(one, clip_key=key if one.commune_code == "99000" else None) for one in covered]
    )
    return path.read_bytes()


def _layer(workspace: Workspace, root: Path) -> str:
    shapes = [{"type": "Point", "coordinates": [LON + k / 100, LAT]} for k in range(POLES)]
    corners = [[LON, LAT + 0.1], [LON + 0.2, LAT + 0.3]]
    shapes.append({"type": "LineString", "coordinates": corners})
    features = [
        {"type": "Feature", "properties": {"ten": f"Cột {k}"}, "geometry": shape}
        for k, shape in enumerate(shapes)
    ]
    path = root / "lines.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    valid_ns = ns("2024-09-09 00:00")
    add_layer(workspace, LayerRequest(source=str(path), kind=LayerKind.POWER, valid_ns=valid_ns), "Lan")
    (layer,) = workspace.catalog.layers.all()
    return layer.layer_id
