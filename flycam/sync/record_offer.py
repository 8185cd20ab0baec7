"""Records that a peer may lack, to be sent whole, as a delta, or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flycam.sync.capabilities import RECORD_CHANGES
from flycam.sync.flight_records import FlightRecords, encode_flight_records
from flycam.sync.manifest import ManifestItem, ObjectKind
from flycam.sync.missing_objects import MissingObjects
from flycam.sync.node import Node
from flycam.sync.record_cache import SentRecordCache
from flycam.sync.record_delta import compute_record_delta
from flycam.sync.record_simplification import select_initial_records, simplify_footprints


@dataclass(frozen=True, slots=True)
class EncodedRecords:
    """Records as bytes, and their SHA-256."""

    flight_id: str
    sha256: str
    data: bytes


class RecordOffer:
    """Records of each flight, all and, for a video's first preview, the initial ones.

    as_changes  whether they may be sent as deltas, to a peer that expands them
    """

    def __init__(self, house: Node, *, as_changes: bool = True) -> None:
        self._sent = SentRecordCache(house.cache_dir)
        self._as_changes = as_changes
        self._all_records: dict[str, EncodedRecords] = {}
        self._begun: dict[str, EncodedRecords] = {}
        self._there: set[str] = set()
        self._last: tuple[str, str, bytes] = ("", "", b"")

    def add(self, records: FlightRecords) -> None:
        """Add the records of one flight."""
        flight_id, thin = records.flight.flight_id, simplify_footprints(records)
        self._all_records[flight_id] = _encode_records(flight_id, thin)
        if (begun := select_initial_records(thin)) is not thin:
            self._begun[flight_id] = _encode_records(flight_id, begun)

    @property
    def names(self) -> set[str]:
        """SHA-256 of all records that the peer is asked about.

        Those sent before are included, for the peer deletes records that are not named.
        """
        before = {sha256 for flight_id in self._all_records for sha256 in self._sent.list_sha256(flight_id)}
        return {one.sha256 for some in (self._all_records, self._begun) for one in some.values()} | before

    def note_missing(self, lacking: MissingObjects) -> None:
        """Note which of these the peer lacks."""
        self._there = self.names - set(lacking.records)
        self._as_changes = self._as_changes and RECORD_CHANGES in lacking.capabilities
        for said in self._all_records.values():
            if said.sha256 in self._there:
                self._sent.keep_only(said.flight_id, said.sha256, said.data)

    def get_all(self, flight_id: str) -> EncodedRecords:
        """Return all records of a flight."""
        return self._all_records[flight_id]

    def get_initial(self, flight_id: str) -> EncodedRecords:
        """Return the records that are sent with previews: all, if the peer has them."""
        whole = self._all_records[flight_id]
        return whole if self.is_known_to_peer(whole) else self._begun.get(flight_id, whole)

    def is_known_to_peer(self, said: EncodedRecords) -> bool:
        """Return True if the peer has them."""
        return said.sha256 in self._there

    def size_bytes(self, said: EncodedRecords) -> int:
        """Return the bytes to be sent, whole or as a delta."""
        return self._encode_outgoing(said)[0].size_bytes

    def take_item(self, said: EncodedRecords) -> tuple[ManifestItem, bytes]:
        """Return the item to be sent and its bytes; note that the peer has it."""
        going = self._encode_outgoing(said)
        self._sent.keep(said.flight_id, said.sha256, said.data)
        self._there.add(said.sha256)
        return going

    def _encode_outgoing(self, said: EncodedRecords) -> tuple[ManifestItem, bytes]:
        base = self._find_base(said)
        if base is not None:
            change = self._encode_delta(said, base)
            if 0 < len(change) < len(said.data):
                sha256 = hashlib.sha256(change).hexdigest()
                return ManifestItem(
                    kind=ObjectKind.CHANGE, sha256=sha256, size_bytes=len(change), name=said.sha256
                ), change
        return ManifestItem(kind=ObjectKind.RECORDS, sha256=said.sha256, size_bytes=len(said.data)), said.data

    def _encode_delta(self, said: EncodedRecords, base: str) -> bytes:
        """Return the delta from earlier records; empty if these are not whole any more.

        The last one is cached, for its size is compared before it is sent.
        """
        if self._last[:2] != (said.sha256, base):
            earlier = self._sent.read(said.flight_id, base)
            self._last = (
                said.sha256,
                base,
                b"" if earlier is None else compute_record_delta(said.data, earlier),
            )
        return self._last[2]

    def _find_base(self, said: EncodedRecords) -> str | None:
        """Return the SHA-256 of the last records that were sent and that the peer has."""
        before = [one for one in self._sent.list_sha256(said.flight_id) if one in self._there]
        return before[-1] if before and self._as_changes else None


def _encode_records(flight_id: str, records: FlightRecords) -> EncodedRecords:
    data = encode_flight_records(records)
    return EncodedRecords(flight_id, hashlib.sha256(data).hexdigest(), data)
