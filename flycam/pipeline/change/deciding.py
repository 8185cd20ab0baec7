"""Deciding on changes: accept, reject, redraw, split, merge, draw, comment, undo.

A decision is a step: the lines that it writes are written together or not at all, signed by who decided, and
told in the audit log. Whoever asks names the step, so that asking twice decides once; who decides says which
line of a change was seen, so that nobody decides on what another has changed meanwhile. Undoing is a step
too: every change that a step wrote to stands again as before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import shapely

from flycam.catalog.change_line import SEVERAL, ChangeLine
from flycam.catalog.change_signing import quoted
from flycam.catalog.change_undoing import without
from flycam.catalog.records import AuditEntry
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import AccessDenied, InputUnusable, NotFound, StoreConflict
from flycam.frame.agreement import agreed
from flycam.frame.change import STANDING, ChangeAction, ChangeKind, ChangeStatus
from flycam.pipeline.change.shapes import MOST_PARTS, Ground, LonLat, Outline, cut_by, drawn, measured, united
from flycam.pipeline.marks import plain_text
from flycam.pipeline.workspace import Workspace

MOST_AT_ONCE = 500

_STEP_ID = re.compile(r"step-[0-9a-f]{8,40}")
_FIRST = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class StepAsked:
    """What somebody decides.

    step_id   made by whoever asks ("step-" and 8 to 40 hex digits), so that asking twice decides once
    changes   what it is decided on: the version that was seen, by change
    event_id  of a change that is drawn; all others keep theirs
    kind      what it is; None: as it was taken for. A change that is drawn needs one
    outlines  one to draw or redraw, several to split; none to merge, which unites what there is
    cut       places of a line right across a change, which splits it where no outlines are given
    undoes    the step to undo
    """

    step_id: str
    action: ChangeAction
    changes: Mapping[str, int] = field(default_factory=dict)
    event_id: str = ""
    kind: ChangeKind | None = None
    note: str = ""
    outlines: Sequence[Outline] = ()
    cut: Sequence[LonLat] = ()
    undoes: str = ""


def decide(
    workspace: Workspace, asked: StepAsked, who: str, withholding: Withholding = NOTHING_WITHHELD
) -> list[ChangeLine]:
    """Write a step; its lines, one for each change that it wrote to.

    withholding: what is withheld from who decides; nothing may come to lie there, for its author could not
    even take it back.

    Raises InputUnusable (what cannot be), NotFound (a change, a step, the event), StoreConflict (a change is
    not as it was seen, or stands no longer), AccessDenied (it would be withheld).
    """
    asked = replace(asked, note=plain_text(asked.note))
    _require_sensible(asked)
    if there := _written(workspace, asked, who):
        return there  # an answer got lost on the way, and the same was sent again
    made = _MAKERS[asked.action](workspace, asked, who)
    if any(withholding.hides_change(line) for line in made):
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
        for line in made
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
        "outline: lies on ground that is withheld from you; draw it within what you may see",
        vi="outline: đường bao nằm ở phần địa bàn mà tài khoản này không được xem; hãy vẽ trong phạm vi được "
        "xem",
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
        raise StoreConflict(
            f"{asked.step_id}: is another decision's; give a new one",
            vi=f"{asked.step_id}: mã này đã dùng cho quyết định khác; hãy dùng mã mới",
        )
    return lines


def _is_as_asked(lines: Sequence[ChangeLine], asked: StepAsked) -> bool:
    """Whether the lines of a step have the kind and the outlines that are asked for, as far as any are."""
    named = asked.kind if asked.action is not ChangeAction.UNDO else None
    if named is not None and any(line.kind != named for line in lines):
        return False
    shapes = [drawn(one) for one in asked.outlines]
    if asked.cut and not shapes:
        whole = next(line for line in lines if line.status is ChangeStatus.REPLACED)
        shapes = cut_by(shapely.from_wkb(whole.wkb), asked.cut)
    written = {line.wkb for line in lines if line.status is not ChangeStatus.REPLACED}
    return not shapes or {shapely.to_wkb(one) for one in shapes} == written


def _decided(workspace: Workspace, asked: StepAsked, _who: str) -> list[ChangeLine]:
    status = ChangeStatus.ACCEPTED if asked.action is ChangeAction.ACCEPT else ChangeStatus.REJECTED
    return [replace(_next(seen, asked), status=status) for seen in _seen(workspace, asked)]


def _commented(workspace: Workspace, asked: StepAsked, _who: str) -> list[ChangeLine]:
    return [_next(seen, asked) for seen in _seen(workspace, asked)]


def _redrawn(workspace: Workspace, asked: StepAsked, _who: str) -> list[ChangeLine]:
    (seen,) = _seen(workspace, asked)
    (outline,) = asked.outlines
    return [_on(_next(seen, asked), _measured(workspace, outline))]


def _drawn(workspace: Workspace, asked: StepAsked, _who: str) -> list[ChangeLine]:
    """Who draws a change has seen it: it is accepted."""
    (outline,) = asked.outlines
    event = workspace.catalog.flights.event(asked.event_id)
    assert asked.kind is not None  # noqa: S101  `_require_sensible` has seen to it
    line = ChangeLine(
        change_id=_new_id(asked, 0),
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
        before_shown="",
        after_shown="",
        origins=(),
        note=asked.note,
        author="",
        at_ns=0,
        wkb=b"",
        bounds_lonlat_deg=(0.0, 0.0, 0.0, 0.0),
    )
    return [_on(line, _measured(workspace, outline))]


def _split(workspace: Workspace, asked: StepAsked, who: str) -> list[ChangeLine]:
    """Parts stand as the whole did; a cut makes every piece of ground a change of its own."""
    (seen,) = _seen(workspace, asked)
    shapes = [drawn(one) for one in asked.outlines] or cut_by(shapely.from_wkb(seen.wkb), asked.cut)
    parts = [
        _on(_new(_quoting(workspace, seen, who), asked, number), measured(shape, workspace))
        for number, shape in enumerate(shapes)
    ]
    return [replace(_next(seen, asked), status=ChangeStatus.REPLACED), *parts]


def _merged(workspace: Workspace, asked: StepAsked, who: str) -> list[ChangeLine]:
    """The whole is what the largest was taken for, and accepted only where all its parts were; it lies as
    surely as the least sure of them, and was found on the pictures of all."""
    several = _seen(workspace, asked)
    if len({seen.event_id for seen in several}) > 1:
        raise InputUnusable(
            "changes: are of different events; merge those of one",
            vi="changes: thuộc các sự kiện khác nhau; chỉ gộp trong một sự kiện",
        )
    largest = max(several, key=lambda seen: (seen.area_m2, seen.change_id))
    statuses = {seen.status for seen in several}
    whole = replace(
        _new(_quoting(workspace, largest, who), asked, 0),
        status=statuses.pop() if len(statuses) == 1 else ChangeStatus.PROPOSED,
        origins=tuple(sorted(seen.change_id for seen in several)),
        before_shown=_all_said([seen.before_shown for seen in several]),
        after_shown=_all_said([seen.after_shown for seen in several]),
        tie_m=_worst([seen.tie_m for seen in several]),
        rmse_m=_worst([seen.rmse_m for seen in several]),
        error_m=_worst([seen.error_m for seen in several]),
    )
    ground = measured(united([shapely.from_wkb(seen.wkb) for seen in several]), workspace)
    return [
        *(replace(_next(seen, asked), status=ChangeStatus.REPLACED) for seen in several),
        _on(whole, ground),
    ]


def _all_said(pictures: Sequence[str]) -> str:
    """Each picture once; what was drawn has none."""
    parts = {part for one in pictures for part in one.split(SEVERAL) if part}
    return SEVERAL.join(sorted(parts))


def _worst(errors: Sequence[float | None]) -> float | None:
    """The largest; None where that of any part is not known."""
    known = [one for one in errors if one is not None]
    return max(known) if len(known) == len(errors) else None


def _undone(workspace: Workspace, asked: StepAsked, _who: str) -> list[ChangeLine]:
    """Every change of a step as it stood before; what the step began is taken away."""
    changes = workspace.catalog.changes
    lines = changes.step(asked.undoes)
    if not lines or any(line.action is ChangeAction.FOUND for line in lines):
        raise NotFound(
            f"{asked.undoes[:60]}: there is no such decision to undo",
            vi=f"{asked.undoes[:60]}: không có quyết định này để hoàn tác",
        )
    back = []
    for line in lines:
        history = changes.history(line.change_id)
        before = without(history, asked.undoes)
        if before is None:
            raise StoreConflict(
                f"{line.change_id}: was decided on again after that; undo the later decision first",
                vi=f"{line.change_id}: sau đó đã có quyết định khác; hãy hoàn tác quyết định sau trước",
            )
        back.append(replace(before, version=history[-1].version + 1))
    return back


_MAKERS: dict[ChangeAction, Callable[[Workspace, StepAsked, str], list[ChangeLine]]] = {
    ChangeAction.ACCEPT: _decided,
    ChangeAction.REJECT: _decided,
    ChangeAction.COMMENT: _commented,
    ChangeAction.REDRAW: _redrawn,
    ChangeAction.DRAW: _drawn,
    ChangeAction.SPLIT: _split,
    ChangeAction.MERGE: _merged,
    ChangeAction.UNDO: _undone,
}

_COUNTS: dict[ChangeAction, tuple[range, range]] = {
    ChangeAction.ACCEPT: (range(1, MOST_AT_ONCE + 1), range(1)),
    ChangeAction.REJECT: (range(1, MOST_AT_ONCE + 1), range(1)),
    ChangeAction.COMMENT: (range(1, 2), range(1)),
    ChangeAction.REDRAW: (range(1, 2), range(1, 2)),
    ChangeAction.DRAW: (range(1), range(1, 2)),
    ChangeAction.SPLIT: (range(1, 2), range(MOST_PARTS + 1)),
    ChangeAction.MERGE: (range(2, MOST_PARTS + 1), range(1)),
    ChangeAction.UNDO: (range(1), range(1)),
}
"""How many changes, and how many outlines, each is decided on with."""


def _require_sensible(asked: StepAsked) -> None:
    """Raise InputUnusable for a step that no change could take."""
    if not _STEP_ID.fullmatch(asked.step_id):
        raise InputUnusable(
            f"{asked.step_id[:60]!r}: a step's id is 'step-' and 8 to 40 hex digits",
            vi=f"{asked.step_id[:60]!r}: mã của bước phải là 'step-' và 8 đến 40 chữ số hex",
        )
    if asked.action not in _COUNTS:
        raise InputUnusable(
            f"{asked.action}: is not for people to say; draw the change instead",
            vi=f"{asked.action}: việc này chỉ do phần mềm ghi; hãy tự vẽ thay đổi",
        )
    changes, outlines = _COUNTS[asked.action]
    if len(asked.changes) not in changes or len(asked.outlines) not in outlines:
        raise InputUnusable(
            agreed(f"{asked.action}: takes {_said(changes)} changes and {_said(outlines)} outlines"),
            vi=f"{asked.action}: cần {_said(changes)} thay đổi và {_said(outlines)} đường bao",
        )
    if bool(asked.cut) != (asked.action is ChangeAction.SPLIT and len(asked.outlines) < 2):
        raise InputUnusable(
            "cut: a change is split by a line across it, or by the outlines of its parts; nothing else is",
            vi="cut: tách bằng một đường cắt ngang hoặc bằng đường bao từng phần; việc khác thì không dùng",
        )
    if bool(asked.undoes) != (asked.action is ChangeAction.UNDO):
        raise InputUnusable(
            "undoes: undoing names the step that it undoes, nothing else does",
            vi="undoes: chỉ khi hoàn tác mới ghi mã của bước cần hoàn tác, và phải ghi",
        )
    if asked.action is ChangeAction.DRAW and asked.kind is None:
        raise InputUnusable(
            "kind: say what the change is: landslide, flood or other",
            vi="kind: hãy ghi loại thay đổi: sạt lở (landslide), ngập lụt (flood) hay khác (other)",
        )
    if asked.action is ChangeAction.COMMENT and not asked.note:
        raise InputUnusable("note: a comment has words", vi="note: ghi chú không được để trống")


def _said(counts: range) -> str:
    return str(counts.start) if len(counts) == 1 else f"{counts.start}-{counts.stop - 1}"


def _seen(workspace: Workspace, asked: StepAsked) -> list[ChangeLine]:
    """The changes as they stand, which is as they were seen, or StoreConflict."""
    lines = workspace.catalog.changes.last(list(asked.changes))
    for line in lines:
        if line.version != asked.changes[line.change_id] or line.status not in STANDING:
            raise StoreConflict(
                f"{line.change_id}: somebody decided on this change meanwhile; look at it again",
                vi=f"{line.change_id}: đã có người quyết định về thay đổi này; hãy xem lại rồi làm tiếp",
            )
    return lines


def _next(seen: ChangeLine, asked: StepAsked) -> ChangeLine:
    """The line after one, with the kind and the note that are asked for; without a note the last stays."""
    return replace(seen, version=seen.version + 1, kind=asked.kind or seen.kind, note=asked.note or seen.note)


def _new(seen: ChangeLine, asked: StepAsked, number: int) -> ChangeLine:
    """The first line of a change that comes of another."""
    return replace(
        _next(seen, asked), change_id=_new_id(asked, number), version=_FIRST, origins=(seen.change_id,)
    )


def _quoting(workspace: Workspace, seen: ChangeLine, who: str) -> ChangeLine:
    """The line with its note under the name of whoever wrote that: whoever signs what comes of it did not."""
    (sign,) = workspace.catalog.changes.signatures([seen])
    return replace(seen, note=quoted(seen.note, sign.note_by, who))


def _new_id(asked: StepAsked, number: int) -> str:
    """Of a change that a step begins: the same each time that it is asked for."""
    return f"change-{hashlib.sha256(f'{asked.step_id}/{number}'.encode()).hexdigest()[:32]}"


def _measured(workspace: Workspace, outline: Outline) -> Ground:
    return measured(drawn(outline), workspace)


def _on(line: ChangeLine, ground: Ground) -> ChangeLine:
    """The line on other ground."""
    west, south, east, north = (float(side) for side in ground.shape.bounds)
    return replace(
        line,
        area_m2=ground.area_m2,
        length_m=ground.length_m,
        slope_deg=ground.slope_deg,
        commune=ground.commune,
        wkb=shapely.to_wkb(ground.shape),
        bounds_lonlat_deg=(west, south, east, north),
    )
