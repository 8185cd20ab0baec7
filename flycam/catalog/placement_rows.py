"""Placements of frames: their order, their ids, and their rows.

A frame that was orthorectified once has no row here: its only placement is in the frame's own row. When it is
reprocessed both are entered, and the frame's row follows the one in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.frame_rows import parse_tile_columns, to_tile_columns
from flycam.catalog.geometry_json import (
    exterior_from_json,
    exterior_to_json,
    interior_from_json,
    interior_to_json,
)
from flycam.catalog.records import FrameRecord, FrameStatus, Placement
from flycam.frame.flight import is_flat_datum
from flycam.frame.frame import Layer
from flycam.geometry.exterior import ExteriorOrientation, PoseSource

SET_ASIDE_REASON = "set_aside"
"""Reason of a frame that was on the map and cannot be orthorectified on the terrain known now."""

_IDS_AT_ONCE = 2000


def derive_placement_id(placement: Placement) -> str:
    """Return 24 hex digits from frame, version, camera, pose, terrain and layer.

    They are the same on every node.
    """
    content = (
        placement.frame_id,
        str(placement.version),
        "" if placement.interior is None else interior_to_json(placement.interior),
        "" if placement.exterior is None else exterior_to_json(placement.exterior),
        placement.dem_id or "",
        # colour adds nothing, so that ids made before layers existed stay the same
        *(() if placement.layer is Layer.COLOUR else (placement.layer.value,)),
    )
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:24]


def rank_placement(placement: Placement) -> tuple[int, bool, bool, str, str]:
    """Return the sort key of a frame's placements; the greatest is in force.

    The order is total, and from content alone. Of one version terrain precedes a plane. Of two terrains the
    greater id wins, which is the same for a whole flight: frames that two nodes orthorectified are all on one
    of them, and not each on another.
    """
    exterior, dem_id = placement.exterior, placement.dem_id or ""
    is_laid = exterior is not None
    return (placement.version, is_laid, is_on_terrain(exterior), dem_id, derive_placement_id(placement))


def is_on_terrain(exterior: ExteriorOrientation | None) -> bool:
    """Return True if a pose was computed above known terrain, not above a plane."""
    return exterior is not None and not is_flat_datum(exterior.vertical_datum)


def select_current_placement(placements: Sequence[Placement]) -> Placement:
    """Return the greatest of a frame's placements (at least one)."""
    return max(placements, key=rank_placement)


def to_placement(record: FrameRecord, **trace: Any) -> Placement:
    """Return the placement in a frame's record.

    trace  reason, authority, placed_ns (version if set aside)
    """
    if record.exterior is None:
        return Placement(
            frame_id=record.frame_id, flight_id=record.flight_id, layer=record.header.layer, **trace
        )
    return Placement(
        frame_id=record.frame_id,
        flight_id=record.flight_id,
        layer=record.header.layer,
        interior=record.header.interior,
        exterior=record.exterior,
        dem_id=record.dem_id,
        footprint_wkb=record.footprint_wkb,
        gsd_m=record.gsd_m,
        tiles=record.tiles,
        **({"version": record.exterior.version} | trace),
    )


def was_orthorectified(record: FrameRecord) -> bool:
    """Return True if a frame is, or was once, orthorectified.

    "Once" is before it was withdrawn or set aside.
    """
    return record.status is not FrameStatus.REJECTED or record.reason == SET_ASIDE_REASON


def apply_placements(record: FrameRecord, placements: Sequence[Placement]) -> FrameRecord:
    """Return the record with the placement in force; a withdrawn one stays withdrawn."""
    best = select_current_placement(placements)
    changes: dict[str, Any] = {
        "exterior": best.exterior,
        "dem_id": best.dem_id,
        "footprint_wkb": best.footprint_wkb,
        "gsd_m": best.gsd_m,
        "tiles": best.tiles,
    }
    if record.status is not FrameStatus.WITHDRAWN:
        used = best.exterior is not None
        changes["status"] = FrameStatus.USED if used else FrameStatus.REJECTED
        changes["reason"] = "" if used else SET_ASIDE_REASON
        changes["message"] = "" if used else best.reason
    header = replace(record.header, layer=best.layer)
    if best.exterior is not None and best.interior is not None:
        prior = replace(best.exterior, version=header.exterior_prior.version)
        if best.exterior.source is PoseSource.REGISTERED:
            # a registered pose comes from the frame's neighbours; the prior stays what the log states
            prior = header.exterior_prior
        header = replace(header, interior=best.interior, exterior_prior=prior)
    changes["header"] = header
    return replace(record, **changes)


def fetch_placements(connection: Connection, frame_ids: Sequence[str]) -> dict[str, list[Placement]]:
    """Return known placements of these frames.

    Frames that were orthorectified once at most have no entry.
    """
    found: dict[str, list[Placement]] = {}
    for start in range(0, len(frame_ids), _IDS_AT_ONCE):
        some = list(frame_ids[start : start + _IDS_AT_ONCE])
        query = select(tables.placements).where(tables.placements.c.frame_id.in_(some))
        for row in connection.execute(query.order_by(tables.placements.c.placement_id)):
            found.setdefault(row.frame_id, []).append(parse_placement_row(row))
    return found


def join_placements(
    connection: Connection, database: Database, known: Sequence[Placement], new: Sequence[Placement]
) -> list[Placement]:
    """Merge two sets of placements, in the table too; return the union.

    Of two traces of one placement the earlier is kept.
    """
    joined = {derive_placement_id(one): one for one in known}
    changed: dict[str, Placement] = {}
    for one in new:
        name = derive_placement_id(one)
        before = joined.get(name)
        if before is None or _trace(one) < _trace(before):
            joined[name] = changed[name] = one
    if changed:
        rows = [to_placement_row(changed[name]) for name in sorted(changed)]
        connection.execute(database.upsert(tables.placements), rows)
    return list(joined.values())


def to_placement_row(placement: Placement) -> dict[str, Any]:
    """Convert a placement to a row."""
    return {
        "frame_id": placement.frame_id,
        "placement_id": derive_placement_id(placement),
        "flight_id": placement.flight_id,
        "version": int(placement.version),
        "interior": None if placement.interior is None else interior_to_json(placement.interior),
        "exterior": None if placement.exterior is None else exterior_to_json(placement.exterior),
        "dem_id": placement.dem_id,
        "footprint_wkb": placement.footprint_wkb,
        "gsd_m": None if placement.gsd_m is None else float(placement.gsd_m),
        **to_tile_columns(placement.tiles),
        "reason": placement.reason,
        "authority": placement.authority,
        "placed_ns": int(placement.placed_ns),
        "layer": placement.layer.value,
    }


def parse_placement_row(row: Row[Any]) -> Placement:
    """Convert a row to a placement; inverse of `to_placement_row`."""
    return Placement(
        frame_id=row.frame_id,
        flight_id=row.flight_id,
        version=row.version,
        interior=None if row.interior is None else interior_from_json(row.interior),
        exterior=None if row.exterior is None else exterior_from_json(row.exterior),
        dem_id=row.dem_id,
        footprint_wkb=row.footprint_wkb,
        gsd_m=row.gsd_m,
        tiles=parse_tile_columns(row),
        reason=row.reason,
        authority=row.authority,
        placed_ns=row.placed_ns,
        layer=Layer(row.layer),
    )


def _trace(placement: Placement) -> tuple[bool, int, str, str]:
    # an empty trace comes last: a frame's own row does not record the reason of its placement
    return (placement.placed_ns == 0, placement.placed_ns, placement.authority, placement.reason)
