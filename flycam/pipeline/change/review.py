"""Review of changes: accept, reject, redraw, draw, comment, undo.

A decision is a step: the versions that it writes are written together or not at all, signed by their author,
and recorded in the audit log. The client names the step, so that sending it twice decides once, and states
which version of a change was seen, so that a decision never overrides another made meanwhile. Undo is a step
too: every change that the author's own last step wrote to is restored. It is not undone itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.access_policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.records import AuditEntry
from flycam.errors import AccessDenied, NotFound, StoreConflict
from flycam.frame.change import REVIEWABLE_STATUSES, UNDECIDED_ACTIONS, ChangeAction, ChangeStatus
from flycam.messages import _
from flycam.pipeline.change.change_edits import change_kind, change_outline, estimate_position_error
from flycam.pipeline.change.change_outlines import (
    MeasuredOutline,
    derive_record_id,
    measure_outline,
    parse_outline,
)
from flycam.pipeline.change.comparison_store import (
    ComparisonReader,
    find_comparison_windows,
    make_comparison_reader,
)
from flycam.pipeline.change.digitising_context import is_same_outline, require_event_images
from flycam.pipeline.change.review_step import ReviewStep, require_valid_step
from flycam.pipeline.change.undo import find_undoable_step
from flycam.pipeline.mark_edits import validate_note
from flycam.pipeline.workspace import Workspace

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
        raise _make_withheld_error()
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


def _make_withheld_error() -> AccessDenied:
    return AccessDenied(
        _("the outline lies on ground that is withheld from you; draw it within what you may see")
    )


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
    if is_same_outline(shape, seen):
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
            _("only your own last decision can be undone, while nobody has decided there since; decide anew")
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
