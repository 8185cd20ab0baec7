"""Attribution of a change: who decided it and when, and who wrote its current note.

The last version of a change may be a comment, or restore an earlier one: neither is a decision of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flycam.catalog.change_version import ChangeVersion
from flycam.frame.change import ChangeAction


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAttribution:
    """Authors of a change's decision and note.

    decided_by, decided_ns  of the last version in force that is no comment
    note_by                 author of the note, "" without one
    """

    decided_by: str
    decided_ns: int
    note_by: str


def select_effective_versions(history: Sequence[ChangeVersion]) -> list[ChangeVersion]:
    """Return the versions of a change that were not undone, oldest first.

    Empty if it was removed as a whole. An undo of another version than the one before it (after two nodes
    synchronised) removes nothing.
    """
    pile: list[ChangeVersion] = []
    for line in history:
        if line.action is not ChangeAction.UNDO:
            pile.append(line)
        elif pile and pile[-1].step_id == line.undoes:
            pile.pop()
    return pile


def derive_attribution(history: Sequence[ChangeVersion]) -> ChangeAttribution:
    """Return the attribution of the last version.

    history  of one change, oldest first, as far as it is known
    """
    last = history[-1]
    pile = select_effective_versions(history)
    if not pile or (pile[-1].status, pile[-1].note) != (last.status, last.note):
        pile = [last]  # the restored version is not known here
    decided = next((one for before, one in _from_last(pile) if _decides(before, one)), pile[0])
    note_by = find_note_version(pile).author if last.note else ""
    return ChangeAttribution(decided_by=decided.author, decided_ns=decided.at_ns, note_by=note_by)


def _from_last(pile: Sequence[ChangeVersion]) -> Iterator[tuple[ChangeVersion, ChangeVersion]]:
    """Return each version after the one before it, the last first."""
    return reversed(list(itertools.pairwise(pile)))


def _decides(before: ChangeVersion, line: ChangeVersion) -> bool:
    """Return False for a comment, unless it changes the kind."""
    return line.action is not ChangeAction.COMMENT or line.kind is not before.kind


def find_note_version(pile: Sequence[ChangeVersion]) -> ChangeVersion:
    """Return the version in force that wrote the current note.

    Later ones only carry it on.
    """
    writer = pile[-1]
    for one in reversed(pile):
        if one.note != writer.note:
            break
        writer = one
    return writer


def is_self_attributed(line: ChangeVersion) -> bool:
    """Return True if a version alone tells its attribution."""
    return line.version == 1 or not (line.note or line.action in (ChangeAction.COMMENT, ChangeAction.UNDO))


def format_quoted_note(note: str, author: str, who: str) -> str:
    """Format a note as another author's version carries it."""
    return note if not note or author == who else f"{note} ({author})"
