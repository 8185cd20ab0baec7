"""Changes under review: decided on by analysts; everybody else sees what was confirmed.

Decisions come by PUT with JSON, each under an id that the caller makes: no page of another site can make a
browser send that, and what is sent twice is decided once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.change_line import ChangeLine
from flycam.catalog.changes import no_such_change
from flycam.catalog.records import Role
from flycam.errors import InputUnusable
from flycam.frame.change import FOUND, STANDING, ChangeAction, ChangeKind, ChangeStatus
from flycam.pipeline.change.commune_impact import communes_around, impact_by_commune
from flycam.pipeline.change.compared_keeping import windows_of
from flycam.pipeline.change.deciding import MOST_AT_ONCE, StepAsked, decide
from flycam.pipeline.change.export import export_changes
from flycam.pipeline.change.found_again import is_untouched, not_found_again
from flycam.pipeline.change.impact import MOST_REACH_M, impact_of
from flycam.pipeline.change.impact_words import impact_answer, series_said
from flycam.pipeline.change.series import series_at, series_of
from flycam.pipeline.change.shapes import MOST_CORNERS, MOST_PARTS
from flycam.pipeline.change.words import change_features, windows_said
from flycam.pipeline.marks import NOTE_LETTERS
from flycam.serve.door import Visitor
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import analyst, viewer
from flycam.serve.openings import Openings
from flycam.serve.rectangle import parse_bounds
from flycam.serve.services import ServicesHere
from flycam.serve.until import parse_until
from flycam.serve.wording import Json

router = APIRouter()

_MOST = 5000
_TYPES = {
    "gpkg": "application/geopackage+sqlite3",
    "geojson": "application/geo+json",
    "kmz": "application/vnd.google-earth.kmz",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/cap+xml",
}
_CONFIRMED = frozenset({ChangeStatus.ACCEPTED})
Analyst = Annotated[Visitor, Depends(analyst)]

_Ring = Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MOST_CORNERS)]
_Polygon = Annotated[list[_Ring], Field(min_length=1, max_length=500)]
_Outline = Annotated[list[_Polygon], Field(min_length=1, max_length=500)]


class Step(BaseModel):
    """A decision. changes: the version that was seen, by change; outlines: multipolygons as GeoJSON's
    coordinates, one to draw or redraw, several to split; cut: a line across a change, which splits it too."""

    action: ChangeAction
    changes: Annotated[dict[str, int], Field(max_length=MOST_AT_ONCE)] = {}
    event_id: Annotated[str, Field(max_length=200)] = ""
    kind: ChangeKind | None = None
    note: Annotated[str, Field(max_length=NOTE_LETTERS * 2)] = ""
    outlines: Annotated[list[_Outline], Field(max_length=MOST_PARTS)] = []
    cut: Annotated[list[tuple[float, float]], Field(max_length=MOST_CORNERS)] = []
    undoes: Annotated[str, Field(max_length=200)] = ""


@router.get("/api/changes")
def changes(
    catalog: CatalogHere,
    visitor: Annotated[Visitor, Depends(viewer)],
    event: Annotated[str | None, Query(max_length=200)] = None,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    status: ChangeStatus | None = None,
    until: datetime | None = None,
) -> Json:
    """Changes as they stand (GeoJSON), the likeliest first; those that others stand for only by `status`.
    Last is what waits and a newer revision did not show again (`not_found_again`).

    Who is no analyst sees accepted ones only. `known`: whether any was ever found or drawn in the event,
    whatever was decided: no change on the list does not mean that nothing changed. bounds is
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
    unfound = _not_found_again(catalog, found, parse_until(until))
    found.sort(key=lambda one: one.change_id in unfound)
    events = catalog.changes.events()
    return {
        **_told(catalog, found[:_MOST], unfound),
        "known": bool(events) if event_id is None else event_id in events,
        "numberMatched": len(found),
        "numberReturned": min(len(found), _MOST),
    }


@router.get("/api/changes/export")
def export(
    services: ServicesHere,
    request: Request,
    visitor: Annotated[Visitor, Depends(viewer)],
    event: Annotated[str, Query(max_length=200)],
    form: Annotated[Literal["gpkg", "geojson", "kmz", "csv", "xml"], Query(alias="format")] = "gpkg",
) -> Response:
    """The confirmed changes of an event as a file; `xml` is CAP 1.2: a draft, or of a drill an exercise."""
    with tempfile.TemporaryDirectory(prefix="flycam-changes-") as folder:
        out = Path(folder) / f"changes.{form}"
        export_changes(services.workspace, out, event, visitor.withholding)
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
    visitor: Annotated[Visitor, Depends(viewer)],
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
        lines = [line for line in catalog.changes.last([change]) if line.status in may_see]
    else:
        event_id = catalog.flights.event(event or "").event_id
        lines = catalog.changes.current(event_id, statuses=may_see & FOUND)
    lines = [line for line in lines if not visitor.withholding.hides_change(line)]
    found = impact_of(workspace, lines, distance, visitor.withholding)
    communes = impact_by_commune(communes_around(catalog.boundaries, found.changes), found.changes)
    return impact_answer(found, communes, catalog.boundaries.names(), workspace.clock_ns())


@router.get("/api/changes/series")
def series(
    services: ServicesHere,
    visitor: Annotated[Visitor, Depends(viewer)],
    event: Annotated[str | None, Query(max_length=200)] = None,
    change: Annotated[str | None, Query(max_length=200)] = None,
) -> Json:
    """Places at several dates: that of one `change`, or all of an `event` that several dates show.

    Who is no analyst is told of what is confirmed only. A date at which nothing was found is told where the
    place was compared (`state` none), or that it was not (not_compared).
    """
    workspace = services.workspace
    statuses, sees = FOUND if visitor.may(Role.ANALYST) else _CONFIRMED, visitor.withholding
    if (change is None) == (event is None):
        raise _one_of_both()
    if change is not None:
        found = [series_at(workspace, change, statuses, sees)]
    else:
        found = series_of(workspace, workspace.catalog.flights.event(event or ""), statuses, sees)
    return {"series": [series_said(one) for one in found]}


@router.get("/api/changes/{change_id}")
def history(change_id: str, catalog: CatalogHere, visitor: Analyst) -> Json:
    """Every line of a change, the first first: who decided what, and when."""
    lines = catalog.changes.history(change_id)
    _refuse_withheld(lines, visitor)
    return _told(catalog, lines)


@router.get("/api/changes/{change_id}/registration")
def registration(change_id: str, catalog: CatalogHere, visitor: Analyst) -> Json:
    """The windows (GeoJSON points: `state` agreed, disagreed or not found, `residual_m`) by which the two
    pictures were laid on each other that a change was found on; none where that was not kept."""
    (line,) = catalog.changes.last([change_id])
    _refuse_withheld([line], visitor)
    return windows_said(windows_of(catalog, line))


@router.put("/api/changes/steps/{step_id}")
def put_step(step_id: str, step: Step, visitor: Analyst, services: ServicesHere) -> Json:
    """Decide: the lines that were written (409: somebody decided on one of them since it was seen).

    The caller makes the id, "step-" and 8 to 40 hex digits: the same sent twice is decided once. A step is
    undone by a step with the action `undo`, which names it; that too can be undone.
    """
    changes = services.workspace.catalog.changes
    if not visitor.withholding.is_nothing:
        _refuse_withheld([*changes.step(step.undoes), *changes.step(step_id)], visitor)
        for change_id in step.changes:
            _refuse_withheld(changes.history(change_id), visitor)
    asked = StepAsked(step_id=step_id, **step.model_dump())
    lines = decide(services.workspace, asked, visitor.name, visitor.withholding)
    return _told(services.workspace.catalog, lines)


def _told(catalog: Catalog, lines: Sequence[ChangeLine], unfound: Collection[str] = ()) -> Json:
    return change_features(lines, catalog.changes.signatures(lines), catalog.boundaries.names(), unfound)


def _not_found_again(catalog: Catalog, lines: Sequence[ChangeLine], until_ns: int | None) -> Collection[str]:
    events = {one.event_id for one in lines if is_untouched(one)}
    made = [one for event_id in sorted(events) for one in catalog.comparisons.of_event(event_id, until_ns)]
    return not_found_again(lines, made)


def _refuse_withheld(lines: Sequence[ChangeLine], visitor: Visitor) -> None:
    """Raise NotFound if a change is withheld from the visitor: it is to them as what is not there."""
    for line in lines:
        if visitor.withholding.hides_change(line):
            raise no_such_change(line.change_id)


def _one_of_both() -> InputUnusable:
    return InputUnusable(
        "event, change: give one of them", vi="event, change: hãy ghi một trong hai: sự kiện hoặc thay đổi"
    )
