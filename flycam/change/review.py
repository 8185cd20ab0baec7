"""Review of changes: accept, reject, redraw, draw, comment, undo.

A decision is a step: the versions that it writes are written together or not at all, signed by their author,
and recorded in the audit log. The client names the step, so that sending it twice decides once, and states
which version of a change was seen, so that a decision never overrides another made meanwhile. Undo is a step
too: every change that the author's own last step wrote to is restored. It is not undone itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
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
    parse_image_reference,
)
from flycam.change.comparison_store import (
    ComparisonReader,
    find_comparison_windows,
    list_visible_comparisons,
    make_comparison_reader,
    unite_ground,
)
from flycam.change.coregistration import interpolate_error
from flycam.change.outlines import (
    DECIMALS,
    MeasuredOutline,
    Outline,
    derive_record_id,
    measure_outline,
    parse_outline,
    to_valid_shapes,
)
from flycam.errors import AccessDenied, InputUnusable, NotFound, StoreConflict
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.messages import _, ngettext
from flycam.model.board import REVIEWABLE_STATUSES, UNDECIDED_ACTIONS, ChangeAction, ChangeKind, ChangeStatus
from flycam.model.flight import Event
from flycam.model.records import AuditEntry
from flycam.model.text import validate_note
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
