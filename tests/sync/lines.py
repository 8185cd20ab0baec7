"""A line without a network: a desk that answers as the server does, and cuts where a test says so."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from flycam.access.policy import UNRESTRICTED
from flycam.errors import FlycamError, get_http_status
from flycam.sync.client import Sender, SyncReport, TransferLimits
from flycam.sync.reference_feed import ITEM_NAME_DIGITS, build_feed, compute_feed_state, encode_feed_listing
from flycam.sync.server import Spool, answer_inventory_query, import_step, open_step
from tests.sync.boxes import Box


class Cut(Exception):
    """The line is gone."""


@dataclass(frozen=True)
class Said:
    status: int
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


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
        self.policy = UNRESTRICTED
        self.requests = 0
        self.bytes = 0
        self.bytes_back = 0
        self.unreadable = ""  # SHA-256 of a thing that the province lists and cannot read

    def request_once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> Said:
        self.requests += 1
        try:
            return self._answer(method, path, body, headers)
        except FlycamError as error:
            if get_http_status(error) != 409:
                raise
            return Said(409, {"error": type(error).__name__})

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Said:
        return self.call_with_retries(lambda: self.request_once(method, path, body, **headers))

    def call_with_retries(self, send: Callable[[], Said]) -> Said:
        for _ in range(1000):
            try:
                return send()
            except Cut:
                continue
        raise AssertionError("cut for ever")

    def download(self, method: str, path: str, hear: Callable[[bytes], None], most_bytes: int) -> Said:
        """Things that the province holds in common, in blocks, cut as what is sent is."""
        self.requests += 1
        match = re.fullmatch(r"/api/sync/common/things\?of=([0-9a-f%C,]+)&at=(\d+)&most=(\d+)", path)
        assert match is not None, path
        workspace = self._province.workspace
        commons = build_feed(workspace, self.policy)
        by_name = {one.sha256[:ITEM_NAME_DIGITS]: one for one in commons.items}
        names = match[1].replace("%2C", ",").split(",")
        if not all(name in by_name for name in names):
            return Said(409)
        readable = list(takewhile(lambda name: not self.unreadable.startswith(name), names))
        wanted = [by_name[name] for name in readable]
        whole = b"".join(commons.blocks(workspace, wanted, 0, sys.maxsize))
        at, most = int(match[2]), int(match[3])
        assert most == most_bytes
        hear(b"")
        for block in batched(whole[at : at + most]):
            if self._cuts and len(block) >= self._cuts[0]:
                hear(block[: self._cuts.pop(0)])
                raise Cut
            if self._cuts:
                self._cuts[0] -= len(block)
            self.bytes_back += len(block)
            hear(block)
        self._on_step()
        if len(whole) < at + most and readable != names:
            raise Cut
        return Said(200)

    def get_error_message(self, reply: Said) -> str:
        return str(reply.json)

    def report_wait(self, why: str) -> None:
        raise AssertionError(why)

    def _answer(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Said:
        workspace = self._province.workspace
        if path == "/api/sync":
            state = compute_feed_state(workspace, self.policy)
            answer = answer_inventory_query(workspace, json.loads(body), state)
            return Said(200, json.loads(json.dumps(answer)))
        if path == "/api/sync/common":
            return Said(200, body=encode_feed_listing(workspace, build_feed(workspace, self.policy)))
        sha256 = re.fullmatch(r"/api/sync/steps/([0-9a-f]{64})", path)
        assert sha256 is not None
        name, size = sha256[1], int(headers["Upload_Length"])
        if method == "HEAD":
            return Said(200, None, {"Upload-Offset": str(self._spool.offset(name, size))})
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
        if (at := self._spool.offset(name, size)) < size:
            return Said(409, {"error": "Refused"}, {"Upload-Offset": str(at)})
        file = self._spool.find_complete(name)
        assert file is not None
        source, manifest, _start = open_step(file)
        source.close()
        self._province.welcome(manifest.box)
        report = import_step(workspace, file, self._province)
        self._on_step()
        answer = {
            "lines": report.lines,
            "apart": [one.summary for one in report.conflicts],
            "unnamed": list(report.unreferenced),
        }
        return Said(200, answer)


def batched(data: bytes, size: int = 512) -> Iterable[bytes]:
    """In blocks."""
    return (data[at : at + size] for at in range(0, len(data), size))


def sync(box: Box, wire: Wire, **limits: Any) -> SyncReport:
    """One round."""
    sender = Sender(box.workspace, wire, TransferLimits(**limits), sleep=lambda _s: None)
    sender.run_round()
    return sender.sent
