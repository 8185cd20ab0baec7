"""Retention as frozen values. The rules of `records` hold here too.

Lines of holds and of letting go are grow-only sets: whichever box tells of them, in whatever order, the same
originals are held and let go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from flycam.errors import DueListChanged, NotFound, OriginalPurged
from flycam.frame.retention import HoldStep, PurgeStep, RetainedKind
from flycam.frame.timestamp import format_day
from flycam.messages import Bilingual, _
from flycam.store import keys

DEFAULT_SUBJECT = ""
"""The subject of a term that holds where an event has none of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionTerm:
    """How long originals of a kind are kept.

    subject  an event's id, or HOUSE
    days     after the end of the flight (of a mark's photo: after its line; of an upload's file: after it
             came); None: for ever
    """

    subject: str
    kind: RetainedKind
    days: int | None
    author: str
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldRecord:
    """One line of a hold's history. subject: the id of the flight or event of which nothing may be let go."""

    hold_id: str
    step: HoldStep
    subject: str
    reason: str
    author: str
    at_ns: int

    @property
    def line_id(self) -> str:
        """24 hex digits from what it says, but for the subject: a flight has its own id on each box."""
        return _id(self.hold_id, self.step, self.reason, self.author, str(self.at_ns))


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeRecord:
    """One original let go under a term, or the lifting of that.

    act_id       of the confirmation that it was part of; a LIFTED line names the one that it takes back
    flight_id    whose it is here; "" for a mark's photo and an upload's file
    name         as people know it
    list_digest  of the list that was confirmed
    reason       why it was lifted; "" of a letting go
    author, box  who confirmed it, and on which box; UTC `at_ns`
    """

    act_id: str
    step: PurgeStep
    kind: RetainedKind
    sha256: str
    flight_id: str
    name: str
    list_digest: str
    reason: str = ""
    author: str
    box: str
    at_ns: int

    @property
    def line_id(self) -> str:
        """24 hex digits from what it says, but for the flight: it has its own id on each box."""
        said = (self.act_id, self.step, self.kind, self.sha256, self.name, self.list_digest, self.reason)
        return _id(*said, self.author, self.box, str(self.at_ns))


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedFile:
    """A photo or a film that an upload brought into the evidence store. event_id: "" where none was named."""

    sha256: str
    name: str
    event_id: str
    came_ns: int


def get_original_key(kind: RetainedKind, sha256: str) -> str:
    """Where the bytes of an original lie in the store."""
    return (
        keys.format_recording_key(sha256) if kind is RetainedKind.VIDEO else keys.format_original_key(sha256)
    )


def select_active_holds(lines: Iterable[HoldRecord]) -> list[HoldRecord]:
    """Of all lines of some holds those that hold and that nobody released."""
    every = list(lines)
    released = {(one.hold_id, one.subject) for one in every if one.step is HoldStep.RELEASED}
    held = (one for one in every if one.step is HoldStep.HELD)
    return [one for one in held if (one.hold_id, one.subject) not in released]


def select_active_purges(lines: Iterable[PurgeRecord]) -> dict[str, list[PurgeRecord]]:
    """Of all lines those by which an original is let go and that nobody lifted, by its SHA-256."""
    every = list(lines)
    lifted = {(one.act_id, one.sha256) for one in every if one.step is PurgeStep.LIFTED}
    found: dict[str, list[PurgeRecord]] = {}
    for one in every:
        if one.step is PurgeStep.PURGED and (one.act_id, one.sha256) not in lifted:
            found.setdefault(one.sha256, []).append(one)
    return found


def make_original_purged(line: PurgeRecord, what: str = "") -> OriginalPurged:
    """What to raise where an original is asked for that was let go. what: named instead of the original."""
    name, who = what or line.name or line.sha256, f"{line.author} ({line.box})"
    return OriginalPurged(
        _(
            "{name}: the original was let go under the retention term on {day} by {who}; "
            "its record and the map stay. Whoever still has the file asks an administrator: "
            "'flycam retention lift', then 'flycam verify --from CARD'",
            name=name,
            day=Bilingual(format_day(line.at_ns), format_day(line.at_ns, "vi")),
            who=who,
        )
    )


def make_due_list_changed() -> DueListChanged:
    """For who confirms a list that is not the one that stands now."""
    return DueListChanged(
        _(
            "the list of originals that are due is not the one that was shown, and nothing "
            "was let go; look at it again ('flycam retention due') and confirm that"
        )
    )


def make_hold_not_found(hold_id: str) -> NotFound:
    """For a hold that nobody made, or that was released."""
    return NotFound(
        _("{hold_id}: no such hold is in force; see 'flycam retention list'", hold_id=hold_id[:80])
    )


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
