"""Flights whose records cannot be imported: reported, and delaying no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.frame.text_normalization import to_visible
from flycam.messages import Message, _
from flycam.sync.conflict_reports import describe_conflict
from flycam.sync.flight_records import read_record_labels

_MAX_SHOWN_LETTERS = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadableFlight:
    """A flight whose records do not read.

    sha256   of the records
    mosaics  ids of those that they describe
    """

    sha256: str
    flight_id: str
    name: str
    mosaics: frozenset[str]
    sentence: Message

    @property
    def summary(self) -> dict[str, str]:
        """The report of it for answers and commands."""
        return describe_conflict(self.flight_id, self.name, self.sentence)


def describe_unreadable_records(
    box: str, sha256: str, values: Any, error: SourceUnreadable
) -> UnreadableFlight:
    """Return the flight that unreadable records name; raise the error if none.

    Without a name nobody could tell what is missing.
    """
    labels = read_record_labels(values)
    if labels is None:
        raise error
    flight_id, name, mosaics = labels
    name = to_visible(name)[:_MAX_SHOWN_LETTERS]
    return UnreadableFlight(
        sha256=sha256,
        flight_id=flight_id,
        name=name,
        mosaics=mosaics,
        sentence=_(
            "{name}: what {box} says of this flight does not read ({why}); it stays out: bring both boxes to "
            "one version",
            name=name,
            box=box,
            why=str(error.__cause__ or error),
        ),
    )
