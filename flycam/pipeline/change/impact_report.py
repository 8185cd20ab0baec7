"""`flycam changes impact`: impact of changes of an event or between two sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.image_reference import ImageReference, format_file_reference, parse_image_reference
from flycam.errors import NotFound, OptionUnusable
from flycam.frame.change import POSITIVE_STATUSES
from flycam.frame.flight import Event
from flycam.geodata.raster_digest import compute_raster_digest
from flycam.messages import _
from flycam.pipeline.change.commune_impact import CommuneImpact, find_communes_around, sum_impact_by_commune
from flycam.pipeline.change.impact import Impact, compute_impact
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class ImpactReport:
    """Impact by commune. names: of communes by code; at_ns: when it was made, UTC."""

    event: Event
    impact: Impact
    communes: tuple[CommuneImpact, ...]
    names: Mapping[str, str]
    at_ns: int


def build_impact_report(
    workspace: Workspace, refs: Sequence[str], distance_m: float | None = None
) -> ImpactReport:
    """Build the report of an event (name or id), or of the two sides of a comparison.

    refs: the event, or two sides (flight's name or id, file's name). Raises NotFound, OptionUnusable (a
    distance that is none; changes of several events between two sides).
    """
    changes = workspace.catalog.changes
    if len(refs) == 1:
        event = workspace.catalog.flights.event(refs[0])
        lines = changes.current(event.event_id, statuses=POSITIVE_STATUSES)
    else:
        before, after = refs
        lines = _between(workspace, before, after, changes.current(statuses=POSITIVE_STATUSES))
        event = _only_event(workspace, lines)
    impact = compute_impact(workspace, lines, distance_m)
    communes = find_communes_around(workspace.catalog.boundaries, impact.changes, is_drill=event.is_drill)
    return ImpactReport(
        event=event,
        impact=impact,
        communes=tuple(sum_impact_by_commune(communes, impact.changes)),
        names=workspace.catalog.boundaries.names(),
        at_ns=workspace.clock_ns(),
    )


def _between(
    workspace: Workspace, before: str, after: str, lines: Sequence[ChangeVersion]
) -> list[ChangeVersion]:
    """Return changes found between two flights (id or name, any revision) or files.

    Files by path or name. Raises NotFound if there is none: the two were not compared, or not enqueued for
    review.
    """
    is_before, is_after = (_shown_by(workspace, one) for one in (before, after))
    found = [
        line
        for line in lines
        if is_before(parse_image_reference(line.before_shown))
        and is_after(parse_image_reference(line.after_shown))
    ]
    if not found:
        raise NotFound(
            _(
                "{before}, {after}: no change between these is under review; run 'flycam "
                "compare' on them first",
                before=before,
                after=after,
            )
        )
    return found


def _shown_by(workspace: Workspace, ref: str) -> Callable[[ImageReference], bool]:
    """Return a predicate that matches image references of a side.

    A flight by its mosaics; a file that is here by its bytes (of an old record by its name); one that is not
    here by its name, which matches all files of that name.
    """
    try:
        flight = workspace.catalog.flights.flight(ref)
    except NotFound:
        path = Path(ref)
        if not path.is_file():
            return lambda one: path.name in (one.source, one.file_name)
        named = format_file_reference(path.name, compute_raster_digest(path)), path.name
        return lambda one: one.source in named
    mosaics = {mosaic.mosaic_id for mosaic in workspace.catalog.tiles.mosaics(flight.flight_id)}
    return lambda one: one.source in mosaics


def _only_event(workspace: Workspace, lines: Sequence[ChangeVersion]) -> Event:
    """Return the one event of the changes; raise OptionUnusable if there are several.

    A drill's changes are never listed beside real ones.
    """
    events = sorted({line.event_id for line in lines})
    if len(events) > 1:
        names = ", ".join(workspace.catalog.flights.event(one).name for one in events)
        raise OptionUnusable(
            _("changes between these are of several events ({names}): give the event instead", names=names)
        )
    return workspace.catalog.flights.event(events[0])
