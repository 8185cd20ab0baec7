"""HTTPS as it is used: real processes, a certificate of the box's own, and a province whose address changes
in the middle of a sync."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.exchanges import admitted, flight_of, kept
from tests.ports import free_port
from tests.waiting import START_S, until

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    """A province's server as its terminal tells of it."""

    url: str
    fingerprint: str
    process: subprocess.Popen[str]


@contextmanager
def served(province: Operator) -> Iterator[Served]:
    """`flycam serve --tls` at an address of its own."""
    port = free_port()
    process = province.start("serve", "--tls", "--port", port)
    try:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(4)]
        (fingerprint,) = re.findall(r"fingerprint SHA-256: ([0-9a-f]{64})", "".join(said))
        assert f"https://127.0.0.1:{port}/authority.crt" in said[2] and "localhost" in said[3]
        yield Served(f"https://127.0.0.1:{port}", fingerprint, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)


def test_a_card_is_uploaded_over_it(drill: DrillReport, tmp_path: Path) -> None:
    province = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    token = province("user", "add", "lan", "--role", "operator").json["token"]
    sender = Operator(tmp_path / "none", {"FLYCAM_TOKEN": token})
    with served(province) as server:
        file = province.data / "tls" / "authority.crt"
        refused = sender("upload", server.url, drill.photos)
        assert refused.exit_code == 3 and "--fingerprint" in refused.sentence
        sent = sender("upload", server.url, drill.photos, "--ca", file)
        assert (sent.exit_code, sent.json["frames"]["used"]) == (0, 6)
        again = sender("upload", server.url, drill.photos, "--fingerprint", server.fingerprint)
        assert (again.exit_code, again.json["sent_bytes"]) == (0, 0)


@pytest.mark.soak
def test_the_province_moves_in_the_middle_of_a_sync(drill: DrillReport, tmp_path: Path) -> None:
    """Known by its fingerprint it is the same one; what came before the move is not sent again."""
    province = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    field = admitted(Operator(tmp_path / "field", {"FLYCAM_BOX": "field"}), province, "box-1")
    assert field("ingest", drill.photos, "--dem", drill.dem).exit_code == 0
    flight_id = flight_of(field)
    with served(province) as before:
        trust = ("--fingerprint", before.fingerprint)
        first = field.start("sync", before.url, "--once", "--rate", "200k", *trust)
        there = until(lambda: len(kept(province, "sync/tiles/")), "nothing comes", within_s=START_S, of=first)
        before.process.kill()
        before.process.wait(90)
        time.sleep(0.5)
        assert first.poll() is None  # it waits for the old address
        first.kill()
        first.communicate()
    whole = len(field.tiles(flight_id))
    assert there < whole
    with served(province) as after:
        assert after.fingerprint == before.fingerprint and after.url != before.url
        said = field("sync", after.url, "--once", *trust)
    assert said.exit_code == 0, said.stderr
    assert (said.json["left"], said.json["left_there"]) == (0, 0)
    assert said.json["tiles"] <= whole - there
    assert province.tiles(flight_id) == field.tiles(flight_id)
