"""Review of changes: accept, reject, redraw, draw, comment, undo; and its routes.

A decision is a step: the versions that it writes are written together or not at all, signed by their author,
and recorded in the audit log. The client names the step, so that sending it twice decides once, and states
which version of a change was seen, so that a decision never overrides another made meanwhile. Undo is a step
too: every change that the author's own last step wrote to is restored. It is not undone itself.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import shapely
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import (
    Changes,
    ChangeVersion,
    ComparedWindow,
    Comparison,
    list_mosaic_ids,
    make_change_not_found,
    parse_image_reference,
)
from flycam.catalog.tables import union_boxes
from flycam.change.comparison import (
    ComparisonReader,
    find_comparison_windows,
    find_cut_changes,
    find_superseded_candidates,
    is_untouched,
    list_visible_comparisons,
    make_comparison_reader,
    match_comparisons,
    unite_ground,
)
from flycam.change.coregistration import interpolate_error
from flycam.change.export import (
    MEDIA_TYPES,
    NO_OVERLAPS,
    Decision,
    ExportFormat,
    build_change_collection,
    build_window_collection,
    export_changes,
    serialize_impact,
    serialize_waiting,
)
from flycam.change.impact import MAX_REACH_M, compute_impact, find_communes_around, sum_impact_by_commune
from flycam.change.outlines import (
    DECIDED,
    DECIMALS,
    MAX_OUTLINE_CORNERS,
    MeasuredOutline,
    Outline,
    derive_record_id,
    find_overlapping_decisions,
    measure_outline,
    parse_outline,
    sum_changes,
    to_valid_shapes,
)
from flycam.errors import AccessDenied, InputUnusable, NotFound, StoreConflict
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
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
from flycam.messages import _, ngettext
from flycam.model.access import Role
from flycam.model.board import (
    POSITIVE_STATUSES,
    REVIEWABLE_STATUSES,
    UNDECIDED_ACTIONS,
    ChangeAction,
    ChangeKind,
    ChangeStatus,
)
from flycam.model.flight import Event
from flycam.model.records import AuditEntry, BoundsLonLat
from flycam.model.text import MAX_NOTE_LENGTH, validate_note
from flycam.workspace import Workspace

# -- Versions of a change with another kind or outline ---------------------------------------------
#
# Keeps the fields that still hold, and clears those that were only true of the version before.


def change_kind(line: ChangeVersion, kind: ChangeKind) -> ChangeVersion:
    """Return the change with another kind; the score stays the detected kind's."""
    if line.score is None or kind is line.kind:
        return replace(line, kind=kind)
    scored_as = line.scored_as or line.kind.value
    return replace(line, kind=kind, scored_as="" if scored_as == kind.value else scored_as)


def change_outline(line: ChangeVersion, ground: MeasuredOutline) -> ChangeVersion:
    """Return the change with a hand-drawn outline, for which there is no score."""
    west, south, east, north = (float(side) for side in ground.shape.bounds)
    return replace(
        line,
        score=None,
        scored_as="",
        area_m2=ground.area_m2,
        length_m=ground.length_m,
        slope_deg=ground.slope_deg,
        commune=ground.commune,
        wkb=shapely.to_wkb(ground.shape),
        bounds_lonlat_deg=(west, south, east, north),
    )


def estimate_position_error(line: ChangeVersion, windows: Sequence[ComparedWindow]) -> ChangeVersion:
    """Return the change with the position error at its outline.

    Interpolated from the windows of the comparison that found it; None without windows, as for a change that
    came from another node.
    """
    agreed = [one for one in windows if one.state == "agreed" and one.residual_m is not None]
    if not agreed:
        return replace(line, tie_m=None, error_m=None)
    middle = shapely.from_wkb(line.wkb).representative_point()
    onto = make_point_transform(WGS84, choose_work_crs(middle.x, middle.y))
    place = onto(np.array([(middle.x, middle.y)]))
    everywhere = onto(np.array([one.lonlat_deg for one in windows]))
    there = onto(np.array([one.lonlat_deg for one in agreed]))
    squared = np.array([one.residual_m or 0.0 for one in agreed]) ** 2
    error = interpolate_error(there, squared, _side_m(everywhere), place)
    return replace(line, tie_m=float(cKDTree(there).query(place)[0][0]), error_m=float(error[0]))


def _side_m(places: np.ndarray) -> float:
    """Estimate the side of a window, metres, from the spacing of adjacent windows.

    places: N×2, the centres of all windows.
    """
    if len(places) < 2:
        return 0.0
    return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))


# -- Hand-drawn outlines: the image pair drawn over, and their uncompared share --------------------
#
# Shares of small shapes are computed in degrees.


# Share of an outline: recorded ground is shrunk by a pixel, and its rim is smoothed.
_MIN_UNCOMPARED_SHARE = 0.02


def require_event_images(catalog: Catalog, ref: str, over: tuple[str, str], policy: AccessPolicy) -> None:
    """Raise InputUnusable unless both images (before, after) may be drawn over.

    They must be images of the event (id or name) that the account may see. Raises NotFound for the event.
    """
    event = catalog.flights.event(ref)
    known = list_drawable_images(catalog, event, policy)
    strange = next((one for one in over if one not in known), None)
    if strange is None:
        return
    if not strange:
        raise InputUnusable(_("name both pictures that it was drawn over, or neither"))
    raise InputUnusable(
        _(
            "{strange}: is not a picture of {name}; show two of its flights beside each "
            "other and draw it again",
            strange=strange[:60],
            name=event.name,
        )
    )


def list_drawable_images(catalog: Catalog, event: Event, policy: AccessPolicy) -> set[str]:
    """Return references of the images over which changes of an event may be drawn.

    Revisions of the mosaics of its flights, and what its changes were looked for on (files, and mosaics of
    earlier flights); none that the policy hides, and none of a drill in a real event.
    """
    compared: list[Comparison | ChangeVersion] = [*list_visible_comparisons(catalog, event.event_id, policy)]
    compared += [one for one in catalog.changes.current(event.event_id) if not policy.hides_change(one)]
    shown = {name for one in compared for name in (one.before_shown, one.after_shown)}
    looked_on = set(list_mosaic_ids(*shown))
    mixing = {one.event_id for one in catalog.flights.events() if one.is_drill and not event.is_drill}
    flown = {
        one.flight_id: one.event_id
        for one in catalog.flights.flights()
        if one.event_id not in mixing and not policy.hides_flight_entirely(one)
    }
    mosaics = {
        f"{one.mosaic_id}@{one.revision}"
        for one in catalog.tiles.mosaics()
        if one.flight_id in flown
        and (flown[one.flight_id] == event.event_id or one.mosaic_id in looked_on)
        and not policy.hides_mosaic(one.mosaic_id)
    }
    files = {one for one in shown if one and parse_image_reference(one).revision is None}
    return mosaics | files


def compute_uncompared_shares(reader: ComparisonReader, lines: Sequence[ChangeVersion]) -> list[float | None]:
    """Return the share (0 to 1) of each drawn outline that was not compared.

    Not imaged on both dates, under a cloud, or outside the requested area. None where the comparison is not
    recorded, where the share is within the outline's rim, or for a detector's outline, which lies on compared
    ground.
    """
    shares: list[float | None] = [None] * len(lines)
    drawn = [number for number, one in enumerate(lines) if one.score is None]
    for number, shape in zip(drawn, to_valid_shapes([lines[number] for number in drawn]), strict=True):
        line = lines[number]
        here = [one for one in reader(line.event_id) if one.pair == line.pair]
        if not here:
            continue
        share = 1.0 - float(shapely.intersection(shape, unite_ground(here)).area / shape.area)
        if share >= _MIN_UNCOMPARED_SHARE:
            shares[number] = share
    return shares


# -- Request for a review step, and its validation -------------------------------------------------


MAX_CHANGES_PER_STEP = 500

_STEP_ID = re.compile(r"step-[0-9a-f]{8,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewStep:
    """A review step as requested.

    step_id   made by the client ("step-" and 8 to 40 hex digits), so that sending it twice decides once
    changes   the changes to decide on, with the version that was seen
    event_id  of a change that is drawn; all others keep theirs
    kind      the kind to set; None: as detected. A change that is drawn needs one
    outlines  one to draw or redraw
    undoes    the step to undo
    before, after  the two images of its event over which a change was drawn, as `ChangeVersion` has them;
        both or neither
    """

    step_id: str
    action: ChangeAction
    changes: Mapping[str, int] = field(default_factory=dict)
    event_id: str = ""
    kind: ChangeKind | None = None
    note: str = ""
    outlines: Sequence[Outline] = ()
    undoes: str = ""
    before: str = ""
    after: str = ""


_COUNTS: dict[ChangeAction, tuple[range, range]] = {
    ChangeAction.ACCEPT: (range(1, MAX_CHANGES_PER_STEP + 1), range(1)),
    ChangeAction.REJECT: (range(1, MAX_CHANGES_PER_STEP + 1), range(1)),
    ChangeAction.COMMENT: (range(1, 2), range(1)),
    ChangeAction.REDRAW: (range(1, 2), range(1, 2)),
    ChangeAction.DRAW: (range(1), range(1, 2)),
    ChangeAction.UNDO: (range(1), range(1)),
}
"""Numbers of changes and of outlines that each action takes."""


def require_valid_step(step: ReviewStep) -> None:
    """Raise InputUnusable unless the step is valid for some change."""
    if not _STEP_ID.fullmatch(step.step_id):
        raise InputUnusable(
            _("{step_id!r}: a step's id is 'step-' and 8 to 40 hex digits", step_id=step.step_id[:60])
        )
    if step.action not in _COUNTS:
        raise InputUnusable(
            _("{action}: is not for people to say; draw the change instead", action=step.action)
        )
    changes, outlines = _COUNTS[step.action]
    if len(step.changes) not in changes or len(step.outlines) not in outlines:
        raise InputUnusable(
            _(
                "{action}: takes {changes} and {outlines}",
                action=step.action,
                changes=ngettext(
                    "{counts} change", "{counts} changes", changes.stop - 1, counts=_format_counts(changes)
                ),
                outlines=ngettext(
                    "{counts} outline",
                    "{counts} outlines",
                    outlines.stop - 1,
                    counts=_format_counts(outlines),
                ),
            )
        )
    if bool(step.undoes) != (step.action is ChangeAction.UNDO):
        raise InputUnusable(_("undoing names the step that it undoes, nothing else does"))
    if step.action is ChangeAction.DRAW and step.kind is None:
        raise InputUnusable(_("say what the change is: landslide, flood or other"))
    if (step.before or step.after) and step.action is not ChangeAction.DRAW:
        raise InputUnusable(
            _("the two images of what is drawn are shown; all else keeps those that it was found on")
        )
    if step.action is ChangeAction.COMMENT and not step.note:
        raise InputUnusable(_("a note has words; write them"))


def _format_counts(counts: range) -> str:
    return str(counts.start) if len(counts) == 1 else f"{counts.start}-{counts.stop - 1}"


# -- The last decision that an account can undo, read from the catalogue ---------------------------
#
# So undo works after the page is reloaded, or at another computer.


def find_undoable_step(changes: Changes, event_id: str, who: str) -> list[ChangeVersion]:
    """Return the versions of an account's own last step in an event.

    One for each change that it wrote to; none if it undid another step, or if any of these changes was
    decided on since.
    """
    lines = changes.last_step(event_id, who)
    if any(line.action is ChangeAction.UNDO for line in lines):
        return []
    return lines if changes.last([line.change_id for line in lines]) == lines else []


# -- Application of a review step ------------------------------------------------------------------


_FIRST = 1


def apply_review_step(
    workspace: Workspace,
    step: ReviewStep,
    who: str,
    policy: AccessPolicy = UNRESTRICTED,
    reader: ComparisonReader | None = None,
) -> list[ChangeVersion]:
    """Write a step; return its versions, one for each change that it wrote to.

    policy: the author's policy; no change may be moved to ground hidden by it, for its author could not
    even undo that. reader: what was compared, if the caller reads that too.

    Raises InputUnusable (an invalid step), NotFound (a change, a step, the event), StoreConflict (a change is
    not as it was seen, or no longer open), AccessDenied (it would be hidden).
    """
    step = replace(step, note=validate_note(step.note))
    require_valid_step(step)
    if there := _written(workspace, step, who):
        # The answer was lost on the way, and the client sent the same again.
        return there
    if step.before or step.after:
        require_event_images(workspace.catalog, step.event_id, (step.before, step.after), policy)
    began = _MAKERS[step.action](workspace, step, who, reader or make_comparison_reader(workspace.catalog))
    if any(policy.hides_change(line) for line in began):
        raise AccessDenied(
            _("the outline lies on ground that is withheld from you; draw it within what you may see")
        )
    at_ns = workspace.clock_ns()
    lines = [
        replace(
            line,
            step_id=step.step_id,
            action=step.action,
            undoes=step.undoes,
            author=who,
            at_ns=at_ns,
        )
        for line in began
    ]
    try:
        workspace.catalog.changes.append(lines, [_make_audit_entry(line) for line in lines])
    except StoreConflict:
        # the same, sent twice, may have been under way at the same time
        if there := _written(workspace, step, who):
            return there
        raise
    return lines


def _make_audit_entry(line: ChangeVersion) -> AuditEntry:
    """Return the audit entry of a version."""
    detail = f"{line.action}: {line.kind}, {line.status}, {line.area_m2:.0f} m2, version {line.version}"
    detail += f": {line.note}" if line.note else ""
    return AuditEntry(who=line.author, what="change", subject=line.change_id, detail=detail, at_ns=line.at_ns)


def _written(workspace: Workspace, step: ReviewStep, who: str) -> list[ChangeVersion]:
    """Return the versions of a step that was written already.

    Raises StoreConflict if it was another decision.
    """
    lines = workspace.catalog.changes.step(step.step_id)
    is_same = step.changes.keys() <= {line.change_id for line in lines} and all(
        (line.author, line.action, line.undoes) == (who, step.action, step.undoes) for line in lines
    )
    if lines and not (is_same and _matches_step(lines, step)):
        raise StoreConflict(_("{step_id}: is another decision's; give a new one", step_id=step.step_id))
    return lines


def _matches_step(lines: Sequence[ChangeVersion], step: ReviewStep) -> bool:
    """Return True if versions have the step's kind, images and outlines."""
    named = step.kind if step.action is not ChangeAction.UNDO else None
    if named is not None and any(line.kind != named for line in lines):
        return False
    is_drawn, over = step.action is ChangeAction.DRAW, (step.before, step.after)
    if is_drawn and any((line.before_shown, line.after_shown) != over for line in lines):
        return False
    return all(line.wkb == shapely.to_wkb(parse_outline(one)) for one in step.outlines for line in lines)


def _decided(
    workspace: Workspace, step: ReviewStep, _who: str, _reader: ComparisonReader
) -> list[ChangeVersion]:
    status = ChangeStatus.ACCEPTED if step.action is ChangeAction.ACCEPT else ChangeStatus.REJECTED
    return [replace(_next(seen, step), status=status) for seen in _seen(workspace, step)]


def _commented(
    workspace: Workspace, step: ReviewStep, _who: str, _reader: ComparisonReader
) -> list[ChangeVersion]:
    return [_next(seen, step) for seen in _seen(workspace, step)]


def _redrawn(
    workspace: Workspace, step: ReviewStep, _who: str, reader: ComparisonReader
) -> list[ChangeVersion]:
    """Redraw; if no corner was moved, all measures stay."""
    (seen,) = _seen(workspace, step)
    (outline,) = step.outlines
    shape, line = parse_outline(outline), _next(seen, step)
    # equal to the millimetre, from any first corner
    shapes = shapely.normalize([shape, shapely.from_wkb(seen.wkb)])
    if bool(shapely.equals_exact(shapes[0], shapes[1], tolerance=1.5 * 10.0**-DECIMALS)):
        return [replace(line, wkb=shapely.to_wkb(shape))]
    ground = _measured(workspace, seen.event_id, shape)
    return [
        estimate_position_error(
            change_outline(line, ground), find_comparison_windows(workspace.catalog, seen, reader)
        )
    ]


def _drawn(
    workspace: Workspace, step: ReviewStep, _who: str, _reader: ComparisonReader
) -> list[ChangeVersion]:
    """Create an accepted change: its author has seen it.

    The images that it was drawn over are recorded with it.
    """
    (outline,) = step.outlines
    event = workspace.catalog.flights.event(step.event_id)
    assert step.kind is not None  # noqa: S101  `require_valid_step` has seen to it
    line = ChangeVersion(
        change_id=f"change-{derive_record_id(step.step_id)}",
        version=_FIRST,
        step_id=step.step_id,
        event_id=event.event_id,
        action=step.action,
        status=ChangeStatus.ACCEPTED,
        kind=step.kind,
        score=None,
        area_m2=0.0,
        length_m=0.0,
        slope_deg=None,
        commune="",
        tie_m=None,
        rmse_m=None,
        before_shown=step.before,
        after_shown=step.after,
        origins=(),
        note=step.note,
        author="",
        at_ns=0,
        wkb=b"",
        bounds_lonlat_deg=(0.0, 0.0, 0.0, 0.0),
    )
    return [change_outline(line, _measured(workspace, event.event_id, parse_outline(outline)))]


def _undone(
    workspace: Workspace, step: ReviewStep, who: str, _reader: ComparisonReader
) -> list[ChangeVersion]:
    """Restore every change of a step; a drawn change is removed."""
    changes = workspace.catalog.changes
    lines = changes.step(step.undoes)
    if not lines or any(line.action in UNDECIDED_ACTIONS for line in lines):
        raise NotFound(_("{undoes}: there is no such decision to undo", undoes=step.undoes[:60]))
    if find_undoable_step(changes, lines[0].event_id, who) != lines:
        raise StoreConflict(
            _("only your own last decision can be undone, while nobody has decided there since; decide again")
        )
    back = []
    for line in lines:
        *earlier, __ = changes.history(line.change_id)
        before = earlier[-1] if earlier else replace(line, status=ChangeStatus.REMOVED)
        back.append(replace(before, version=line.version + 1))
    return back


_MAKERS: dict[ChangeAction, Callable[[Workspace, ReviewStep, str, ComparisonReader], list[ChangeVersion]]] = {
    ChangeAction.ACCEPT: _decided,
    ChangeAction.REJECT: _decided,
    ChangeAction.COMMENT: _commented,
    ChangeAction.REDRAW: _redrawn,
    ChangeAction.DRAW: _drawn,
    ChangeAction.UNDO: _undone,
}


def _seen(workspace: Workspace, step: ReviewStep) -> list[ChangeVersion]:
    """Return the current changes; raise StoreConflict unless they are as seen."""
    lines = workspace.catalog.changes.last(list(step.changes))
    for line in lines:
        if line.version != step.changes[line.change_id] or line.status not in REVIEWABLE_STATUSES:
            raise StoreConflict(
                _(
                    "{change_id}: somebody decided on this change meanwhile; look at it again",
                    change_id=line.change_id,
                )
            )
    return lines


def _next(seen: ChangeVersion, step: ReviewStep) -> ChangeVersion:
    """Return the next version, with the step's kind and note, or the last note."""
    line = change_kind(seen, step.kind or seen.kind)
    return replace(line, version=seen.version + 1, note=step.note or seen.note)


def _measured(workspace: Workspace, event_id: str, shape: BaseGeometry) -> MeasuredOutline:
    return measure_outline(shape, workspace, is_drill=workspace.catalog.flights.event(event_id).is_drill)


# -- Changes under review: analysts decide, everybody else sees confirmed ones ---------------------
#
# Decisions come by PUT with JSON, each under an id that the caller makes: no page of another site can make a
# browser send that, and a decision that is sent twice is taken once.


router = APIRouter(route_class=GuardedRoute)

_MAX_CHANGES = 5000
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
        "waiting": _sum_waiting(waiting, made),
        "numberMatched": len(found),
        "numberReturned": min(len(found), _MAX_CHANGES),
    }


@router.get("/api/changes/export")
def get_changes_file(
    services: ServicesHere,
    request: Request,
    principal: ViewerPrincipal,
    event: Annotated[str, Query(max_length=200)],
    form: Annotated[ExportFormat, Query(alias="format")] = "gpkg",
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
    return Response(data, media_type=MEDIA_TYPES[form], headers=headers)


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


def _sum_waiting(waiting: Sequence[ChangeVersion], made: ComparisonReader) -> Json | None:
    cut = find_cut_changes(waiting, match_comparisons(made, waiting))
    return serialize_waiting(sum_changes(waiting, cut) if waiting else None)


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
