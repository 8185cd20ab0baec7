"""Candidates into the catalogue, where they wait for an analyst."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from flycam.analysis.coregister import Registration
from flycam.catalog.change_line import ChangeLine, mosaic_of
from flycam.catalog.records import AuditEntry
from flycam.errors import OptionUnusable
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.geodata.crs import WGS84, point_transform
from flycam.pipeline.compare_changes import Change
from flycam.pipeline.compare_sides import Side
from flycam.pipeline.workspace import Workspace

_DECIMALS = 8  # a millimetre
_SAME_SHARE = 0.5  # of the ground of two together: with as much in common they are one finding
_DECIDED = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.REJECTED, ChangeStatus.REPLACED})
"""What an analyst has said something of; for what was split or merged others stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What was put into the catalogue: `new` of so many; the others, found before, stand as they were.

    decided  of those that are known: found again a little differently, and decided on already
    """

    event: Event
    new: int
    known: int
    decided: int = 0


def event_for(workspace: Workspace, sides: tuple[Side, Side], asked: str | None) -> Event | None:
    """The event whose analyst is to decide: the one asked for, else that of both sides; None: nobody's.

    Raises NotFound; OptionUnusable where a drill's flight would put its changes beside real ones.
    """
    flights = [side.flight for side in sides if side.flight is not None]
    own = {one.event_id for one in flights}
    if asked is None:
        return workspace.catalog.flights.event(own.pop()) if len(flights) == 2 and len(own) == 1 else None
    event = workspace.catalog.flights.event(asked)
    theirs = (workspace.catalog.flights.event(one) for one in sorted(own))
    drill = next((one for one in theirs if one.is_drill), None)
    if drill is not None and not event.is_drill:
        raise OptionUnusable(
            f"--event {event.name}: is real and {drill.name} is a drill: its changes would stand beside real "
            "ones; name the drill",
            vi=f"--event {event.name}: là sự kiện thật còn {drill.name} là diễn tập; không thể để chung, hãy "
            "ghi tên cuộc diễn tập",
        )
    return event


def keep(
    workspace: Workspace,
    event: Event,
    sides: tuple[Side, Side],
    changes: Sequence[Change],
    registration: Registration,
    crs: str,
    network: str = "",
) -> Kept:
    """Put candidates (in `crs`) into the catalogue. The same found again stays as it was decided on, also
    where another revision, area or detector draws it otherwise.

    network: the learned model that was asked too; it stands with each of them as a note. "": none was.
    """
    shown = sides[0].shown, sides[1].shown
    at_ns = workspace.clock_ns()
    author = workspace.operator or workspace.box
    to_degrees = point_transform(crs, WGS84)
    step_id = f"found-{_digest(event.event_id, *shown, str(at_ns))}"
    lines = []
    for one in changes:
        shape = shapely.transform(one.polygon, lambda xy: to_degrees(xy).round(_DECIMALS))
        wkb = shapely.to_wkb(shape)
        west, south, east, north = (float(side) for side in shape.bounds)
        lines.append(
            ChangeLine(
                change_id=f"change-{_digest(event.event_id, *shown, one.kind, wkb.hex())}",
                version=1,
                step_id=step_id,
                event_id=event.event_id,
                action=ChangeAction.FOUND,
                status=ChangeStatus.PROPOSED,
                kind=ChangeKind(one.kind),
                score=one.score,
                area_m2=one.area_m2,
                length_m=one.length_m,
                slope_deg=one.slope_deg if math.isfinite(one.slope_deg) else None,
                commune=one.commune,
                tie_m=one.tie_m if math.isfinite(one.tie_m) else None,
                rmse_m=registration.rmse_m,
                error_m=one.error_m if math.isfinite(one.error_m) else None,
                before_shown=shown[0],
                after_shown=shown[1],
                origins=(),
                note=f"network {network}" if network else "",
                author=author,
                at_ns=at_ns,
                wkb=wkb,
                bounds_lonlat_deg=(west, south, east, north),
            )
        )

    fresh = _undecided(workspace, lines)

    def told(count: int) -> AuditEntry:
        detail = f"{count} candidates: {shown[0]} to {shown[1]}, laid within {registration.rmse_m:.2f} m"
        detail += f", with network {network}" if network else ""
        return AuditEntry(
            who=author, what="changes found", subject=event.event_id, detail=detail, at_ns=at_ns
        )

    new = workspace.catalog.changes.add_new(fresh, told)
    return Kept(event=event, new=new, known=len(lines) - new, decided=len(lines) - len(fresh))


def _undecided(workspace: Workspace, found: Sequence[ChangeLine]) -> list[ChangeLine]:
    """Without candidates that overlap, by half of both together, a change of their kind that was found
    between the same two mosaics or pictures, whatever their revisions, and was decided on."""
    if not found:
        return []
    sides = _sides(found[0])
    decided = workspace.catalog.changes.current(found[0].event_id, statuses=_DECIDED)
    same = {line.change_id for line in decided if sides in line.pairs} - {one.change_id for one in found}
    lines = [line for some in workspace.catalog.changes.histories(same).values() for line in some]
    shapes, old = (
        shapely.make_valid(shapely.from_wkb(np.array([line.wkb for line in some], dtype=object)))
        for some in (found, lines)
    )
    one, other = shapely.STRtree(old).query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[one], old[other]))  # shares: degrees will do
    both = shapely.area(shapes[one]) + shapely.area(old[other]) - shared
    known = {
        a
        for a, b, share in zip(one.tolist(), other.tolist(), (shared / both).tolist(), strict=True)
        if share >= _SAME_SHARE and found[a].kind is lines[b].kind
    }
    return [line for number, line in enumerate(found) if number not in known]


def _sides(line: ChangeLine) -> tuple[str, str]:
    return mosaic_of(line.before_shown), mosaic_of(line.after_shown)


def _digest(*said: str) -> str:
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]
