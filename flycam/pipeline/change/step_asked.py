"""What somebody asks for who decides on changes, and what of that could never be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flycam.errors import InputUnusable
from flycam.frame.agreement import agreed
from flycam.frame.change import ChangeAction, ChangeKind
from flycam.messages import Bilingual, _, verbatim
from flycam.pipeline.change.shapes import Outline

MOST_AT_ONCE = 500

_STEP_ID = re.compile(r"step-[0-9a-f]{8,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepAsked:
    """What somebody decides.

    step_id   made by whoever asks ("step-" and 8 to 40 hex digits), so that asking twice decides once
    changes   what it is decided on: the version that was seen, by change
    event_id  of a change that is drawn; all others keep theirs
    kind      what it is; None: as it was taken for. A change that is drawn needs one
    outlines  one to draw or redraw
    undoes    the step to undo
    before, after  of a change that is drawn the two pictures of its event that it was drawn over, as
              `ChangeLine` has them; both or neither
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
    ChangeAction.ACCEPT: (range(1, MOST_AT_ONCE + 1), range(1)),
    ChangeAction.REJECT: (range(1, MOST_AT_ONCE + 1), range(1)),
    ChangeAction.COMMENT: (range(1, 2), range(1)),
    ChangeAction.REDRAW: (range(1, 2), range(1, 2)),
    ChangeAction.DRAW: (range(1), range(1, 2)),
    ChangeAction.UNDO: (range(1), range(1)),
}
"""How many changes, and how many outlines, each is decided on with."""


def require_sensible(asked: StepAsked) -> None:
    """Raise InputUnusable for a step that no change could take."""
    if not _STEP_ID.fullmatch(asked.step_id):
        raise InputUnusable(
            _("{step_id!r}: a step's id is 'step-' and 8 to 40 hex digits", step_id=asked.step_id[:60])
        )
    if asked.action not in _COUNTS:
        raise InputUnusable(
            _("{action}: is not for people to say; draw the change instead", action=asked.action)
        )
    changes, outlines = _COUNTS[asked.action]
    if len(asked.changes) not in changes or len(asked.outlines) not in outlines:
        raise InputUnusable(
            verbatim(
                Bilingual(
                    agreed(f"{asked.action}: takes {_said(changes)} changes and {_said(outlines)} outlines"),
                    f"{asked.action}: cần {_said(changes)} thay đổi và {_said(outlines)} đường bao",
                )
            )
        )
    if bool(asked.undoes) != (asked.action is ChangeAction.UNDO):
        raise InputUnusable(_("undoing names the step that it undoes, nothing else does"))
    if asked.action is ChangeAction.DRAW and asked.kind is None:
        raise InputUnusable(_("say what the change is: landslide, flood or other"))
    if (asked.before or asked.after) and asked.action is not ChangeAction.DRAW:
        raise InputUnusable(
            _("the two pictures are told of what is drawn; all else keeps those that it was found on")
        )
    if asked.action is ChangeAction.COMMENT and not asked.note:
        raise InputUnusable(_("a note has words; write them"))


def _said(counts: range) -> str:
    return str(counts.start) if len(counts) == 1 else f"{counts.start}-{counts.stop - 1}"
