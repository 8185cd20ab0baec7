"""A flight finished by hand so that its report has something to say of everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from flycam.geodata.crs import to_work
from flycam.geometry.grid import get_tile_bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _, encode_message
from flycam.model.records import FrameStatus, RevisionFrame
from flycam.mosaic.terrain_codec import assign_content_id, encode_terrain
from flycam.mosaic.tiles.codec import read_tile
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.serve.finished import finished_tile, western_half
from tests.serve.world import make_world

STATS = {
    "accepted": True,
    "why": "",
    "notes": [encode_message(_("Horizontal positions scatter {times:.1f} times as much", times=2.3))],
    "tie_points": 8548,
    "observations": 49982,
    "reprojection_px": 0.4312,
    "held_out_px": 0.5123,
    "sigma_xy_m": 0.062,
    "sigma_z_m": 0.071,
    "shift_m": [0.51, -1.23, 4.56],
    "shift_sigma_m": [0.81, 0.82, 1.25],
    "check_m": [None, None, None],
    "control": {"said": [], "points": 0, "reference": None},
    "residuals": {"used": [50, 30, *[0] * 18, 20], "held_out": [5, 3, *[0] * 18, 2]},
    "rolling_shutter": {"asked": True, "frames": 5, "unknown": 0, "readout_ms": 33.0, "most_px": 1.52},
    "surface": {"spacing_m": 10.0, "supported_pct": 50.0},
    "seconds": {"ties": [100.0, 50.0], "blend": [80.0, 40.0], "report": [7.0, 3.0]},
    "versions": {"flycam": "0.1.0", "recipe": 1},
}
_HELD = {"tied": (321, 0.4, 80.0), "weak": (12, 0.4, 9.0), "carried": (0, float("nan"), 0.0)}
LEFT_OUT = "{name}: its footprint misses the terrain that is known"


@dataclass(frozen=True)
class Reported:
    """A house whose `real` and `drill` flights are finished; the names of photos by their state."""

    root: Path
    workspace: Workspace
    real: str
    drill: str
    names: dict[str, str]


def make_reported(root: Path) -> Reported:
    world = make_world(root)
    names = _finish(world.workspace, world.after)
    _finish(world.workspace, world.drill)
    return Reported(root=root, workspace=world.workspace, real=world.after, drill=world.drill, names=names)


def _finish(workspace: Workspace, flight_id: str) -> dict[str, str]:
    """A revision with a weak and a carried frame; one that cannot be laid is not in it."""
    revisions = workspace.catalog.revisions
    mosaic_id = f"{flight_id}-colour"
    catalog = workspace.catalog
    live = catalog.tiles.mosaic(mosaic_id, 0)
    number = revisions.open(live, "by hand", {"surface": True}, workspace.clock_ns())
    heads = catalog.tiles.heads(mosaic_id, 0, z=live.base_zoom)
    mosaic = replace(live, revision=number, published=False)
    with MosaicWriter(
        workspace.store, catalog.tiles, mosaic, origin="test", clock_ns=workspace.clock_ns
    ) as writer:
        writer.place(finished_tile(read_tile(workspace.store, head)) for head in heads)
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    outlines = [shapely.from_wkb(one.footprint_wkb) for one in used]
    centres = to_work(np.array([outline.centroid.coords[0] for outline in outlines]), "EPSG:32648")
    states = ["left_out", "weak", "carried", *["tied"] * (len(used) - 3)]
    kept = []
    for record, state, (east, north) in zip(used, states, centres.tolist(), strict=True):
        if state == "left_out":
            continue
        pose = replace(record.header.exterior_prior, projection_centre_m=(east, north, 300.0))
        ties, rms, cells = _HELD[state]
        kept.append(
            RevisionFrame(
                frame_id=record.frame_id,
                exterior=pose,
                interior=record.header.interior,
                state=state,
                ties=ties,
                rms_px=rms,
                cells_pct=cells,
            )
        )
    revisions.put_frames(mosaic_id, number, kept)
    ground = _hill(np.vstack([centres.min(axis=0) - 900.0, centres.max(axis=0) + 900.0]))
    workspace.store.put(keys.format_terrain_key(ground.dem_id), encode_terrain(ground))
    support = western_half(np.array([get_tile_bounds(head.tile_id) for head in heads]))
    workspace.store.put(keys.format_terrain_key(support.dem_id), encode_terrain(support))
    name = used[0].header.provenance.source_name
    left_out = [{"name": name, "sentence": encode_message(_(LEFT_OUT, name=name))}]
    stats = {**STATS, "frames": {"used": len(kept), "left_out": left_out}}
    record = replace(revisions.get(mosaic_id, number), dem_id=ground.dem_id, stats=stats)
    record = replace(record, support_key=keys.format_terrain_key(support.dem_id))
    revisions.publish(record)
    return {state: one.header.provenance.source_name for one, state in zip(used, states, strict=True)}


def _hill(bounds: np.ndarray) -> TerrainGrid:
    (west, south), (east, north) = bounds
    rows, cols = int((north - south) / 20.0) + 2, int((east - west) / 20.0) + 2
    r, c = np.mgrid[0:rows, 0:cols]
    return assign_content_id(
        TerrainGrid(
            heights_m=(20.0 * np.sin(r / 9.0) + 10.0 * np.cos(c / 7.0)).astype(np.float32),
            origin_m=(float(west), float(north)),
            post_spacing_m=(20.0, 20.0),
            work_crs="EPSG:32648",
            vertical_datum="EGM96",
            dem_id="hill",
        )
    )
