"""Uploads over lines that break, programs that are killed, disks that fill up, and cards full of traps."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.ingest.upload import client as upload_client
from flycam.ingest.upload.memory_card import MemoryCard, UploadRequest
from flycam.ingest.upload.upload import Journal
from flycam.storage import keys
from flycam.storage.files import SPARE_BYTES
from tests.attack.commands import Operator, remounted
from tests.attack.uploading import CuttingProxy, NotingLine, ServerProcess, serving
from tests.waiting import ENOUGH_S, until

InRam = Callable[..., Path]


def padded(card: Path, bytes_each: int) -> int:
    """Make photos as heavy as real ones: random bytes after the end marker, which no decoder reads."""
    maker = random.Random(7)
    for path in sorted(card.iterdir()):
        path.write_bytes(path.read_bytes() + maker.randbytes(bytes_each))
    return sum(path.stat().st_size for path in card.iterdir())


def assert_kept(operator: Operator, card: Path) -> None:
    """Every photo is in the evidence store, byte for byte."""
    for path in card.iterdir():
        data = path.read_bytes()
        kept = operator.data / "store" / keys.format_original_key(hashlib.sha256(data).hexdigest())
        assert kept.read_bytes() == data, path.name


def assert_each_byte_once(operator: Operator, card: Path) -> None:
    """The journal acknowledges every byte of every file, each once and in order."""
    (folder,) = [path for path in (operator.data / "uploads").iterdir() if path.is_dir()]
    files = json.loads((folder / "manifest.json").read_text())["files"]
    reached = [0] * len(files)
    for word, number, value in Journal(folder / "journal").lines:
        if word == "at":
            assert int(value) > reached[number]
            reached[number] = int(value)
    assert reached == [one["size"] for one in files] and len(files) == len(list(card.iterdir()))


def test_cut_again_and_again_at_random(ready: Operator, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = padded(card, 400_000)
    monkeypatch.setattr(upload_client, "ServerConnection", NotingLine)
    monkeypatch.setattr(NotingLine, "acknowledged", {})
    monkeypatch.setattr(NotingLine, "sent_again", 0)
    monkeypatch.setattr(upload_client, "_MAX_CHUNK", 64 << 10)
    with serving(ready) as server:
        proxy = CuttingProxy(server.port, total, cuts=8, seed=1)
        try:
            sent = upload_client.send_card(UploadRequest(url=f"http://127.0.0.1:{proxy.port}", paths=(card,)))
        finally:
            proxy.close()
    assert proxy.cuts == 8
    assert sent.sent_bytes == sum(NotingLine.acknowledged.values()) == total
    assert NotingLine.sent_again == 0
    assert_each_byte_once(ready, card)
    assert_kept(ready, card)
    assert sent.result["frames"]["used"] == 6


def test_a_cut_off_photo_is_named_by_the_first_run_and_the_card_stays(ready: Operator, card: Path) -> None:
    """Whole by its size and damaged inside: the server finds it when it stores it."""
    cut = sorted(card.iterdir())[2]
    data = cut.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    with serving(ready) as server:
        sent = ready("upload", server.url, card)
    named = [one["sentence"].partition(":")[0] for one in sent.json["passed_over_said"]]
    assert (sent.exit_code, sent.json["passed_over"], named) == (6, 1, [cut.name])


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_server_and_sender_killed_in_the_middle(ready: Operator, card: Path, kills: int) -> None:
    """kill -9 of one or the other at random moments; the last sender finds another address."""
    padded(card, 3_000_000)
    chance = random.Random(3)
    server = ServerProcess(ready)
    server.start()
    try:
        for number in range(kills):
            sender = ready.start("upload", server.url, card)
            time.sleep(chance.uniform(0.6, 2.0))
            if number % 2:
                server.end(signal.SIGKILL)
                time.sleep(chance.uniform(0.0, 0.5))
                server.start()
                time.sleep(chance.uniform(0.0, 1.0))
            sender.send_signal(signal.SIGKILL)
            sender.communicate()
        server.end(signal.SIGKILL)
        server = ServerProcess(ready)
        server.start()
        last = ready.start("upload", server.url, card)
        stdout, stderr = last.communicate(timeout=600)
        assert last.returncode == 0, stderr
        assert json.loads(stdout.splitlines()[-1])["frames"]["used"] == 6
        again = ready("upload", server.url, card)
        assert (again.exit_code, again.json["sent_bytes"]) == (0, 0)
    finally:
        server.end()
    assert_each_byte_once(ready, card)
    assert_kept(ready, card)
    assert len(ready.flights()) == 1


def test_the_disk_fills_up_and_has_room_again(
    in_ram: InRam, drill: DrillReport, card: Path, tmp_path: Path
) -> None:
    """What was acknowledged stays, the sender waits, and with more room all goes on by itself."""
    total = padded(card, 1_000_000)
    disk = in_ram("1200m")
    elsewhere = {
        "FLYCAM_STORE": (tmp_path / "store").as_uri(),
        "FLYCAM_DATABASE": f"sqlite:///{tmp_path / 'catalog.sqlite'}",
    }
    operator = Operator(disk, elsewhere).with_ground(drill)
    sending = UploadRequest(url="", paths=(card,))
    with serving(operator) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        kind = {"Content-Type": "application/json"}
        body = MemoryCard(sending).build_announcement()
        assert client.post("/api/uploads", content=body, headers=kind).status_code == 200
        remounted(disk, f"size={SPARE_BYTES + 3_000_000}")
        sender = operator.start("upload", server.url, card)
        received = [0]
        while not received[-1] or len(set(received[-8:])) > 1:
            time.sleep(0.3)
            (one,) = client.get("/api/uploads").json()
            received.append(one["bytes_received"])
        assert 0 < received[-1] < total and sender.poll() is None
        assert received == sorted(received)
        more = json.dumps({"files": [{"path": "other.jpg", "size": 1_000_000, "modified_ms": 1}]})
        refused = client.post("/api/uploads", content=more, headers=kind)
        assert (refused.status_code, refused.json()["error"]) == (507, "DiskFull")
        remounted(disk, "size=1200m")
        stdout, stderr = sender.communicate(timeout=600)
        assert sender.returncode == 0, stderr
        assert json.loads(stdout.splitlines()[-1])["frames"]["used"] == 6
    assert_each_byte_once(operator, card)
    for path in card.iterdir():
        key = keys.format_original_key(hashlib.sha256(path.read_bytes()).hexdigest())
        assert (tmp_path / "store" / key).read_bytes() == path.read_bytes()


def test_a_sender_that_is_stopped_ends_soon_and_goes_on_later(ready: Operator, card: Path) -> None:
    """Ctrl-C over a thin line waits for a piece, not for whole photos."""
    padded(card, 1_500_000)
    with serving(ready) as server:
        proxy = CuttingProxy(server.port, 60_000_000, cuts=0, seed=1, bytes_s=400_000)
        sender = ready.start("upload", f"http://127.0.0.1:{proxy.port}", card)
        _until(server, "heads", 6)
        until(lambda: proxy.passed > 700_000, every_s=0.1)
        sender.send_signal(signal.SIGINT)
        sender.communicate(timeout=ENOUGH_S)
        assert sender.returncode == 130
        proxy.close()
        said = ready("upload", server.url, card)
        assert (said.exit_code, said.json["frames"]["used"]) == (0, 6)
        assert said.json["sent_bytes"] < said.json["bytes"]
    assert_each_byte_once(ready, card)


def _until(server: ServerProcess, key: str, value: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []

    def is_so() -> bool:
        found[:] = httpx.get(f"{server.url}/api/uploads", timeout=60).json()
        return bool(found) and all(one[key] == value for one in found)

    until(is_so, lambda: found, every_s=0.1)
    return found
