"""Works between houses: sticks that are written and read, lines that carry both ways, cards that are sent."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from flycam.drill.photo_drill import DrillReport
from flycam.ingest.upload.memory_card import MemoryCard, UploadRequest
from flycam.storage import keys
from tests.attack.commands import Operator
from tests.attack.exchanges import flight_of
from tests.attack.uploading import ServerProcess, serving
from tests.faults.works import LONGEST_S, Held, Work, card_of, done, house_in
from tests.waiting import until


class Writing(Work):
    """A stick that is written: in parts, each of which is there whole or not at all."""

    def held(self, root: Path) -> Held:
        """Also each part."""
        parts = sorted((root / "stick").glob("field*.fcb*"))
        found = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in parts}
        return super().held(root) | {name: at for name, at in found.items() if not name.endswith(".writing")}


def writing(drill: DrillReport, _scratch: Path) -> Work:
    def begin(root: Path) -> None:
        (root / "stick").mkdir()
        done(root, *card_of(drill))

    def arguments(root: Path) -> tuple[object, ...]:
        return "bundle", "write", root / "stick" / "field.fcb", "--part-size", "64k", "--originals"

    return Writing("bundle write", begin, arguments)


def reading(drill: DrillReport, scratch: Path) -> Work:
    """A bundle that is read from a stick by a box that holds nothing yet."""
    bundle = scratch / "stick" / "field.fcb"
    bundle.parent.mkdir()
    done(scratch / "giver", *card_of(drill))
    done(scratch / "giver", "bundle", "write", bundle)
    return Work("bundle read", lambda _: None, lambda _: ("bundle", "read", bundle), "province")


@dataclass
class Receiving(Work):
    """A province that another box sends its map to."""

    giver: Operator = field(default_factory=lambda: house_in(Path(), "giver"))
    sender: subprocess.Popen[str] | None = None

    def sync(self, server: ServerProcess) -> dict[str, int]:
        """What the sender says at its end."""
        self.sender = self.giver.start("sync", server.url, "--once")
        out, err = self.sender.communicate(timeout=LONGEST_S)
        assert self.sender.returncode == 0, err
        said: dict[str, int] = json.loads(out.strip().splitlines()[-1])
        return said

    def again(self, root: Path) -> int:
        """Tiles that the province had and that came once more."""
        here = house_in(root, self.box)
        known = len(_given(here))
        with serving(here) as server:
            said = self.sync(server)
        assert said["left"] == 0, said
        return max(said["tiles"] - (len(self.giver.tiles(flight_of(self.giver))) - known), 0)

    def give_up(self) -> None:
        """Without a server it would wait for it to come back."""
        if self.sender is not None:
            self.sender.terminate()


def receiving(drill: DrillReport, scratch: Path) -> Work:
    done(scratch / "giver", *card_of(drill), box="giver")
    giver = house_in(scratch / "giver", "giver")
    work = Receiving("sync receive", lambda _: None, lambda _: ("serve",), "province", giver=giver)
    work.comes_later = "terrain"
    work.meanwhile = lambda server: work.sync(server) and None
    return work


def _given(province: Operator) -> list[Path]:
    """States of tiles that have come."""
    return [path for path in (province.data / "store" / "sync" / "tiles").rglob("*") if path.is_file()]


@dataclass
class Uploading(Work):
    """A server that is sent a card, piece by piece over one line; `acknowledged`: after each answer, how
    much of each file it has said that it holds."""

    card: Path = Path()
    acknowledged: list[dict[str, int]] = field(default_factory=list)

    def send(self, server: ServerProcess) -> None:
        """Heads first, then the rest, as senders do; then until the flight is on the map."""
        self.acknowledged = [{}]  # the health check that told that it runs
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        known: dict[str, int] = {}

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            line.request(method, path, body, {"Tus-Resumable": "1.0.0", **named})
            answer = line.getresponse()
            assert answer.status < 300, answer.read()
            return answer

        card = MemoryCard(UploadRequest(url=server.url, paths=(self.card,)))
        begun = json.loads(
            ask("POST", "/api/uploads", card.build_announcement(), Content_Type="application/json").read()
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

        def ended() -> str | None:
            (one,) = json.loads(ask("GET", "/api/uploads").read())
            self.acknowledged.append(dict(known))
            return one["stage"] if one["stage"] in ("laid", "failed") else None

        assert until(ended, within_s=LONGEST_S, every_s=0.1) == "laid"

    def answers(self) -> int:
        """That acknowledged something."""
        return len(self.acknowledged)

    def keeps(self, root: Path, answers: int) -> None:
        """Each file has as many bytes as was said."""
        if answers == 0:
            return
        with serving(house_in(root)) as server:
            for path, offset in self.acknowledged[answers - 1].items():
                reply = httpx.head(f"{server.url}{path}", headers={"Tus-Resumable": "1.0.0"}, timeout=60)
                assert (reply.status_code, int(reply.headers["Upload-Offset"]) >= offset) == (200, True)

    def again(self, root: Path) -> int:
        """Bytes that had been acknowledged and went once more."""
        with serving(house_in(root)) as server:
            known = sum(self.offsets(root, server)) if self.acknowledged else 0
            said = house_in(root)("upload", server.url, self.card)
            assert said.exit_code == 0, said
        whole = sum(photo.stat().st_size for photo in self.card.iterdir())
        return max(int(said.json["sent_bytes"]) - (whole - known), 0)

    def offsets(self, root: Path, server: ServerProcess) -> list[int]:
        """How much of each file the server says that it holds."""
        del root
        found = []
        for path in self.acknowledged[-1]:
            reply = httpx.head(f"{server.url}{path}", headers={"Tus-Resumable": "1.0.0"}, timeout=60)
            found.append(int(reply.headers["Upload-Offset"]) if reply.status_code == 200 else 0)
        return found

    def held(self, root: Path) -> Held:
        """Also each photo of the card, as it lies in the evidence store."""
        found = super().held(root)
        for photo in sorted(self.card.iterdir()):
            key = keys.format_original_key(hashlib.sha256(photo.read_bytes()).hexdigest())
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
