"""Redactions between nodes: validation, and nodes that do not apply them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import shapely

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.redacted_ground import load_redacted_ground
from flycam.catalog.sharing_records import RedactionFootprint, RedactionRecord
from flycam.frame.flight import Flight
from flycam.frame.redaction import MAX_CORNERS
from flycam.messages import _
from flycam.sync.conflict_reports import describe_conflict


def find_flights_showing_redacted(catalog: Catalog, flights: Iterable[Flight]) -> tuple[Flight, ...]:
    """Return the flights that show redacted ground or whose photos are redacted."""
    masks = load_redacted_ground(catalog)
    if not masks.photos:
        return ()
    withheld = AccessPolicy(masks=masks)
    masked = {one.flight_id for one in catalog.frames.get_many(list(masks.photos))}
    return tuple(
        one for one in flights if one.flight_id in masked or withheld.touches_box(one.bounds_lonlat_deg)
    )


def explain_held_back(flight: Flight, peer: str) -> dict[str, str]:
    """Return the report of a flight held back from a node without redactions."""
    return describe_conflict(
        flight.flight_id,
        flight.name,
        _(
            "{name}: shows what masks cover (homes, victims), and the flycam at {peer} is too old to cover "
            "it: none of its pictures are sent; bring that one to the same version",
            name=flight.name,
            peer=peer,
        ),
    )


def require_valid_redactions(lines: Iterable[RedactionRecord]) -> None:
    """Raise ValueError for a shape that cannot have been drawn: it would fail later."""
    for line in lines:
        shape = shapely.from_wkb(line.wkb)
        if not (
            isinstance(shape, shapely.Polygon)
            and shape.is_valid
            and shape.area > 0.0
            and not shape.interiors
            and len(shape.exterior.coords) <= MAX_CORNERS + 1
            and min(shape.bounds) >= 0.0
        ):
            raise ValueError(f"{line.mask_id} is no mask")


def require_valid_redaction_grounds(
    grounds: Iterable[RedactionFootprint], lines: Collection[RedactionRecord]
) -> None:
    """Raise ValueError for invalid ground, or ground of none of these redactions."""
    known = {one.line_id for one in lines}
    for one in grounds:
        shape = shapely.from_wkb(one.wkb)
        if shape.geom_type not in ("Polygon", "MultiPolygon") or not shape.is_valid:
            raise ValueError(f"{one.line_id} has ground that is none")
        if one.line_id not in known:
            raise ValueError(f"{one.line_id} has ground and is no mask")
