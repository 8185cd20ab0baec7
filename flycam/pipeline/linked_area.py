"""How much ground a mosaic links that goes out of the house, and that it is more than was set.

Nothing is refused for it: in a storm the picture goes to whoever needs it, and that it went is on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.footprints import footprints_of
from flycam.catalog.records import FrameStatus
from flycam.frame.flight import Flight
from flycam.frame.sharing_words import LINKED_AREA
from flycam.frame.warning import warning
from flycam.geodata.crs import WGS84, point_transform
from flycam.pipeline.workspace import Workspace

_M2_KM2 = 1e6


LinkedPart = tuple[Flight, BaseGeometry | None]
"""A flight, and the only ground of it that goes out, degrees; None: all of it."""


def linked_area_m2(workspace: Workspace, flights: Iterable[Flight], within: BaseGeometry | None) -> float:
    """Ground that photos of these flights show, once where several do; each island in the work CRS of the
    first flight. within: only there, degrees; None: everywhere."""
    return _area_m2(workspace, [(one, within) for one in flights])


def _area_m2(workspace: Workspace, parts: Sequence[LinkedPart]) -> float:
    grounds = []
    for flight, within in parts:
        frames = workspace.catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
        ground = shapely.union_all(list(footprints_of(frames)))
        grounds.append(ground if within is None else shapely.intersection(ground, within))
    ground = shapely.union_all(grounds)
    if ground.is_empty:
        return 0.0
    return float(shapely.transform(ground, point_transform(WGS84, parts[0][0].work_crs)).area)


def note_linked(
    workspace: Workspace,
    flights: Iterable[Flight],
    who: str,
    how: str,
    subject: str,
    within: BaseGeometry | None = None,
) -> tuple[str, ...]:
    """The warning (as `frame.warning` keeps it) that what goes out links more ground than was set, after a
    line of the audit log that says so; nothing where it does not, or no area is set.

    how, subject  for the log: what was done ("export", "guest link", "pack"), and with what
    """
    return note_linked_parts(workspace, [(one, within) for one in flights], who, how, subject)


def note_linked_parts(
    workspace: Workspace, parts: Sequence[LinkedPart], who: str, how: str, subject: str
) -> tuple[str, ...]:
    """As `note_linked`, of flights of each of which other ground goes out."""
    limit_km2 = workspace.linked_km2
    if limit_km2 is None:
        return ()
    area_km2 = _area_m2(workspace, parts) / _M2_KM2
    if area_km2 <= limit_km2:
        return ()
    area, limit = f"{area_km2:.3g}", f"{limit_km2:.3g}"
    workspace.catalog.audit.append(who, "linked area passed", subject, f"{how}: {area} km², set {limit} km²")
    vi = {"area_vi": area.replace(".", ","), "limit_vi": limit.replace(".", ",")}
    return (warning(LINKED_AREA, area=area, limit=limit, **vi),)
