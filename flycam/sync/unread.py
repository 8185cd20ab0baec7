"""Records of a flight that cannot be taken in: it stays out, is named, and holds up no other flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.frame.spelling import to_visible
from flycam.sync.apart import told_apart
from flycam.sync.records import labels_in

_SHOWN = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """A flight whose records do not read. sha256: of them; mosaics: ids of those that they describe."""

    sha256: str
    flight_id: str
    name: str
    mosaics: frozenset[str]
    sentence: str
    sentence_vi: str

    @property
    def told(self) -> dict[str, str]:
        """As answers and reports tell it."""
        return told_apart(self.flight_id, self.name, self.sentence, self.sentence_vi)


def unread(box: str, sha256: str, values: Any, error: SourceUnreadable) -> Unread:
    """What can be said of them by their values. Raises the error where not even the flight is named: nothing
    else would be missed."""
    labels = labels_in(values)
    if labels is None:
        raise error
    flight_id, name, mosaics = labels
    name, why = to_visible(name)[:_SHOWN], str(error.__cause__ or error)
    return Unread(
        sha256=sha256,
        flight_id=flight_id,
        name=name,
        mosaics=mosaics,
        sentence=f"{name}: what {box} says of this flight does not read ({why}); it stays out: bring both "
        "boxes to one version",
        sentence_vi=f"{name}: không đọc được dữ liệu mà {box} gửi về chuyến bay này nên chưa nhận; hãy cài "
        "cùng phiên bản cho hai máy",
    )
