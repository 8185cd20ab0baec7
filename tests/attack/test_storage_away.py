"""The real store and the real database killed and started again while a house is at work: nothing that was
acknowledged is lost, it is said, and tried again. Of a live flight: `tests/ingest/live/test_away.py`."""

from __future__ import annotations

import json
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
from typing import Any

import httpx
import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.storage.stores import open_store
from tests.attack.commands import Operator, Said
from tests.attack.uploading import ServerProcess, serving
from tests.servers import PostgresServer, SeaweedServer

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.postgres, pytest.mark.timeout(7200)]

_AWAY_S = 2.0
_LONGEST_S = 900.0


@dataclass(frozen=True)
class Servers:
    """The store and the database, each of which can be killed."""

    store: SeaweedServer
    database: PostgresServer

    def restart(self, which: str) -> None:
        """Kill one of them, and start it again."""
        server: SeaweedServer | PostgresServer = self.store if which == "store" else self.database
        server.crash()
        time.sleep(_AWAY_S)
        server.start()


@pytest.fixture
def servers(seaweed_server: SeaweedServer, postgres_cluster: PostgresServer) -> Servers:
    return Servers(seaweed_server, postgres_cluster)


@pytest.fixture
def house(servers: Servers, tmp_path: Path, drill: DrillReport, new_schema: Callable[[], str]) -> Operator:
    """On both servers; it knows the drill's ground."""
    name = f"t{uuid.uuid4().hex[:12]}"
    places = {"FLYCAM_STORE": servers.store.s3.url(name), "FLYCAM_DATABASE": new_schema()}
    return Operator(tmp_path / name, {**servers.store.s3.environment(), **places}).with_ground(drill)


def tiles(operator: Operator) -> Mapping[str, str]:
    """Content hash of each head of the only flight's live map; each object is there."""
    address = operator.environment.get("FLYCAM_DATABASE", f"sqlite:///{operator.data / 'catalog.sqlite'}")
    with pytest.MonkeyPatch.context() as patch, open_catalog(address) as catalog:
        for name, value in operator.environment.items():
            patch.setenv(name, value)
        store = open_store(operator.environment.get("FLYCAM_STORE", (operator.data / "store").as_uri()))
        (flight,) = catalog.flights.flights()
        heads = catalog.tiles.heads(f"{flight.flight_id}-colour", 0)
        assert all(store.exists(head.key) for head in heads)
        return {str(head.tile_id): head.content_hash for head in heads}


@contextmanager
def read_all_the_time(url: str) -> Iterator[None]:
    """A server read by several at once until the block is left: it answers or says that it is away."""
    answers, over = Counter[int](), threading.Event()

    def read() -> None:
        with httpx.Client(base_url=url, timeout=90) as client:
            while not over.wait(0.2):
                for path in ("/api/flights", "/healthz", "/api/uploads", "/api/airborne"):
                    answers[client.get(path).status_code] += 1

    threads = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        over.set()
        for one in threads:
            one.join(100)
        assert answers[200] and set(answers) <= {200, 503}


def answer_of(house: Operator, servers: Servers, which: str, moment: int, *words: object) -> dict[str, Any]:
    """What a command says at some moment of whose work a server is killed, in a house that others read."""
    chance = random.Random(f"{words[0]} {which} {moment}")
    with serving(house) as server, read_all_the_time(server.url):
        child = house.start(*words)
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith(("look", "ties")):
                break
        time.sleep(chance.uniform(0.0, 2.0) if moment else 0.0)
        servers.restart(which)
        out, err = child.communicate(timeout=_LONGEST_S)
    assert child.returncode == 0, (out, err)
    answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return answer


_SOAKED = [pytest.param(number, marks=pytest.mark.soak) for number in range(1, 10)]


@pytest.mark.parametrize("moment", [0, *_SOAKED])
@pytest.mark.parametrize("which", ["store", "database"])
def test_an_ingest_goes_on_by_itself(
    house: Operator, servers: Servers, card: Path, whole: Said, which: str, moment: int
) -> None:
    assert answer_of(house, servers, which, moment, "ingest", card)["frames"]["used"] == 6
    assert tiles(house) == whole.json["tiles"]
    assert house("verify").exit_code == 0


@pytest.mark.parametrize("moment", _SOAKED)
@pytest.mark.parametrize("which", ["store", "database"])
def test_a_finish_goes_on_by_itself(
    house: Operator, servers: Servers, card: Path, which: str, moment: int
) -> None:
    flight_id = house("ingest", card).json["flight_id"]
    assert answer_of(house, servers, which, moment, "finish", flight_id)["revision"] == 1
    assert house("verify").exit_code == 0


@pytest.mark.parametrize("which", ["database", pytest.param("store", marks=pytest.mark.soak)])
def test_a_province_whose_server_is_killed_while_a_box_sends(
    house: Operator, servers: Servers, drill: DrillReport, tmp_path: Path, which: str
) -> None:
    field_box = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"}).with_flight(drill)
    server = ServerProcess(house)
    server.start()
    try:
        sender: subprocess.Popen[str] = field_box.start("sync", server.url, "--once", "--rate", "800k")
        time.sleep(3.0)
        servers.restart(which)
        out, err = sender.communicate(timeout=600)
    finally:
        server.end()
    assert sender.returncode == 0, err
    assert json.loads(out.strip().splitlines()[-1])["left"] == 0
    assert tiles(house) == field_box.tiles(field_box.flights()[0])
    assert house("verify").exit_code == 0
