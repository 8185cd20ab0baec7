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
from flycam.messages import _
from flycam.storage import keys
from flycam.storage.disk_space import RESERVED_BYTES, SPARE_BYTES, get_free_bytes
from flycam.sync.manifest import MissingObjects
from flycam.sync.node import (
    REQUEST_OVERHEAD_BYTES,
    Node,
    PeerConnection,
    SyncReport,
    TransferLimits,
    compute_budget_left,
)
from flycam.sync.reference_feed import (
    ITEM_NAME_DIGITS,
    MAX_FEED_ITEMS_PER_REQUEST,
    URGENT_KINDS,
    FeedItem,
    ReferenceKind,
    decode_feed_listing,
)
from flycam.sync.reference_import import (
    ReferenceApplyHooks,
    ReferenceConflict,
    ReferenceImporter,
    ReferenceLedger,
)

# -- Files of reference items while they are fetched -----------------------------------------------


COPIES = 2
"""Of an item that came: as fetched, and as an original."""


def measure_free_bytes(folder: Path) -> int:
    """Return the bytes free in a folder, created if needed; raises StorageFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return get_free_bytes(folder)
    except OSError as error:
        raise _build_write_error(folder, error) from error


class Sink:
    """Writer of several items in a row, each into its own file."""

    def __init__(self, things: Sequence[tuple[FeedItem, Path]], folder: Path) -> None:
        self._things = list(things)
        self._folder = folder

    def add(self, data: bytes) -> None:
        """Append bytes, dropping what exceeds the requested items; raises StorageFailed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while data and self._things:
                thing, path = self._things[0]
                with path.open("ab") as file:
                    left = thing.size_bytes - file.tell()
                    file.write(data[:left])
                data = data[left:]
                if data or left <= 0:
                    self._things.pop(0)
        except OSError as error:
            raise _build_write_error(self._folder, error) from error


def _build_write_error(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        _(
            "{folder}: data from the server cannot be stored ({strerror}); free some space there",
            folder=folder,
            strerror=error.strerror,
        )
    )


# -- Fetching of reference data, item by item ------------------------------------------------------


_MAX_RESTARTS = 3
_MAX_DAMAGED = 3
_WARY, _STALLED = 2, 5
_CONFLICT, _INTERNAL = 409, 500


@dataclass(kw_only=True, slots=True)
class FetchReport:
    """Result of fetching reference data.

    item_counts    imported items by kind
    left_bytes     of items still at the server; metered_bytes: those that a metered connection leaves
    conflicts      items that were not imported, and why
    """

    item_counts: dict[str, int] = field(default_factory=dict)
    left_bytes: int = 0
    metered_bytes: int = 0
    conflicts: list[ReferenceConflict] = field(default_factory=list)


class ReferenceFetcher:
    """Fetcher of one server's reference data, within limits that count both ways.

    folder  holds partial items; it may be deleted
    """

    def __init__(
        self,
        node: Node,
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
        self._hands = hooks
        self._folder = folder
        self._limits = limits
        self._sleep, self._clock_s, self._free = sleep, clock_s, free
        self._due_s = clock_s()
        self._peer = self._state = ""
        self._ledger: ReferenceLedger | None = None
        self._missing: list[FeedItem] = []
        self._events: dict[str, list[FeedItem]] = {}
        self._learner: ReferenceImporter | None = None
        self._skipped_bytes = self._metered_bytes = 0
        self._left: tuple[str, int] = ("", 0)
        self._here: set[str] = set()
        self._spoiled: dict[str, int] = {}
        self._stalled: dict[str, int] = {}
        self._together = MAX_FEED_ITEMS_PER_REQUEST
        self._has_news = self._has_unread = False
        self.got = FetchReport()

    def begin(self, missing: MissingObjects) -> None:
        """Process the server's answer to a query: the state of its reference data.

        The state tells whether there is anything new.
        """
        self._missing, self._skipped_bytes, self._metered_bytes = [], 0, 0
        self._stalled.clear()
        self._together = MAX_FEED_ITEMS_PER_REQUEST
        self._peer, self._ledger = missing.box, ReferenceLedger(self._node.store, missing.box)
        self._has_news = missing.feed_state not in (self._ledger.state, self._left[0])
        if missing.feed_state == self._left[0]:
            self._skipped_bytes = self._metered_bytes = self._left[1]
        self._clear_conflicts({missing.box})
        self._update_left_bytes(0)

    def fetch_some(self, target: int, sent: SyncReport) -> bool:
        """Fetch about `target` bytes and import what is complete; True if more is left.

        If it cannot be stored here, that is reported, and nothing more is fetched until the next query:
        sending needs no room. Raises what the connection raises.
        """
        try:
            return self._fetch_some(target, sent)
        except StoreUnavailable:
            # of the connection, or of the store that sending reads from too
            raise
        except StorageFailed as error:
            self.got.conflicts.append(ReferenceConflict(self._peer, error.message))
            self._missing, self._has_news = [], False
            return False

    def _fetch_some(self, target: int, sent: SyncReport) -> bool:
        if self._ledger is None or not (self._has_news or self._missing):
            return False
        room = min(target, self._room(sent))
        if room <= 0:
            sent.ended_by = "budget"
            return False
        if self._has_news:
            self._fetch_listing(self._ledger, sent)
        was_asked = self._fetch_once(self._ledger, room, sent)
        if was_asked:
            self._import_complete(self._ledger)
        self._update_conflicts()
        self._update_left_bytes(sum(one.size_bytes - self._offset(one) for one in self._missing))
        return bool(self._missing) and was_asked

    # -- the list ---------------------------------------------------------------------------------

    def _fetch_listing(self, ledger: ReferenceLedger, sent: SyncReport) -> None:
        """Fetch the server's listing and select what is missing here."""
        self._has_news = False
        self._update_conflicts()
        reply = self._line.request("GET", "/api/sync/common")
        self._count(len(reply.body), sent)
        self._state, things = decode_feed_listing(reply.body, self._line.url)
        self._learner = ReferenceImporter(self._node, self._hands, self._peer, ledger)
        self._learner.hide_removed_layers(things)
        self._events, self._has_unread = {}, False
        for thing in things:
            if thing.kind is ReferenceKind.CHANGES:
                self._events.setdefault(_event_of(thing), []).append(thing)
        missing = [one for one in things if ledger.get_sha256(one.kind, one.name) != one.sha256]
        events = {_event_of(one) for one in missing if one.kind is ReferenceKind.CHANGES}
        # an event is imported whole: its earlier items are read again, and may be damaged by now
        others = [one for name in events for one in self._events[name] if one not in missing]
        has = self._node.store.exists
        self._here = {one.sha256 for one in (*missing, *others) if has(keys.format_original_key(one.sha256))}
        missing += [one for one in others if one.sha256 not in self._here]
        self._metered_bytes = 0
        skipped = self._select_deferred(missing)
        self._skipped_bytes = sum(one.size_bytes for one in skipped)
        self._missing = [one for one in missing if one not in skipped]
        self._import_complete(ledger)

    def _select_deferred(self, missing: Sequence[FeedItem]) -> list[FeedItem]:
        """Return the items that wait for disk space here, or for an unmetered connection.

        A full disk would stop flights too. Urgent kinds leave only the catalogue's reserve free.
        """
        left: list[FeedItem] = []
        free = self._free(self._folder) if missing else 0
        for thing in missing:
            if self._limits.metered and thing.kind is ReferenceKind.TERRAIN:
                left.append(thing)
                self._metered_bytes += thing.size_bytes
                continue
            needed = 0 if thing.sha256 in self._here else COPIES * thing.size_bytes - self._offset(thing)
            spare = RESERVED_BYTES if thing.kind in URGENT_KINDS else SPARE_BYTES
            if needed <= max(free - spare, 0):
                free -= needed
                continue
            left.append(thing)
            mb, mb_free = (needed + spare) / 1e6, free / 1e6
            self.got.conflicts.append(
                ReferenceConflict(
                    thing.name,
                    _(
                        "{name}: {kind} of {peer} waits for disk space: it takes {mb:.0f} MB "
                        "free in {folder}, and {mb_free:.0f} MB are; free some space there",
                        name=thing.name,
                        kind=thing.kind,
                        peer=self._peer,
                        mb=mb,
                        folder=self._folder,
                        mb_free=mb_free,
                    ),
                )
            )
        return left

    def _finish_round(self, ledger: ReferenceLedger) -> None:
        """Record the server's state, unless items were deferred or did not read."""
        if not self._has_unread:
            with suppress(OSError):
                for one in self._parts_folder.iterdir():
                    one.unlink()
        if not self._has_unread and not self._skipped_bytes:
            ledger.note_state(self._state)
        elif not self._has_unread and self._skipped_bytes == self._metered_bytes:
            # the listing need not be fetched again for these
            self._left = (self._state, self._skipped_bytes)

    # -- bytes ------------------------------------------------------------------------------------

    def _fetch_once(self, ledger: ReferenceLedger, room: int, sent: SyncReport) -> bool:
        """Fetch one answer of the server, across interruptions.

        False if nothing is to be fetched.
        """
        for __ in range(_MAX_RESTARTS):
            if not self._select_next(room):
                return False
            reply = self._line.call_with_retries(lambda: self._attempt(ledger, room, sent))
            if reply.status != _CONFLICT:
                break
            # the server's data have changed meanwhile
            self._fetch_listing(ledger, sent)
        return True

    def _attempt(self, ledger: ReferenceLedger, room: int, sent: SyncReport) -> Any:
        """Send one request, after importing what earlier attempts completed."""
        self._import_complete(ledger)
        if max(self._stalled.values(), default=0) >= _WARY:
            # another item of the same answer may be the unreadable one
            self._together = 1
        room = min(room, self._room(sent))
        some = self._select_next(room) if room > 0 else []
        if not some:
            return _Nothing
        first, at = some[0].sha256, self._offset(some[0])
        names = ",".join(one.sha256[:ITEM_NAME_DIGITS] for one in some)
        path = f"/api/sync/common/things?of={quote(names)}&at={at}&most={room}"
        sink = Sink([(one, self._part_path(one)) for one in some], self._parts_folder)
        self._count(0, sent)

        def hear(data: bytes) -> None:
            # the response has begun; the first byte proves that it does not break off at once
            if not data:
                self._stalled[first] = self._stalled.get(first, 0) + 1
                return
            self._stalled.pop(first, None)
            sink.add(data)
            self._count_body(len(data), sent)

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
                if found and self._offset(thing):
                    # only the first item of an answer may begin at an offset
                    break
                found.append(thing)
                room -= left
                if room <= 0 or len(found) >= self._together:
                    break
        return found

    def _import_complete(self, ledger: ReferenceLedger) -> None:
        """Import every item that is complete here; of changes all of an event at once.

        When nothing is missing any more, that is recorded too.
        """
        for thing in list(self._missing):
            if thing not in self._missing:
                continue
            if thing.kind is ReferenceKind.CHANGES:
                self._import_event(_event_of(thing))
            elif self._is_here(thing):
                self._import_items([thing])
        self._pass_over_damaged()
        if not self._missing:
            self._finish_round(ledger)

    def _import_event(self, event_id: str) -> None:
        groups = self._events[event_id]
        if all(self._is_here(thing) for thing in groups):
            self._import_items(groups)

    def _is_here(self, thing: FeedItem) -> bool:
        """Return True if an item is stored as an original, storing it if it is complete."""
        if thing.sha256 not in self._here and self._is_complete(thing):
            self._node.store.put_file(
                keys.format_original_key(thing.sha256), self._part_path(thing), durable=True
            )
            self._here.add(thing.sha256)
        return thing.sha256 in self._here

    def _import_items(self, things: Sequence[FeedItem]) -> None:
        """Import items; one that fails is reported and delays nothing else."""
        learner = self._learner
        assert learner is not None  # noqa: S101  `_fetch_listing` has made it
        new = [one for one in self._missing if one in things]
        self._missing = [one for one in self._missing if one not in things]
        try:
            learner.import_items(things)
            self._clear_conflicts({one.name for one in new})
            for one in new:
                self.got.item_counts[one.kind.value] = self.got.item_counts.get(one.kind.value, 0) + 1
        # FlightBusy: imported later, once the flight is not being written
        except (InputUnusable, FlightBusy) as error:
            self._has_unread = True
            learner.kept.append(ReferenceConflict(things[0].name, error.message))

    def _clear_conflicts(self, names: set[str]) -> None:
        """Drop the conflicts that an earlier round reported for these names."""
        self.got.conflicts = [one for one in self.got.conflicts if one.name not in names]

    def _update_left_bytes(self, lacking_bytes: int) -> None:
        """Set the bytes left: those missing, and those deferred."""
        self.got.left_bytes = lacking_bytes + self._skipped_bytes
        self.got.metered_bytes = self._metered_bytes

    def _update_conflicts(self) -> None:
        """Collect the conflicts of the importer, one a name."""
        if self._learner is not None:
            all_conflicts = (*self.got.conflicts, *self._learner.kept)
            self.got.conflicts = list({one.name: one for one in all_conflicts}.values())

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

    def _pass_over_damaged(self) -> None:
        """Skip items that are damaged at the server, so that others do not wait for them.

        Those are items that repeatedly come with a wrong hash, or whose answers begin and bring no byte.
        """
        for thing in [one for one in self._missing if self._is_damaged(one)]:
            self._has_unread = True
            self._missing.remove(thing)
            self._stalled.pop(thing.sha256, None)
            self._together = MAX_FEED_ITEMS_PER_REQUEST
            self.got.conflicts.append(
                ReferenceConflict(
                    thing.name,
                    _(
                        "{name}: does not come whole from {peer}: it breaks off, or has other bytes than its "
                        "SHA-256 says; run 'flycam verify' there",
                        name=thing.name,
                        peer=self._peer,
                    ),
                )
            )

    def _is_damaged(self, thing: FeedItem) -> bool:
        spoiled, stalled = self._spoiled.get(thing.sha256, 0), self._stalled.get(thing.sha256, 0)
        return spoiled >= _MAX_DAMAGED or stalled >= _STALLED

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

    # -- limits -----------------------------------------------------------------------------------

    def _room(self, sent: SyncReport) -> int:
        return compute_budget_left(self._limits, sent) - 2 * REQUEST_OVERHEAD_BYTES

    def _count(self, body: int, sent: SyncReport) -> None:
        sent.received_bytes += body + REQUEST_OVERHEAD_BYTES

    def _count_body(self, length: int, sent: SyncReport) -> None:
        sent.received_bytes += length
        rate = self._limits.rate_bytes_s
        if rate is not None:
            now = self._clock_s()
            self._due_s = max(self._due_s, now) + length / rate
            self._sleep(max(self._due_s - now, 0.0))


class _NothingToAsk:
    status = 200


_Nothing = _NothingToAsk()


def _event_of(thing: FeedItem) -> str:
    return thing.name.partition("/")[0]
