"""Reference data of a server, fetched and imported item by item on a box (decision 0025).

The bytes of an item are in a file under its SHA-256, whose length is where it resumes after an interruption.
Nothing is acknowledged, so nothing is lost: what is not recorded here is requested again. What came is kept
as an original, then recorded. What was not modified here since it came is replaced. What this node decided
itself stays unless the server decided later: layers, areas and changes by their time; boundaries, which have
none, stay. Either way it is reported, and in the audit log.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import quote

import shapely

from flycam.catalog.access import RestrictedArea
from flycam.errors import (
    FlightBusy,
    InputUnusable,
    ObjectMissing,
    SourceUnreadable,
    StorageFailed,
    StoreUnavailable,
)
from flycam.messages import Message, _, pgettext
from flycam.model.access import RedactionStep
from flycam.model.flight import Classification, find_strictest
from flycam.model.records import AuditEntry, CommuneRecord, LayerRecord
from flycam.mosaic.tiles.peers import PeerCursor, advance_cursor, read_peer_cursors
from flycam.storage import keys
from flycam.storage.files import RESERVED_BYTES, SPARE_BYTES, get_free_bytes
from flycam.storage.keys import ObjectStore
from flycam.sync.client import (
    REQUEST_OVERHEAD_BYTES,
    Pacer,
    PeerConnection,
    SyncReport,
    TransferLimits,
    compute_budget_left,
)
from flycam.sync.exchange import (
    DECODE_ERRORS,
    InventoryAnswer,
    decompress_values,
    from_values,
    require_key_segment,
    require_text,
)
from flycam.sync.exchange_import import ApplyHooks, apply_withdrawals
from flycam.sync.records import record_event, require_valid_redaction_grounds, require_valid_redactions
from flycam.sync.reference_feed import (
    ITEM_NAME_DIGITS,
    MAX_FEED_ITEM_BYTES,
    MAX_FEED_ITEMS_PER_REQUEST,
    MAX_THING_VALUES,
    PAYLOADS,
    URGENT_KINDS,
    AreaPayload,
    ChangesPayload,
    CommunesPayload,
    FeedItem,
    LayerPayload,
    MaskPayload,
    ReferenceKind,
    WithdrawnPayload,
    decode_feed_listing,
    merge_change_histories,
)
from flycam.workspace import Workspace

# -- Import of items that are here -----------------------------------------------------------------


_STATE, _HIDDEN_LEVEL = "state", "hidden"


class ReferenceLedger:
    """Items imported from one server, by kind and name, as cursors whose digest is the item's SHA-256.

    An entry is advanced once the item is recorded here, so a kill before that costs one more fetch.
    """

    def __init__(self, store: ObjectStore, peer: str) -> None:
        # no node has this name: its logs have cursors of their own
        self._store, self._origin = store, f"{peer}\0common"
        self._cursors = read_peer_cursors(store, self._origin)

    def get_sha256(self, kind: str, name: str) -> str:
        """Return the SHA-256 of an item when it last came; "" if it never did."""
        return self._get(keys.derive_log_id(kind, name)).digest

    def note(self, kind: str, name: str, sha256: str) -> None:
        """Note that an item is recorded here as it came."""
        at = keys.derive_log_id(kind, name)
        if self._get(at).digest != sha256:
            self._cursors[at] = PeerCursor(seq=self._get(at).seq + 1, digest=sha256)
            advance_cursor(self._store, self._origin, at, self._cursors[at])

    def _get(self, at: str) -> PeerCursor:
        return self._cursors.get(at, PeerCursor(seq=0, digest=""))

    @property
    def state(self) -> str:
        """The server's state when all of it was here; "" if it never was."""
        return self.get_sha256(_STATE, "")

    def note_state(self, state: str) -> None:
        """Note that everything is here that the server had in this state."""
        self.note(_STATE, "", state)


class ReferenceApplyHooks(ApplyHooks, Protocol):
    """Reactions that only this node's pipeline can provide."""

    def register_terrain(
        self, sha256: str, name: str, datum: str, sigma_m: tuple[float, float | None] | None
    ) -> None:
        """Register a terrain file that is stored here; a registered one is not changed.

        Raises InputUnusable.
        """

    def compute_redaction_grounds(self) -> None:
        """Compute the ground that new redactions show here."""


class ReferenceImporter:
    """Importer of one server's items; importing one again changes nothing.

    report  is given the name of an item that was not imported, and why
    """

    def __init__(
        self,
        node: Workspace,
        hooks: ReferenceApplyHooks,
        peer: str,
        ledger: ReferenceLedger,
        report: Callable[[str, Message], None] = lambda _name, _why: None,
    ) -> None:
        self._node = node
        self._catalog = node.catalog
        self._hooks = hooks
        self._peer = peer
        self._ledger = ledger
        self._report = report

    def import_items(self, things: Sequence[FeedItem]) -> None:
        """Import items of one kind stored here; of changes all of an event at once.

        Raises InputUnusable where one does not match its listing, StorageFailed.
        """
        try:
            if things[0].kind is ReferenceKind.CHANGES:
                self._import_changes([self._read_payload(one.kind, one.sha256) for one in things])
            else:
                for thing in things:
                    payload = self._read_payload(thing.kind, thing.sha256)
                    _IMPORTERS[thing.kind](self, thing, payload)
        except DECODE_ERRORS as error:
            raise _build_unreadable_error(things[0].name, error) from error
        for thing in things:
            self._ledger.note(thing.kind, thing.name, thing.sha256)

    def hide_removed_layers(self, things: Sequence[FeedItem]) -> None:
        """Hide this server's layers that it no longer shares with this node.

        Those unmodified here are shown to analysts and administrators only. Nothing is deleted; an area
        that is not listed stays in force.
        """
        listed = {one.name for one in things if one.kind is ReferenceKind.LAYER}
        for layer in self._catalog.layers.all():
            is_theirs = layer.sha256 == self._ledger.get_sha256(ReferenceKind.LAYER, layer.layer_id)
            # hidden once only, so that a classification that is lifted here stays lifted
            is_hidden = layer.sha256 == self._ledger.get_sha256(_HIDDEN_LEVEL, layer.layer_id)
            if is_theirs and layer.layer_id not in listed and not is_hidden:
                self._classify(layer, Classification.RESTRICTED, "is not for this box any more")
                self._ledger.note(_HIDDEN_LEVEL, layer.layer_id, layer.sha256)
                self._report(
                    layer.name,
                    _(
                        "{name}: {peer} no longer shares this layer; it is shown to analysts "
                        "and administrators only: 'flycam layers classify' changes that",
                        name=layer.name,
                        peer=self._peer,
                    ),
                )

    # -- one kind each ----------------------------------------------------------------------------

    def _import_terrain(self, thing: FeedItem, _payload: None) -> None:
        values, name = thing.metadata, require_text(thing.metadata["name"])
        if PurePath(name).name != name or name == "..":
            raise ValueError(f"{name!r:.60} is no file's name")
        sigma_m = None
        if values["sigma"] is not None:
            vertical_m, horizontal_m = values["sigma"]
            sigma_m = float(vertical_m), None if horizontal_m is None else float(horizontal_m)
        self._hooks.register_terrain(thing.sha256, name, require_text(values["datum"]), sigma_m)

    def _import_area(self, thing: FeedItem, payload: AreaPayload) -> None:
        received = replace(payload.area, sha256=thing.sha256)
        _require_name(thing, received.area_id)
        matching = [
            one
            for one in self._catalog.restrictions.areas()
            if one.area_id == received.area_id or one.name == received.name
        ]
        from_peer = (thing.sha256, self._ledger.get_sha256(thing.kind, thing.name))
        own = [one for one in matching if one.sha256 not in from_peer]
        if not own and all(one.sha256 != thing.sha256 for one in matching):
            self._import_restriction(received, thing)
        for one in own:
            both = merge_restricted_areas(one, received)
            if both is not one:
                self._import_restriction(both, thing)
            if both is not one or not _is_as_strict(received, one):
                self._report(
                    one.name,
                    _(
                        "{name}: this node and {peer} each decided on this restricted area; what "
                        "either of them hides stays hidden here until somebody takes it away: 'flycam "
                        "restricted remove'",
                        name=one.name,
                        peer=self._peer,
                    ),
                )

    def _import_restriction(self, area: RestrictedArea, thing: FeedItem) -> None:
        west, south, east, north = shapely.from_wkb(area.wkb).bounds
        self._catalog.restrictions.put(replace(area, bounds_lonlat_deg=(west, south, east, north)))
        detail = f"{area.name}: for {', '.join(sorted(area.roles))} only"
        self._audit("restricted add", area.area_id, detail, thing)

    def _import_redactions(self, thing: FeedItem, payload: MaskPayload) -> None:
        """Import the redactions of a photo; what the server revoked is revoked here.

        The server decides for its nodes.
        """
        asked = RedactionStep.REVOCATION_REQUESTED
        if any(one.frame_id != thing.name or one.step is asked for one in payload.lines):
            raise ValueError("it is of something else")
        require_valid_redactions(payload.lines)
        require_valid_redaction_grounds(payload.grounds, payload.lines)
        redactions = self._catalog.redactions
        for line in redactions.append(payload.lines):
            what = "mask made" if line.step is RedactionStep.MADE else "mask taken back"
            self._audit(what, line.mask_id, f"{line.frame_id}: {line.reason} ({line.author})", thing)
        redactions.learn_footprints(payload.grounds)
        self._hooks.compute_redaction_grounds()

    def _import_withdrawals(self, _thing: FeedItem, payload: WithdrawnPayload) -> None:
        """Apply the server's withdrawals as those of a bundle."""
        for one in payload.withdrawals:
            require_key_segment(one.frame_id)
            if one.flight_id:
                require_key_segment(one.flight_id)
        apply_withdrawals(self._node, payload.withdrawals, self._hooks, self._peer)

    def _import_layer(self, thing: FeedItem, payload: LayerPayload) -> None:
        """Import a layer unless another one of its id or name, decided here, is kept."""
        layer = replace(payload.layer, sha256=thing.sha256)
        _require_name(thing, layer.layer_id)
        before = self._ledger.get_sha256(thing.kind, thing.name)
        for one in self._catalog.layers.all():
            if one.layer_id != layer.layer_id and one.name != layer.name:
                continue
            if one.sha256 == thing.sha256:
                return
            is_superseded = one.sha256 == before or layer.refreshed_ns > one.refreshed_ns
            if one.layer_id != layer.layer_id or not is_superseded:
                self._report_kept_local(layer.name, pgettext("shared item", "layer"))
                return
        self._classify(layer, payload.level, "as there")  # before a feature of it is here
        self._catalog.layers.put(layer, payload.features)
        detail = f"{layer.name}: {layer.kind}, {len(payload.features)}"
        self._audit("layer add", layer.layer_id, detail, thing)

    def _import_communes(self, thing: FeedItem, payload: CommunesPayload) -> None:
        here = {(one.code, one.valid_from): one for one in self._catalog.boundaries.editions()}
        previous = self._read_previous_boundaries(thing)
        taken = []
        for one in payload.communes:
            at = one.code, one.valid_from
            if at not in here or _is_alike(here[at], one) or _is_alike(here[at], previous.get(at)):
                taken.append(one)
            else:
                self._report_kept_local(f"{one.code} {one.name}", pgettext("shared item", "boundary"))
        new = [one for one in taken if not _is_alike(here.get((one.code, one.valid_from)), one)]
        if new:
            self._catalog.boundaries.put_communes(new)
            self._audit("communes add", thing.name, f"{len(new)} boundaries", thing)

    def _read_previous_boundaries(self, thing: FeedItem) -> dict[tuple[str, Any], CommuneRecord]:
        """Return the boundaries as this server sent them before, by code and date."""
        before = self._ledger.get_sha256(thing.kind, thing.name)
        if not before:
            return {}
        try:
            payload = self._read_payload(thing.kind, before)
        except ObjectMissing:
            return {}
        return {(one.code, one.valid_from): one for one in payload.communes}

    def _import_changes(self, payloads: Sequence[ChangesPayload]) -> None:
        """Append a server's decisions on an event's changes to the histories here.

        A decision is identified by its change and step. One here that is later than the received ones
        holds, and what comes of that change, or in one step with it, waits for a later decision of the
        server.
        """
        event = payloads[0].event
        require_key_segment(event.event_id)
        received = [line for one in payloads for line in one.lines]
        grounds = [ground for one in payloads for ground in one.compared]
        if {*(one.event_id for one in received), *(one.event_id for one in grounds)} - {event.event_id}:
            raise ValueError("it is of something else")
        record_event(self._node, event, self._peer)
        current = {one.change_id for one in self._catalog.changes.current(event.event_id)}
        histories = {one: self._catalog.changes.history(one) for one in current}
        new, held = merge_change_histories(histories, received)
        if new:
            audit_entry = AuditEntry(
                who=self._peer,
                what="changes",
                subject=event.event_id,
                detail=f"told by {self._peer}: {len(new)} decisions",
                at_ns=self._node.clock_ns(),
            )
            self._catalog.changes.append(new, [audit_entry])
        self._catalog.comparisons.add(grounds)
        for change_id in held:
            self._report_kept_local(change_id, pgettext("shared item", "change"))

    # -- inside -----------------------------------------------------------------------------------

    def _read_payload(self, kind: ReferenceKind, sha256: str) -> Any:
        """Return an item's content; None for terrain, which is a file."""
        if kind is ReferenceKind.TERRAIN:
            return None
        data = self._node.store.get(keys.format_original_key(sha256))
        return from_values(PAYLOADS[kind], decompress_values(data, MAX_FEED_ITEM_BYTES, MAX_THING_VALUES))

    def _classify(self, layer: LayerRecord, level: Classification, why: str) -> None:
        """Apply the stricter classification of both, as for flights."""
        here = self._catalog.restrictions.level(layer.layer_id)
        if (strict := find_strictest((here, level))) is not here:
            now_ns = self._node.clock_ns()
            self._catalog.restrictions.classify(layer.layer_id, strict, now_ns)
            detail = f"told by {self._peer}: {layer.name}: {strict}, {why}"
            self._catalog.audit.append(self._peer, "classify", layer.layer_id, detail, at_ns=now_ns)

    def _audit(self, what: str, subject: str, detail: str, thing: FeedItem) -> None:
        full_detail = f"told by {self._peer}: {detail}, sha256 {thing.sha256}"
        self._catalog.audit.append(self._peer, what, subject, full_detail, at_ns=self._node.clock_ns())

    def _report_kept_local(self, name: str, what: Message) -> None:
        self._report(
            name,
            _(
                "{name}: this node has a {what} of its own here and keeps it; {peer} has "
                "another. To take that one, decide so here, or have it entered there again",
                name=name,
                what=what,
                peer=self._peer,
            ),
        )


_IMPORTERS: dict[ReferenceKind, Callable[[ReferenceImporter, FeedItem, Any], None]] = {
    ReferenceKind.AREA: ReferenceImporter._import_area,
    ReferenceKind.MASK: ReferenceImporter._import_redactions,
    ReferenceKind.WITHDRAWN: ReferenceImporter._import_withdrawals,
    ReferenceKind.LAYER: ReferenceImporter._import_layer,
    ReferenceKind.COMMUNES: ReferenceImporter._import_communes,
    ReferenceKind.TERRAIN: ReferenceImporter._import_terrain,
}


def _is_alike(one: CommuneRecord | None, other: CommuneRecord | None) -> bool:
    if one is None or other is None:
        return False
    return (one.name, one.wkb, one.area_m2) == (other.name, other.wkb, other.area_m2)


def merge_restricted_areas(here: RestrictedArea, received: RestrictedArea) -> RestrictedArea:
    """Return `here`, hiding all that either hides; `here` itself if nothing is added.

    The union of both grounds, hidden from all roles that may not see one of them.
    """
    if _is_as_strict(here, received):
        return here
    ground = shapely.union(shapely.from_wkb(here.wkb), shapely.from_wkb(received.wkb))
    return replace(here, roles=here.roles & received.roles, wkb=shapely.to_wkb(ground))


def _is_as_strict(one: RestrictedArea, other: RestrictedArea) -> bool:
    """Return True if one hides all that the other hides."""
    return one.roles <= other.roles and bool(
        shapely.covers(shapely.from_wkb(one.wkb), shapely.from_wkb(other.wkb))
    )


def _require_name(thing: FeedItem, name: str) -> None:
    """Raise ValueError unless the id is safe as a name and the item's own."""
    if require_key_segment(name) != thing.name:
        raise ValueError("it is another's")


def _build_unreadable_error(name: str, error: Exception) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: what the server holds in common does not read here ({error}); bring "
            "both nodes to the same version",
            name=name,
            error=error,
        )
    )


# -- Fetching, item by item ------------------------------------------------------------------------


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
            "{folder}: data from the server cannot be stored ({strerror}); free some space there",
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
            return SimpleNamespace(status=_OK)
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
            if self._stalled[first] >= _STALLED:
                return SimpleNamespace(status=_OK)
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
                "{name}: does not arrive whole from {peer}: it breaks off, or has other bytes than its "
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


def _event_of(thing: FeedItem) -> str:
    return thing.name.partition("/")[0]
