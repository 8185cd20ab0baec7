"""The works that a power cut may fall into: how each begins, what is held once it is acknowledged, and how it
is taken up again."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from flycam.catalog.catalog import open_catalog
from flycam.drill.drill import DrillReport
from flycam.mosaic.tilelog import read_tile
from flycam.pipeline.upload_card import Card, Sending
from flycam.store import keys
from flycam.store.opening import open_store
from tests.attack.commands import Operator
from tests.attack.uploading import ServerProcess, serving

Held = dict[str, str]
"""What a house holds, each with a hash of its bytes as they lie there."""

NAME = "Bản Lầu"
_LONGEST_S = 240.0


def house_in(root: Path, box: str = "field") -> Operator:
    """The house of a root folder that is watched."""
    return Operator(root / "data", {"FLYCAM_BOX": box})


def held(operator: Operator) -> Held:
    """Heads of every mosaic on show, frames that are withdrawn; each tile reads back as the log says."""
    if not (operator.data / "catalog.sqlite").exists():
        return {}
    found = {}
    store = open_store((operator.data / "store").as_uri())
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        for mosaic in catalog.tiles.mosaics():
            for revision in {0, mosaic.revision}:
                for head in catalog.tiles.heads(mosaic.mosaic_id, revision):
                    read_tile(store, head)
                    found[f"{mosaic.mosaic_id} {revision} {head.tile_id}"] = head.content_hash
        for flight in catalog.flights.flights():
            for withdrawal in catalog.frames.withdrawals(flight.flight_id):
                found[f"withdrawn {withdrawal.frame_id}"] = withdrawal.reason
    store.close()
    return found


@dataclass
class Work:
    """One command.

    meanwhile    what goes on while a server runs; it is ended after that
    comes_later  a kind of object that is sent behind what names it: in the middle of the work it is not there
    """

    name: str
    begin: Callable[[Path], None]
    arguments: Callable[[Path], tuple[object, ...]]
    box: str = "field"
    meanwhile: Callable[[ServerProcess], None] | None = None
    comes_later: str = ""

    def again(self, root: Path) -> None:
        """The same command, as a person repeats it after a power cut."""
        said = house_in(root, self.box)(*self.arguments(root))
        assert said.exit_code == 0, said

    def held(self, root: Path) -> Held:
        return held(house_in(root, self.box))

    def keeps(self, root: Path, answers: int) -> None:
        """Asserts that what a server's first so many answers acknowledged is there."""


def _done(root: Path, *arguments: object, box: str = "field") -> None:
    said = house_in(root, box)(*arguments)
    assert said.exit_code == 0, said


def _ingest(drill: DrillReport) -> tuple[object, ...]:
    return "ingest", drill.photos, "--dem", drill.dem, "--name", NAME


def ingesting(drill: DrillReport, _scratch: Path) -> Work:
    """The first work of a box that holds nothing yet."""
    return Work("ingest", lambda _: None, lambda _: _ingest(drill))


def withdrawing(drill: DrillReport, _scratch: Path) -> Work:
    def arguments(root: Path) -> tuple[object, ...]:
        with open_catalog(f"sqlite:///{root / 'data' / 'catalog.sqlite'}") as catalog:
            (flight,) = catalog.flights.flights()
            frame = min(one.frame_id for one in catalog.frames.of_flight(flight.flight_id))
        return "withdraw", frame, "--reason", "người dân yêu cầu"

    return Work("withdraw", lambda root: _done(root, *_ingest(drill)), arguments)


def finishing(drill: DrillReport, _scratch: Path) -> Work:
    return Work("finish", lambda root: _done(root, *_ingest(drill)), lambda _: ("finish", NAME))


def reading(drill: DrillReport, scratch: Path) -> Work:
    """A bundle that is read from a stick by a box that holds nothing yet."""
    bundle = scratch / "stick" / "field.fcb"
    bundle.parent.mkdir()
    _done(scratch / "giver", *_ingest(drill))
    _done(scratch / "giver", "bundle", "write", bundle)
    return Work("bundle read", lambda _: None, lambda _: ("bundle", "read", bundle), "province")


def receiving(drill: DrillReport, scratch: Path) -> Work:
    """A province that another box sends its map to."""
    giver = house_in(scratch / "giver", "giver")
    _done(scratch / "giver", *_ingest(drill), box="giver")

    def sync(server: ServerProcess) -> None:
        sender = giver.start("sync", server.url, "--once")
        _, err = sender.communicate(timeout=_LONGEST_S)
        assert sender.returncode == 0, err

    class Receiving(Work):
        def again(self, root: Path) -> None:
            with serving(house_in(root, self.box)) as server:
                sync(server)

    return Receiving("sync receive", lambda _: None, lambda _: ("serve",), "province", sync, "terrain")


@dataclass
class Uploading(Work):
    """A server that is sent a card, piece by piece over one line; `acknowledged`: after each answer, how
    much of each file it has said that it holds."""

    card: Path = Path()
    acknowledged: list[dict[str, int]] = field(default_factory=list)

    def send(self, server: ServerProcess) -> None:
        """Heads first, then the rest, as senders do; then until the flight is on the map."""
        self.acknowledged.append({})  # the health check that told that it runs
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        known: dict[str, int] = {}

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            line.request(method, path, body, {"Tus-Resumable": "1.0.0", **named})
            answer = line.getresponse()
            assert answer.status < 300, answer.read()
            return answer

        card = Card(Sending(url=server.url, paths=(self.card,)))
        begun = json.loads(
            ask("POST", "/api/uploads", card.announcement(), Content_Type="application/json").read()
        )
        self.acknowledged.append(dict(known))
        for share in (0.3, 1.0):
            for part in begun["parts"]:
                data = (self.card / part["path"]).read_bytes()
                path = f"/files/{begun['upload_id']}/{part['number']}"
                at, end = known.get(path, 0), int(share * len(data))
                kind = "application/offset+octet-stream"
                ask("PATCH", path, data[at:end], Content_Type=kind, Upload_Offset=str(at)).read()
                known[path] = end
                self.acknowledged.append(dict(known))
        until = time.monotonic() + _LONGEST_S
        while time.monotonic() < until:
            (one,) = json.loads(ask("GET", "/api/uploads").read())
            self.acknowledged.append(dict(known))
            if one["stage"] in ("laid", "failed"):
                break
            time.sleep(0.1)
        assert one["stage"] == "laid", one

    def keeps(self, root: Path, answers: int) -> None:
        if answers == 0:
            return
        with serving(house_in(root)) as server:
            for path, offset in self.acknowledged[answers - 1].items():
                reply = httpx.head(f"{server.url}{path}", headers={"Tus-Resumable": "1.0.0"}, timeout=60)
                assert (reply.status_code, int(reply.headers["Upload-Offset"]) >= offset) == (200, True)

    def again(self, root: Path) -> None:
        with serving(house_in(root)) as server:
            said = house_in(root)("upload", server.url, self.card)
            assert said.exit_code == 0, said

    def held(self, root: Path) -> Held:
        """Also each photo of the card, as it lies in the evidence store."""
        found = super().held(root)
        for photo in sorted(self.card.iterdir()):
            key = keys.evidence(hashlib.sha256(photo.read_bytes()).hexdigest())
            kept = root / "data" / "store" / key
            if kept.exists():
                found[key] = hashlib.sha256(kept.read_bytes()).hexdigest()
        return found


def uploading(drill: DrillReport, scratch: Path) -> Work:
    card = scratch / "card"
    shutil.copytree(drill.photos, card)

    def begin(root: Path) -> None:
        house_in(root).with_ground(drill)

    work = Uploading("upload", begin, lambda _: ("serve",), card=card)
    work.meanwhile = work.send
    return work


WORKS = {
    "ingest": ingesting,
    "upload": uploading,
    "sync receive": receiving,
    "bundle read": reading,
    "withdraw": withdrawing,
    "finish": finishing,
}
