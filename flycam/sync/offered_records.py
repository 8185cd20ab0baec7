"""Records of the flights that a peer may lack, and how they go: whole, as a change to what the peer has, or
not at all, for it has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flycam.sync.house import House
from flycam.sync.knows import RECORD_CHANGES
from flycam.sync.lacking import Lacking
from flycam.sync.manifest import Item, Kind
from flycam.sync.record_changes import change_of
from flycam.sync.records import FlightRecords, records_to_bytes
from flycam.sync.sent_records import SentRecords
from flycam.sync.thinning import beginning, thinned


@dataclass(frozen=True, slots=True)
class Said:
    """Records as bytes, and their SHA-256."""

    flight_id: str
    sha256: str
    data: bytes


class OfferedRecords:
    """Of each flight the whole of them, and of a filmed one the beginning, which goes before its first view.

    as_changes  whether they may go as changes, to a peer that makes them whole again
    """

    def __init__(self, house: House, *, as_changes: bool = True) -> None:
        self._sent = SentRecords(house.cache_dir)
        self._as_changes = as_changes
        self._whole: dict[str, Said] = {}
        self._begun: dict[str, Said] = {}
        self._there: set[str] = set()
        self._last: tuple[str, str, bytes] = ("", "", b"")

    def add(self, records: FlightRecords) -> None:
        """Those of one flight."""
        flight_id, thin = records.flight.flight_id, thinned(records)
        self._whole[flight_id] = _said(flight_id, thin)
        if (begun := beginning(thin)) is not thin:
            self._begun[flight_id] = _said(flight_id, begun)

    @property
    def names(self) -> set[str]:
        """SHA-256 of all that the peer is asked about, those that went before among them: it lets go of what
        is not named."""
        before = {sha256 for flight_id in self._whole for sha256 in self._sent.of(flight_id)}
        return {one.sha256 for some in (self._whole, self._begun) for one in some.values()} | before

    def learn(self, lacking: Lacking) -> None:
        """Hear which of these the peer lacks."""
        self._there = self.names - set(lacking.records)
        self._as_changes = self._as_changes and RECORD_CHANGES in lacking.knows
        for said in self._whole.values():
            if said.sha256 in self._there:
                self._sent.keep_alone(said.flight_id, said.sha256, said.data)

    def whole(self, flight_id: str) -> Said:
        """All of a flight's."""
        return self._whole[flight_id]

    def before_views(self, flight_id: str) -> Said:
        """Those that its views go with: all of them where those are there."""
        whole = self._whole[flight_id]
        return whole if self.is_there(whole) else self._begun.get(flight_id, whole)

    def is_there(self, said: Said) -> bool:
        """Whether the peer has them."""
        return said.sha256 in self._there

    def size_bytes(self, said: Said) -> int:
        """So many bytes go, however they do."""
        return self._going(said)[0].size_bytes

    def item(self, said: Said) -> tuple[Item, bytes]:
        """What goes, with its bytes; from now on the peer has them."""
        going = self._going(said)
        self._sent.keep(said.flight_id, said.sha256, said.data)
        self._there.add(said.sha256)
        return going

    def _going(self, said: Said) -> tuple[Item, bytes]:
        base = self._base(said)
        if base is not None:
            change = self._change(said, base)
            if 0 < len(change) < len(said.data):
                sha256 = hashlib.sha256(change).hexdigest()
                return Item(kind=Kind.CHANGE, sha256=sha256, size_bytes=len(change), name=said.sha256), change
        return Item(kind=Kind.RECORDS, sha256=said.sha256, size_bytes=len(said.data)), said.data

    def _change(self, said: Said, base: str) -> bytes:
        """What makes them of earlier ones; empty where these are not whole any more. The last is kept, for it
        is weighed before it goes."""
        if self._last[:2] != (said.sha256, base):
            earlier = self._sent.read(said.flight_id, base)
            self._last = (said.sha256, base, b"" if earlier is None else change_of(said.data, earlier))
        return self._last[2]

    def _base(self, said: Said) -> str | None:
        """SHA-256 of the last that went before and that the peer has."""
        before = [one for one in self._sent.of(said.flight_id) if one in self._there]
        return before[-1] if before and self._as_changes else None


def _said(flight_id: str, records: FlightRecords) -> Said:
    data = records_to_bytes(records)
    return Said(flight_id, hashlib.sha256(data).hexdigest(), data)
