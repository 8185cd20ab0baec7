"""The real store and the real database killed and started again while a house is at work: nothing that was
acknowledged is lost, it is said, and tried again."""

from __future__ import annotations

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
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from flycam.storage.address import open_store
from flycam.storage.base import ObjectStore
from tests.attack.commands import Operator, Said
from tests.attack.uploading import ServerProcess, serving
from tests.servers import PostgresServer, SeaweedServer

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.postgres, pytest.mark.timeout(7200)]

NAME = "Bản Lầu"
STAGES = ("ties", "adjust", "surface", "overviews", "radiometry", "seams", "blend", "report", "communes")
_ROUNDS = {"test": 1, "soak": 10}
_AWAY_S = 2.0
_LONGEST_S = 900.0
_AWAY, _BACK = "away since", "were away for"
_FLIGHTS, _SKY = "/api/flights", "/api/airborne"


@dataclass(frozen=True)
class Servers:
    """The store and the database, each of which can be killed."""

    store: SeaweedServer
    database: PostgresServer

    def restart(self, which: str, away_s: float = _AWAY_S) -> None:
        """Kill one of them, and start it again after so long."""
        server: SeaweedServer | PostgresServer = self.store if which == "store" else self.database
        server.crash()
        time.sleep(away_s)
        server.start()


@dataclass(frozen=True)
class Flown:
    """A card and a film, and the tiles that a work makes of the card undisturbed."""

    card: Path
    film: VideoDrillReport
    undisturbed: Callable[[str], Mapping[str, str]]


@dataclass
class Asked:
    """What a server answered to those who asked it all the time: how often with which status, and whether the
    sky said that store or database are away."""

    answers: Counter[int] = field(default_factory=Counter)
    told_away: int = 0

    def __str__(self) -> str:
        told = f", the sky said it {self.told_away} times" if self.told_away else ""
        return f"asked {self.answers.total()} times meanwhile, {self.answers[503]} told away{told}"


@dataclass(frozen=True)
class Trial:
    """One round: a house, and which of its servers is killed at what moments."""

    house: Operator
    flown: Flown
    servers: Servers
    which: str
    chance: random.Random

    def restart(self) -> None:
        """Kill the server, and start it again."""
        self.servers.restart(self.which)


@pytest.fixture
def servers(seaweed_server: SeaweedServer, postgres_cluster: PostgresServer) -> Servers:
    return Servers(seaweed_server, postgres_cluster)


@pytest.fixture
def new_house(
    servers: Servers,
    tmp_path: Path,
    drill: DrillReport,
    film: VideoDrillReport,
    new_schema: Callable[[], str],
) -> Callable[[], Operator]:
    """Makes houses on both servers that know the drill's ground and the film's."""

    def make() -> Operator:
        name = f"t{uuid.uuid4().hex[:12]}"
        places = {"FLYCAM_STORE": servers.store.s3.url(name), "FLYCAM_DATABASE": new_schema()}
        house = Operator(tmp_path / name, {**servers.store.s3.environment(), **places}).with_ground(drill)
        assert house("dem", "add", film.dem).exit_code == 0
        return house

    return make


@pytest.fixture(scope="module")
def undisturbed(
    drill: DrillReport, whole: Said, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Mapping[str, str]]:
    """Tiles of a work, in a house on a folder."""

    @cache
    def tiles_of(work: str) -> Mapping[str, str]:
        if work == "ingest":
            return dict(whole.json["tiles"])
        house = Operator(tmp_path_factory.mktemp("calm"), {}).with_ground(drill)
        assert house("ingest", drill.photos, "--name", NAME).exit_code == 0
        assert house("finish", NAME).exit_code == 0
        return tiles(house, shown=True)

    return tiles_of


@pytest.fixture
def flown(card: Path, film: VideoDrillReport, undisturbed: Callable[[str], Mapping[str, str]]) -> Flown:
    return Flown(card, film, undisturbed)


def filming(film: VideoDrillReport) -> tuple[object, ...]:
    """The command that lays a film."""
    return "live", "--video", film.video, "--telemetry", film.subtitles, "--camera", film.camera


@contextmanager
def store_of(operator: Operator) -> Iterator[ObjectStore]:
    """The operator's store, with the operator's credentials while it is open."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in operator.environment.items():
            patch.setenv(name, value)
        yield open_store(operator.environment.get("FLYCAM_STORE", (operator.data / "store").as_uri()))


def tiles(operator: Operator, *, shown: bool = False) -> Mapping[str, str]:
    """Content hash of each head of the only flight's live map, or of that on show; each object is there. And
    of that on show how much of which commune it shows."""
    address = operator.environment.get("FLYCAM_DATABASE", f"sqlite:///{operator.data / 'catalog.sqlite'}")
    with open_catalog(address) as catalog, store_of(operator) as store:
        (flight,) = catalog.flights.flights()
        mosaic_id = f"{flight.flight_id}-colour"
        revision = catalog.tiles.mosaic(mosaic_id).revision if shown else 0
        heads = catalog.tiles.heads(mosaic_id, revision)
        assert all(store.exists(head.key) for head in heads)
        found = {str(head.tile_id): head.content_hash for head in heads}
        for one in catalog.boundaries.coverage(flight.flight_id) if shown else ():
            assert one.clip_key is None or f"/r{revision}/" in one.clip_key
            found[one.commune_code] = f"{one.covered_m2:.1f} m2"
        return found


@contextmanager
def asked_all_the_time(url: str) -> Iterator[Asked]:
    """A server asked by several at once until the block is left."""
    asked, over = Asked(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=90) as client:
            while not over.wait(0.2):
                for path in (_FLIGHTS, "/healthz", "/api/uploads", _SKY):
                    answer = client.get(path)
                    asked.answers[answer.status_code] += 1
                    asked.told_away += path == _SKY and _AWAY in answer.text

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        yield asked
    finally:
        over.set()
        for one in threads:
            one.join(100)
        assert set(asked.answers) <= {200, 503}, "it says that it is away, and nothing else"


def disturbed(trial: Trial, stage: str, *words: object) -> tuple[dict[str, Any], str]:
    """A command at some moment after whose stage a server is killed, in a house that others read. What it
    answered, and what became of it."""
    with serving(trial.house) as server, asked_all_the_time(server.url) as asked:
        child = trial.house.start(*words)
        assert child.stderr is not None
        told = []
        for line in child.stderr:
            told.append(line)
            if line.startswith(stage):
                break
        time.sleep(trial.chance.uniform(0.0, 1.0))
        was_at_work = child.poll() is None
        trial.restart()
        out, err = child.communicate(timeout=_LONGEST_S)
    assert child.returncode == 0, (out, err)
    answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    ended = "said it, waited, went on" if _AWAY in "".join(told) + err else "went on"
    return answer, f"killed in {stage}: {ended if was_at_work else 'was through before'}; {asked}"


def ingested(trial: Trial) -> str:
    """A flight is laid while a server is killed: it goes on by itself."""
    answer, became = disturbed(trial, "look", "ingest", trial.flown.card)
    assert answer["frames"]["used"] == 6
    assert tiles(trial.house) == trial.flown.undisturbed("ingest")
    return became


def finished(trial: Trial) -> str:
    """A flight is finished while a server is killed in any of its stages."""
    assert trial.house("ingest", trial.flown.card, "--name", NAME).exit_code == 0
    answer, became = disturbed(trial, trial.chance.choice(STAGES), "finish", NAME)
    assert answer["revision"] == 1
    assert tiles(trial.house, shown=True) == trial.flown.undisturbed("finish")
    return became


_WORKS = {"ingest": ingested, "finish": finished}
_SOAKED = frozenset(_WORKS) - {"ingest"}
"""Of a live flight `tests/ingest/live/test_away.py` tries the same without a process for each."""


@pytest.mark.parametrize("size", ["test", pytest.param("soak", marks=pytest.mark.soak)])
@pytest.mark.parametrize("which", ["store", "database"])
@pytest.mark.parametrize(
    "work", [pytest.param(one, marks=pytest.mark.soak) if one in _SOAKED else one for one in _WORKS]
)
def test_killed_and_started_again_under_load(
    new_house: Callable[[], Operator], servers: Servers, flown: Flown, work: str, which: str, size: str
) -> None:
    """Run with `-s` to see each round; AWAY_SEED for other moments, AWAY_ROUNDS for fewer of a soak."""
    rounds = _ROUNDS[size] if size == "test" else int(os.environ.get("AWAY_ROUNDS", _ROUNDS[size]))
    for number in range(rounds):
        house = new_house()
        chance = random.Random(f"{work} {which} {os.environ.get('AWAY_SEED', '1')} {number}")
        told = _WORKS[work](Trial(house, flown, servers, which, chance))
        read = house("verify")
        assert read.exit_code == 0, read
        counted = f"{read.json['objects']} objects whole"
        print(f"{work}, {which} killed, round {number + 1}: {told}; {counted}", flush=True)


@pytest.mark.parametrize("which", ["database", pytest.param("store", marks=pytest.mark.soak)])
def test_a_province_whose_server_is_killed_while_a_box_sends(
    new_house: Callable[[], Operator], servers: Servers, drill: DrillReport, tmp_path: Path, which: str
) -> None:
    field_box = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"}).with_flight(drill)
    province = new_house()
    server = ServerProcess(province)
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
    assert tiles(province) == field_box.tiles(field_box.flights()[0])
    assert province("verify").exit_code == 0
