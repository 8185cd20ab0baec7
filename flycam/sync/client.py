"""Sending side of a connection: query what a peer lacks, and send that.

No state is kept on this side: the peer's cursor tells where to continue. An interrupted step resumes at the
byte offset that the peer returns; one whose answer was lost is answered again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from flycam.errors import InputUnusable, NotFound, ObjectMissing, StoreConflict
from flycam.http.client import (
    MIN_BUSY_PAUSE_S,
    Backoff,
    build_no_progress_error,
    build_not_flycam_error,
    read_upload_offset,
)
from flycam.messages import Message
from flycam.sync.exchange import (
    EXCHANGE_FORMAT,
    ExchangeOffer,
    InventoryAnswer,
    InventoryQuery,
    ManifestItem,
    ObjectKind,
    StepAnswer,
    encode_json,
    parse_peer_answer,
    to_values,
)
from flycam.sync.step_planner import LogPosition, StepPlanner
from flycam.workspace import Workspace

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog


# -- Limits and report of a transfer ---------------------------------------------------------------


REQUEST_OVERHEAD_BYTES = 1000
"""Of a request and its response, as they are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferLimits:
    """Limits of a connection.

    rate_bytes_s, budget_bytes  None: unlimited
    metered                     no tiles, no photos
    originals                   photos too
    """

    rate_bytes_s: float | None = None
    budget_bytes: int | None = None
    metered: bool = False
    originals: bool = False


@dataclass(kw_only=True, slots=True)
class SyncReport:
    """Result of synchronising, summed over rounds.

    sent_bytes  handed to the connection, retransmissions included; received_bytes: what came back
    step_bytes  of them, of steps: without queries
    left_bytes  of tiles and photos that the peer still lacks, or about which it was not queried
    conflicts   flights that the peer could not merge, in its words
    skipped     keys of what is lost or damaged here and was therefore not sent
    ended_by    why it ended before all was sent: "budget", "metered" or ""
    """

    peer: str = ""
    steps: int = 0
    tiles: int = 0
    views: int = 0
    originals: int = 0
    sent_bytes: int = 0
    step_bytes: int = 0
    received_bytes: int = 0
    tile_bytes: int = 0
    left_bytes: int = 0
    conflicts: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    ended_by: str = ""


def compute_budget_left(limits: TransferLimits, report: SyncReport) -> int:
    """Return the bytes left of the budget, which counts both ways; maxsize if none."""
    budget = limits.budget_bytes
    return sys.maxsize if budget is None else budget - report.sent_bytes - report.received_bytes


PACED_BYTES = 4 << 10
"""Bytes that pass at once."""


class Pacer:
    """Keeper of a rate, one way."""

    def __init__(
        self, rate_bytes_s: float | None, clock_s: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rate, self._clock_s, self._sleep = rate_bytes_s, clock_s, sleep
        self._due_s = clock_s()

    def wait(self, size_bytes: int) -> None:
        """Wait until so many bytes more keep to the rate."""
        if self._rate is not None:
            now_s = self._clock_s()
            self._due_s = max(self._due_s, now_s) + size_bytes / self._rate
            self._sleep(max(self._due_s - now_s - PACED_BYTES / self._rate, 0.0))


# -- Interface of the connection to a peer that an exchange uses -----------------------------------


class PeerResponse(Protocol):
    """Response of a peer."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def json(self) -> Any: ...


class PeerConnection(Protocol):
    """Requests to one peer.

    `flycam.http.client.ServerConnection` is one.
    """

    @property
    def url(self) -> str: ...

    def request_once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> PeerResponse:
        """Send one request; may raise what `call_with_retries` retries."""

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> PeerResponse:
        """Send a request as `request_once` does, until a response comes."""

    def download(
        self, method: str, path: str, hear: Callable[[bytes], None], most_bytes: int
    ) -> PeerResponse:
        """Send a request as `request_once` does; pass a good response's body to `hear`.

        It is passed as it comes, an empty block first, and nothing beyond `most_bytes`.
        """

    def call_with_retries(self, send: Callable[[], Any]) -> Any:
        """Call `send` until its answer is not "later"."""

    def get_error_message(self, reply: Any) -> Message:
        """Return the peer's own message."""

    def report_wait(self, why: Message) -> None:
        """Report the reason for a wait."""


class ReturnChannel(Protocol):
    """Data from the peer on the same connection: `flycam.sync.reference_client.ReferenceFetcher`."""

    def begin(self, missing: InventoryAnswer) -> None:
        """Process the peer's answer to a query."""

    def fetch_some(self, target: int, sent: SyncReport) -> bool:
        """Fetch about so many bytes; return True if anything is left."""


# -- Inventory of terrain and photos that the peer lacks, queried when they are due ----------------
#
# A query about thousands of objects is some hundred kilobytes: sent first, it would delay everything else.


class DeferredInventory:
    """Peer's answers about terrain and photos, for as long as they are used; each name is queried once.

    missing_bytes    of photos known to be lacking at the peer and not sent before `begin`
    unqueried_bytes  of photos about which the peer was not queried
    is_truncated     whether the budget ended before the whole inventory was queried
    """

    def __init__(self) -> None:
        self._is_missing: dict[str, bool] = {}
        self.missing_bytes = self.unqueried_bytes = 0
        self.is_truncated = False

    def begin(self, giver: StepPlanner) -> None:
        """Continue with what there is to send now."""
        photos = giver.get_names(ObjectKind.ORIGINAL)
        self.is_truncated = False
        self.missing_bytes = giver.count_bytes(name for name in photos if self._is_missing.get(name))
        self.unqueried_bytes = giver.count_bytes(photos - self._is_missing.keys())

    def query_missing(
        self,
        kind: ObjectKind,
        giver: StepPlanner,
        ask: Callable[[InventoryQuery], InventoryAnswer],
        is_spent: Callable[[int], bool],
    ) -> Iterator[str]:
        """Yield the names of a kind that the peer lacks, which is queried as they are read.

        is_spent  whether so many bytes exceed the budget
        """
        yield from [name for name in giver.get_names(kind) if self._is_missing.get(name)]
        for page in giver.build_name_queries(kind, self._is_missing):
            if is_spent(len(to_request_body(page))):
                self.is_truncated = True
                return
            answer, queried = ask(page), page.terrain or page.originals
            some = {*answer.terrain, *answer.originals}
            self._is_missing.update((name, name in some) for name in queried)
            self.missing_bytes += giver.count_bytes(some)
            self.unqueried_bytes -= giver.count_bytes(queried)
            yield from sorted(some)

    def note_sent(self, items: Iterable[ManifestItem]) -> None:
        """Mark these items as present at the peer."""
        self._is_missing.update((item.name, False) for item in items if item.name in self._is_missing)


def to_request_body(question: InventoryQuery) -> bytes:
    """Encode a query as a request body."""
    return encode_json({"format": EXCHANGE_FORMAT, **to_values(question)})


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

    def is_ahead_of(self, step: ExchangeOffer) -> bool:
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
        node: Workspace,
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
        self._pacer = Pacer(limits.rate_bytes_s, clock_s, sleep)
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
        in_vain = Backoff(self._sleep, build_no_progress_error(self._line.url))
        while not self._run_round():
            in_vain.wait((self.sent.steps, self._news.stamp), MIN_BUSY_PAUSE_S)

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
            as_deltas=self._deltas_refused < _MAX_DELTAS_REFUSED,
        )
        self._query_missing(giver)
        tile_bytes, self._round_bytes, self.sent.ended_by = giver.measure_tiles(), 0, ""
        terrain, originals = (
            self._later.query_missing(kind, giver, self._query, self._is_budget_spent)
            for kind in (ObjectKind.TERRAIN, ObjectKind.ORIGINAL)
        )
        steps = giver.steps(
            self._target,
            lambda: self._step_budget,
            terrain=terrain,
            originals=originals,
            heads=self._query_missing_heads,
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

    def _query_missing(self, giver: StepPlanner) -> None:
        """Query what the peer lacks; terrain and photos are queried when due."""
        peer = self.sent.peer
        missing = self._query(giver.build_query())
        if self.sent.peer != peer or self._clock_s() - self._queried_s > _INVENTORY_TTL_S:
            self._later, self._queried_s = DeferredInventory(), self._clock_s()
        if self._back is not None:
            self._back.begin(missing)
        giver.note_missing(missing)
        self._later.begin(giver)

    def _query_missing_heads(self, mosaic_id: str, heads: Sequence[str]) -> Collection[str]:
        """Return the heads that the peer lacks; all of them if the budget is spent."""
        question = InventoryQuery(box=self._node.box, heads={mosaic_id: tuple(heads)})
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

    def _query(self, question: InventoryQuery) -> InventoryAnswer:
        body = to_request_body(question)
        no_flycam = Backoff(self._sleep, build_not_flycam_error(self._line.url))
        try:
            while True:
                reply = self._line.request("POST", "/api/sync", body, Content_Type="application/json")
                self.sent.sent_bytes += len(body) + REQUEST_OVERHEAD_BYTES
                if isinstance(reply.json, dict):
                    break
                self._wait_for_flycam(reply, no_flycam)
        except NotFound as error:
            raise build_not_flycam_error(self._line.url) from error
        missing = parse_peer_answer(InventoryAnswer, reply.json, self._line.url)
        self.sent.peer = missing.box
        return missing

    def _send(self, step: ExchangeOffer) -> StepAnswer | None:
        """Send a step until it is imported and return the peer's answer.

        None if the peer has to be queried again, or the budget is used up.
        """
        began, bytes_before = self._clock_s(), self.sent.sent_bytes
        tries, is_full = 0, False
        url = self._line.url
        no_progress = Backoff(self._sleep, build_no_progress_error(url))
        no_flycam = Backoff(self._sleep, build_not_flycam_error(url))

        def attempt() -> PeerResponse:
            nonlocal tries, is_full
            if is_full and self._news.has_urgent():
                raise _StepInterrupted("")
            if self._is_budget_spent(0):
                raise _StepInterrupted("budget")
            tries += 1
            at = 0
            if tries > 1 or step.size_bytes > _MIN_RESUMABLE_BYTES or self._is_budget_spent(step.size_bytes):
                self.sent.sent_bytes += REQUEST_OVERHEAD_BYTES
                reply = self._line.request_once(
                    "HEAD", f"{_STEPS}/{step.sha256}", Upload_Length=str(step.size_bytes)
                )
                offset = read_upload_offset(reply.headers)
                if reply.status != _DONE or offset is None:
                    # how much arrived is unknown, and sending would start again at byte 0
                    return reply
                at = offset
            reply = self._send_part(step, at)
            is_full = reply.status == _FULL
            return reply

        while True:
            try:
                reply = self._line.call_with_retries(attempt)
            except _StepInterrupted as why:
                self.sent.ended_by = str(why)
                return None
            if reply.status == _DONE:
                if isinstance(reply.json, dict):
                    break
                self._wait_for_flycam(reply, no_flycam)
            elif reply.status == _CONFLICT and "Upload-Offset" in reply.headers:
                no_progress.wait(read_upload_offset(reply.headers))
            elif reply.status == _CONFLICT and self._needs_restart(reply):
                deltas = [one for one in step.manifest.items if one.kind is ObjectKind.RECORD_DELTA]
                self._deltas_refused += bool(deltas)
                return None
            else:
                self._line.report_wait(self._line.get_error_message(reply))
                self._sleep(MIN_BUSY_PAUSE_S)
        took_s = self._clock_s() - began
        if tries == 1:
            self._step_bytes = _next_bytes((self.sent.sent_bytes - bytes_before) / max(took_s, 1e-3))
        else:
            self._step_bytes = max(self._step_bytes // 2, _MIN_STEP_BYTES)
        return parse_peer_answer(StepAnswer, reply.json, url)

    def _send_part(self, step: ExchangeOffer, at: int) -> PeerResponse:
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

        Raises if that does not help.
        """
        error = reply.json.get("error") if isinstance(reply.json, dict) else None
        if error == "StoreConflict":
            raise StoreConflict(self._line.get_error_message(reply))
        # querying again would not help
        if error not in (None, "FlightBusy", "RecordsMissing"):
            raise InputUnusable(self._line.get_error_message(reply))
        return bool(error == "RecordsMissing")

    def _wait_for_flycam(self, reply: PeerResponse, no_flycam: Backoff) -> None:
        """Wait after an answer that is not flycam's; raise after too many."""
        self._line.report_wait(self._line.get_error_message(reply))
        no_flycam.wait("no flycam", MIN_BUSY_PAUSE_S)

    def _count(self, step: ExchangeOffer, answer: StepAnswer, giver: StepPlanner) -> None:
        kinds = [item.kind for item in step.manifest.items]
        self.sent.steps += 1
        self.sent.tiles += kinds.count(ObjectKind.TILE)
        self.sent.views += kinds.count(ObjectKind.VIEW)
        self.sent.originals += kinds.count(ObjectKind.ORIGINAL) - len(answer.unnamed)
        some = sum(
            item.size_bytes
            for item in step.manifest.items
            if item.kind in (ObjectKind.TILE, ObjectKind.ORIGINAL)
        )
        self.sent.tile_bytes += some
        self._round_bytes += some
        self._later.note_sent(step.manifest.items)
        for one in answer.apart:
            giver.conflicts.add(one.flight_id)
            self.sent.conflicts[one.flight_id] = to_values(one)

    def _target(self) -> int:
        """Return the approximate size of the next step, bytes."""
        limits = self._limits
        most = self._step_bytes
        if limits.rate_bytes_s is not None:
            most = min(most, max(int(limits.rate_bytes_s * _STEP_DURATION_S), _MIN_STEP_BYTES))
        return min(most, self._step_budget)

    def _goes_in_parts(self, step: ExchangeOffer) -> bool:
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
        for block in blocks:
            for start in range(0, len(block), PACED_BYTES):
                some = block[start : start + min(PACED_BYTES, most)]
                if not some:
                    return
                most -= len(some)
                self._pacer.wait(len(some))
                self.sent.sent_bytes += len(some)
                self.sent.step_bytes += len(some)
                yield some


def _next_bytes(bytes_s: float) -> int:
    """Return what the connection carries in `_STEP_DURATION_S`, bytes.

    A power of two, so that runs build the same steps.
    """
    most = min(max(int(bytes_s * _STEP_DURATION_S), _MIN_STEP_BYTES), _MAX_STEP_BYTES)
    return 1 << (most.bit_length() - 1)
