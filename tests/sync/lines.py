"""A line without a network: a desk that answers as the server does, and cuts where a test says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flycam.errors import FlycamError
from flycam.outcomes import http_status
from flycam.sync.desk import answer, take_step
from flycam.sync.sending import Limits, Sender, Sent
from flycam.sync.spool import Spool
from tests.sync.boxes import Box


class Cut(Exception):
    """The line is gone."""


@dataclass(frozen=True)
class Said:
    status: int
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Wire:
    """A line from a box to another's desk. cuts: after so many more bytes the line is gone, one after
    another; each cut may come before or after the step is taken in."""

    url = "wire"

    def __init__(
        self, province: Box, folder: Path, cuts: Iterable[int] = (), on_step: Callable[[], None] = print
    ) -> None:
        self._province = province
        self._spool = Spool(folder / "spool")
        self._cuts = list(cuts)
        self._on_step = on_step
        self.requests = 0
        self.bytes = 0

    def once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> Said:
        self.requests += 1
        try:
            return self._answer(method, path, body, headers)
        except FlycamError as error:
            if http_status(error) != 409:
                raise
            return Said(409, {"error": type(error).__name__})

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Said:
        return self.patiently(lambda: self.once(method, path, body, **headers))

    def patiently(self, send: Callable[[], Said]) -> Said:
        for _ in range(1000):
            try:
                return send()
            except Cut:
                continue
        raise AssertionError("cut for ever")

    def said(self, reply: Said) -> str:
        return str(reply.json)

    def say(self, why: str) -> None:
        raise AssertionError(why)

    def _answer(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Said:
        house = self._province.workspace
        if path == "/api/sync":
            return Said(200, json.loads(json.dumps(answer(house, json.loads(body), "test"))))
        sha256 = re.fullmatch(r"/api/sync/steps/([0-9a-f]{64})", path)
        assert sha256 is not None
        name, size = sha256[1], int(headers["Upload_Length"])
        if method == "HEAD":
            return Said(200, None, {"Upload-Offset": str(self._spool.offset(name, size))})
        known = self._spool.answer(name)
        if known is not None:
            return Said(200, known)
        turn = self._spool.begin(name, int(headers["Upload_Offset"]))
        if turn is None:
            at = self._spool.offset(name, size)
            return Said(409, {"error": "Refused"}, {"Upload-Offset": str(at)})
        for block in body:
            if self._cuts and len(block) >= self._cuts[0]:
                self._spool.add(turn, name, block[: self._cuts.pop(0)])
                raise Cut
            if self._cuts:
                self._cuts[0] -= len(block)
            self.bytes += len(block)
            assert self._spool.add(turn, name, block)
        file = self._spool.whole(name)
        assert file is not None
        taken = take_step(house, file, self._province)
        self._on_step()
        said = {
            "lines": taken.lines,
            "apart": [
                {
                    "flight_id": one.records.flight.flight_id,
                    "sentence": one.sentence,
                    "sentence_vi": one.sentence_vi,
                }
                for one in taken.apart
            ],
        }
        self._spool.finish(name, said)
        return Said(200, said)


def sync(box: Box, wire: Wire, **limits: Any) -> Sent:
    """One round."""
    sender = Sender(box.workspace, wire, Limits(**limits), sleep=lambda _s: None)
    sender.round()
    return sender.sent
