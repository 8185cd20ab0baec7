"""Whose a change is as it stands: who decided and when, and who wrote the note that stands with it.

The last line of a change may be a comment, or bring back an earlier one: neither is a decision of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flycam.catalog.change_version import ChangeVersion
from flycam.frame.change import ChangeAction


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAttribution:
    """decided_by, decided_ns: of the last line in force that is no comment; note_by: whoever wrote the note,
    "" where there is none."""

    decided_by: str
    decided_ns: int
    note_by: str


def select_effective_versions(history: Sequence[ChangeVersion]) -> list[ChangeVersion]:
    """The lines of a change that were not undone, the first first; none where it was taken away whole. What
    undoes another line than the one before it (two boxes joined) takes nothing away."""
    pile: list[ChangeVersion] = []
    for line in history:
        if line.action is not ChangeAction.UNDO:
            pile.append(line)
        elif pile and pile[-1].step_id == line.undoes:
            pile.pop()
    return pile


def derive_attribution(history: Sequence[ChangeVersion]) -> ChangeAttribution:
    """Whose the last of these lines is; history: of one change, the first first, as far as it is known."""
    last = history[-1]
    pile = select_effective_versions(history)
    if not pile or (pile[-1].status, pile[-1].note) != (last.status, last.note):
        pile = [last]  # what it brought back is not known here
    decided = next((one for before, one in _from_last(pile) if _decides(before, one)), pile[0])
    note_by = find_note_version(pile).author if last.note else ""
    return ChangeAttribution(decided_by=decided.author, decided_ns=decided.at_ns, note_by=note_by)


def _from_last(pile: Sequence[ChangeVersion]) -> Iterator[tuple[ChangeVersion, ChangeVersion]]:
    """Each line and the one before it, the last first."""
    return reversed(list(itertools.pairwise(pile)))


def _decides(before: ChangeVersion, line: ChangeVersion) -> bool:
    """A comment decides nothing, unless it says that the change is of another kind."""
    return line.action is not ChangeAction.COMMENT or line.kind is not before.kind


def find_note_version(pile: Sequence[ChangeVersion]) -> ChangeVersion:
    """Of lines in force that which wrote the note of the last; later ones only carry it on."""
    writer = pile[-1]
    for one in reversed(pile):
        if one.note != writer.note:
            break
        writer = one
    return writer


def is_self_attributed(line: ChangeVersion) -> bool:
    """Whether a line tells by itself whose it is."""
    return line.version == 1 or not (line.note or line.action in (ChangeAction.COMMENT, ChangeAction.UNDO))


def format_quoted_note(note: str, author: str, who: str) -> str:
    """A note as somebody else's line carries it."""
    return note if not note or author == who else f"{note} ({author})"
