"""A flight's lock on a real PostgreSQL that ends the sessions of writers who sleep: two writers of one flight
never both write it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.model.records import FrameStatus
from tests.attack.commands import Operator, Said
from tests.attack.test_storage_away import tiles

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(600)]

EndSessions = Callable[[Operator], None]
_AT_WORK = ("rectify", "check", "communes")


@pytest.fixture
def house(tmp_path: Path, drill: DrillReport, new_schema: Callable[[], str]) -> Operator:
    """On PostgreSQL and a local folder; it knows the drill's ground."""
    return Operator(tmp_path / "house", {"FLYCAM_DATABASE": new_schema()}).with_ground(drill)


@pytest.fixture
def end_sessions() -> EndSessions:
    """Takes all locks away, of writers who are not told."""

    def end(operator: Operator) -> None:
        address = operator.environment["FLYCAM_DATABASE"].replace("postgresql+psycopg:", "postgresql:")
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
            while (row := connection.execute(f"SELECT count(*) {others}").fetchone()) and row[0]:
                time.sleep(0.02)

    return end


@contextmanager
def asleep_at_work(operator: Operator, card: Path) -> Iterator[subprocess.Popen[str]]:
    """An ingest that holds the flight's lock and has begun to lay photos, suspended; awake afterwards."""
    child = operator.start("ingest", card)
    try:
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith(_AT_WORK):
                break
        child.send_signal(signal.SIGSTOP)
        assert child.poll() is None, "it is not through yet"
        yield child
    finally:
        child.send_signal(signal.SIGCONT)


def ended(child: subprocess.Popen[str]) -> tuple[int, dict[str, object]]:
    out, err = child.communicate(timeout=240)
    assert "Traceback" not in err
    said: dict[str, object] = json.loads(out.strip().splitlines()[-1])
    return child.returncode, said


def written(operator: Operator) -> tuple[object, ...]:
    """All of the flight that a writer changes."""
    with open_catalog(operator.environment["FLYCAM_DATABASE"]) as catalog:
        (flight,) = catalog.flights.flights()
        return (
            flight,
            catalog.frames.list_for_flight(flight.flight_id),
            catalog.tiles.last_seq(f"{flight.flight_id}-colour"),
            catalog.boundaries.coverage(flight.flight_id),
        )


def used(operator: Operator) -> list[str]:
    with open_catalog(operator.environment["FLYCAM_DATABASE"]) as catalog:
        (flight,) = catalog.flights.flights()
        return [one.frame_id for one in catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)]


def test_who_lost_its_lock_asleep_writes_nothing_beside_another_who_has_it(
    house: Operator, card: Path, whole: Said, end_sessions: EndSessions
) -> None:
    with asleep_at_work(house, card) as first:
        end_sessions(house)
        with asleep_at_work(house, card) as second:
            before = written(house)
            first.send_signal(signal.SIGCONT)
            code, said = ended(first)
            assert (code, said["error"]) == (4, "FlightBusy"), said
            assert written(house) == before
        code, said = ended(second)
        assert code == 0, said
    assert tiles(house) == whole.json["tiles"]
    assert house("verify").exit_code == 0


def test_who_lost_its_lock_asleep_brings_back_nothing_that_another_withdrew(
    house: Operator, card: Path, flown: Operator, tmp_path: Path, end_sessions: EndSessions
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for photo in sorted(card.iterdir())[::2]:
        shutil.copy(photo, half)
    assert house("ingest", half).exit_code == 0
    gone = used(house)[0]
    with asleep_at_work(house, card) as sleeper:
        end_sessions(house)
        assert house("withdraw", gone, "--reason", "người dân yêu cầu").exit_code == 0
    code, said = ended(sleeper)
    assert code == 0 or said["error"] == "FlightBusy", said
    assert house("ingest", card).exit_code == 0
    assert gone not in used(house) and len(used(house)) == 5
    assert flown("withdraw", gone, "--reason", "người dân yêu cầu").exit_code == 0
    assert tiles(house) == flown.tiles(*flown.flights())
    assert house("verify").exit_code == 0
