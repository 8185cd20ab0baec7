"""The contract of a meeting's places: the last list is the list, and of two who change it one is told.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from flycam.catalog.board import BriefingPlace, BriefingVersion
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.errors import StoreConflict
from flycam.model.records import AuditEntry

BRIDGE = BriefingPlace(
    name="Cầu sập “Nậm Lúc”", view={"map": "17/21.9/104.8", "asof": ""}, bounds=(104.8, 21.9, 104.81, 21.91)
)
SCHOOL = BriefingPlace(name="Trường học", view={"cmp": "a/b"}, bounds=(104.5, 21.5, 104.51, 21.52))
FIRST = BriefingVersion(event_id="e1", version=1, places=[BRIDGE, SCHOOL], author="Lan", at_ns=5)
TOLD = AuditEntry(who="Lan", what="places", subject="e1", detail="version 1: 2 places", at_ns=5)


class BriefingSuite:
    """Inherited by the test class of each kind of database."""

    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as opened:
            yield opened

    def test_the_last_list_of_each_event_is_its_list(self, catalog: Catalog) -> None:
        assert catalog.briefings.last("e1") is None
        catalog.briefings.append(FIRST, TOLD)
        other = replace(FIRST, event_id="e2", places=[])
        catalog.briefings.append(other, TOLD)
        second = replace(FIRST, version=2, places=[SCHOOL, BRIDGE], author="Minh", at_ns=9)
        catalog.briefings.append(second, TOLD)
        assert catalog.briefings.last("e1") == second
        assert catalog.briefings.last("e2") == other

    def test_of_two_who_change_it_one_is_told(self, catalog: Catalog) -> None:
        def add(author: str) -> bool:
            try:
                catalog.briefings.append(replace(FIRST, author=author), replace(TOLD, who=author))
            except StoreConflict:
                return False
            return True

        with ThreadPoolExecutor(4) as people:
            assert sum(people.map(add, ["Lan", "Minh", "Hoa", "Quân"])) == 1
        kept = catalog.briefings.last("e1")
        assert kept is not None
        (line,) = catalog.audit.lines()
        assert (line.who, line.what) == (kept.author, "places"), "what was refused is not told"
