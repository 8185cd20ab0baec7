"""Write candidates to the catalogue, where they wait for review."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import shapely

from flycam.analysis.coregistration import Registration
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.image_reference import strip_location
from flycam.catalog.records import AuditEntry
from flycam.errors import NotFound, OptionUnusable, StoreConflict
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.messages import _, ngettext
from flycam.pipeline.change.candidate_matching import CandidateMatch, match_candidates
from flycam.pipeline.change.change_outlines import derive_record_id, to_wgs84
from flycam.pipeline.change.change_polygons import ChangePolygon
from flycam.pipeline.change.image_sources import ImageSource, select_event_flights
from flycam.pipeline.orthorectification.flight_session import make_event
from flycam.pipeline.workspace import Workspace

# Attempts to write while others decide meanwhile: each needs a decision within milliseconds.
_TRIES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class EnqueueReport:
    """Counts of candidates: new, renewed (replaced an older one), known.

    Known candidates are not written: the change that was found before stays as it was.

    decided       those of the known that were found again slightly differently, and are decided on already
    is_new_event  whether the event was created for them
    """

    event: Event
    new: int
    known: int
    decided: int = 0
    renewed: int = 0
    is_new_event: bool = False


def choose_review_event(
    workspace: Workspace, sources: tuple[ImageSource, ImageSource], event_ref: str | None
) -> Event | None:
    """Return the event to review in: the one asked for, else that of both sides.

    None: no event. Two images that belong to no event may begin one, which is recorded only when candidates
    are enqueued.

    Raises NotFound if a flight is given; OptionUnusable where changes found on a drill would be listed beside
    real ones.
    """
    flights = [side.flight for side in sources if side.flight is not None]
    own = {one.event_id for one in flights}
    if event_ref is None:
        return workspace.catalog.flights.event(own.pop()) if len(flights) == 2 and len(own) == 1 else None
    try:
        event = workspace.catalog.flights.event(event_ref)
    except NotFound:
        if flights:
            raise
        return make_event(event_ref, is_drill=any(side.is_drill for side in sources))
    drill = next((side.name for side in sources if side.is_drill), None)
    if drill is not None and not event.is_drill:
        raise OptionUnusable(
            _(
                "--event {name}: is real and {drill} is of a drill: its changes would stand "
                "beside real ones; name the drill",
                name=event.name,
                drill=drill,
            )
        )
    return event


def enqueue_candidates(
    workspace: Workspace,
    event: Event,
    sources: tuple[ImageSource, ImageSource],
    changes: Sequence[ChangePolygon],
    registration: Registration,
    crs: str,
) -> EnqueueReport:
    """Write candidates (in `crs`) to the catalogue, each place of an image pair once.

    A candidate that is known stays as it was decided on or left, also where another revision, area or
    detector draws it otherwise. A change that nobody has edited is replaced by what is found there on a newer
    revision, in a version of its own; a change that is not found again stays.

    Raises StoreConflict if others decide faster than this can be written, or if a flight was moved out of the
    event since it was opened.
    """
    begun = _create_event_if_missing(workspace, event)
    shown = sources[0].shown, sources[1].shown
    alike = strip_location(shown[0]), strip_location(shown[1])
    at_ns = workspace.clock_ns()
    author = workspace.operator or workspace.box
    step_id = f"found-{derive_record_id(event.event_id, *shown, str(at_ns))}"
    lines = []
    for one in changes:
        shape = to_wgs84(one.polygon, crs)
        wkb = shapely.to_wkb(shape)
        west, south, east, north = (float(side) for side in shape.bounds)
        lines.append(
            ChangeVersion(
                change_id=_change_id(event, alike, one, wkb),
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
                note="",
                author=author,
                at_ns=at_ns,
                wkb=wkb,
                bounds_lonlat_deg=(west, south, east, north),
            )
        )

    def told(count: int) -> AuditEntry:
        detail = (
            str(ngettext("{count} candidate", "{count} candidates", count))
            + f": {shown[0]} to {shown[1]}, laid within {registration.rmse_m:.2f} m"
        )
        return AuditEntry(
            who=author, what="changes found", subject=event.event_id, detail=detail, at_ns=at_ns
        )

    found, new = _enqueue(workspace, lines, told, select_event_flights(sources, event.event_id))
    renewed = len({one.change_id for one in found.fresh if one.origins})
    return EnqueueReport(
        event=event,
        new=new - renewed,
        known=len(lines) - new,
        decided=found.decided,
        renewed=renewed,
        is_new_event=begun,
    )


def _create_event_if_missing(workspace: Workspace, event: Event) -> bool:
    """Create the event unless it exists; return True if it was created."""
    if any(one.event_id == event.event_id for one in workspace.catalog.flights.events()):
        return False
    workspace.catalog.flights.put_event(event)
    return True


def _change_id(event: Event, shown: tuple[str, str], found: ChangePolygon, wkb: bytes) -> str:
    return f"change-{derive_record_id(event.event_id, *shown, *_list_identity_fields(found), wkb.hex())}"


def _list_identity_fields(found: ChangePolygon) -> tuple[str, ...]:
    """Return the fields that identify a candidate besides its outline.

    A candidate judged on terrain differs from one judged without.
    """
    return (found.kind,) if math.isfinite(found.slope_deg) else (found.kind, "no terrain")


def _enqueue(
    workspace: Workspace,
    lines: Sequence[ChangeVersion],
    make_entry: Callable[[int], AuditEntry],
    of_flights: Collection[str],
) -> tuple[CandidateMatch, int]:
    """Write candidates that are not known yet and supersede those they replace.

    Returns the match, and the number of changes that were created. Matches again if somebody decided on one
    of the replaced changes meanwhile. Raises StoreConflict.
    """
    for tries_left in reversed(range(_TRIES)):
        found = match_candidates(workspace.catalog.changes, lines)
        gone = [_supersede(old, lines[0]) for old in found.replaced]
        try:
            new = workspace.catalog.changes.add_new(
                found.fresh,
                make_entry,
                replaced=gone,
                replaced_audit_entries=[_make_superseded_entry(line, found.fresh) for line in gone],
                flight_ids=of_flights,
            )
        except StoreConflict:
            if not tries_left:
                raise
        else:
            break
    return found, new


def _supersede(old: ChangeVersion, found: ChangeVersion) -> ChangeVersion:
    """Return a waiting change's next version, by the step that found it again."""
    return replace(
        old,
        version=old.version + 1,
        step_id=found.step_id,
        status=ChangeStatus.REPLACED,
        author=found.author,
        at_ns=found.at_ns,
    )


def _make_superseded_entry(line: ChangeVersion, fresh: Sequence[ChangeVersion]) -> AuditEntry:
    heirs = [one for one in fresh if line.change_id in one.origins]
    names = ", ".join(one.change_id for one in heirs)
    detail = f"{line.action}: {line.kind}, {line.status}, version {line.version}: found again as {names}"
    detail += f", {heirs[0].before_shown} to {heirs[0].after_shown}"
    return AuditEntry(who=line.author, what="change", subject=line.change_id, detail=detail, at_ns=line.at_ns)
