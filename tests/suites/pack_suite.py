"""The contract of meeting packs on record: what was asked for and approved is never lost, nor told twice.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.packs import Pack, PackState
from flycam.errors import StoreConflict
from flycam.messages import Message, verbatim
from flycam.model.records import AuditEntry

ASKED = Pack(
    pack_id="00000000000000aa",
    owner="Lan",
    flights=("f1", "f2"),
    language="vi",
    asked_ns=6,
    maker="packs-0",
    account="Lan",
    paper="a3",
    rules="0123456789abcdef",
)
WHY = Message("{name}: the disk is full", {"name": "a.tif"})
DIES = """
import os, signal, sys
from tests.suites.pack_suite import ASKED, told
from dataclasses import replace
from flycam.catalog.catalog import open_catalog
catalog = open_catalog(sys.argv[1])
making = catalog.packs.hold_maker_lock()
catalog.packs.add(replace(ASKED, maker=making.__enter__()), told("pack asked"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def told(what: str) -> AuditEntry:
    return AuditEntry(who="Lan", what=what, subject="f1 f2", detail="", at_ns=6)


def said(catalog: Catalog) -> list[str]:
    return [one.what for one in catalog.audit.lines()]


class PackSuite:
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as opened:
            yield opened

    def test_all_of_it_is_there_when_the_catalogue_is_opened_again(self, catalog: Catalog, url: str) -> None:
        draft = catalog.packs.add(ASKED, told("pack asked"))
        assert draft == replace(ASKED, number=1)
        final = catalog.packs.add(
            replace(ASKED, pack_id="00000000000000bb", approved_by="Thắm", draft_id=draft.pack_id),
            told("pack approved"),
        )
        catalog.packs.mark_making(final.pack_id)
        made = replace(
            final,
            state=PackState.MADE,
            flights_beside=("f0", "f3"),
            withheld=("00000000000000aa", "00000000000000ab"),
            ended_ns=9,
            manifest_sha256="m" * 64,
            classification="internal",
            sha256="z" * 64,
            size_bytes=5_000_000_000,
        )
        assert catalog.packs.mark_made(made, told("pack kept"))
        catalog.packs.mark_failed(draft.pack_id, WHY, 8)
        failed = replace(draft, state=PackState.FAILED, ended_ns=8, why=WHY)
        with open_catalog(url) as again:
            assert again.packs.all() == [made, failed], "the newest first"
            assert again.packs.find(made.pack_id) == made
            assert again.packs.find("00000000000000cc") is None
            assert made.flights_seen == ("f1", "f2", "f0", "f3") and failed.flights_seen == ("f1", "f2")
            asked = [made.pack_id, "00000000000000cc", failed.pack_id]
            assert again.packs.owners(asked) == {made.pack_id: "Lan", failed.pack_id: "Lan"}
            assert again.packs.owners([]) == {}
            assert said(again) == ["pack asked", "pack approved", "pack kept"]

    def test_what_ended_stays_as_it_ended(self, catalog: Catalog) -> None:
        pack = catalog.packs.add(ASKED, told("pack asked"))
        catalog.packs.mark_failed(pack.pack_id, WHY, 8)
        catalog.packs.mark_failed(pack.pack_id, verbatim("another"), 9)
        catalog.packs.mark_making(pack.pack_id)
        assert not catalog.packs.mark_made(replace(pack, sha256="z" * 64), told("pack kept"))
        assert catalog.packs.all() == [replace(pack, state=PackState.FAILED, ended_ns=8, why=WHY)]
        assert said(catalog) == ["pack asked"], "of what was not kept nothing is told"

    def test_what_was_let_go_is_told_of_no_more_and_stays_on_record(self, catalog: Catalog) -> None:
        pack = catalog.packs.add(ASKED, told("pack asked"))
        catalog.packs.mark_made(replace(pack, ended_ns=7), told("pack kept"))
        for at_ns in (8, 9):
            catalog.packs.mark_deleted(pack.pack_id, at_ns, told("pack let go"))
        assert catalog.packs.all() == []
        gone = catalog.packs.find(pack.pack_id)
        assert gone == replace(pack, state=PackState.MADE, ended_ns=7, let_go_ns=8)
        assert said(catalog) == ["pack asked", "pack kept", "pack let go"]

    def test_a_pack_and_its_line_are_on_disk_together_or_not_at_all(self, catalog: Catalog) -> None:
        catalog.packs.add(ASKED, told("pack asked"))
        with pytest.raises(Exception, match=r"(?i)unique"):
            catalog.packs.add(ASKED, told("pack asked"))
        assert said(catalog) == ["pack asked"]
        assert len(catalog.packs.all()) == 1

    def test_each_server_makes_packs_under_a_name_of_its_own(self, catalog: Catalog, url: str) -> None:
        with open_catalog(url) as other, catalog.packs.hold_maker_lock() as mine:
            with other.packs.hold_maker_lock() as theirs:
                assert mine != theirs
                catalog.packs.add(replace(ASKED, maker=theirs), told("pack asked"))
                assert catalog.packs.orphans(mine) == [], "it is being made"
            assert [one.pack_id for one in catalog.packs.orphans(mine)] == [ASKED.pack_id]
            with other.packs.hold_maker_lock() as again:
                assert again == theirs
                assert [one.pack_id for one in other.packs.orphans(again)] == [ASKED.pack_id]

    def test_packs_of_a_server_that_was_killed_are_nobodys(self, catalog: Catalog, url: str) -> None:
        died = subprocess.run([sys.executable, "-c", DIES, url], check=False, env={**os.environ})
        assert died.returncode == -signal.SIGKILL
        with catalog.packs.hold_maker_lock() as mine:
            (left,) = catalog.packs.orphans(mine)
        assert (left.pack_id, left.state) == (ASKED.pack_id, PackState.WAITING)

    def test_a_draft_has_one_final_pack(self, catalog: Catalog) -> None:
        """Whoever approves it second is told; where that one failed or was let go, it can be approved."""
        draft = catalog.packs.add(ASKED, told("pack asked"))
        finals = [
            replace(ASKED, pack_id=f"00000000000000{name}", approved_by="Thắm", draft_id=draft.pack_id)
            for name in ("f1", "f2", "f3")
        ]
        first = catalog.packs.add(finals[0], told("pack approved"))
        with pytest.raises(StoreConflict, match="approved already"):
            catalog.packs.add(finals[1], told("pack approved"))
        catalog.packs.mark_failed(first.pack_id, WHY, 8)
        second = catalog.packs.add(finals[1], told("pack approved"))
        catalog.packs.mark_made(replace(second, ended_ns=9), told("pack kept"))
        with pytest.raises(StoreConflict):
            catalog.packs.add(finals[2], told("pack approved"))
        catalog.packs.mark_deleted(second.pack_id, 10)
        catalog.packs.add(finals[2], told("pack approved"))
        assert said(catalog).count("pack approved") == 3
