"""The contract of what is said of settlements: every word stays, and of two who say something one is told.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import shapely

from flycam.catalog.board import SettlementVersion
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.errors import StoreConflict
from flycam.model.board import Access, RoadStatus
from flycam.model.records import AuditEntry

FIRST = SettlementVersion(
    event_id="e1",
    settlement_id="settlement-1",
    version=1,
    name="Nậm Lúc “Thượng”",
    access=Access.ISOLATED,
    roads_said=RoadStatus.CUT_OFF,
    note="gọi trưởng bản",
    author="Lan",
    at_ns=5,
    wkb=shapely.to_wkb(shapely.Point(104.8, 21.9)),
    bounds_lonlat_deg=(104.8, 21.9, 104.8, 21.9),
)
TOLD = AuditEntry(who="Lan", what="settlement", subject="settlement-1", detail="isolated", at_ns=5)


class SettlementSuite:
    """Inherited by the test class of each kind of database."""

    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as opened:
            yield opened

    def test_the_last_word_holds_in_its_event_and_every_word_stays(self, catalog: Catalog) -> None:
        said = catalog.settlements
        assert (said.current("e1"), said.history("e1", "settlement-1"), said.stamp()) == ([], [], 0)
        second = replace(FIRST, version=2, access=Access.REACHABLE, author="Minh", at_ns=9)
        other = replace(FIRST, event_id="e2", access=Access.UNKNOWN)
        for line in (FIRST, second, other):
            said.append(line, TOLD)
        assert (said.current("e1"), said.current("e2")) == ([second], [other])
        assert said.current("e1", until_ns=8) == [FIRST], "as it stood then"
        assert said.history("e1", "settlement-1") == [FIRST, second]
        assert said.stamp() == 3
        assert len(catalog.audit.lines()) == 3

    def test_of_two_who_say_something_one_is_told(self, catalog: Catalog) -> None:
        def add(author: str) -> bool:
            try:
                catalog.settlements.append(replace(FIRST, author=author), replace(TOLD, who=author))
            except StoreConflict:
                return False
            return True

        with ThreadPoolExecutor(4) as people:
            assert sum(people.map(add, ["Lan", "Minh", "Hoa", "Quân"])) == 1
        (kept,) = catalog.settlements.current("e1")
        (line,) = catalog.audit.lines()
        assert line.who == kept.author, "what was refused is not told"
