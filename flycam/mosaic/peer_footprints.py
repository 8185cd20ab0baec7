"""Footprints of photos that a peer placed, computed here from pose and terrain.

What a peer states of the ground that a photo shows is not believed: until its terrain is here, the photo
counts as showing any ground (`access.photo_ground`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import shapely

from flycam.catalog.flights import derive_placement_id
from flycam.errors import ObjectMissing, TileCorrupt
from flycam.model.frame import FrameHeader
from flycam.mosaic.orthorectify.rectification import project_frames
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.storage import keys
from flycam.workspace import Workspace

_PlacementKey = tuple[str, str]


def verify_peer_footprints(workspace: Workspace, flight_id: str) -> int:
    """Compute the footprints of a flight that only a peer stated; return the number computed.

    Those whose terrain is not here, or whose pose shows no ground of it, stay unverified.
    """
    catalog = workspace.catalog
    waiting = set(catalog.peers.list_unverified(flight_id))
    if not waiting:
        return 0
    # one listing, for a filmed flight has a terrain for each frame
    here = set(workspace.store.list(keys.format_terrain_prefix()))
    by_terrain: dict[str, list[tuple[_PlacementKey, FrameHeader]]] = {}
    frames = {one.frame_id: one for one in catalog.frames.get_many(sorted({one for one, _ in waiting}))}
    for frame_id, placements in catalog.placements.list_for_frames(list(frames.values())).items():
        for one in placements:
            key = frame_id, derive_placement_id(one)
            if key not in waiting or one.dem_id is None or one.interior is None or one.exterior is None:
                continue
            if keys.format_terrain_key(one.dem_id) in here:
                header = replace(frames[frame_id].header, interior=one.interior, exterior_prior=one.exterior)
                by_terrain.setdefault(one.dem_id, []).append((key, header))
    found: dict[_PlacementKey, bytes] = {}
    for dem_id, placed in by_terrain.items():
        with suppress(ObjectMissing, TileCorrupt):
            found |= _compute_footprints(workspace, dem_id, placed)
    if found:
        catalog.placements.put_footprints(found)
    return len(found)


def _compute_footprints(
    workspace: Workspace, dem_id: str, placed: list[tuple[_PlacementKey, FrameHeader]]
) -> dict[_PlacementKey, bytes]:
    terrain = load_recorded_terrain(workspace, dem_id)
    of_it = [one for one in placed if one[1].exterior_prior.work_crs == terrain.work_crs]
    names = {id(header): key for key, header in of_it}
    seen, _without = project_frames([header for _, header in of_it], terrain)
    return {names[id(one.header)]: shapely.to_wkb(one.outline_lonlat) for one in seen}
