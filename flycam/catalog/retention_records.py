"""Records of retention, as frozen values; times and WKB as in `model.records`.

Records of holds and purges are grow-only sets: from whichever node they come, in whatever order, the same
originals are held and purged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from flycam.errors import DueListChanged, NotFound, OriginalPurged
from flycam.messages import _
from flycam.model.access import HoldStep, PurgeStep, RetainedKind
from flycam.model.time import format_day
from flycam.storage import keys

DEFAULT_SUBJECT = ""
"""Subject of a term that applies to events without one of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionTerm:
    """Term for which originals of a kind are kept.

    subject  an event's id, or DEFAULT_SUBJECT
    days     after the end of the flight (of a mark's photo: after its version; of an upload's file: after it
             came); None: for ever
    """

    subject: str
    kind: RetainedKind
    days: int | None
    author: str
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldRecord:
    """One record of a hold's history.

    subject  id of the flight or event of which nothing may be purged
    """

    hold_id: str
    step: HoldStep
    subject: str
    reason: str
    author: str
    at_ns: int

    @property
    def line_id(self) -> str:
        """24 hex digits from its content, but for the subject.

        A flight's id differs by node.
        """
        return _id(self.hold_id, self.step, self.reason, self.author, str(self.at_ns))


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeRecord:
    """One original purged under a term, or the lifting of that.

    act_id       of the confirmation that it was part of; a LIFTED record names the one that it revokes
    flight_id    its flight here; "" for a mark's photo and an upload's file
    name         as people know it
    list_digest  of the list that was confirmed
    reason       why it was lifted; "" for a purge
    author, box  who confirmed it, and on which node; UTC `at_ns`
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
        """24 hex digits from its content, but for the flight.

        A flight's id differs by node.
        """
        parts = (self.act_id, self.step, self.kind, self.sha256, self.name, self.list_digest, self.reason)
        return _id(*parts, self.author, self.box, str(self.at_ns))


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedFile:
    """A photo or a video that an upload brought into the object store.

    event_id  "" if none was named
    """

    sha256: str
    name: str
    event_id: str
    came_ns: int


def get_original_key(kind: RetainedKind, sha256: str) -> str:
    """Return the key of an original in the store."""
    return (
        keys.format_recording_key(sha256) if kind is RetainedKind.VIDEO else keys.format_original_key(sha256)
    )


def select_active_holds(lines: Iterable[HoldRecord]) -> list[HoldRecord]:
    """Return the holds that nobody released."""
    every = list(lines)
    released = {(one.hold_id, one.subject) for one in every if one.step is HoldStep.RELEASED}
    held = (one for one in every if one.step is HoldStep.HELD)
    return [one for one in held if (one.hold_id, one.subject) not in released]


def select_active_purges(lines: Iterable[PurgeRecord]) -> dict[str, list[PurgeRecord]]:
    """Return the purges that nobody lifted, by the original's SHA-256."""
    every = list(lines)
    lifted = {(one.act_id, one.sha256) for one in every if one.step is PurgeStep.LIFTED}
    found: dict[str, list[PurgeRecord]] = {}
    for one in every:
        if one.step is PurgeStep.PURGED and (one.act_id, one.sha256) not in lifted:
            found.setdefault(one.sha256, []).append(one)
    return found


def make_original_purged(line: PurgeRecord, what: str = "") -> OriginalPurged:
    """Make the error of a purged original.

    what  named instead of the original
    """
    name, who = what or line.name or line.sha256, f"{line.author} ({line.box})"
    return OriginalPurged(
        _(
            "{name}: the original was deleted under the retention term on {day} by {who}; "
            "its record and the map stay. Anyone who still has the file asks an "
            "administrator: 'flycam retention lift', then 'flycam verify --from CARD'",
            name=name,
            day=format_day(line.at_ns),
            who=who,
        )
    )


def make_due_list_changed() -> DueListChanged:
    """Make the error of a confirmed list that is not the current one."""
    return DueListChanged(
        _(
            "the list of originals that are due is not the one that was shown, and nothing "
            "was deleted; look at it again ('flycam retention due') and confirm that"
        )
    )


def make_hold_not_found(hold_id: str) -> NotFound:
    """Make the error of a hold that does not exist, or was released."""
    return NotFound(
        _("{hold_id}: no such hold is in force; see 'flycam retention list'", hold_id=hold_id[:80])
    )


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
