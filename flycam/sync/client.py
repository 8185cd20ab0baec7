"""Sending side of a connection: query what a peer lacks, and send that.

No state is kept on this side: the peer's cursor tells where to continue. An interrupted step resumes at the
byte offset that the peer returns; one whose answer was lost is answered again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from flycam.errors import InputUnusable, NotFound, ObjectMissing, PeerUnavailable, StoreConflict
from flycam.messages import _
from flycam.sync.manifest import (
    INVENTORY_KEYS,
    ManifestItem,
    MissingObjects,
    ObjectKind,
    parse_missing_objects,
)
from flycam.sync.node import (
    REQUEST_OVERHEAD_BYTES,
    Node,
    PeerConnection,
    PeerResponse,
    ReturnChannel,
    SyncReport,
    TransferLimits,
    compute_budget_left,
)
from flycam.sync.offer import LogPosition
from flycam.sync.step_planner import StepPlanner, SyncStep

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog


# -- Backoff for a peer that answers but accepts nothing -------------------------------------------


MIN_BUSY_PAUSE_S = 2.0
_MAX_BUSY_PAUSE_S = 60.0
MAX_REFUSALS = 12
"""At one and the same position: about eight minutes."""


class Backoff:
    """Count of a peer's refusals at one position, and the pause before the next try."""

    def __init__(self) -> None:
        self._at: object = None
        self._times = 0

    def note_refusal(self, at: object) -> int:
        """Count a refusal at a position and return the number of refusals there so far.

        `at` is a byte offset, or a number of imported steps.

        Returns the number of refusals there so far.
        """
        self._times = self._times + 1 if at == self._at else 1
        self._at = at
        return self._times

    @property
    def pause_s(self) -> float:
        """Pause before the next try, seconds; 0 after progress."""
        return 0.0 if self._times == 1 else min(MIN_BUSY_PAUSE_S * 2 ** (self._times - 2), _MAX_BUSY_PAUSE_S)


def build_no_progress_error(url: str) -> PeerUnavailable:
    """Return the error for a peer that makes no progress."""
    return PeerUnavailable(
        _(
            "{url}: keeps asking for the same data and does not take it; restart flycam "
            "there, then run the same command again: it resumes",
            url=url,
        )
    )


def build_not_flycam_error(url: str) -> PeerUnavailable:
    """Return the error for an answer that is valid but not flycam's.

    A network with a captive portal that asks for a sign-in answers like that.
    """
    return PeerUnavailable(
        _(
            "{url}: the answer is not from flycam: sign in to the network (its page opens in "
            "a browser), or check the address; then run the same command again: it resumes",
            url=url,
        )
    )


# -- Inventory of terrain and photos that the peer lacks, queried when they are due ----------------
#
# A query about thousands of objects is some hundred kilobytes: sent first, it would delay everything else.


InventoryQuery = Callable[[Mapping[str, object]], MissingObjects]


class DeferredInventory:
    """Peer's answers about terrain and photos, for as long as they are used."""

    def __init__(self) -> None:
        self._kinds = {kind: _KindInventory(kind) for kind in INVENTORY_KEYS}

    def begin(self, giver: StepPlanner) -> None:
        """Continue with what there is to send now."""
        for one in self._kinds.values():
            one.begin(giver)

    def query_due(
        self,
        missing: MissingObjects,
        giver: StepPlanner,
        question: Mapping[str, object],
        ask: InventoryQuery,
        is_spent: Callable[[int], bool],
    ) -> MissingObjects:
        """Return `missing` with terrain and photos that query the peer as they are read.

        Each name is queried once.

        question  the query that was sent about everything else
        is_spent  whether so many bytes exceed the budget
        """
        terrain, photos = (one.query_missing(giver, question, ask, is_spent) for one in self._kinds.values())
        return replace(missing, terrain=terrain, originals=photos)

    @property
    def missing_bytes(self) -> int:
        """Bytes of photos known to be lacking at the peer and not sent before `begin`."""
        return sum(one.missing_bytes for one in self._kinds.values())

    @property
    def unqueried_bytes(self) -> int:
        """Bytes of photos about which the peer was not queried."""
        return sum(one.unqueried_bytes for one in self._kinds.values())

    @property
    def is_truncated(self) -> bool:
        """Check whether the budget ended before the whole inventory was queried."""
        return any(one.is_truncated for one in self._kinds.values())

    def note_sent(self, items: Iterable[ManifestItem]) -> None:
        """Mark these items as present at the peer."""
        for item in items:
            if item.kind in self._kinds:
                self._kinds[item.kind].is_missing[item.name] = False


class _KindInventory:
    """Inventory of one kind.

    is_missing  by name, of those about which the peer was queried
    """

    def __init__(self, kind: ObjectKind) -> None:
        self._kind = kind
        self.is_missing: dict[str, bool] = {}
        self.missing_bytes = self.unqueried_bytes = 0
        self.is_truncated = False

    def begin(self, giver: StepPlanner) -> None:
        names = giver.names(self._kind)
        self.is_truncated = False
        self.missing_bytes = giver.count_bytes(self._kind, self._list_missing(giver))
        self.unqueried_bytes = giver.count_bytes(self._kind, names - self.is_missing.keys())

    def query_missing(
        self,
        giver: StepPlanner,
        question: Mapping[str, object],
        ask: InventoryQuery,
        is_spent: Callable[[int], bool],
    ) -> Iterator[str]:
        yield from self._list_missing(giver)
        for page in giver.build_name_queries(self._kind, question, self.is_missing):
            if is_spent(len(to_request_body(page))):
                self.is_truncated = True
                return
            some, queried = frozenset(ask(page).list_names(self._kind)), page[INVENTORY_KEYS[self._kind]]
            self.is_missing.update((str(one), one in some) for one in queried)
            self.missing_bytes += giver.count_bytes(self._kind, some)
            self.unqueried_bytes -= giver.count_bytes(self._kind, queried)
            yield from sorted(some)

    def _list_missing(self, giver: StepPlanner) -> list[str]:
        return [name for name in giver.names(self._kind) if self.is_missing.get(name)]


def to_request_body(question: Mapping[str, Any]) -> bytes:
    """Encode a query as a request body."""
    return json.dumps(question, separators=(",", ":")).encode()


# -- Detection of new and of urgent local data while a round is being sent -------------------------


_TILES_FIRST_S = 30.0
"""How long a round's tiles go before newly orthorectified ones. For a live flight, which has more at any
moment, the new ground is then shown coarsely, and tiles of the old get most of the connection.
"""


class LocalChanges:
    """Changes since a round began, by ends of logs and counts of records.

    No request is made.

    goes_on  whether the sender continues with new data: then it need not wait for the end of a round
    """

    def __init__(
        self, catalog: Catalog, *, goes_on: bool, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._goes_on, self._clock_s = catalog, goes_on, clock_s
        self.stamp: object = None
        """All that was known as the round began."""
        self._pressing: object = None
        self._tiles_from_s: float | None = None

    def begin(self) -> None:
        """Begin a round."""
        self.stamp, self._pressing, self._tiles_from_s = self._stamp(), self._stamp_of_urgent(), None

    def has_any(self) -> bool:
        """Check whether there is anything new."""
        return self._stamp() != self.stamp

    def has_urgent(self) -> bool:
        """Check for what does not wait: withdrawals, redactions, flights begun or ready."""
        return self._stamp_of_urgent() != self._pressing

    def is_ahead_of(self, step: SyncStep) -> bool:
        """Check whether something new goes before a step.

        Before a photo anything does; before a tile what is urgent, and anything else once tiles had their
        time.
        """
        kinds = {one.kind for one in step.manifest.items}
        if ObjectKind.ORIGINAL in kinds:
            return self.has_any()
        if ObjectKind.TILE in kinds and self._goes_on:
            now_s = self._clock_s()
            self._tiles_from_s = now_s if self._tiles_from_s is None else self._tiles_from_s
            if now_s - self._tiles_from_s >= _TILES_FIRST_S and self.has_any():
                return True
        return self.has_urgent()

    def _stamp(self) -> object:
        tiles, flights = self._catalog.tiles, self._catalog.flights
        ends = {one.mosaic_id: tiles.last_seq(one.mosaic_id) for one in tiles.mosaics()}
        return ends, flights.flights(), self._stamp_of_urgent()

    def _stamp_of_urgent(self) -> object:
        catalog = self._catalog
        return catalog.flights.states(), catalog.frames.count_withdrawals(), catalog.redactions.count()


# -- Sender to one peer ----------------------------------------------------------------------------


_STEPS = "/api/sync/steps"
_FIRST_STEP_BYTES, _MIN_STEP_BYTES, _MAX_STEP_BYTES = 48 << 10, 16 << 10, 8 << 20
# the duration of a step: a satellite round trip is a small part of it
_STEP_DURATION_S = 8.0
_BLOCK = 4 << 10
_MIN_RESUMABLE_BYTES = 256 << 10
_INVENTORY_TTL_S = 3600.0
"""How long the peer's answer about terrain and photos is used: a live flight has more with each round."""
_MAX_DELTAS_REFUSED = 2
"""The first may be due to records corrupted at the peer; after a second refusal, to a peer whose deltas
expand differently, whole records are sent.
"""
_DONE, _CONFLICT, _FULL = 200, 409, 507


class _StepInterrupted(Exception):
    """Interruption of a step: "budget", or "" where something smaller goes first."""


class Sender:
    """Sender of a node's records and objects to one peer, within transfer limits.

    goes_on      whether rounds continue with new data
    back         channel for what comes from the peer meanwhile; it takes turns with tiles, so that the
                 peer's first previews are not delayed
    passed_over  called once with each key that is lost or damaged here
    """

    def __init__(
        self,
        node: Node,
        line: PeerConnection,
        limits: TransferLimits,
        progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
        *,
        goes_on: bool = False,
        back: ReturnChannel | None = None,
        passed_over: Callable[[str], None] = lambda _key: None,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._node = node
        self._back = back
        self._on_skipped = passed_over
        self._line = line
        self._limits = limits
        self._progress = progress
        self._clock_s = clock_s
        self._sleep = sleep
        self._step_bytes = _FIRST_STEP_BYTES
        self._due_s = clock_s()
        self._news = LocalChanges(node.catalog, goes_on=goes_on, clock_s=clock_s)
        self._reached: dict[str, LogPosition] = {}
        self._deltas_refused = 0
        self._later = DeferredInventory()
        self._queried_s = 0.0
        # of tiles and photos sent since the peer was queried
        self._round_bytes = 0
        self.sent = SyncReport()

    def run_round(self) -> None:
        """Send all that the peer lacks as of now; the result is in `sent`.

        Raises AccessDenied (token), InputUnusable (another version), StoreConflict (two nodes of one
        name, or one that was restored to an older state), PeerUnavailable when the connection stays dead
        or the peer makes no progress; run again: it continues.
        """
        in_vain = Backoff()
        while not self._run_round():
            if in_vain.note_refusal((self.sent.steps, self._news.stamp)) > MAX_REFUSALS:
                raise build_no_progress_error(self._line.url)
            self._sleep(max(in_vain.pause_s, MIN_BUSY_PAUSE_S))

    def has_local_changes(self) -> bool:
        """Check whether there is anything new here since the last round began.

        No request is made.
        """
        return self._news.has_any()

    def _run_round(self) -> bool:
        """Run a round; False if the peer has to be queried again.

        That is so when the peer has dropped what a step relied on, when the log advanced meanwhile and a
        tile was collected, or when urgent changes here go first.
        """
        self._news.begin()
        has_tiles = not self._limits.metered
        has_originals = self._limits.originals and has_tiles
        giver = StepPlanner(
            self._node,
            originals=has_originals,
            reached=self._reached,
            record_changes=self._deltas_refused < _MAX_DELTAS_REFUSED,
        )
        missing = self._query_missing(giver)
        tile_bytes, self._round_bytes, self.sent.ended_by = giver.tile_bytes(), 0, ""
        steps = giver.steps(
            missing,
            self._target,
            lambda: self._step_budget,
            heads=partial(self._query_missing_heads, giver),
            has_tiles=has_tiles,
        )
        self._note_left(tile_bytes)
        while True:
            if self._is_budget_spent(0) and self.sent.left_bytes:
                self.sent.ended_by = "budget"
                return True
            try:
                step = next(steps, None)
            except ObjectMissing:
                if giver.is_current():
                    raise
                return False
            finally:
                self._report_skipped(giver)
            if step is None:
                break
            if self._is_budget_spent(step.size_bytes) and not self._goes_in_parts(step):
                self.sent.ended_by = "budget"
                return True
            if self._news.is_ahead_of(step):
                return False
            taken = self._send(step)
            if taken is None:
                return self.sent.ended_by == "budget"
            self._count(step, taken, giver)
            if self._back is not None and any(one.kind is ObjectKind.TILE for one in step.manifest.items):
                self._back.fetch_some(self._target(), self.sent)
            lacking_bytes = self._note_left(tile_bytes - giver.left_out_bytes)
            self._progress("sync", self._round_bytes >> 10, lacking_bytes >> 10)
        has_more = self._back is not None
        while self._back is not None and has_more:
            has_more = self._back.fetch_some(self._target(), self.sent)
            # withdrawals that arrived from the peer have to be applied to what is sent
            if self._news.has_urgent():
                return False
        if self._later.is_truncated:
            self.sent.ended_by = "budget"
        elif self._limits.metered and self.sent.left_bytes:
            self.sent.ended_by = "metered"
        elif not self.sent.conflicts:
            self.sent.left_bytes = 0
        return True

    def _query_missing(self, giver: StepPlanner) -> MissingObjects:
        """Return what the peer lacks; terrain and photos are queried when due."""
        question, peer = giver.build_query(), self.sent.peer
        missing = self._query(question)
        if self.sent.peer != peer or self._clock_s() - self._queried_s > _INVENTORY_TTL_S:
            self._later, self._queried_s = DeferredInventory(), self._clock_s()
        if self._back is not None:
            self._back.begin(missing)
        giver.note_missing(missing)
        self._later.begin(giver)
        return self._later.query_due(missing, giver, question, self._query, self._is_budget_spent)

    def _query_missing_heads(
        self, giver: StepPlanner, mosaic_id: str, heads: Sequence[str]
    ) -> Collection[str]:
        """Return the heads that the peer lacks; all of them if the budget is spent."""
        question = giver.build_heads_query(mosaic_id, heads)
        if self._is_budget_spent(len(to_request_body(question))):
            return heads
        return self._query(question).heads.get(mosaic_id, heads)

    def _note_left(self, tile_bytes: int) -> int:
        """Record the bytes that are left; return those known to be lacking in this round.

        tile_bytes  bytes of tiles that the peer lacked as the round began
        """
        known_missing_bytes = tile_bytes + self._later.missing_bytes
        self.sent.left_bytes = max(known_missing_bytes - self._round_bytes, 0) + self._later.unqueried_bytes
        return known_missing_bytes

    def _report_skipped(self, giver: StepPlanner) -> None:
        for key in giver.readable.skipped:
            if key not in self.sent.skipped:
                self.sent.skipped[key] = None
                self._on_skipped(key)

    def _query(self, question: Mapping[str, object]) -> MissingObjects:
        body = to_request_body(question)
        no_flycam = Backoff()
        try:
            while True:
                reply = self._line.request("POST", "/api/sync", body, Content_Type="application/json")
                self.sent.sent_bytes += len(body) + REQUEST_OVERHEAD_BYTES
                if isinstance(reply.json, dict):
                    break
                self._wait_for_flycam(reply, no_flycam)
        except NotFound as error:
            raise build_not_flycam_error(self._line.url) from error
        missing = parse_missing_objects(reply.json, self._line.url)
        self.sent.peer = missing.box
        return missing

    def _send(self, step: SyncStep) -> dict[str, Any] | None:
        """Send a step until it is imported and return the peer's answer.

        None if the peer has to be queried again, or the budget is used up.
        """
        began, bytes_before = self._clock_s(), self.sent.sent_bytes
        tries, is_full = 0, False
        turned_away = Backoff()

        def attempt() -> PeerResponse:
            nonlocal tries, is_full
            if is_full and self._news.has_urgent():
                raise _StepInterrupted("")
            reply = ask()
            is_full = reply.status == _FULL
            return reply

        def ask() -> PeerResponse:
            nonlocal tries
            tries += 1
            at = 0
            if self._is_budget_spent(0):
                raise _StepInterrupted("budget")
            if tries > 1 or step.size_bytes > _MIN_RESUMABLE_BYTES or self._is_budget_spent(step.size_bytes):
                self.sent.sent_bytes += REQUEST_OVERHEAD_BYTES
                reply = self._line.request_once(
                    "HEAD", f"{_STEPS}/{step.sha256}", Upload_Length=str(step.size_bytes)
                )
                if reply.status != _DONE or "Upload-Offset" not in reply.headers:
                    # how much arrived is unknown, and sending would start again at byte 0
                    return reply
                at = int(reply.headers["Upload-Offset"])
            return self._send_part(step, at)

        while True:
            try:
                reply = self._line.call_with_retries(attempt)
            except _StepInterrupted as why:
                self.sent.ended_by = str(why)
                return None
            if reply.status == _DONE:
                if isinstance(reply.json, dict):
                    break
                self._wait_for_flycam(reply, turned_away)
                continue
            if reply.status == _CONFLICT and self._needs_restart(reply):
                self._deltas_refused += any(
                    one.kind is ObjectKind.RECORD_DELTA for one in step.manifest.items
                )
                return None
            if reply.status == _CONFLICT and "Upload-Offset" in reply.headers:
                at = int(reply.headers["Upload-Offset"])
                if turned_away.note_refusal(at) > MAX_REFUSALS:
                    raise build_no_progress_error(self._line.url)
                self._sleep(turned_away.pause_s)
                continue
            self._line.report_wait(self._line.get_error_message(reply))
            self._sleep(MIN_BUSY_PAUSE_S)
        took_s = self._clock_s() - began
        if tries == 1:
            self._step_bytes = _next_bytes((self.sent.sent_bytes - bytes_before) / max(took_s, 1e-3))
        else:
            self._step_bytes = max(self._step_bytes // 2, _MIN_STEP_BYTES)
        return dict(reply.json)

    def _send_part(self, step: SyncStep, at: int) -> PeerResponse:
        """Send a step from byte `at`, as far as the budget allows.

        Raises _StepInterrupted.
        """
        rest = max(step.size_bytes - at, 0)
        some = min(rest, self._budget_left - REQUEST_OVERHEAD_BYTES)
        if some < rest and (some <= 0 or not self._goes_in_parts(step)):
            raise _StepInterrupted("budget")
        self.sent.sent_bytes += REQUEST_OVERHEAD_BYTES
        reply = self._line.request_once(
            "PUT",
            f"{_STEPS}/{step.sha256}",
            self._throttle(step.blocks(at), some),
            Content_Type="application/octet-stream",
            Content_Length=str(some),
            Upload_Offset=str(at),
            Upload_Length=str(step.size_bytes),
        )
        if some < rest:
            raise _StepInterrupted("budget")
        return reply

    def _needs_restart(self, reply: PeerResponse) -> bool:
        """Return True if a conflict is resolved by querying again.

        Raises if that does not help. With an upload offset the step resumes at another byte instead.
        """
        if "Upload-Offset" in reply.headers:
            return False
        error = reply.json.get("error") if isinstance(reply.json, dict) else None
        if error == "RecordsMissing":
            return True
        if error == "StoreConflict":
            raise StoreConflict(self._line.get_error_message(reply))
        # querying again would not help
        if error not in (None, "FlightBusy"):
            raise InputUnusable(self._line.get_error_message(reply))
        return False

    def _wait_for_flycam(self, reply: PeerResponse, no_flycam: Backoff) -> None:
        """Wait after an answer that is not flycam's; raise after too many."""
        if no_flycam.note_refusal("no flycam") > MAX_REFUSALS:
            raise build_not_flycam_error(self._line.url)
        self._line.report_wait(self._line.get_error_message(reply))
        self._sleep(max(no_flycam.pause_s, MIN_BUSY_PAUSE_S))

    def _count(self, step: SyncStep, answer: Mapping[str, Any], giver: StepPlanner) -> None:
        kinds = [item.kind for item in step.manifest.items]
        self.sent.steps += 1
        self.sent.tiles += kinds.count(ObjectKind.TILE)
        self.sent.views += kinds.count(ObjectKind.VIEW)
        self.sent.originals += kinds.count(ObjectKind.ORIGINAL) - len(answer["unnamed"])
        some = sum(
            item.size_bytes
            for item in step.manifest.items
            if item.kind in (ObjectKind.TILE, ObjectKind.ORIGINAL)
        )
        self.sent.tile_bytes += some
        self._round_bytes += some
        self._later.note_sent(step.manifest.items)
        for one in answer["apart"]:
            giver.conflicts.add(one["flight_id"])
            self.sent.conflicts[one["flight_id"]] = one

    def _target(self) -> int:
        """Return the approximate size of the next step, bytes."""
        limits = self._limits
        most = self._step_bytes
        if limits.rate_bytes_s is not None:
            most = min(most, max(int(limits.rate_bytes_s * _STEP_DURATION_S), _MIN_STEP_BYTES))
        return min(most, self._step_budget)

    def _goes_in_parts(self, step: SyncStep) -> bool:
        """Return True if sending only a part of a step makes progress.

        That is so where the next run, which queries the peer again, builds the same step and resumes
        it. Thus even the smallest budget makes progress.
        """
        return not self.sent.steps or all(one.kind is ObjectKind.ORIGINAL for one in step.manifest.items)

    @property
    def _budget_left(self) -> int:
        """Remaining bytes of the budget."""
        return compute_budget_left(self._limits, self.sent)

    @property
    def _step_budget(self) -> int:
        """Remaining budget for a step without its requests and manifest, bytes.

        The first step of a run has no limit: it may go in parts.
        """
        if not self.sent.steps:
            return sys.maxsize
        return max((self._budget_left - 2 * REQUEST_OVERHEAD_BYTES) * 7 // 8, 1)

    def _is_budget_spent(self, more: int) -> bool:
        return more + REQUEST_OVERHEAD_BYTES > self._budget_left

    def _throttle(self, blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
        """Yield the first `most` bytes no faster than the rate limit, counted as sent."""
        rate = self._limits.rate_bytes_s
        for block in blocks:
            for start in range(0, len(block), _BLOCK):
                some = block[start : start + min(_BLOCK, most)]
                if not some:
                    return
                most -= len(some)
                if rate is not None:
                    now = self._clock_s()
                    self._due_s = max(self._due_s, now) + len(some) / rate
                    self._sleep(max(self._due_s - now - _BLOCK / rate, 0.0))
                self.sent.sent_bytes += len(some)
                self.sent.step_bytes += len(some)
                yield some


def _next_bytes(bytes_s: float) -> int:
    """Return what the connection carries in `_STEP_DURATION_S`, bytes.

    A power of two, so that runs build the same steps.
    """
    most = min(max(int(bytes_s * _STEP_DURATION_S), _MIN_STEP_BYTES), _MAX_STEP_BYTES)
    return 1 << (most.bit_length() - 1)
