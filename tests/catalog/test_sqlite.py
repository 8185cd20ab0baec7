from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.errors import CatalogUnavailable, DiskFull
from tests.suites.access_suite import AccessSuite
from tests.suites.audit_suite import AuditSuite
from tests.suites.board_suite import BoardSuite
from tests.suites.briefing_suite import BriefingSuite
from tests.suites.catalog_suite import CatalogSuite, frame
from tests.suites.change_suite import ChangeSuite
from tests.suites.comparison_suite import ComparisonSuite
from tests.suites.pack_suite import PackSuite
from tests.suites.peers_suite import PeersSuite
from tests.suites.placement_suite import PlacementSuite
from tests.suites.retention_suite import RetentionSuite
from tests.suites.settlement_suite import SettlementSuite


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hồ sơ/catalogue.sqlite"


class TestSqlitePlacements(PlacementSuite):
    pass


class TestSqliteBoard(BoardSuite):
    pass


class TestSqliteChanges(ChangeSuite):
    pass


class TestSqliteComparisons(ComparisonSuite):
    def tamper(self, url: str, statement: str) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


class TestSqlitePacks(PackSuite):
    def tamper(self, url: str, statement: str) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


class TestSqliteBriefings(BriefingSuite):
    pass


class TestSqliteSettlements(SettlementSuite):
    pass


class TestSqliteRetention(RetentionSuite):
    pass


class TestSqlite(CatalogSuite):
    def tamper(self, url: str, statement: str) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


class TestSqliteAccess(AccessSuite):
    def tamper(self, url: str, statement: str) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


class TestSqlitePeers(PeersSuite):
    def tamper(self, url: str, statement: str) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


class TestSqliteAudit(AuditSuite):
    def tamper(self, url: str, statement: str) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


def test_a_decision_is_on_disk_when_it_is_acknowledged(url: str) -> None:
    with open_catalog(url) as catalog, catalog._database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_readers_do_not_wait_for_a_writer(url: str) -> None:
    with open_catalog(url) as catalog, open_catalog(url) as other:
        catalog.frames.put([frame(1)])
        with catalog._database.write():
            assert other.frames.list_for_flight("f1") == [frame(1)]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "FLYCAM_DATABASE"),
        ("not an address", "FLYCAM_DATABASE"),
        ("mysql://host/db", "FLYCAM_DATABASE"),
        ("nonsense://host/db", "FLYCAM_DATABASE"),
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:////proc/nowhere/c.sqlite", "/proc/nowhere/c.sqlite"),
    ],
)
def test_what_cannot_be_opened_is_said_with_the_cure(address: str, said: str) -> None:
    with pytest.raises(CatalogUnavailable, match=said):
        open_catalog(address)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"\xff\xd8" * 1000)
    with pytest.raises(CatalogUnavailable, match=r"photo\.jpg: "):
        open_catalog(f"sqlite:///{file}")
    assert file.read_bytes() == b"\xff\xd8" * 1000


def test_another_schema_is_refused(url: str) -> None:
    open_catalog(url).close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.close()
    with pytest.raises(CatalogUnavailable, match="0099"):
        open_catalog(url)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_said_and_nothing_half_written_is_seen(small_disk: Path) -> None:
    with open_catalog(f"sqlite:///{small_disk}/c.sqlite") as catalog:
        catalog.frames.put([frame(1)])
        with pytest.raises(DiskFull, match=rf"{small_disk}.*free some"):
            catalog.frames.put(frame(i) for i in range(2, 5000))
        assert catalog.frames.list_for_flight("f1") == [frame(1)]


def test_a_folder_that_may_not_be_written(public_folder: Path) -> None:
    place = public_folder / "closed"
    place.mkdir(mode=0o555)
    program = (
        "import os, sqlite3, sys; from flycam.catalog.catalog import open_catalog\n"
        "from flycam.errors import CatalogUnavailable\n"
        "os.geteuid() == 0 and os.setuid(65534)\n"
        "try: open_catalog(f'sqlite:///{sys.argv[1]}/c.sqlite')\n"
        "except CatalogUnavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, place], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{place}{os.sep}c.sqlite: ")
