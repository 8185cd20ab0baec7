"""Return channel: a server's reference data, fetched and imported by item.

The bytes of an item are in a file under its SHA-256, whose length is where it resumes after an interruption.
Nothing is acknowledged, so nothing is lost: what is not recorded here is requested again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flycam.errors import FlightBusy, InputUnusable, StorageFailed, StoreUnavailable
from flycam.messages import Message, _
from flycam.storage import keys
from flycam.storage.disk_space import RESERVED_BYTES, SPARE_BYTES, get_free_bytes
from flycam.sync.client import (
    REQUEST_OVERHEAD_BYTES,
    Pacer,
    PeerConnection,
    SyncReport,
    TransferLimits,
    compute_budget_left,
)
from flycam.sync.manifest import InventoryAnswer
from flycam.sync.reference_feed import (
    ITEM_NAME_DIGITS,
    MAX_FEED_ITEMS_PER_REQUEST,
    URGENT_KINDS,
    FeedItem,
    ReferenceKind,
    decode_feed_listing,
)
from flycam.sync.reference_import import ReferenceApplyHooks, ReferenceImporter, ReferenceLedger
from flycam.workspace import Workspace

COPIES = 2
"""Of an item that came: as fetched, and as an original."""
_MAX_RESTARTS = 3
_MAX_DAMAGED = 3
_WARY, _STALLED = 2, 5
_OK, _CONFLICT, _INTERNAL = 200, 409, 500


def measure_free_bytes(folder: Path) -> int:
    """Return the bytes free in a folder, created if needed; raises StorageFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return get_free_bytes(folder)
    except OSError as error:
        raise _build_write_error(folder, error) from error


def _build_write_error(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        _(
            "{folder}: what the server gives cannot be kept ({strerror}); make room there",
            folder=folder,
            strerror=error.strerror,
        )
    )


@dataclass(frozen=True, slots=True)
class ReferenceConflict:
    """An item that was not imported, and why."""

    name: str
    sentence: Message


@dataclass(kw_only=True, slots=True)
class FetchReport:
    """Result of fetching reference data.

    item_counts    imported items by kind
    left_bytes     of items still at the server; metered_bytes: those that a metered connection leaves
    conflicts      items that were not imported, and why, one a name
    """

    item_counts: dict[str, int] = field(default_factory=dict)
    left_bytes: int = 0
    metered_bytes: int = 0
    conflicts: list[ReferenceConflict] = field(default_factory=list)

    def note_conflict(self, name: str, sentence: Message) -> None:
        """Note an item that was not imported."""
        self.clear_conflict(name)
        self.conflicts.append(ReferenceConflict(name, sentence))

    def clear_conflict(self, name: str) -> None:
        """Drop what was noted of a name."""
        self.conflicts = [one for one in self.conflicts if one.name != name]


class ReferenceFetcher:
    """Fetcher of one server's reference data, within limits that count both ways.

    folder  holds partial items; it may be deleted
    """

    def __init__(
        self,
        node: Workspace,
        line: PeerConnection,
        hooks: ReferenceApplyHooks,
        folder: Path,
        limits: TransferLimits,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock_s: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = measure_free_bytes,
    ) -> None:
        self._node = node
        self._line = line
        self._hooks = hooks
        self._folder = folder
        self._limits = limits
        self._free = free
        self._pacer = Pacer(limits.rate_bytes_s, clock_s, sleep)
        self._peer = self._state = ""
        self._ledger: ReferenceLedger
        self._missing: list[FeedItem] = []
        self._events: dict[str, list[FeedItem]] = {}
        self._deferred_bytes = 0
        self._metered: tuple[str, int] = ("", 0)
        self._here: set[str] = set()
        self._spoiled: dict[str, int] = {}
        self._stalled: dict[str, int] = {}
        self._together = MAX_FEED_ITEMS_PER_REQUEST
        self._has_news = self._has_unread = False
        self.got = FetchReport()

    def begin(self, missing: InventoryAnswer) -> None:
        """Process the server's answer to a query: the state of its reference data.

        The state tells whether there is anything new.
        """
        self._missing, self._together = [], MAX_FEED_ITEMS_PER_REQUEST
        self._stalled.clear()
        self._peer, self._ledger = missing.box, ReferenceLedger(self._node.store, missing.box)
        self._has_news = missing.feed_state not in (self._ledger.state, self._metered[0])
        left_bytes = self._metered[1] if missing.feed_state == self._metered[0] else 0
        self._deferred_bytes = self.got.metered_bytes = self.got.left_bytes = left_bytes
        self.got.clear_conflict(missing.box)

    def fetch_some(self, target: int, sent: SyncReport) -> bool:
        """Fetch about `target` bytes and import what is complete; True if more is left.

        If it cannot be stored here, that is reported, and nothing more is fetched until the next query:
        sending needs no room. Raises what the connection raises.
        """
        if not (self._has_news or self._missing):
            return False
        if self._measure_room(sent) <= 0:
            sent.ended_by = "budget"
            return False
        try:
            if self._has_news:
                self._fetch_listing(sent)
            was_asked = self._fetch_items(target, sent)
            self._import_complete()
        except StoreUnavailable:
            # of the connection, or of the store that sending reads from too
            raise
        except StorageFailed as error:
            self.got.note_conflict(self._peer, error.message)
            self._missing, self._has_news = [], False
            return False
        lacking = sum(one.size_bytes - self._offset(one) for one in self._missing)
        self.got.left_bytes = lacking + self._deferred_bytes
        return bool(self._missing) and was_asked

    # -- the list ---------------------------------------------------------------------------------

    def _fetch_listing(self, sent: SyncReport) -> None:
        """Fetch the server's listing and select what is missing here."""
        self._has_news = False
        reply = self._line.request("GET", "/api/sync/common")
        sent.received_bytes += len(reply.body) + REQUEST_OVERHEAD_BYTES
        listing = decode_feed_listing(reply.body, self._line.url)
        self._state = listing.state
        self._make_importer().hide_removed_layers(listing.items)
        self._events, self._has_unread = {}, False
        for thing in listing.items:
            if thing.kind is ReferenceKind.CHANGES:
                self._events.setdefault(_event_of(thing), []).append(thing)
        known = self._ledger.get_sha256
        missing = [one for one in listing.items if known(one.kind, one.name) != one.sha256]
        events = {_event_of(one) for one in missing if one.kind is ReferenceKind.CHANGES}
        # an event is imported whole: its earlier items are read again, and may be damaged by now
        others = [one for name in events for one in self._events[name] if one not in missing]
        has = self._node.store.exists
        self._here = {one.sha256 for one in (*missing, *others) if has(keys.format_original_key(one.sha256))}
        missing += [one for one in others if one.sha256 not in self._here]
        deferred = self._select_deferred(missing)
        self._deferred_bytes = sum(one.size_bytes for one in deferred)
        self._missing = [one for one in missing if one not in deferred]
        self._import_complete()

    def _make_importer(self) -> ReferenceImporter:
        return ReferenceImporter(self._node, self._hooks, self._peer, self._ledger, self.got.note_conflict)

    def _select_deferred(self, missing: Sequence[FeedItem]) -> list[FeedItem]:
        """Return the items that wait for disk space here, or for an unmetered connection.

        A full disk would stop flights too. Urgent kinds leave only the catalogue's reserve free.
        """
        left: list[FeedItem] = []
        free = self._free(self._folder) if missing else 0
        self.got.metered_bytes = 0
        for thing in missing:
            if self._limits.metered and thing.kind is ReferenceKind.TERRAIN:
                left.append(thing)
                self.got.metered_bytes += thing.size_bytes
                continue
            needed = 0 if thing.sha256 in self._here else COPIES * thing.size_bytes - self._offset(thing)
            spare = RESERVED_BYTES if thing.kind in URGENT_KINDS else SPARE_BYTES
            if needed <= max(free - spare, 0):
                free -= needed
                continue
            left.append(thing)
            mb, mb_free = (needed + spare) / 1e6, free / 1e6
            self.got.note_conflict(
                thing.name,
                _(
                    "{name}: {kind} of {peer} waits for room: it takes {mb:.0f} MB free in {folder}, and "
                    "{mb_free:.0f} MB are; make room there",
                    name=thing.name,
                    kind=thing.kind,
                    peer=self._peer,
                    mb=mb,
                    folder=self._folder,
                    mb_free=mb_free,
                ),
            )
        return left

    # -- bytes ------------------------------------------------------------------------------------

    def _fetch_items(self, target: int, sent: SyncReport) -> bool:
        """Fetch one answer of the server, across interruptions.

        False if nothing is to be fetched.
        """
        for __ in range(_MAX_RESTARTS):
            if not self._select_next(min(target, self._measure_room(sent))):
                return False
            status = self._line.call_with_retries(lambda: self._attempt(target, sent)).status
            if status != _CONFLICT:
                break
            # the server's data have changed meanwhile
            self._fetch_listing(sent)
        return True

    def _attempt(self, target: int, sent: SyncReport) -> Any:
        """Send one request, after importing what earlier attempts completed."""
        self._import_complete()
        if max(self._stalled.values(), default=0) >= _WARY:
            # another item of the same answer may be the unreadable one
            self._together = 1
        room = min(target, self._measure_room(sent))
        some = self._select_next(room)
        if not some:
            return _Nothing
        first, at = some[0].sha256, self._offset(some[0])
        names = ",".join(one.sha256[:ITEM_NAME_DIGITS] for one in some)
        path = f"/api/sync/common/things?of={quote(names)}&at={at}&most={room}"
        sent.received_bytes += REQUEST_OVERHEAD_BYTES

        def hear(data: bytes) -> None:
            # the response has begun; the first byte proves that it does not break off at once
            if not data:
                self._stalled[first] = self._stalled.get(first, 0) + 1
                return
            self._stalled.pop(first, None)
            self._write(some, data)
            sent.received_bytes += len(data)
            self._pacer.wait(len(data))

        reply = self._line.download("GET", path, hear, room)
        # reading failed at the server before anything was sent
        if reply.status == _INTERNAL:
            self._stalled[first] = self._stalled.get(first, 0) + 1
            return _Nothing if self._stalled[first] >= _STALLED else reply
        return reply

    def _select_next(self, room: int) -> list[FeedItem]:
        """Return the next incomplete items, as many as may fit."""
        found: list[FeedItem] = []
        for thing in self._missing:
            left = thing.size_bytes - self._offset(thing)
            if left > 0 and thing.sha256 not in self._here:
                # only the first item of an answer may begin at an offset
                if room <= 0 or len(found) >= self._together or (found and self._offset(thing)):
                    break
                found.append(thing)
                room -= left
        return found

    def _write(self, things: Sequence[FeedItem], data: bytes) -> None:
        """Append bytes to the items in their order, dropping what exceeds them; raises StorageFailed."""
        try:
            self._parts_folder.mkdir(parents=True, exist_ok=True)
            for thing in things:
                if data and (left := thing.size_bytes - self._offset(thing)):
                    with self._part_path(thing).open("ab") as file:
                        file.write(data[:left])
                    data = data[left:]
        except OSError as error:
            raise _build_write_error(self._parts_folder, error) from error

    # -- items that are complete, or never will be ------------------------------------------------

    def _import_complete(self) -> None:
        """Import every item that is complete here; of changes all of an event at once.

        When nothing is missing any more, that is recorded too.
        """
        for thing in list(self._missing):
            if thing in self._missing:
                is_change = thing.kind is ReferenceKind.CHANGES
                group = self._events[_event_of(thing)] if is_change else [thing]
                if all(self._is_here(one) for one in group):
                    self._import_items(group)
        for thing in [one for one in self._missing if self._is_damaged(one)]:
            self._skip_damaged(thing)
        if not self._missing:
            self._finish_round()

    def _is_here(self, thing: FeedItem) -> bool:
        """Return True if an item is stored as an original, storing it if it is complete."""
        if thing.sha256 not in self._here and self._is_complete(thing):
            self._node.store.put_file(
                keys.format_original_key(thing.sha256), self._part_path(thing), durable=True
            )
            self._here.add(thing.sha256)
        return thing.sha256 in self._here

    def _is_complete(self, thing: FeedItem) -> bool:
        """Return True if an item's file matches its SHA-256.

        One of full length that does not is deleted.
        """
        part = self._part_path(thing)
        if self._offset(thing) < thing.size_bytes:
            return False
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == thing.sha256:
                return True
        part.unlink()
        self._spoiled[thing.sha256] = self._spoiled.get(thing.sha256, 0) + 1
        return False

    def _import_items(self, things: Sequence[FeedItem]) -> None:
        """Import items; one that fails is reported and delays nothing else."""
        new = [one for one in self._missing if one in things]
        self._missing = [one for one in self._missing if one not in things]
        for one in new:
            self.got.clear_conflict(one.name)
        try:
            self._make_importer().import_items(things)
            for one in new:
                self.got.item_counts[one.kind.value] = self.got.item_counts.get(one.kind.value, 0) + 1
        # FlightBusy: imported later, once the flight is not being written
        except (InputUnusable, FlightBusy) as error:
            self._has_unread = True
            self.got.note_conflict(things[0].name, error.message)

    def _is_damaged(self, thing: FeedItem) -> bool:
        """Return True if an item is damaged at the server.

        It repeatedly comes with a wrong hash, or its answers begin and bring no byte.
        """
        spoiled, stalled = self._spoiled.get(thing.sha256, 0), self._stalled.get(thing.sha256, 0)
        return spoiled >= _MAX_DAMAGED or stalled >= _STALLED

    def _skip_damaged(self, thing: FeedItem) -> None:
        """Skip a damaged item, so that others do not wait for it."""
        self._has_unread = True
        self._missing.remove(thing)
        self._stalled.pop(thing.sha256, None)
        self._together = MAX_FEED_ITEMS_PER_REQUEST
        self.got.note_conflict(
            thing.name,
            _(
                "{name}: does not come whole from {peer}: it breaks off, or has other bytes than its "
                "SHA-256 says; run 'flycam verify' there",
                name=thing.name,
                peer=self._peer,
            ),
        )

    def _finish_round(self) -> None:
        """Record the server's state, unless items were deferred or did not read."""
        if self._has_unread:
            return
        with suppress(OSError):
            for one in self._parts_folder.iterdir():
                one.unlink()
        if not self._deferred_bytes:
            self._ledger.note_state(self._state)
        elif self._deferred_bytes == self.got.metered_bytes:
            # the listing need not be fetched again for these
            self._metered = (self._state, self._deferred_bytes)

    def _offset(self, thing: FeedItem) -> int:
        try:
            return min(self._part_path(thing).stat().st_size, thing.size_bytes)
        except FileNotFoundError:
            return 0

    @property
    def _parts_folder(self) -> Path:
        return self._folder / keys.derive_node_id(self._peer)

    def _part_path(self, thing: FeedItem) -> Path:
        return self._parts_folder / f"{thing.sha256}.part"

    def _measure_room(self, sent: SyncReport) -> int:
        return compute_budget_left(self._limits, sent) - 2 * REQUEST_OVERHEAD_BYTES


class _NothingToAsk:
    status = _OK


_Nothing = _NothingToAsk()


def _event_of(thing: FeedItem) -> str:
    return thing.name.partition("/")[0]
