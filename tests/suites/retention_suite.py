"""The contract of retention in the catalogue: lines only grow, what is held is not let go, all is audited.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import pytest

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.retention import (
    DEFAULT_SUBJECT,
    HoldRecord,
    PurgeRecord,
    RetentionTerm,
    UploadedFile,
    select_active_holds,
    select_active_purges,
)
from flycam.errors import DueListChanged
from flycam.model.access import HoldStep, PurgeStep, RetainedKind
from flycam.model.flight import Event, EventKind
from flycam.model.records import AuditEntry
from tests.suites.catalog_suite import flight, frame

TERM = RetentionTerm(subject=DEFAULT_SUBJECT, kind=RetainedKind.PHOTO, days=30, author="Lan", at_ns=5)
HELD = HoldRecord(
    hold_id="hold-00000001", step=HoldStep.HELD, subject="f1", reason="vụ án", author="Lan", at_ns=7
)
RELEASED = replace(HELD, step=HoldStep.RELEASED, reason="xong", author="Minh", at_ns=9)
GONE = PurgeRecord(
    act_id="act-1",
    step=PurgeStep.PURGED,
    kind=RetainedKind.PHOTO,
    sha256="a" * 64,
    flight_id="f1",
    name="DJI_0001.JPG",
    list_digest="d" * 24,
    author="Lan",
    box="box-1",
    at_ns=11,
)
LIFTED = replace(GONE, step=PurgeStep.LIFTED, reason="toà án hỏi", author="Minh", at_ns=13)
AGAIN = replace(GONE, act_id="act-2", at_ns=17)
TOLD = AuditEntry(who="Lan", what="retention", subject="f1", detail="said", at_ns=5)


class RetentionSuite:
    """Inherited by the test class of each kind of database."""

    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as opened:
            opened.flights.put_event(Event(event_id="yagi", name="Bão", kind=EventKind.STORM, is_drill=False))
            opened.flights.put_flight(flight())
            opened.flights.put_flight(flight("f2", "Bản Lầu chiều"))
            yield opened

    def test_a_term_stands_in_place_of_the_one_before_and_every_word_is_audited(
        self, catalog: Catalog
    ) -> None:
        retention = catalog.retention
        assert retention.terms() == []
        retention.put_term(TERM, TOLD)
        longer = replace(TERM, days=None, at_ns=6)
        of_event = replace(TERM, subject="yagi", kind=RetainedKind.VIDEO, days=7)
        retention.put_term(longer, TOLD)
        retention.put_term(of_event, TOLD)
        assert retention.terms() == [longer, of_event]
        retention.remove_term("yagi", RetainedKind.VIDEO, TOLD)
        retention.remove_term("yagi", RetainedKind.VIDEO, TOLD)
        assert retention.terms() == [longer]
        assert len(catalog.audit.lines()) == 5

    def test_in_whatever_order_lines_come_the_same_is_held_and_let_go(self, catalog: Catalog) -> None:
        retention = catalog.retention
        lines = [HELD, RELEASED, replace(HELD, hold_id="hold-00000002", subject="yagi")]
        for number, order in enumerate(permutations(lines)):
            renamed = [replace(one, hold_id=f"{one.hold_id}{number}") for one in order]
            for one in renamed:
                assert retention.add_holds([one], [TOLD]) == [one]
                assert retention.add_holds([one], [TOLD]) == []
            held = select_active_holds(retention.holds())
            assert [one.hold_id for one in held if one in renamed] == [f"hold-00000002{number}"]
        assert len(catalog.audit.lines()) == len(lines) * 6, "once for each line that is new"
        for number, some in enumerate(permutations([GONE, LIFTED, AGAIN])):
            sha256 = f"{number:064}"
            mine = [replace(one, sha256=sha256) for one in some]
            for one in mine:
                assert retention.learn([one], [TOLD]) == [one]
            assert retention.learn(mine, [TOLD]) == []
            assert select_active_purges(retention.list_for_originals([sha256])) == {
                sha256: [replace(AGAIN, sha256=sha256)]
            }

    def test_what_was_written_is_read_as_it_was(self, catalog: Catalog) -> None:
        retention = catalog.retention
        other = replace(AGAIN, flight_id="f2", sha256="b" * 64, kind=RetainedKind.VIDEO)
        assert retention.learn([GONE, other]) == [GONE, other]
        assert retention.lines() == [GONE, other]
        assert (
            retention.list_for_flight("f2") == [other] == retention.list_for_originals(["b" * 64, "c" * 64])
        )
        assert retention.learn([]) == [] == retention.add_holds([])
        retention.add_holds([HELD, replace(HELD, subject="yagi")])
        assert retention.holds(["yagi"]) == [replace(HELD, subject="yagi")]
        assert GONE.line_id == replace(GONE, flight_id="elsewhere").line_id

    def test_what_is_held_by_then_is_not_let_go_nor_said_to_be(self, catalog: Catalog) -> None:
        retention = catalog.retention
        retention.add_holds([HELD])
        with pytest.raises(DueListChanged):
            retention.record_purges([GONE], {"f1", "yagi"}, [TOLD])
        assert retention.lines() == [] == catalog.audit.lines()
        retention.add_holds([RELEASED])
        retention.record_purges([GONE, AGAIN], {"f1", "yagi"}, [TOLD, TOLD])
        assert retention.lines() == [GONE, AGAIN] and len(catalog.audit.lines()) == 2

    def test_a_held_event_holds_its_flights(self, catalog: Catalog) -> None:
        retention = catalog.retention
        assert retention.held_flights() == frozenset()
        retention.add_holds([HELD])
        assert retention.held_flights() == {"f1"}
        retention.add_holds([replace(HELD, hold_id="hold-2", subject="yagi"), RELEASED])
        assert retention.held_flights() == {"yagi", "f1", "f2"}

    def test_every_frame_names_its_original(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1), frame(2, "f2")])
        of = {one.frame_id: one.header.provenance for one in (frame(1), frame(2, "f2"))}
        expected = {
            (flight_id, one.source_sha256, one.source_name)
            for flight_id, one in zip(("f1", "f2"), of.values(), strict=True)
        }
        assert set(catalog.retention.photos()) == expected
        assert all(catalog.retention.has_original(one.source_sha256) for one in of.values())
        assert not catalog.retention.has_original("a" * 64)

    def test_of_what_an_upload_brought_the_first_time_counts(self, catalog: Catalog) -> None:
        first = UploadedFile(sha256="a" * 64, name="DJI_0001.MP4", event_id="yagi", came_ns=5)
        catalog.retention.note_uploaded(first)
        catalog.retention.note_uploaded(replace(first, came_ns=9))
        assert catalog.retention.list_uploaded() == [first]
