"""Deciding on changes: accept, reject, redraw, draw, comment, undo.

A decision is a step: the lines that it writes are written together or not at all, signed by who decided, and
told in the audit log. Whoever asks names the step, so that asking twice decides once; who decides says which
line of a change was seen, so that nobody decides on what another has changed meanwhile. Undoing is a step
too: every change that one's own last step wrote to stands again as before. It is not undone itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.records import AuditEntry
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import AccessDenied, NotFound, StoreConflict
from flycam.frame.change import NOT_DECIDED, STANDING, ChangeAction, ChangeStatus
from flycam.messages import _
from flycam.pipeline.change.compared_keeping import Reading, read_once, windows_of
from flycam.pipeline.change.derived_lines import of_kind, on_ground, tied
from flycam.pipeline.change.drawn_over import is_same, require_pictures
from flycam.pipeline.change.shapes import Ground, drawn, measured, record_id
from flycam.pipeline.change.step_asked import StepAsked, require_sensible
from flycam.pipeline.change.undoable import undoable_step
from flycam.pipeline.marks import plain_text
from flycam.pipeline.workspace import Workspace

_FIRST = 1


def decide(
    workspace: Workspace,
    asked: StepAsked,
    who: str,
    withholding: Withholding = NOTHING_WITHHELD,
    made: Reading | None = None,
) -> list[ChangeLine]:
    """Write a step; its lines, one for each change that it wrote to.

    withholding: what is withheld from who decides; nothing may come to lie there, for its author could not
    even take it back. made: what was compared, where whoever asks reads that too.

    Raises InputUnusable (what cannot be), NotFound (a change, a step, the event), StoreConflict (a change is
    not as it was seen, or stands no longer), AccessDenied (it would be withheld).
    """
    asked = replace(asked, note=plain_text(asked.note))
    require_sensible(asked)
    if there := _written(workspace, asked, who):
        return there  # an answer got lost on the way, and the same was sent again
    if asked.before or asked.after:
        require_pictures(workspace.catalog, asked.event_id, (asked.before, asked.after), withholding)
    began = _MAKERS[asked.action](workspace, asked, who, made or read_once(workspace.catalog))
    if any(withholding.hides_change(line) for line in began):
        raise _beyond_sight()
    at_ns = workspace.clock_ns()
    lines = [
        replace(
            line,
            step_id=asked.step_id,
            action=asked.action,
            undoes=asked.undoes,
            author=who,
            at_ns=at_ns,
        )
        for line in began
    ]
    try:
        workspace.catalog.changes.append(lines, [_told(line) for line in lines])
    except StoreConflict:
        # the same, sent twice, may have been under way at the same time
        if there := _written(workspace, asked, who):
            return there
        raise
    return lines


def _beyond_sight() -> AccessDenied:
    return AccessDenied(
        _("the outline lies on ground that is withheld from you; draw it within what you may see")
    )


def _told(line: ChangeLine) -> AuditEntry:
    """What the audit log says of a line."""
    detail = f"{line.action}: {line.kind}, {line.status}, {line.area_m2:.0f} m2, version {line.version}"
    detail += f": {line.note}" if line.note else ""
    return AuditEntry(who=line.author, what="change", subject=line.change_id, detail=detail, at_ns=line.at_ns)


def _written(workspace: Workspace, asked: StepAsked, who: str) -> list[ChangeLine]:
    """The lines of a step that was written already. Raises StoreConflict where it was another decision."""
    lines = workspace.catalog.changes.step(asked.step_id)
    is_same = asked.changes.keys() <= {line.change_id for line in lines} and all(
        (line.author, line.action, line.undoes) == (who, asked.action, asked.undoes) for line in lines
    )
    if lines and not (is_same and _is_as_asked(lines, asked)):
        raise StoreConflict(_("{step_id}: is another decision's; give a new one", step_id=asked.step_id))
    return lines


def _is_as_asked(lines: Sequence[ChangeLine], asked: StepAsked) -> bool:
    """Whether the lines of a step have the kind, pictures and outlines asked for, as far as any are."""
    named = asked.kind if asked.action is not ChangeAction.UNDO else None
    if named is not None and any(line.kind != named for line in lines):
        return False
    is_drawn, over = asked.action is ChangeAction.DRAW, (asked.before, asked.after)
    if is_drawn and any((line.before_shown, line.after_shown) != over for line in lines):
        return False
    return all(line.wkb == shapely.to_wkb(drawn(one)) for one in asked.outlines for line in lines)


def _decided(workspace: Workspace, asked: StepAsked, _who: str, _made: Reading) -> list[ChangeLine]:
    status = ChangeStatus.ACCEPTED if asked.action is ChangeAction.ACCEPT else ChangeStatus.REJECTED
    return [replace(_next(seen, asked), status=status) for seen in _seen(workspace, asked)]


def _commented(workspace: Workspace, asked: StepAsked, _who: str, _made: Reading) -> list[ChangeLine]:
    return [_next(seen, asked) for seen in _seen(workspace, asked)]


def _redrawn(workspace: Workspace, asked: StepAsked, _who: str, made: Reading) -> list[ChangeLine]:
    """Where nobody moved a corner all stays as it was measured."""
    (seen,) = _seen(workspace, asked)
    (outline,) = asked.outlines
    shape, line = drawn(outline), _next(seen, asked)
    if is_same(shape, seen):
        return [replace(line, wkb=shapely.to_wkb(shape))]
    ground = _measured(workspace, seen.event_id, shape)
    return [tied(on_ground(line, ground), windows_of(workspace.catalog, seen, made))]


def _drawn(workspace: Workspace, asked: StepAsked, _who: str, _made: Reading) -> list[ChangeLine]:
    """Who draws a change has seen it: it is accepted. The pictures it was drawn over stand with it."""
    (outline,) = asked.outlines
    event = workspace.catalog.flights.event(asked.event_id)
    assert asked.kind is not None  # noqa: S101  `require_sensible` has seen to it
    line = ChangeLine(
        change_id=f"change-{record_id(asked.step_id)}",
        version=_FIRST,
        step_id=asked.step_id,
        event_id=event.event_id,
        action=asked.action,
        status=ChangeStatus.ACCEPTED,
        kind=asked.kind,
        score=None,
        area_m2=0.0,
        length_m=0.0,
        slope_deg=None,
        commune="",
        tie_m=None,
        rmse_m=None,
        before_shown=asked.before,
        after_shown=asked.after,
        origins=(),
        note=asked.note,
        author="",
        at_ns=0,
        wkb=b"",
        bounds_lonlat_deg=(0.0, 0.0, 0.0, 0.0),
    )
    return [on_ground(line, _measured(workspace, event.event_id, drawn(outline)))]


def _undone(workspace: Workspace, asked: StepAsked, who: str, _made: Reading) -> list[ChangeLine]:
    """Every change of a step as it stood before; what was drawn is taken away."""
    changes = workspace.catalog.changes
    lines = changes.step(asked.undoes)
    if not lines or any(line.action in NOT_DECIDED for line in lines):
        raise NotFound(_("{undoes}: there is no such decision to undo", undoes=asked.undoes[:60]))
    if undoable_step(changes, lines[0].event_id, who) != lines:
        raise StoreConflict(
            _("only your own last decision can be undone, while nobody has decided there since; decide anew")
        )
    back = []
    for line in lines:
        *earlier, __ = changes.history(line.change_id)
        before = earlier[-1] if earlier else replace(line, status=ChangeStatus.REMOVED)
        back.append(replace(before, version=line.version + 1))
    return back


_MAKERS: dict[ChangeAction, Callable[[Workspace, StepAsked, str, Reading], list[ChangeLine]]] = {
    ChangeAction.ACCEPT: _decided,
    ChangeAction.REJECT: _decided,
    ChangeAction.COMMENT: _commented,
    ChangeAction.REDRAW: _redrawn,
    ChangeAction.DRAW: _drawn,
    ChangeAction.UNDO: _undone,
}


def _seen(workspace: Workspace, asked: StepAsked) -> list[ChangeLine]:
    """The changes as they stand, which is as they were seen, or StoreConflict."""
    lines = workspace.catalog.changes.last(list(asked.changes))
    for line in lines:
        if line.version != asked.changes[line.change_id] or line.status not in STANDING:
            raise StoreConflict(
                _(
                    "{change_id}: somebody decided on this change meanwhile; look at it again",
                    change_id=line.change_id,
                )
            )
    return lines


def _next(seen: ChangeLine, asked: StepAsked) -> ChangeLine:
    """The line after one, with the kind and the note that are asked for; without a note the last stays."""
    line = of_kind(seen, asked.kind or seen.kind)
    return replace(line, version=seen.version + 1, note=asked.note or seen.note)


def _measured(workspace: Workspace, event_id: str, shape: BaseGeometry) -> Ground:
    return measured(shape, workspace, is_drill=workspace.catalog.flights.event(event_id).is_drill)
