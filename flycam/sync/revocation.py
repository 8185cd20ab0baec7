"""Revocation: what a peer claimed after a time is listed, then taken back.

    claims of the peer -> flight by flight, locked: frames withdrawn, poses and withdrawals undone, its tile
    states deleted -> touched tiles made again from what was there before, other peers' states and originals

A claim is marked as taken back last, so a killed run is completed by the next; what is marked comes in no
more by that peer, and it speaks for no flight until somebody allows it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from flycam.catalog.peers import ClaimKind, PeerClaim
from flycam.errors import NotFound, ObjectMissing, TileCorrupt
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.access import HoldStep, PurgeStep
from flycam.model.flight import Classification, Flight, FlightState
from flycam.model.frame import MosaicTile
from flycam.model.records import AuditEntry, FrameStatus, MosaicInfo, Withdrawal
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, load_amendments, make_tile_rebuilder
from flycam.mosaic.redaction import revoke_redaction
from flycam.mosaic.tiles.codec import decode_tile
from flycam.mosaic.tiles.peers import PeerTiles, apply_amendments, merge_peer_tiles, read_cursors
from flycam.storage import keys
from flycam.sync.exchange_import import ApplyHooks
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationReport:
    """What was, or would be, taken back: how much of each kind, and in which flights.

    lines  appended to tile logs
    """

    node: str
    claims: Mapping[str, int]
    flights: tuple[str, ...]
    lines: int = 0


def list_revocable(workspace: Workspace, name: str, since_ns: int) -> RevocationReport:
    """List what a peer claimed since a time and what still holds. Raises NotFound for a peer never heard."""
    return _describe(name, _read_claims(workspace, name, since_ns))


def revoke_claims(
    workspace: Workspace, name: str, since_ns: int, who: str, hooks: ApplyHooks
) -> RevocationReport:
    """Take back what a peer claimed since a time; run again, it completes.

    Finished revisions that a withdrawal retired stay retired. Raises NotFound for a peer never heard of,
    FlightBusy where a flight is being written.
    """
    claims, lines = _read_claims(workspace, name, since_ns), 0
    by_flight: dict[str, list[PeerClaim]] = {}
    for one in claims:
        by_flight.setdefault(one.flight_id, []).append(one)
    catalog, now_ns = workspace.catalog, workspace.clock_ns()
    told = ", ".join(f"{count} {kind}" for kind, count in _count(claims).items())
    entry = AuditEntry(who=who, what="box revoke", subject=name, detail=told, at_ns=now_ns)
    # first: what it says meanwhile is not believed
    catalog.peers.remove_grants(name, entry)
    for flight_id, some in sorted(by_flight.items()):
        with catalog.flights.lock(flight_id):
            lines += _FlightRevocation(workspace, name, flight_id, since_ns, who, hooks).undo(some)
    return replace(_describe(name, claims), lines=lines)


def _read_claims(workspace: Workspace, name: str, since_ns: int) -> list[PeerClaim]:
    peers = workspace.catalog.peers
    claims = peers.list_claims(node=name, since_ns=since_ns)
    if not claims and not peers.grants(name) and not peers.list_claims(node=name):
        raise NotFound(
            _("{name}: no node of this name ever brought anything here: flycam box list", name=name)
        )
    return claims


def _count(claims: Iterable[PeerClaim]) -> dict[str, int]:
    return dict(sorted(Counter(one.kind.value for one in claims).items()))


def _describe(name: str, claims: Iterable[PeerClaim]) -> RevocationReport:
    every = list(claims)
    flights = tuple(sorted({one.flight_id for one in every}))
    return RevocationReport(node=name, claims=_count(every), flights=flights)


class _FlightRevocation:
    """What one peer claimed of one flight, which is locked."""

    def __init__(
        self, workspace: Workspace, name: str, flight_id: str, since_ns: int, who: str, hooks: ApplyHooks
    ) -> None:
        self._workspace, self._catalog = workspace, workspace.catalog
        self._name, self._flight_id, self._since_ns = name, flight_id, since_ns
        self._who, self._hooks, self._now_ns = who, hooks, workspace.clock_ns()
        self._emptied: dict[str, set[TileId]] = {}

    def undo(self, claims: list[PeerClaim]) -> int:
        """Take back these claims; return the log lines appended."""
        by_kind: dict[ClaimKind, list[PeerClaim]] = {}
        for one in claims:
            by_kind.setdefault(one.kind, []).append(one)
        undoing: Mapping[ClaimKind, Callable[[list[PeerClaim]], None]] = {
            ClaimKind.WITHDRAWAL: self._lift_withdrawals,
            ClaimKind.PLACEMENT: self._remove_placements,
            ClaimKind.FRAME: self._withdraw_frames,
            ClaimKind.MASK: self._take_back_masks,
            ClaimKind.HOLD: self._release_holds,
            ClaimKind.PURGE: self._lift_purges,
            ClaimKind.CLASSIFICATION: self._restore_classification,
            ClaimKind.TILES: self._delete_states,
        }
        for kind, undo in undoing.items():
            if kind in by_kind:
                undo(by_kind[kind])
        lines = sum(
            self._rebuild(mosaic)
            for mosaic in self._catalog.tiles.mosaics(self._flight_id)
            if mosaic.revision == 0
        )
        self._settle_state()
        self._catalog.peers.mark_undone(claims, self._now_ns)
        return lines

    def _lift_withdrawals(self, claims: list[PeerClaim]) -> None:
        self._catalog.frames.lift_withdrawals([one.item for one in claims])

    def _remove_placements(self, claims: list[PeerClaim]) -> None:
        self._catalog.placements.remove({(one.detail, one.item) for one in claims})

    def _withdraw_frames(self, claims: list[PeerClaim]) -> None:
        """Withdraw frames that the peer brought, for ever: only so do they leave every tile."""
        reason = f"brought by {self._name}, which was revoked"
        gone = [
            Withdrawal(
                frame_id=one.item,
                flight_id=self._flight_id,
                reason=reason,
                authority=self._who,
                withdrawn_ns=self._now_ns,
            )
            for one in claims
        ]
        self._catalog.frames.withdraw(gone)
        self._catalog.revisions.retire_holding([one.item for one in claims], f"{reason} ({self._who})")

    def _take_back_masks(self, claims: list[PeerClaim]) -> None:
        for mask_id in sorted({one.detail for one in claims}):
            revoke_redaction(self._workspace, mask_id, self._who)

    def _release_holds(self, claims: list[PeerClaim]) -> None:
        retention, ids = self._catalog.retention, {one.item for one in claims}
        held = [one for one in retention.holds([self._flight_id]) if one.hold_id in ids]
        retention.add_holds(
            [
                replace(one, step=HoldStep.RELEASED, author=self._who, at_ns=self._now_ns)
                for one in held
                if one.step is HoldStep.HELD
            ]
        )

    def _lift_purges(self, claims: list[PeerClaim]) -> None:
        retention, ids = self._catalog.retention, {one.item for one in claims}
        lines = [one for one in retention.list_for_flight(self._flight_id) if one.line_id in ids]
        retention.learn(
            [replace(one, step=PurgeStep.LIFTED, author=self._who, at_ns=self._now_ns) for one in lines]
        )

    def _restore_classification(self, claims: list[PeerClaim]) -> None:
        first = min(claims, key=lambda one: one.at_ns)
        stated = {one.item.rpartition(":")[2] for one in claims}
        if self._catalog.restrictions.level(self._flight_id).value in stated:
            level = Classification(first.detail)
            self._catalog.restrictions.classify(self._flight_id, level, self._now_ns)

    def _delete_states(self, claims: list[PeerClaim]) -> None:
        """Delete the peer's tile states beyond the last exchange before, and set its cursors back there."""
        store, peers = self._workspace.store, self._catalog.peers
        undone = {one.item for one in claims}
        for there in sorted({one.detail.split()[0] for one in claims}):
            log = keys.derive_log_id(self._name, there)
            kept = [
                (int(one.item.rpartition(":")[2]), one.detail.split()[1])
                for one in peers.list_claims(node=self._name, flight_id=self._flight_id)
                if one.kind is ClaimKind.TILES and one.item.startswith(f"{log}:") and one.item not in undone
            ]
            seq, digest = max(kept, default=(0, ""))
            for mosaic in self._catalog.tiles.mosaics(self._flight_id):
                if mosaic.revision == 0:
                    emptied = self._emptied.setdefault(mosaic.mosaic_id, set())
                    emptied |= self._delete_states_beyond(mosaic.mosaic_id, log, seq)
            store.flush()
            if seq:
                store.put(keys.format_cursor_key(self._name, there, seq, digest), b"", durable=True)
            for key in list(store.list(keys.format_mosaic_cursor_prefix(self._name, there))):
                if keys.parse_cursor_key(key)[1] > seq:
                    store.delete(key)

    def _delete_states_beyond(self, mosaic_id: str, log: str, seq: int) -> set[TileId]:
        """Delete a log's states of a mosaic beyond a line; return their tiles."""
        store, found = self._workspace.store, set[TileId]()
        for key in list(store.list(keys.format_peer_mosaic_prefix(mosaic_id))):
            its_log, its_seq, _digest = keys.parse_peer_tile_key(key)
            tile_id = keys.parse_peer_tile_id(key)
            if its_log == log and its_seq > seq and tile_id is not None:
                store.delete(key)
                found.add(tile_id)
        return found

    def _rebuild(self, mosaic: MosaicInfo) -> int:
        """Make touched base tiles again: as they were before, with what others brought since."""
        workspace, tiles = self._workspace, self._catalog.tiles
        amendments = load_amendments(self._catalog, mosaic)
        stale = find_stale_tiles(tiles, mosaic, amendments)
        touched = {*self._emptied.get(mosaic.mosaic_id, ()), *stale}
        if not touched:
            return 0
        before = tiles.list_before(mosaic.mosaic_id, self._since_ns, z=mosaic.base_zoom)
        peer_tiles = PeerTiles(workspace.store, mosaic.mosaic_id, read_cursors(workspace.store))
        rebuild = make_tile_rebuilder(workspace, mosaic, amendments)

        def states_of(tile_id: TileId) -> list[MosaicTile]:
            states = [*peer_tiles.states(tile_id, amendments), rebuild(tile_id)]
            if (head := before.get(tile_id)) is not None:
                try:
                    data = workspace.store.get(head.key)
                    states.append(apply_amendments(decode_tile(data, tile_id, head.content_hash), amendments))
                except (ObjectMissing, TileCorrupt):
                    pass  # collected since: what others and the originals give is what there is
            return states

        return merge_peer_tiles(
            workspace.store,
            tiles,
            mosaic,
            touched,
            states_of,
            amendments=amendments,
            origin=workspace.box,
            clock_ns=workspace.clock_ns,
            # the heads show what is taken back, so they are not merged
            damaged=touched,
        )

    def _settle_state(self) -> None:
        try:
            flight: Flight = self._catalog.flights.flight(self._flight_id)
        except NotFound:
            return
        statuses = {one.status for one in self._catalog.frames.list_for_flight(self._flight_id)}
        if FrameStatus.USED not in statuses and FrameStatus.WITHDRAWN in statuses:
            state = FlightState.WITHDRAWN
        elif flight.state is FlightState.WITHDRAWN:
            state = FlightState.READY
        else:
            state = flight.state
        if state is not flight.state:
            self._catalog.flights.put_flight(replace(flight, state=state))
        self._hooks.on_withdrawn(flight)
        self._hooks.on_settled(flight)
