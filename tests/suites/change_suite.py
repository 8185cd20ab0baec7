"""The contract of changes under review: a step is whole or not at all, and no line is lost.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import shapely

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.changes import ChangeVersion
from flycam.errors import NotFound, StoreConflict
from flycam.model.board import ChangeAction, ChangeKind, ChangeStatus
from flycam.model.records import AuditEntry

FOUND = ChangeVersion(
    change_id="change-00000001",
    version=1,
    step_id="found-1",
    event_id="e1",
    action=ChangeAction.FOUND,
    status=ChangeStatus.PROPOSED,
    kind=ChangeKind.LANDSLIDE,
    score=0.7,
    area_m2=1200.5,
    length_m=60.0,
    slope_deg=25.0,
    commune="02647",
    tie_m=12.0,
    rmse_m=0.2,
    before_shown="m1@2",
    after_shown="m2@1",
    origins=(),
    note="",
    author="Lan",
    at_ns=5,
    wkb=shapely.to_wkb(shapely.MultiPolygon([shapely.box(104.8, 21.9, 104.81, 21.91)])),
    bounds_lonlat_deg=(104.8, 21.9, 104.81, 21.91),
)


TOLD = AuditEntry(who="Lan", what="change", subject="change-00000001", detail="đã xem", at_ns=6)


def decided(line: ChangeVersion, status: ChangeStatus, **more: object) -> ChangeVersion:
    said = {"step_id": "step-1", "action": ChangeAction.ACCEPT, "at_ns": line.at_ns + 1, **more}
    return replace(line, version=line.version + 1, status=status, **said)  # type: ignore[arg-type]


class ChangeSuite:
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as one:
            yield one

    def test_a_change_is_its_last_line_and_no_line_is_lost(self, catalog: Catalog) -> None:
        second = decided(
            FOUND, ChangeStatus.ACCEPTED, author="Minh", origins=("change-0000000a",), slope_deg=31.0
        )
        catalog.changes.append([FOUND])
        catalog.changes.append([second])
        assert catalog.changes.history(FOUND.change_id) == [FOUND, second]
        assert catalog.changes.current() == [second]
        assert catalog.changes.step("step-1") == [second]
        assert catalog.changes.step("step-9") == []
        assert catalog.changes.stamp() == 2
        with pytest.raises(NotFound):
            catalog.changes.history("change-00000009")

    def test_the_last_step_is_its_authors_in_the_event_with_all_its_lines(self, catalog: Catalog) -> None:
        other, elsewhere = (replace(FOUND, change_id=f"change-0000000{n}", event_id=f"e{n}") for n in (2, 3))
        other = replace(other, event_id=FOUND.event_id)
        catalog.changes.append([FOUND, other, elsewhere])
        first = decided(FOUND, ChangeStatus.ACCEPTED, author="Minh", step_id="step-9", at_ns=5)
        both = [decided(one, ChangeStatus.REJECTED, author="Minh", at_ns=6) for one in (first, other)]
        catalog.changes.append([first])
        catalog.changes.append(both)
        catalog.changes.append(
            [decided(elsewhere, ChangeStatus.ACCEPTED, author="Minh", step_id="s", at_ns=7)]
        )
        assert catalog.changes.last_step("e1", "Minh") == both
        assert catalog.changes.last_step("e1", FOUND.author) == [], "who had it looked for decided nothing"

    def test_a_step_on_several_is_whole_or_not_at_all(self, catalog: Catalog) -> None:
        other = replace(FOUND, change_id="change-00000002")
        catalog.changes.append([FOUND, other])
        catalog.changes.append([decided(other, ChangeStatus.REJECTED)])
        with pytest.raises(StoreConflict) as failure:
            catalog.changes.append([decided(one, ChangeStatus.REPLACED) for one in (FOUND, other)])
        assert failure.value.message.in_language("vi") != str(failure.value)
        assert catalog.changes.history(FOUND.change_id) == [FOUND]

    def test_what_is_written_is_told_in_the_audit_log_and_nothing_else_is(self, catalog: Catalog) -> None:
        catalog.audit.append("Minh", "login", "", at_ns=1)
        catalog.changes.append([FOUND], [TOLD, replace(TOLD, detail="hai dòng")])
        with pytest.raises(StoreConflict):
            catalog.changes.append([FOUND], [replace(TOLD, detail="không ghi được")])
        other = replace(FOUND, change_id="change-00000002")
        for _ in range(2):
            catalog.changes.add_new([FOUND, other], lambda count: replace(TOLD, detail=f"{count} mới"))
        told = [(one.seq, one.detail) for one in catalog.audit.lines()]
        assert told == [(1, ""), (2, "đã xem"), (3, "hai dòng"), (4, "1 mới")]
        assert catalog.audit.verify() is None

    def test_two_who_decide_on_the_same_line_do_not_overwrite_each_other(self, catalog: Catalog) -> None:
        catalog.changes.append([FOUND])

        def decide(author: str) -> bool:
            try:
                catalog.changes.append([decided(FOUND, ChangeStatus.ACCEPTED, author=author)])
            except StoreConflict:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(decide, ["Lan", "Minh", "Hoa", "Bưởi"]))
        assert sum(done) == 1
        assert len(catalog.changes.history(FOUND.change_id)) == 2

    def test_what_was_found_before_is_not_found_anew(self, catalog: Catalog) -> None:
        other = replace(FOUND, change_id="change-00000002")
        assert catalog.changes.add_new([FOUND]) == 1
        rejected = decided(FOUND, ChangeStatus.REJECTED)
        catalog.changes.append([rejected])
        assert catalog.changes.add_new([replace(FOUND, author="Minh"), other, other]) == 1
        assert catalog.changes.history(FOUND.change_id) == [FOUND, rejected]
        assert catalog.changes.add_new([]) == 0

    def test_what_takes_the_place_of_another_is_written_with_it_or_not_at_all(self, catalog: Catalog) -> None:
        catalog.changes.add_new([FOUND])
        heir = replace(FOUND, change_id="change-00000002", origins=(FOUND.change_id,))
        gone = decided(FOUND, ChangeStatus.REPLACED, action=ChangeAction.FOUND)
        catalog.changes.append([decided(FOUND, ChangeStatus.ACCEPTED)])
        with pytest.raises(StoreConflict):
            catalog.changes.add_new(
                [heir], lambda _count: TOLD, replaced=[gone], replaced_audit_entries=[TOLD]
            )
        assert [one.change_id for one in catalog.changes.current()] == [FOUND.change_id]
        assert [one.what for one in catalog.audit.lines()] == []
        behind = replace(gone, version=3)
        told = replace(TOLD, detail="thay")
        assert (
            catalog.changes.add_new(
                [heir], lambda _count: TOLD, replaced=[behind], replaced_audit_entries=[told]
            )
            == 1
        )
        assert catalog.changes.history(FOUND.change_id)[-1] == behind
        assert [one.detail for one in catalog.audit.lines()] == ["đã xem", "thay"]

    def test_changes_are_of_an_event_a_place_and_a_status_the_likeliest_first(self, catalog: Catalog) -> None:
        drill = replace(FOUND, change_id="change-00000002", event_id="e2")
        likelier = replace(FOUND, change_id="change-00000003", score=0.9)
        drawn = replace(FOUND, change_id="change-00000004", score=None, status=ChangeStatus.ACCEPTED)
        catalog.changes.append([FOUND, drill, likelier, drawn])
        current = catalog.changes.current
        assert current("e1") == [drawn, likelier, FOUND]
        assert current("e1", statuses=[ChangeStatus.ACCEPTED]) == [drawn]
        assert current("e1", (10.0, 10.0, 11.0, 11.0)) == []
        assert current("e2") == [drill]
        assert catalog.changes.events() == {"e1", "e2"}

    def test_changes_are_told_as_they_stood_at_an_earlier_time(self, catalog: Catalog) -> None:
        accepted = decided(FOUND, ChangeStatus.ACCEPTED, at_ns=8)
        catalog.changes.append([FOUND, accepted])
        told = {until_ns: catalog.changes.current("e1", until_ns=until_ns) for until_ns in (4, 5, 7, 8)}
        assert told == {4: [], 5: [FOUND], 7: [FOUND], 8: [accepted]}
