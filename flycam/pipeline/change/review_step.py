"""Request for a review step, and its validation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flycam.errors import InputUnusable
from flycam.frame.change import ChangeAction, ChangeKind
from flycam.messages import _, ngettext
from flycam.pipeline.change.change_outlines import Outline

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
            _("the two pictures are told of what is drawn; all else keeps those that it was found on")
        )
    if step.action is ChangeAction.COMMENT and not step.note:
        raise InputUnusable(_("a note has words; write them"))


def _format_counts(counts: range) -> str:
    return str(counts.start) if len(counts) == 1 else f"{counts.start}-{counts.stop - 1}"
