"""Changes under review: decided on by analysts; everybody else sees what was confirmed.

Decisions come by PUT with JSON, each under an id that the caller makes: no page of another site can make a
browser send that, and what is sent twice is decided once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.catalog.boxes import around
from flycam.catalog.catalog import Catalog
from flycam.catalog.change_line import ChangeLine
from flycam.catalog.changes import no_such_change
from flycam.catalog.records import BoundsLonLat, Role
from flycam.errors import InputUnusable
from flycam.frame.change import FOUND, STANDING, ChangeAction, ChangeKind, ChangeStatus
from flycam.messages import _
from flycam.pipeline.change.commune_impact import communes_around, impact_by_commune
from flycam.pipeline.change.compared_keeping import Reading, found_by, read_once, windows_of
from flycam.pipeline.change.decided_beside import DECIDED, decided_beside
from flycam.pipeline.change.deciding import decide
from flycam.pipeline.change.drawn_over import may_be_drawn_over, shares_not_compared
from flycam.pipeline.change.export import export_changes
from flycam.pipeline.change.found_again import is_untouched, not_found_again
from flycam.pipeline.change.impact import MOST_REACH_M, impact_of
from flycam.pipeline.change.impact_words import impact_answer
from flycam.pipeline.change.places import together
from flycam.pipeline.change.shapes import MOST_CORNERS
from flycam.pipeline.change.step_asked import MOST_AT_ONCE, StepAsked
from flycam.pipeline.change.undoable import undoable_step
from flycam.pipeline.change.words import (
    NOTHING_BESIDE,
    Decision,
    change_features,
    waiting_said,
    windows_said,
)
from flycam.pipeline.marks import NOTE_LETTERS
from flycam.serve.answering.bodies import MAX_LARGE_BYTES, bounded
from flycam.serve.answering.rectangle import parse_bounds
from flycam.serve.answering.until import parse_until
from flycam.serve.answering.wording import Json
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Analyst, Viewer
from flycam.serve.door.openings import Openings
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import CatalogHere, ServicesHere

router = APIRouter(route_class=GuardedRoute)

_MOST = 5000
_TYPES = {
    "gpkg": "application/geopackage+sqlite3",
    "geojson": "application/geo+json",
    "kmz": "application/vnd.google-earth.kmz",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/cap+xml",
}
_CONFIRMED, _WAITING = frozenset({ChangeStatus.ACCEPTED}), frozenset({ChangeStatus.PROPOSED})

_Ring = Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MOST_CORNERS)]
_Polygon = Annotated[list[_Ring], Field(min_length=1, max_length=500)]
_Outline = Annotated[list[_Polygon], Field(min_length=1, max_length=500)]


class Step(BaseModel):
    """A decision. changes: the version that was seen, by change; outlines: one to draw or redraw, a
    multipolygon as GeoJSON's coordinates; before, after: the two pictures of the event that a change is drawn
    over."""

    action: ChangeAction
    changes: Annotated[dict[str, int], Field(max_length=MOST_AT_ONCE)] = {}
    event_id: Annotated[str, Field(max_length=200)] = ""
    kind: ChangeKind | None = None
    note: Annotated[str, Field(max_length=NOTE_LETTERS * 2)] = ""
    outlines: Annotated[list[_Outline], Field(max_length=1)] = []
    undoes: Annotated[str, Field(max_length=200)] = ""
    before: Annotated[str, Field(max_length=500)] = ""
    after: Annotated[str, Field(max_length=500)] = ""


@router.get("/api/changes")
def changes(
    catalog: CatalogHere,
    visitor: Viewer,
    event: Annotated[str | None, Query(max_length=200)] = None,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    status: ChangeStatus | None = None,
    until: datetime | None = None,
) -> Json:
    """Changes as they stand (GeoJSON), the likeliest first; those that others stand for only by `status`.
    Last is what waits and a newer revision did not show again (`not_found_again`). Beside what waits stands
    what was decided on the same ground (`decided_beside`), be it of other two pictures. `comparisons` (each
    change names its own, `comparison_id`) have the warnings of their two pictures.

    Who is no analyst sees accepted ones only. `known`: whether any was ever found or drawn in the event,
    whatever was decided: no change on the list does not mean that nothing changed; `compared`: whether any
    two pictures were compared in it; `waiting`: how many of what kind nobody has decided on yet, and their
    ground, told to all: none confirmed is not read as none found; null: none waits. bounds is
    west,south,east,north in degrees; with `until` (without a zone it is Vietnam's) as they stood then.
    """
    may_see = STANDING if visitor.may(Role.ANALYST) else _CONFIRMED
    if status is not None:
        may_see = frozenset({status}) if visitor.may(Role.ANALYST) else _CONFIRMED & {status}
    event_id = None if event is None else catalog.flights.event(event).event_id
    found = catalog.changes.current(
        event_id, parse_bounds(bounds), statuses=may_see, until_ns=parse_until(until)
    )
    found = [one for one in found if not visitor.withholding.hides_change(one)]
    made = read_once(catalog, parse_until(until))
    unfound = _not_found_again(made, found)
    found.sort(key=lambda one: one.change_id in unfound)
    proposed = catalog.changes.current(event_id, statuses=_WAITING, until_ns=parse_until(until))
    waiting = [one for one in proposed if not visitor.withholding.hides_change(one)]
    events, compared = catalog.changes.events(), catalog.comparisons.events()
    beside = _decided_beside(catalog, found[:_MOST], visitor, until)
    return {
        **_told(catalog, found[:_MOST], made, unfound, beside),
        "known": bool(events) if event_id is None else event_id in events,
        "compared": bool(compared) if event_id is None else event_id in compared,
        "waiting": waiting_said(together(waiting) if waiting else None),
        "numberMatched": len(found),
        "numberReturned": min(len(found), _MOST),
    }


@router.get("/api/changes/export")
def export(
    services: ServicesHere,
    request: Request,
    visitor: Viewer,
    event: Annotated[str, Query(max_length=200)],
    form: Annotated[Literal["gpkg", "geojson", "kmz", "csv", "xml"], Query(alias="format")] = "gpkg",
    lang: Annotated[Literal["vi", "en"], Query()] = "vi",
) -> Response:
    """The confirmed changes of an event as a file; `xml` is CAP 1.2: a draft, or of a drill an exercise;
    `lang`: of the columns for people in a `csv`."""
    with tempfile.TemporaryDirectory(prefix="flycam-changes-") as folder:
        out = Path(folder) / f"changes.{form}"
        export_changes(services.workspace, out, event, visitor.withholding, lang)
        data = out.read_bytes()
    openings: Openings = request.app.state.openings
    event_id = services.workspace.catalog.flights.event(event).event_id
    openings.note_export(
        services.workspace.catalog.audit, visitor.name, "changes exported", event_id, f"changes.{form}"
    )
    headers = {"Content-Disposition": f'attachment; filename="changes.{form}"', "Cache-Control": "no-store"}
    return Response(data, media_type=_TYPES[form], headers=headers)


@router.get("/api/changes/impact")
def impact(
    services: ServicesHere,
    visitor: Viewer,
    event: Annotated[str | None, Query(max_length=200)] = None,
    change: Annotated[str | None, Query(max_length=200)] = None,
    distance: Annotated[float | None, Query(ge=0, le=MOST_REACH_M)] = None,
) -> Json:
    """What changes touch: of one `change`, or of all of an `event`, by change and by commune.

    Who is no analyst is told of confirmed ones only. distance: metres within which things of every kind count
    as near, else each kind has its own (`reach_m`). A count that is null: no layer of that kind covers the
    ground, so that nothing is known.
    """
    workspace = services.workspace
    catalog = workspace.catalog
    if (change is None) == (event is None):
        raise _one_of_both()
    may_see = STANDING if visitor.may(Role.ANALYST) else _CONFIRMED
    if change is not None:
        last = catalog.changes.last([change])
        event_id = last[0].event_id
        lines = [line for line in last if line.status in may_see]
    else:
        event_id = catalog.flights.event(event or "").event_id
        lines = catalog.changes.current(event_id, statuses=may_see & FOUND)
    lines = [line for line in lines if not visitor.withholding.hides_change(line)]
    found = impact_of(workspace, lines, distance, visitor.withholding)
    is_drill = catalog.flights.event(event_id).is_drill
    around = communes_around(catalog.boundaries, found.changes, is_drill=is_drill)
    communes = impact_by_commune(around, found.changes)
    return impact_answer(found, communes, catalog.boundaries.names(), workspace.clock_ns())


@router.get("/api/changes/undoable")
def undoable(catalog: CatalogHere, visitor: Analyst, event: Annotated[str, Query(max_length=200)]) -> Json:
    """The id of the caller's own last decision in an event, while it can be undone: a page that was loaded
    again goes on from there."""
    event_id = catalog.flights.event(event).event_id
    lines = undoable_step(catalog.changes, event_id, visitor.name)
    is_withheld = any(visitor.withholding.hides_change(line) for line in lines)
    return {"steps": [] if is_withheld else [line.step_id for line in lines[:1]]}


@router.get("/api/changes/pictures")
def pictures(catalog: CatalogHere, visitor: Analyst, event: Annotated[str, Query(max_length=200)]) -> Json:
    """Over which pictures changes of an event may be drawn, as `before` and `after` of a change name them."""
    return {"pictures": sorted(may_be_drawn_over(catalog, catalog.flights.event(event), visitor.withholding))}


@router.get("/api/changes/{change_id}")
def history(change_id: str, catalog: CatalogHere, visitor: Analyst) -> Json:
    """Every line of a change, the first first: who decided what, and when."""
    lines = catalog.changes.history(change_id)
    _refuse_withheld(lines, visitor)
    return _told(catalog, lines, read_once(catalog))


@router.get("/api/changes/{change_id}/registration")
def registration(change_id: str, catalog: CatalogHere, visitor: Analyst) -> Json:
    """The windows (GeoJSON points: `state` agreed, disagreed or not found, `residual_m`) by which the two
    pictures were laid on each other that a change was found on; none where that was not kept."""
    (line,) = catalog.changes.last([change_id])
    _refuse_withheld([line], visitor)
    return windows_said(windows_of(catalog, line))


@router.put("/api/changes/steps/{step_id}", openapi_extra=bounded(MAX_LARGE_BYTES))
def put_step(step_id: str, step: Step, visitor: Analyst, services: ServicesHere) -> Json:
    """Decide: the lines that were written (409: somebody decided on one of them since it was seen).

    The caller makes the id, "step-" and 8 to 40 hex digits: the same sent twice is decided once. The caller's
    own last step in the event is undone by a step with the action `undo`, which names it, while nobody has
    decided on its changes since.
    """
    changes = services.workspace.catalog.changes
    if not visitor.withholding.is_nothing:
        _refuse_withheld([*changes.step(step.undoes), *changes.step(step_id)], visitor)
        for change_id in step.changes:
            _refuse_withheld(changes.history(change_id), visitor)
    asked = StepAsked(step_id=step_id, **step.model_dump())
    made = read_once(services.workspace.catalog)
    lines = decide(services.workspace, asked, visitor.name, visitor.withholding, made)
    return _told(services.workspace.catalog, lines, made)


def _told(
    catalog: Catalog,
    lines: Sequence[ChangeLine],
    made: Reading,
    unfound: Collection[str] = (),
    beside: Mapping[str, Sequence[Decision]] = NOTHING_BESIDE,
) -> Json:
    signs, names = catalog.changes.signatures(lines), catalog.boundaries.names()
    unseen = shares_not_compared(made, lines)
    return change_features(lines, signs, names, unfound, beside, unseen, found_by=found_by(made, lines))


def _decided_beside(
    catalog: Catalog, lines: Sequence[ChangeLine], visitor: Visitor, until: datetime | None
) -> dict[str, list[Decision]]:
    """By change that waits what the visitor may know of decisions on its ground."""
    waiting: dict[str, list[BoundsLonLat]] = {}
    for line in lines:
        if line.status is ChangeStatus.PROPOSED:
            waiting.setdefault(line.event_id, []).append(line.bounds_lonlat_deg)
    decided = [
        one
        for event_id, boxes in sorted(waiting.items())
        for one in catalog.changes.current(
            event_id, around(boxes), statuses=DECIDED, until_ns=parse_until(until)
        )
        if not visitor.withholding.hides_change(one)
    ]
    beside = decided_beside(lines, decided)
    told = {one.change_id: one for some in beside.values() for one in some}
    signs = dict(zip(told, catalog.changes.signatures(list(told.values())), strict=True))
    return {name: [(one, signs[one.change_id]) for one in some] for name, some in beside.items()}


def _not_found_again(made: Reading, lines: Sequence[ChangeLine]) -> Collection[str]:
    events = {one.event_id for one in lines if is_untouched(one)}
    return not_found_again(lines, [one for event_id in sorted(events) for one in made(event_id)])


def _refuse_withheld(lines: Sequence[ChangeLine], visitor: Visitor) -> None:
    """Raise NotFound if a change is withheld from the visitor: it is to them as what is not there."""
    for line in lines:
        if visitor.withholding.hides_change(line):
            raise no_such_change(line.change_id)


def _one_of_both() -> InputUnusable:
    return InputUnusable(_("event, change: give one of them"))
