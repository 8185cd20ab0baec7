"""Changes under review: analysts decide, everybody else sees confirmed ones.

Decisions come by PUT with JSON, each under an id that the caller makes: no page of another site can make a
browser send that, and a decision that is sent twice is taken once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import ChangeVersion, make_change_not_found
from flycam.catalog.tables import union_boxes
from flycam.change.comparison_store import (
    ComparisonReader,
    find_comparison_windows,
    find_superseded_candidates,
    is_untouched,
    make_comparison_reader,
    match_comparisons,
)
from flycam.change.export import (
    NO_OVERLAPS,
    Decision,
    build_change_collection,
    build_window_collection,
    export_changes,
    serialize_waiting,
)
from flycam.change.impact import MAX_REACH_M, compute_impact, find_communes_around, sum_impact_by_commune
from flycam.change.impact_report import serialize_impact
from flycam.change.outlines import DECIDED, MAX_OUTLINE_CORNERS, find_overlapping_decisions, sum_changes
from flycam.change.review import (
    MAX_CHANGES_PER_STEP,
    ReviewStep,
    apply_review_step,
    compute_uncompared_shares,
    find_undoable_step,
    list_drawable_images,
)
from flycam.errors import InputUnusable
from flycam.http.guards import (
    AnalystPrincipal,
    CatalogHere,
    DownloadLog,
    GuardedRoute,
    Principal,
    ServicesHere,
    ViewerPrincipal,
)
from flycam.http.protocol import MAX_LARGE_BYTES, Json, limit_body, parse_bounds, parse_until
from flycam.messages import _
from flycam.model.access import Role
from flycam.model.board import POSITIVE_STATUSES, REVIEWABLE_STATUSES, ChangeAction, ChangeKind, ChangeStatus
from flycam.model.records import BoundsLonLat
from flycam.model.text import MAX_NOTE_LENGTH

router = APIRouter(route_class=GuardedRoute)

_MAX_CHANGES = 5000
_MEDIA_TYPES = {
    "gpkg": "application/geopackage+sqlite3",
    "geojson": "application/geo+json",
    "kmz": "application/vnd.google-earth.kmz",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/cap+xml",
}
_CONFIRMED, _WAITING = frozenset({ChangeStatus.ACCEPTED}), frozenset({ChangeStatus.PROPOSED})

_Ring = Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MAX_OUTLINE_CORNERS)]
_Polygon = Annotated[list[_Ring], Field(min_length=1, max_length=500)]
_Outline = Annotated[list[_Polygon], Field(min_length=1, max_length=500)]


class DecisionBody(BaseModel):
    """A decision. changes: the version that was seen, by change; outlines: one to draw or redraw, a
    multipolygon as GeoJSON's coordinates; before, after: the two pictures of the event that a change is drawn
    over."""

    action: ChangeAction
    changes: Annotated[dict[str, int], Field(max_length=MAX_CHANGES_PER_STEP)] = {}
    event_id: Annotated[str, Field(max_length=200)] = ""
    kind: ChangeKind | None = None
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    outlines: Annotated[list[_Outline], Field(max_length=1)] = []
    undoes: Annotated[str, Field(max_length=200)] = ""
    before: Annotated[str, Field(max_length=500)] = ""
    after: Annotated[str, Field(max_length=500)] = ""


@router.get("/api/changes")
def list_changes(
    catalog: CatalogHere,
    principal: ViewerPrincipal,
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
    may_see = REVIEWABLE_STATUSES if principal.has_role(Role.ANALYST) else _CONFIRMED
    if status is not None:
        may_see = frozenset({status}) if principal.has_role(Role.ANALYST) else _CONFIRMED & {status}
    event_id = None if event is None else catalog.flights.event(event).event_id
    found = catalog.changes.current(
        event_id, parse_bounds(bounds), statuses=may_see, until_ns=parse_until(until)
    )
    found = [one for one in found if not principal.access_policy.hides_change(one)]
    made = make_comparison_reader(catalog, parse_until(until))
    untouched = {one.event_id for one in found if is_untouched(one)}
    unfound = find_superseded_candidates(found, [one for name in sorted(untouched) for one in made(name)])
    found.sort(key=lambda one: one.change_id in unfound)
    proposed = catalog.changes.current(event_id, statuses=_WAITING, until_ns=parse_until(until))
    waiting = [one for one in proposed if not principal.access_policy.hides_change(one)]
    events, compared = catalog.changes.events(), catalog.comparisons.events()
    overlapping = _find_overlapping_decisions(catalog, found[:_MAX_CHANGES], principal, until)
    return {
        **_describe_changes(catalog, found[:_MAX_CHANGES], made, unfound, overlapping),
        "known": bool(events) if event_id is None else event_id in events,
        "compared": bool(compared) if event_id is None else event_id in compared,
        "waiting": serialize_waiting(sum_changes(waiting) if waiting else None),
        "numberMatched": len(found),
        "numberReturned": min(len(found), _MAX_CHANGES),
    }


@router.get("/api/changes/export")
def get_changes_file(
    services: ServicesHere,
    request: Request,
    principal: ViewerPrincipal,
    event: Annotated[str, Query(max_length=200)],
    form: Annotated[Literal["gpkg", "geojson", "kmz", "csv", "xml"], Query(alias="format")] = "gpkg",
    lang: Annotated[Literal["vi", "en"], Query()] = "vi",
) -> Response:
    """The confirmed changes of an event as a file; `xml` is CAP 1.2: a draft, or of a drill an exercise;
    `lang`: of the columns for people in a `csv`."""
    with tempfile.TemporaryDirectory(prefix="flycam-changes-") as folder:
        out = Path(folder) / f"changes.{form}"
        export_changes(services.workspace, out, event, principal.access_policy, lang)
        data = out.read_bytes()
    openings: DownloadLog = request.app.state.openings
    event_id = services.workspace.catalog.flights.event(event).event_id
    openings.note_export(
        services.workspace.catalog.audit, principal.name, "changes exported", event_id, f"changes.{form}"
    )
    headers = {"Content-Disposition": f'attachment; filename="changes.{form}"', "Cache-Control": "no-store"}
    return Response(data, media_type=_MEDIA_TYPES[form], headers=headers)


@router.get("/api/changes/impact")
def get_impact(
    services: ServicesHere,
    principal: ViewerPrincipal,
    event: Annotated[str | None, Query(max_length=200)] = None,
    change: Annotated[str | None, Query(max_length=200)] = None,
    distance: Annotated[float | None, Query(ge=0, le=MAX_REACH_M)] = None,
) -> Json:
    """Count what changes touch: one `change`, or all of an `event`, by change and by commune.

    Only analysts get changes that are not confirmed. distance: metres within which features of every kind
    count as near; by default each kind has its own (`reach_m`). A null count: no layer of that kind covers
    the ground, so nothing is known.
    """
    workspace = services.workspace
    catalog = workspace.catalog
    if (change is None) == (event is None):
        raise InputUnusable(_("event, change: give one of them"))
    may_see = REVIEWABLE_STATUSES if principal.has_role(Role.ANALYST) else _CONFIRMED
    if change is not None:
        last = catalog.changes.last([change])
        event_id = last[0].event_id
        lines = [line for line in last if line.status in may_see]
    else:
        event_id = catalog.flights.event(event or "").event_id
        lines = catalog.changes.current(event_id, statuses=may_see & POSITIVE_STATUSES)
    lines = [line for line in lines if not principal.access_policy.hides_change(line)]
    found = compute_impact(workspace, lines, distance, principal.access_policy)
    is_drill = catalog.flights.event(event_id).is_drill
    around = find_communes_around(catalog.boundaries, found.changes, is_drill=is_drill)
    communes = sum_impact_by_commune(around, found.changes)
    return serialize_impact(found, communes, catalog.boundaries.names(), workspace.clock_ns())


@router.get("/api/changes/undoable")
def get_undoable_step(
    catalog: CatalogHere, principal: AnalystPrincipal, event: Annotated[str, Query(max_length=200)]
) -> Json:
    """The id of the caller's own last decision in an event, while it can be undone: a page that was loaded
    again goes on from there."""
    event_id = catalog.flights.event(event).event_id
    lines = find_undoable_step(catalog.changes, event_id, principal.name)
    is_withheld = any(principal.access_policy.hides_change(line) for line in lines)
    return {"steps": [] if is_withheld else [line.step_id for line in lines[:1]]}


@router.get("/api/changes/pictures")
def list_comparable_pictures(
    catalog: CatalogHere, principal: AnalystPrincipal, event: Annotated[str, Query(max_length=200)]
) -> Json:
    """Over which pictures changes of an event may be drawn, as `before` and `after` of a change name them."""
    return {
        "pictures": sorted(
            list_drawable_images(catalog, catalog.flights.event(event), principal.access_policy)
        )
    }


@router.get("/api/changes/{change_id}")
def get_change_history(change_id: str, catalog: CatalogHere, principal: AnalystPrincipal) -> Json:
    """Every line of a change, the first first: who decided what, and when."""
    lines = catalog.changes.history(change_id)
    _require_visible(lines, principal)
    return _describe_changes(catalog, lines, make_comparison_reader(catalog))


@router.get("/api/changes/{change_id}/registration")
def get_registration_windows(change_id: str, catalog: CatalogHere, principal: AnalystPrincipal) -> Json:
    """The windows (GeoJSON points: `state` agreed, disagreed or not found, `residual_m`) by which the two
    pictures were laid on each other that a change was found on; none where that was not kept."""
    (line,) = catalog.changes.last([change_id])
    _require_visible([line], principal)
    return build_window_collection(find_comparison_windows(catalog, line))


@router.put("/api/changes/steps/{step_id}", openapi_extra=limit_body(MAX_LARGE_BYTES))
def put_decision(
    step_id: str, step: DecisionBody, principal: AnalystPrincipal, services: ServicesHere
) -> Json:
    """Decide: the lines that were written (409: somebody decided on one of them since it was seen).

    The caller makes the id, "step-" and 8 to 40 hex digits: the same sent twice is decided once. The caller's
    own last step in the event is undone by a step with the action `undo`, which names it, while nobody has
    decided on its changes since.
    """
    changes = services.workspace.catalog.changes
    if not principal.access_policy.is_nothing:
        _require_visible([*changes.step(step.undoes), *changes.step(step_id)], principal)
        for change_id in step.changes:
            _require_visible(changes.history(change_id), principal)
    requested = ReviewStep(step_id=step_id, **step.model_dump())
    made = make_comparison_reader(services.workspace.catalog)
    lines = apply_review_step(services.workspace, requested, principal.name, principal.access_policy, made)
    return _describe_changes(services.workspace.catalog, lines, made)


def _describe_changes(
    catalog: Catalog,
    lines: Sequence[ChangeVersion],
    made: ComparisonReader,
    unfound: Collection[str] = (),
    overlapping_decisions: Mapping[str, Sequence[Decision]] = NO_OVERLAPS,
) -> Json:
    signs, names = catalog.changes.list_attributions(lines), catalog.boundaries.names()
    unseen = compute_uncompared_shares(made, lines)
    return build_change_collection(
        lines, signs, names, unfound, overlapping_decisions, unseen, found_by=match_comparisons(made, lines)
    )


def _find_overlapping_decisions(
    catalog: Catalog, lines: Sequence[ChangeVersion], principal: Principal, until: datetime | None
) -> dict[str, list[Decision]]:
    """Return, by pending change, the visible decisions on its ground."""
    waiting: dict[str, list[BoundsLonLat]] = {}
    for line in lines:
        if line.status is ChangeStatus.PROPOSED:
            waiting.setdefault(line.event_id, []).append(line.bounds_lonlat_deg)
    decided = [
        one
        for event_id, boxes in sorted(waiting.items())
        for one in catalog.changes.current(
            event_id, union_boxes(boxes), statuses=DECIDED, until_ns=parse_until(until)
        )
        if not principal.access_policy.hides_change(one)
    ]
    overlapping = find_overlapping_decisions(lines, decided)
    decisions = {one.change_id: one for some in overlapping.values() for one in some}
    signs = dict(zip(decisions, catalog.changes.list_attributions(list(decisions.values())), strict=True))
    return {name: [(one, signs[one.change_id]) for one in some] for name, some in overlapping.items()}


def _require_visible(lines: Sequence[ChangeVersion], principal: Principal) -> None:
    """Raise NotFound if a change is withheld, as if it did not exist."""
    for line in lines:
        if principal.access_policy.hides_change(line):
            raise make_change_not_found(line.change_id)
