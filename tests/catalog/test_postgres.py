from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import shapely

from flycam.catalog.catalog import open_catalog
from flycam.errors import CatalogUnavailable, InputUnusable
from flycam.model.records import AuditEntry
from tests.servers import GUARDED_PASSWORD
from tests.suites.access_suite import AccessSuite
from tests.suites.audit_suite import AuditSuite
from tests.suites.board_suite import BoardSuite
from tests.suites.briefing_suite import BriefingSuite
from tests.suites.catalog_suite import OLD_COMMUNES, CatalogSuite, flight, frame
from tests.suites.change_suite import ChangeSuite
from tests.suites.comparison_suite import ComparisonSuite
from tests.suites.pack_suite import PackSuite
from tests.suites.peers_suite import PeersSuite
from tests.suites.placement_suite import PlacementSuite
from tests.suites.retention_suite import RetentionSuite
from tests.suites.settlement_suite import SettlementSuite
from tests.waiting import until

pytestmark = pytest.mark.postgres


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:"), autocommit=True)


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


class TestPostgresPlacements(PlacementSuite):
    pass


class TestPostgresBoard(BoardSuite):
    pass


class TestPostgresChanges(ChangeSuite):
    pass


class TestPostgresComparisons(ComparisonSuite):
    def tamper(self, url: str, statement: str) -> None:
        with _connect(url) as connection:
            connection.execute(statement)


class TestPostgresPacks(PackSuite):
    def tamper(self, url: str, statement: str) -> None:
        with _connect(url) as connection:
            connection.execute(statement)


class TestPostgresBriefings(BriefingSuite):
    pass


class TestPostgresSettlements(SettlementSuite):
    pass


class TestPostgresRetention(RetentionSuite):
    pass


class TestPostgres(CatalogSuite):
    def tamper(self, url: str, statement: str) -> None:
        with _connect(url) as connection:
            connection.execute(statement)


class TestPostgresAccess(AccessSuite):
    def tamper(self, url: str, statement: str) -> None:
        with _connect(url) as connection:
            connection.execute(statement)


class TestPostgresPeers(PeersSuite):
    def tamper(self, url: str, statement: str) -> None:
        with _connect(url) as connection:
            connection.execute(statement)


class TestPostgresAudit(AuditSuite):
    def tamper(self, url: str, statement: str) -> None:
        with _connect(url) as connection:
            connection.execute(statement)


def test_gis_clients_find_postgis_geometry_with_an_index(url: str) -> None:
    with open_catalog(url) as catalog:
        catalog.boundaries.put_communes(OLD_COMMUNES)
        catalog.frames.put([frame(1)])
    with _connect(url) as connection:
        inside = "ST_Contains(geom, ST_SetSRID(ST_Point(104.7, 21.2), 4326))"
        assert connection.execute(f"SELECT name FROM communes WHERE {inside}").fetchall() == [("Mường Hoa",)]
        wkb = connection.execute("SELECT ST_AsBinary(geom) FROM frames").fetchone()
        assert wkb is not None
        assert shapely.from_wkb(bytes(wkb[0])) == shapely.from_wkb(frame(1).footprint_wkb)
        here = "current_schema()"
        indexed = connection.execute(
            f"SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%gist (geom)%' AND schemaname = {here}"
        )
        assert sorted(indexed.fetchall()) == [
            ("changes",),
            ("communes",),
            ("comparisons",),
            ("frames",),
            ("layer_features",),
            ("marks",),
            ("settlements",),
        ]
        srids = connection.execute(
            f"SELECT f_table_name, srid FROM geometry_columns WHERE f_table_schema = {here} ORDER BY 1"
        ).fetchall()
        assert srids == [
            (name, 4326)
            for name in (
                "changes",
                "communes",
                "comparisons",
                "frames",
                "layer_features",
                "marks",
                "settlements",
            )
        ]


def test_a_new_database_gets_postgis_with_its_tables(postgres_server: str) -> None:
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE brand_new")
    with open_catalog(f"{postgres_server}/brand_new") as catalog:
        catalog.frames.put([frame(1)])
        assert catalog.frames.list_for_flight("f1") == [frame(1)]
    with psycopg.connect(f"{postgres_server}/brand_new") as connection:
        assert connection.execute("SELECT count(geom) FROM frames").fetchone() == (1,)


def test_a_server_that_is_down() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        with pytest.raises(CatalogUnavailable, match=f":{port}/flycam: .*refused.*run again") as caught:
            open_catalog(f"postgresql://somebody:secret@127.0.0.1:{port}/flycam")
    assert "secret" not in str(caught.value)


def test_a_password_is_taken_from_where_postgresqls_own_programs_take_it(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the address, so it may be of any signs; it is told to nobody, right or wrong."""
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE guarded")
    address = f"{postgres_server.replace('//postgres@', '//flycam@')}/guarded"
    monkeypatch.setenv("PGPASSWORD", GUARDED_PASSWORD)
    with open_catalog(address) as catalog:
        catalog.frames.put([frame(1)])
        with catalog.flights.lock("f1"):  # in a session of its own
            assert catalog.frames.list_for_flight("f1") == [frame(1)]
    monkeypatch.setenv("PGPASSWORD", f"{GUARDED_PASSWORD}!")
    with pytest.raises(CatalogUnavailable) as caught:
        open_catalog(address)
    assert GUARDED_PASSWORD not in str(caught.value) + caught.value.message.in_language("vi")


def test_a_database_that_does_not_exist(postgres_server: str) -> None:
    with pytest.raises(CatalogUnavailable, match="nowhere"):
        open_catalog(f"{postgres_server}/nowhere")


def test_a_flight_is_renamed_while_another_is_moved(url: str) -> None:
    """A rename held the flights and waited for the audit log, a move the other way round: both ended as
    deadlocked."""
    audit_entry = AuditEntry(who="Lan", what="flight renamed", subject="f1", detail="", at_ns=1)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_log'::regclass"
    with open_catalog(url) as catalog, ThreadPoolExecutor(1) as elsewhere:
        catalog.flights.put_flight(flight("f1", "Sáng"))
        catalog.flights.put_flight(flight("f2", "Trưa"))
        with _connect(url) as mover, mover.transaction():
            mover.execute("SET LOCAL lock_timeout = '10s'")
            mover.execute("LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE")
            renaming = elsewhere.submit(catalog.flights.rename, "f1", "Chiều", audit_entry)
            with _connect(url) as watcher:
                until(lambda: watcher.execute(waiting).fetchone() == (1,))
            mover.execute("UPDATE flights SET event_id = 'e2' WHERE flight_id = 'f2'")
        assert renaming.result().name == "Chiều"
        assert catalog.flights.flight("f2").event_id == "e2"


def test_a_connection_the_server_closed_is_replaced(url: str) -> None:
    with open_catalog(url) as catalog:
        catalog.frames.put([frame(1)])
        with _connect(url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert catalog.frames.list_for_flight("f1") == [frame(1)]


def test_a_text_that_no_database_takes_is_a_fault_of_the_text(url: str) -> None:
    """Else a %00 in a request said that the database is away, and where it is."""
    with open_catalog(url) as catalog:
        with pytest.raises(InputUnusable, match="control characters"):
            catalog.flights.event("a\0b")
        assert catalog.flights.flights() == []
