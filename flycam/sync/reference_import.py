"""Import of a server's reference data: bytes first, as originals, then records.

What was not modified here since it came is replaced. What this node decided itself stays unless the
server decided later: layers, areas and changes by their time; boundaries, which have none, stay. Either
way it is reported, and in the audit log (decision 0025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Protocol

import shapely

from flycam.catalog.restrictions import RestrictedArea
from flycam.errors import ObjectMissing, SourceUnreadable
from flycam.messages import Message, _, pgettext
from flycam.model.access import RedactionStep
from flycam.model.flight import Classification, find_strictest
from flycam.model.records import AuditEntry, CommuneRecord, LayerRecord
from flycam.mosaic.tiles.peers import PeerCursor, advance_cursor, read_peer_cursors
from flycam.storage import keys
from flycam.storage.base import ObjectStore
from flycam.sync.codec import DECODE_ERRORS, decompress_values, from_values, require_key_segment, require_text
from flycam.sync.exchange_import import ApplyHooks, apply_withdrawals
from flycam.sync.record_import import record_event
from flycam.sync.records import require_valid_redaction_grounds, require_valid_redactions
from flycam.sync.reference_feed import (
    MAX_FEED_ITEM_BYTES,
    MAX_THING_VALUES,
    PAYLOADS,
    AreaPayload,
    ChangesPayload,
    CommunesPayload,
    FeedItem,
    LayerPayload,
    MaskPayload,
    ReferenceKind,
    WithdrawnPayload,
    merge_change_histories,
)
from flycam.workspace import Workspace

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
                self._import_changes(things[0], [self._read_payload(one.kind, one.sha256) for one in things])
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
                        "{name}: {peer} does not give this layer any more; it is shown to analysts and "
                        "administrators only: 'flycam layers classify' changes that",
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

    def _import_changes(self, thing: FeedItem, payloads: Sequence[ChangesPayload]) -> None:
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
