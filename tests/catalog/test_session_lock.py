"""A flight's lock on a real PostgreSQL that restarts, or ends the session that holds it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.errors import FlightBusy
from flycam.model.records import Withdrawal
from tests.servers import PostgresServer
from tests.suites.catalog_suite import MOSAIC, flight, frame, tile

pytestmark = pytest.mark.postgres

EndSession = Callable[[], None]


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    with open_catalog(url) as opened:
        opened.tiles.put_mosaic(MOSAIC)
        opened.frames.put([frame(1)])
        yield opened


def _restart(cluster: PostgresServer) -> None:
    cluster.crash()
    cluster.start()


def _end_sessions(url: str) -> None:
    """As an administrator does: the server itself goes on."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:"), autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
        while (row := connection.execute(f"SELECT count(*) {others}").fetchone()) and row[0]:
            time.sleep(0.02)


@contextmanager
def _line_cut(catalog: Catalog, name: str) -> Iterator[None]:
    """The line of the session that holds a lock breaks, and stands on the server's side."""
    session = catalog.tiles._database._held[name]._session
    assert session is not None
    number = session.connection.dbapi_connection.pgconn.socket  # type: ignore[union-attr]
    theirs = os.dup(number)
    nobody, other = socket.socketpair()
    other.close()
    os.dup2(nobody.fileno(), number)
    nobody.close()
    try:
        yield
    finally:
        os.close(theirs)


@pytest.fixture(params=["session", pytest.param("restart", marks=pytest.mark.soak)])
def lose(request: pytest.FixtureRequest, postgres_cluster: PostgresServer, url: str) -> EndSession:
    if request.param == "restart":
        return lambda: _restart(postgres_cluster)
    return lambda: _end_sessions(url)


def _taken_by(url: str) -> None:
    with open_catalog(url) as other, other.flights.lock("f1"):
        pass


def test_a_lost_lock_that_nobody_took_is_held_again_before_the_log_is_written(
    catalog: Catalog, url: str, lose: EndSession
) -> None:
    with open_catalog(url) as other:
        with catalog.flights.lock("f1"):
            catalog.tiles.append([tile(1, "a")], {})
            lose()
            catalog.tiles.append([tile(2, "b")], {})
            with pytest.raises(FlightBusy), other.flights.lock("f1"):
                pytest.fail("the lock was not taken again")
        with other.flights.lock("f1"):
            assert other.tiles.last_seq(MOSAIC.mosaic_id) == 2


def test_a_cut_line_that_the_server_knows_nothing_of_does_not_shut_its_holder_out(
    catalog: Catalog, url: str
) -> None:
    with open_catalog(url) as other, catalog.flights.lock("f1"), _line_cut(catalog, "f1"):
        with pytest.raises(FlightBusy), other.flights.lock("f1"):
            pytest.fail("on the server's side it is held")
        catalog.tiles.append([tile(1, "a")], {})
        with pytest.raises(FlightBusy), other.flights.lock("f1"):
            pytest.fail("the lock was not taken again")
        catalog.tiles.append([tile(2, "b")], {})


def test_a_lost_lock_that_another_holds_stops_the_writer(
    catalog: Catalog, url: str, lose: EndSession
) -> None:
    with catalog.flights.lock("f1"):
        lose()
        with open_catalog(url) as other, other.flights.lock("f1"):
            with pytest.raises(FlightBusy, match="session"):
                catalog.tiles.append([tile(1, "a")], {})
            other.tiles.append([tile(1, "b")], {})
    assert [line.content_hash for line in catalog.tiles.log_since(MOSAIC.mosaic_id, 0)] == [
        tile(1, "b").content_hash
    ]


def test_a_lost_lock_that_another_had_since_stops_the_writer_for_good(
    catalog: Catalog, url: str, lose: EndSession
) -> None:
    """What the other did, such as a withdrawal, this writer does not know."""
    with catalog.flights.lock("f1"):
        lose()
        _taken_by(url)
        for _ in range(2):
            with pytest.raises(FlightBusy, match="f1"):
                catalog.tiles.append([tile(1, "a")], {})
        assert catalog.tiles.last_seq(MOSAIC.mosaic_id) == 0
    with catalog.flights.lock("f1"):
        assert catalog.tiles.append([tile(1, "a")], {})[0].seq == 1


_WRITES: dict[str, Callable[[Catalog], object]] = {
    "frames": lambda catalog: catalog.frames.put([frame(2)]),
    "withdrawal": lambda catalog: catalog.frames.withdraw(
        [Withdrawal(frame_id=frame(1).frame_id, flight_id="f1", reason="r", authority="a", withdrawn_ns=1)]
    ),
    "placement": lambda catalog: catalog.placements.supersede([frame(1)], "r", "a", 1),
    "flight": lambda catalog: catalog.flights.put_flight(flight("f1")),
    "coverage": lambda catalog: catalog.boundaries.put_coverage("f1", []),
    "shown": lambda catalog: catalog.tiles.publish(MOSAIC.mosaic_id, MOSAIC.revision),
    "hidden": lambda catalog: catalog.tiles.hide(MOSAIC.mosaic_id),
}


@pytest.mark.parametrize("what", list(_WRITES))
def test_nothing_of_a_flight_is_written_by_one_whose_lock_another_had_since(
    catalog: Catalog, url: str, what: str
) -> None:
    """Who had it may be through with the flight: nobody would lay a frame that is recorded after."""

    def state() -> tuple[object, ...]:
        return (
            catalog.frames.list_for_flight("f1"),
            catalog.frames.withdrawals(),
            catalog.placements.list_for_flight("f1"),
            catalog.flights.flights(),
            catalog.boundaries.coverage("f1"),
            catalog.tiles.mosaics("f1"),
        )

    before = state()
    with catalog.flights.lock("f1"):
        _end_sessions(url)
        _taken_by(url)
        with pytest.raises(FlightBusy, match="f1"):
            _WRITES[what](catalog)
        assert state() == before
    with catalog.flights.lock("f1"):
        _WRITES[what](catalog)


def test_who_takes_a_lost_lock_waits_for_the_transaction_that_had_asked_in_time(
    catalog: Catalog, url: str
) -> None:
    database = catalog.tiles._database
    order: list[str] = []

    def take() -> None:
        _taken_by(url)
        order.append("taken")

    other = threading.Thread(target=take)
    with catalog.flights.lock("f1"):
        with database.write() as writing:
            database.require_held(writing, "f1")
            _end_only_the_session_that_holds(database, "f1")
            other.start()
            _wait_for_one_who_waits(url)
            order.append("committed")
        other.join()
    assert order == ["committed", "taken"]


def _end_only_the_session_that_holds(database: object, name: str) -> None:
    session = database._held[name]._session  # type: ignore[attr-defined]
    session.invalidate()


def _wait_for_one_who_waits(url: str) -> None:
    with psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:"), autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not (row := connection.execute(query).fetchone()) or row[0] == 0:
            time.sleep(0.02)
