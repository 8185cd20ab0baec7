"""The giving end of a line: one round of asking what a peer lacks and sending it, step by step.

Nothing is kept on this side: the peer's cursor says where to go on. A step that was cut goes on at the byte
that the peer says; one whose answer was lost is answered again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from flycam.errors import InputUnusable, NotFound, ObjectMissing, StoreConflict
from flycam.messages import _
from flycam.sync.asked_later import AskedLater, as_body
from flycam.sync.asking import Answered, Asking, WayBack
from flycam.sync.house import House
from flycam.sync.knows import HEADS
from flycam.sync.lacking import Lacking, lacking_of
from flycam.sync.limits import HEADERS_BYTES, Limits, Sent, room_bytes
from flycam.sync.log_beyond import Reached
from flycam.sync.manifest import Kind
from flycam.sync.masks import held_back
from flycam.sync.news import News
from flycam.sync.step import Step
from flycam.sync.steps import Giver
from flycam.sync.there_already import all_lacking
from flycam.sync.turned_away import BUSY_S, MOST_TURNED_AWAY, TurnedAway, no_flycam_there, no_progress

_STEPS = "/api/sync/steps"
_FIRST_BYTES, _LEAST_BYTES, _MOST_BYTES = 48 << 10, 16 << 10, 8 << 20
_STEP_S = 8.0  # so much of the line in one step: a round trip to a satellite is little of it
_BLOCK = 4 << 10
_RESUMED_BYTES = 256 << 10
_ASKED_ANEW_S = 3600.0
"""So long the peer's word on terrain and photos is taken: a flight in the air has more with each round."""
_MOST_CHANGES_REFUSED = 2
"""One may be to records that rotted there; a peer that makes others of changes gets whole records."""
_DONE, _CONFLICT, _FULL = 200, 409, 507
_ANEW = ("RecordsMissing", "Refused")  # the second of a server of before


class _StepEnds(Exception):
    """Why the rest of a step is not sent: "budget", or "" where something goes first that needs less room."""


class Sender:
    """Sends what a house knows to one peer, within limits; goes_on: whether rounds go on with what is new;
    back: what comes from the peer meanwhile. The peer's first look is not held up by it: it takes turns with
    tiles. passed_over: told each key that is lost or damaged here, once."""

    def __init__(
        self,
        house: House,
        line: Asking,
        limits: Limits,
        progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
        *,
        goes_on: bool = False,
        back: WayBack | None = None,
        passed_over: Callable[[str], None] = lambda _key: None,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._house = house
        self._back = back
        self._passed_over = passed_over
        self._line = line
        self._limits = limits
        self._progress = progress
        self._clock_s = clock_s
        self._sleep = sleep
        self._step_bytes = _FIRST_BYTES
        self._due_s = clock_s()
        self._news = News(house.catalog, goes_on=goes_on, clock_s=clock_s)
        self._reached: dict[str, Reached] = {}
        self._changes_refused = 0
        self._later = AskedLater()
        self._asked_s = 0.0
        self._round_bytes = 0  # of tiles and photos sent since it was asked
        self.sent = Sent()

    def round(self) -> None:
        """All that the peer lacks as of now; what came of it is in `sent`.

        Raises AccessDenied (token), InputUnusable (another version), StoreConflict (two boxes of one name, or
        one that went back), PeerUnavailable when the line stays dead or the peer gets no further; run again:
        it goes on.
        """
        in_vain = TurnedAway()
        while not self._round():
            if in_vain.at((self.sent.steps, self._news.stamp)) > MOST_TURNED_AWAY:
                raise no_progress(self._line.url)
            self._sleep(max(in_vain.pause_s, BUSY_S))

    def has_news(self) -> bool:
        """Whether there is something new here since the last round began; nobody is asked."""
        return self._news.is_any()

    def _round(self) -> bool:
        """False where it has to be asked anew: the peer has let go of what a step counted on, the log moved
        on while it was sent and a tile was collected, or there is news here that goes first."""
        self._news.begin()
        has_tiles = not self._limits.metered
        has_originals = self._limits.originals and has_tiles
        giver = Giver(
            self._house,
            originals=has_originals,
            reached=self._reached,
            record_changes=self._changes_refused < _MOST_CHANGES_REFUSED,
        )
        lacking = self._lacking(giver)
        tile_bytes, self._round_bytes, self.sent.ended_by = giver.tile_bytes(), 0, ""
        heads = partial(self._heads_lacking, giver) if HEADS in lacking.knows else all_lacking
        steps = giver.steps(lacking, self._target, lambda: self._for_a_step, heads=heads, has_tiles=has_tiles)
        self._note_left(tile_bytes)
        while True:
            if self._is_spent(0) and self.sent.left_bytes:
                self.sent.ended_by = "budget"
                return True
            try:
                step = next(steps, None)
            except ObjectMissing:
                if giver.is_current():
                    raise
                return False
            finally:
                self._name_passed(giver)
            if step is None:
                break
            if self._is_spent(step.size_bytes) and not self._goes_in_parts(step):
                self.sent.ended_by = "budget"
                return True
            if self._news.goes_before(step):
                return False
            taken = self._send(step)
            if taken is None:
                return self.sent.ended_by == "budget"
            self._count(step, taken, giver)
            if self._back is not None and any(one.kind is Kind.TILE for one in step.manifest.items):
                self._back.some(self._target(), self.sent)
            lacking_bytes = self._note_left(tile_bytes - giver.left_out_bytes)
            self._progress("sync", self._round_bytes >> 10, lacking_bytes >> 10)
        has_more = self._back is not None
        while self._back is not None and has_more:
            has_more = self._back.some(self._target(), self.sent)
            if self._news.is_pressing():  # what was withdrawn there is to go up from here
                return False
        if self._later.is_cut_short:
            self.sent.ended_by = "budget"
        elif self._limits.metered and self.sent.left_bytes:
            self.sent.ended_by = "metered"
        elif not self.sent.apart:
            self.sent.left_bytes = 0
        return True

    def _lacking(self, giver: Giver) -> Lacking:
        """What the peer says that it lacks; about terrain and photos it is asked when they are due."""
        question, peer = giver.question(), self.sent.peer
        said = self._ask(question)
        if self.sent.peer != peer or self._clock_s() - self._asked_s > _ASKED_ANEW_S:
            self._later, self._asked_s = AskedLater(), self._clock_s()
        lacking = lacking_of(said, self._line.url)
        if self._back is not None:
            self._back.begin(said)
        giver.learn(lacking)
        for flight in giver.held_back:
            self.sent.apart[flight.flight_id] = held_back(flight, self._line.url)
        self._later.begin(giver)
        return self._later.due(lacking, giver, question, self._ask_later, self._is_spent)

    def _heads_lacking(self, giver: Giver, mosaic_id: str, heads: Sequence[str]) -> Collection[str]:
        """As the peer says; without room in the budget to ask, all of them."""
        question = giver.question_of_heads(mosaic_id, heads)
        if self._is_spent(len(as_body(question))):
            return heads
        return self._ask_later(question).heads.get(mosaic_id, heads)

    def _ask_later(self, question: Mapping[str, object]) -> Lacking:
        return lacking_of(self._ask(question), self._line.url)

    def _note_left(self, tile_bytes: int) -> int:
        """Put down how much is left; how much was known to be lacking in this round. tile_bytes: of tiles
        that the peer lacked as it began."""
        lacking = tile_bytes + self._later.lacking_bytes
        self.sent.left_bytes = max(lacking - self._round_bytes, 0) + self._later.unasked_bytes
        return lacking

    def _name_passed(self, giver: Giver) -> None:
        for key in giver.readable.passed:
            if key not in self.sent.passed:
                self.sent.passed[key] = None
                self._passed_over(key)

    def _ask(self, question: Mapping[str, object]) -> Any:
        body = as_body(question)
        no_flycam = TurnedAway()
        try:
            while True:
                reply = self._line.ask("POST", "/api/sync", body, Content_Type="application/json")
                self.sent.sent_bytes += len(body) + HEADERS_BYTES
                if isinstance(reply.json, dict):
                    break
                self._wait_for_flycam(reply, no_flycam)
        except NotFound as error:
            raise InputUnusable(
                _(
                    "{url}: the server there takes in nothing over a line: it is older than "
                    "this flycam; bring it to the same version, or carry a stick (flycam "
                    "bundle write)",
                    url=self._line.url,
                )
            ) from error
        said = reply.json
        self.sent.peer = said.get("box", "")
        return said

    def _send(self, step: Step) -> dict[str, Any] | None:
        """A step until it is taken in; the peer's answer. None where it has to be asked anew, or the budget
        is used up."""
        began, bytes_before = self._clock_s(), self.sent.sent_bytes
        tries, is_full = 0, False
        turned_away = TurnedAway()

        def attempt() -> Answered:
            nonlocal tries, is_full
            if is_full and self._news.is_pressing():
                raise _StepEnds("")
            reply = ask()
            is_full = reply.status == _FULL
            return reply

        def ask() -> Answered:
            nonlocal tries
            tries += 1
            at = 0
            if self._is_spent(0):
                raise _StepEnds("budget")
            if tries > 1 or step.size_bytes > _RESUMED_BYTES or self._is_spent(step.size_bytes):
                self.sent.sent_bytes += HEADERS_BYTES
                reply = self._line.once("HEAD", f"{_STEPS}/{step.sha256}", Upload_Length=str(step.size_bytes))
                if reply.status != _DONE or "Upload-Offset" not in reply.headers:
                    return reply  # what came there is not known, and from byte 0 it would go
                at = int(reply.headers["Upload-Offset"])
            return self._put(step, at)

        while True:
            try:
                reply = self._line.patiently(attempt)
            except _StepEnds as why:
                self.sent.ended_by = str(why)
                return None
            if reply.status == _DONE:
                if isinstance(reply.json, dict):
                    break
                self._wait_for_flycam(reply, turned_away)
                continue
            if reply.status == _CONFLICT and self._is_anew(reply):
                self._changes_refused += any(one.kind is Kind.CHANGE for one in step.manifest.items)
                return None
            if reply.status == _CONFLICT and "Upload-Offset" in reply.headers:
                at = int(reply.headers["Upload-Offset"])
                if turned_away.at(at) > MOST_TURNED_AWAY:
                    raise no_progress(self._line.url)
                self._sleep(turned_away.pause_s)
                continue
            self._line.say(self._line.said(reply))
            self._sleep(BUSY_S)
        took_s = self._clock_s() - began
        if tries == 1:
            self._step_bytes = _next_bytes((self.sent.sent_bytes - bytes_before) / max(took_s, 1e-3))
        else:
            self._step_bytes = max(self._step_bytes // 2, _LEAST_BYTES)
        return dict(reply.json)

    def _put(self, step: Step, at: int) -> Answered:
        """A step from a byte on, or as much of it as the budget holds. Raises _StepEnds."""
        rest = max(step.size_bytes - at, 0)
        some = min(rest, self._room - HEADERS_BYTES)
        if some < rest and (some <= 0 or not self._goes_in_parts(step)):
            raise _StepEnds("budget")
        self.sent.sent_bytes += HEADERS_BYTES
        reply = self._line.once(
            "PUT",
            f"{_STEPS}/{step.sha256}",
            self._paced(step.blocks(at), some),
            Content_Type="application/octet-stream",
            Content_Length=str(some),
            Upload_Offset=str(at),
            Upload_Length=str(step.size_bytes),
        )
        if some < rest:
            raise _StepEnds("budget")
        return reply

    def _is_anew(self, reply: Answered) -> bool:
        """Whether a conflict is that the peer is to be asked anew; raises where no asking helps."""
        if "Upload-Offset" in reply.headers:  # elsewhere
            return False
        error = reply.json.get("error") if isinstance(reply.json, dict) else None
        if error in _ANEW:
            return True
        if error == "StoreConflict":
            raise StoreConflict(self._line.said(reply))
        if error not in (None, "FlightBusy"):  # asking again mends nothing
            raise InputUnusable(self._line.said(reply))
        return False

    def _wait_for_flycam(self, reply: Answered, no_flycam: TurnedAway) -> None:
        """Wait after an answer that is no flycam's, until it came too often."""
        if no_flycam.at("no flycam") > MOST_TURNED_AWAY:
            raise no_flycam_there(self._line.url)
        self._line.say(self._line.said(reply))
        self._sleep(max(no_flycam.pause_s, BUSY_S))

    def _count(self, step: Step, said: Mapping[str, Any], giver: Giver) -> None:
        kinds = [item.kind for item in step.manifest.items]
        self.sent.steps += 1
        self.sent.tiles += kinds.count(Kind.TILE)
        self.sent.views += kinds.count(Kind.VIEW)
        self.sent.originals += kinds.count(Kind.ORIGINAL) - len(said.get("unnamed", ()))
        some = sum(item.size_bytes for item in step.manifest.items if item.kind in (Kind.TILE, Kind.ORIGINAL))
        self.sent.tile_bytes += some
        self._round_bytes += some
        self._later.note_sent(step.manifest.items)
        for one in said.get("apart", ()):
            giver.apart.add(one["flight_id"])
            self.sent.apart[one["flight_id"]] = one

    def _target(self) -> int:
        """About how many bytes a step is to have."""
        limits = self._limits
        most = self._step_bytes
        if limits.rate_bytes_s is not None:
            most = min(most, max(int(limits.rate_bytes_s * _STEP_S), _LEAST_BYTES))
        return min(most, self._for_a_step)

    def _goes_in_parts(self, step: Step) -> bool:
        """Whether a part of a step helps: where the next run, which asks for what the peer has by then, makes
        the same one and goes on with it. So the smallest budget gets on."""
        return not self.sent.steps or all(one.kind is Kind.ORIGINAL for one in step.manifest.items)

    @property
    def _room(self) -> int:
        """Bytes that are left of the budget."""
        return room_bytes(self._limits, self.sent)

    @property
    def _for_a_step(self) -> int:
        """What a step may have of that, beside its requests and its manifest. The first of a run knows no
        budget: it may go in parts."""
        if not self.sent.steps:
            return sys.maxsize
        return max((self._room - 2 * HEADERS_BYTES) * 7 // 8, 1)

    def _is_spent(self, more: int) -> bool:
        return more + HEADERS_BYTES > self._room

    def _paced(self, blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
        """The first `most` bytes, no faster than the rate; counted as they are handed on."""
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
    """As much as the line carries in _STEP_S, as a power of two, so that runs cut alike."""
    most = min(max(int(bytes_s * _STEP_S), _LEAST_BYTES), _MOST_BYTES)
    return 1 << (most.bit_length() - 1)
