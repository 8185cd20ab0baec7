"""The real store and the real database killed and started again while a house is at work: nothing that was
acknowledged is lost, it is said, and tried again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.drill import DrillReport
from flycam.store import keys
from tests.attack.commands import Operator, Said
from tests.attack.killing import store_of
from tests.attack.test_uploads import assert_each_byte_once, padded
from tests.attack.uploading import CuttingProxy, ServerProcess
from tests.servers import PostgresServer, SeaweedServer

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.postgres, pytest.mark.timeout(7200)]

_ROUNDS = {"test": 1, "soak": 10}
_AWAY_S = 2.0


@dataclass(frozen=True)
class Servers:
    """The store and the database, each of which can be killed."""

    store: SeaweedServer
    database: PostgresServer

    def restart(self, which: str, away_s: float) -> None:
        """Kill one of them, and start it again after so long."""
        server: SeaweedServer | PostgresServer = self.store if which == "store" else self.database
        server.crash()
        time.sleep(away_s)
        server.start()


@pytest.fixture
def servers(seaweed_server: SeaweedServer, postgres_cluster: PostgresServer) -> Servers:
    return Servers(seaweed_server, postgres_cluster)


@pytest.fixture
def new_house(
    servers: Servers, tmp_path: Path, drill: DrillReport, new_schema: Callable[[], str]
) -> Callable[[], Operator]:
    """Makes houses on both servers that know the drill's ground."""

    def make() -> Operator:
        name = f"t{uuid.uuid4().hex[:12]}"
        places = {"FLYCAM_STORE": servers.store.s3.url(name), "FLYCAM_DATABASE": new_schema()}
        return Operator(tmp_path / name, {**servers.store.s3.environment(), **places}).with_ground(drill)

    return make


def tiles(operator: Operator) -> Mapping[str, str]:
    """Content hash of each head of the only flight; each object is there."""
    with open_catalog(operator.environment["FLYCAM_DATABASE"]) as catalog, store_of(operator) as store:
        (flight,) = catalog.flights.flights()
        heads = catalog.tiles.heads(f"{flight.flight_id}-colour", 0)
        assert all(store.exists(head.key) for head in heads)
        return {str(head.tile_id): head.content_hash for head in heads}


@contextmanager
def asked_all_the_time(url: str) -> Iterator[Counter[int]]:
    """How often a server answered with which status, asked by several at once until the block is left."""
    answers, over = Counter[int](), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=90) as client:
            while not over.wait(0.05):
                for path in ("/api/flights", "/healthz", "/api/uploads"):
                    answers[client.get(path).status_code] += 1

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        yield answers
    finally:
        over.set()
        for one in threads:
            one.join(100)


def uploaded(operator: Operator, card: Path, servers: Servers, which: str, chance: random.Random) -> str:
    """A card is sent while a server is killed twice: while bytes come, and at any moment after."""
    server = ServerProcess(operator)
    server.start()
    total = sum(path.stat().st_size for path in card.iterdir())
    proxy = CuttingProxy(server.port, total, cuts=0, seed=1, bytes_s=2_000_000)
    try:
        with asked_all_the_time(server.url) as answers:
            sender = operator.start("upload", f"http://127.0.0.1:{proxy.port}", card)
            for least in (chance.uniform(0.0, 0.9) * total, chance.uniform(0.9, 1.0) * total):
                while proxy.passed < least and sender.poll() is None:
                    time.sleep(0.02)
                servers.restart(which, _AWAY_S)
            out, err = sender.communicate(timeout=600)
        assert sender.returncode == 0, err
        assert json.loads(out.strip().splitlines()[-1])["frames"]["used"] == 6
        assert server.process is not None and server.process.poll() is None, "the server goes on"
    finally:
        proxy.close()
        server.end()
    assert_each_byte_once(operator, card)
    with store_of(operator) as store:
        for path in card.iterdir():
            data = path.read_bytes()
            assert store.get(keys.evidence(hashlib.sha256(data).hexdigest())) == data
    assert set(answers) <= {200, 503}, "it says that it is away, and nothing else"
    return f"asked {answers.total()} times meanwhile, {answers[503]} of them told that it is away"


def ingested(operator: Operator, card: Path, servers: Servers, which: str, chance: random.Random) -> str:
    """A flight is laid while a server is killed at any moment; the same command completes it."""
    child = operator.start("ingest", card)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("look"):
            break
    time.sleep(chance.uniform(0.0, 1.0))
    was_at_work = child.poll() is None
    servers.restart(which, _AWAY_S)
    out, err = child.communicate(timeout=600)
    ended = "was through before" if not was_at_work else "went on"
    if child.returncode != 0:
        answer = json.loads(out.strip().splitlines()[-1])
        assert child.returncode == 4 and "run again" in answer["sentence"], (answer, err)
        assert "Traceback" not in err
        ended = f"ended with {answer['error']}"
    again = operator("ingest", card)
    assert (again.exit_code, again.json["frames"]["used"]) == (0, 6), again
    return ended


_WORKS = {"upload": uploaded, "ingest": ingested}


@pytest.mark.parametrize("size", ["test", pytest.param("soak", marks=pytest.mark.soak)])
@pytest.mark.parametrize("which", ["store", "database"])
@pytest.mark.parametrize("work", list(_WORKS))
def test_killed_and_started_again_under_load(
    new_house: Callable[[], Operator],
    servers: Servers,
    card: Path,
    whole: Said,
    work: str,
    which: str,
    size: str,
) -> None:
    """Run with `-s` to see each round; AWAY_SEED for other moments."""
    if work == "upload":
        padded(card, 700_000)
    for number in range(_ROUNDS[size]):
        operator = new_house()
        chance = random.Random(f"{work} {which} {os.environ.get('AWAY_SEED', '1')} {number}")
        told = _WORKS[work](operator, card, servers, which, chance)
        if work == "ingest":
            assert tiles(operator) == whole.json["tiles"]
        else:
            assert len(tiles(operator)) == len(whole.json["tiles"])
        read = operator("verify")
        assert read.exit_code == 0, read
        counted = f"{read.json['objects']} objects whole"
        print(f"{work}, {which} killed, round {number + 1}: {told}; {counted}", flush=True)


@pytest.mark.parametrize("which", ["store", "database"])
def test_a_province_whose_server_is_killed_while_a_box_sends(
    new_house: Callable[[], Operator], servers: Servers, drill: DrillReport, tmp_path: Path, which: str
) -> None:
    field = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"})
    assert field("ingest", drill.photos, "--dem", drill.dem).exit_code == 0
    province = new_house()
    server = ServerProcess(province)
    server.start()
    try:
        sender: subprocess.Popen[str] = field.start("sync", server.url, "--once", "--rate", "800k")
        time.sleep(3.0)
        servers.restart(which, _AWAY_S)
        out, err = sender.communicate(timeout=600)
    finally:
        server.end()
    assert sender.returncode == 0, err
    assert json.loads(out.strip().splitlines()[-1])["left"] == 0
    assert tiles(province) == field.tiles(field.flights()[0])
    assert province("verify").exit_code == 0
