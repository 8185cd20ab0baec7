"""Retention: what goes was seen on the list, what is held or shared stays, a kill is completed later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.catalog.catalog import open_catalog
from flycam.catalog.flights import VideoSegment
from flycam.catalog.retention import PurgeRecord, UploadedFile
from flycam.errors import DueListChanged, InputUnusable, NotFound, OptionUnusable, OriginalPurged
from flycam.model.access import PurgeStep, RetainedKind
from flycam.model.flight import Event, EventKind, FlightState
from flycam.model.records import FrameRecord, FrameStatus, MarkVersion
from flycam.operations import retention
from flycam.operations.retention import (
    RetentionClaim,
    RetentionRules,
    complete_purge,
    confirm_purge,
    is_retained,
    lift_purge,
    list_due_originals,
    place_hold,
    release_hold,
    reset_event_term,
    select_due,
    set_retention_term,
)
from flycam.originals import find_flight_purged, find_purged, store_original_bytes
from flycam.storage import keys
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace
from tests.suites.board_suite import LINE, mark_told
from tests.suites.catalog_suite import flight, frame, withdrawal

DAY_NS = 86_400 * 10**9
ENDED_NS = flight().last_ns
PHOTO, VIDEO = RetainedKind.PHOTO, RetainedKind.VIDEO


@dataclass
class Clock:
    now_ns: int = ENDED_NS

    def __call__(self) -> int:
        return self.now_ns

    def after(self, days: float) -> None:
        """So many days after the flights' end."""
        self.now_ns = ENDED_NS + int(days * DAY_NS)


def sha_of(record: FrameRecord) -> str:
    return record.header.provenance.source_sha256


def key_of(number: int) -> str:
    return keys.format_original_key(sha_of(frame(number)))


def make(root: Path, clock: Clock, box: str = "box-1") -> Workspace:
    return Workspace(
        store=LocalStore(root / "store"),
        catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}"),
        box=box,
        cache_dir=root / "cache",
        clock_ns=clock,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(tmp_path: Path, clock: Clock) -> Iterator[Workspace]:
    """Two flights of one event, ready: photos 1 to 3 and 4 to 6, all in the store."""
    workspace = make(tmp_path, clock)
    flights = workspace.catalog.flights
    flights.put_event(Event(event_id="yagi", name="Yagi", kind=EventKind.STORM, is_drill=False))
    for flight_id, name, numbers in (("f1", "sáng", (1, 2, 3)), ("f2", "chiều", (4, 5, 6))):
        flights.put_flight(flight(flight_id, name, state=FlightState.READY))
        workspace.catalog.frames.put([frame(number, flight_id) for number in numbers])
        for number in numbers:
            workspace.store.put(key_of(number), f"photo {number}".encode(), durable=True)
    yield workspace
    workspace.store.close()
    workspace.catalog.close()


def here(workspace: Workspace) -> set[int]:
    return {number for number in range(1, 7) if workspace.store.exists(key_of(number))}


def named(workspace: Workspace) -> list[tuple[str, str]]:
    """(kind, flight or name) of what is due."""
    return sorted(
        {
            (one.claim.kind, one.claim.flight_id or one.claim.name)
            for one in list_due_originals(workspace).originals
        }
    )


def test_a_term_counts_whole_days_of_vietnam_from_the_flights_end(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(29.99)
    assert list_due_originals(workspace).originals == ()
    clock.after(30.0)  # the flights ended in the middle of a day: theirs is due when the next one begins
    assert list_due_originals(workspace).originals == ()
    clock.after(30.5)
    seen = list_due_originals(workspace)
    assert len(seen.originals) == 6 and {one.days for one in seen.originals} == {30}
    clock.now_ns += 3_600 * 10**9
    assert list_due_originals(workspace).digest == seen.digest, "one list a day"


def test_an_event_may_have_a_term_of_its_own(workspace: Workspace, clock: Clock) -> None:
    clock.after(40)
    set_retention_term(workspace, PHOTO, 30, "Lan")
    set_retention_term(workspace, PHOTO, 90, "Lan", "Yagi")
    assert named(workspace) == []
    set_retention_term(workspace, PHOTO, None, "Lan", "yagi")
    clock.after(400)
    assert named(workspace) == []
    reset_event_term(workspace, PHOTO, "yagi", "Lan")
    assert named(workspace) == [("photo", "f1"), ("photo", "f2")]
    with pytest.raises(NotFound):
        set_retention_term(workspace, PHOTO, 5, "Lan", "bão khác")
    for days in (0, -1, 36_501):
        with pytest.raises(OptionUnusable):
            set_retention_term(workspace, PHOTO, days, "Lan")
    assert [line.what for line in workspace.catalog.audit.lines()] == ["retention term"] * 4


def test_nothing_of_what_is_held_is_due(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    place_hold(workspace, "hold-00000001", "sáng", "vụ án", "Minh")
    assert named(workspace) == [("photo", "f2")]
    place_hold(workspace, "hold-00000002", "Yagi", "toà án", "Minh")
    assert named(workspace) == []
    again = place_hold(workspace, "hold-00000002", "Yagi", "toà án", "Lan")
    assert again.author == "Minh", "sent twice it is one hold"
    release_hold(workspace, "hold-00000002", "xong", "Lan")
    release_hold(workspace, "hold-00000001", "xong", "Lan")
    assert named(workspace) == [("photo", "f1"), ("photo", "f2")]
    with pytest.raises(InputUnusable, match="was released"):
        place_hold(workspace, "hold-00000001", "sáng", "vụ án", "Minh")
    with pytest.raises(NotFound):
        release_hold(workspace, "hold-00000001", "xong", "Lan")
    pasted = place_hold(workspace, "hold-00000003", "sáng", "Hồ sơ\u200b  vụ\u00ad 1\n", "Minh")
    assert pasted.reason == "Hồ sơ vụ 1", "what is seen of it"
    for bad in (
        ("hold-00000009", "sáng", "\u200b"),
        ("hold-x", "sáng", "vì"),
        ("hold-00000001", "chiều", "vì"),
    ):
        with pytest.raises(InputUnusable):
            place_hold(workspace, *bad, "Minh")


def test_a_flight_that_is_being_laid_has_not_ended(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    workspace.catalog.flights.put_flight(flight("f1", "sáng", state=FlightState.INGESTING))
    assert named(workspace) == [("photo", "f2")]


def test_what_was_withdrawn_is_due_too(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    workspace.catalog.frames.withdraw([withdrawal(1)])
    assert workspace.catalog.frames.get(frame(1).frame_id).status is FrameStatus.WITHDRAWN
    assert len([one for one in list_due_originals(workspace).originals if one.claim.flight_id == "f1"]) == 3


def test_what_is_confirmed_is_what_was_seen(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    seen = list_due_originals(workspace)
    place_hold(workspace, "hold-00000001", "chiều", "vụ án", "Minh")
    with pytest.raises(DueListChanged, match="nothing"):
        confirm_purge(workspace, seen.digest, "Hùng")
    assert here(workspace) == {1, 2, 3, 4, 5, 6} and workspace.catalog.retention.lines() == []
    done = confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    assert (done.confirmed, done.purge.originals, done.purge.waiting) == (3, 3, ())
    assert done.purge.size_bytes == 3 * len("photo 1")
    assert here(workspace) == {4, 5, 6}
    lines = workspace.catalog.retention.lines()
    assert {(one.author, one.box, one.kind, one.flight_id) for one in lines} == {
        ("Hùng", "box-1", PHOTO, "f1")
    }
    assert {one.name for one in lines} == {"DJI_0001.JPG", "DJI_0002.JPG", "DJI_0003.JPG"}
    assert find_flight_purged(workspace, "f1").keys() == {sha_of(frame(number)) for number in (1, 2, 3)}
    assert find_flight_purged(workspace, "f2") == {}
    said = [(line.who, line.what, line.subject) for line in workspace.catalog.audit.lines()][-3:]
    assert said == [
        ("Hùng", "retention confirm", done.digest),
        ("Hùng", "let go", "f1"),
        ("Hùng", "retention done", "box-1"),
    ]
    assert workspace.catalog.audit.verify() is None
    assert confirm_purge(workspace, done.digest, "Hùng").confirmed == 0, "once more changes nothing"
    assert list_due_originals(workspace).originals == ()


def test_a_hold_that_comes_while_the_list_is_confirmed_still_holds(
    workspace: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    seen = list_due_originals(workspace)

    def held_meanwhile(workspace: Workspace) -> object:
        listed = list_due_originals(workspace)
        place_hold(workspace, "hold-00000001", "sáng", "vụ án", "Minh")
        return listed

    monkeypatch.setattr(retention, "list_due_originals", held_meanwhile)
    with pytest.raises(DueListChanged):
        confirm_purge(workspace, seen.digest, "Hùng")
    assert here(workspace) == {1, 2, 3, 4, 5, 6} and workspace.catalog.retention.lines() == []


def test_evidence_that_another_flight_shares_stays(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    later = flight("f3", "tối", state=FlightState.READY, last_ns=ENDED_NS + 20 * DAY_NS)
    workspace.catalog.flights.put_flight(later)
    workspace.catalog.frames.put([frame(1, "f3")])
    assert sha_of(frame(1, "f3")) == sha_of(frame(1)), "the same bytes in two flights"
    confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    assert here(workspace) == {1}
    clock.after(60)
    assert named(workspace) == [("photo", "f1"), ("photo", "f3")]
    place_hold(workspace, "hold-00000001", "f1", "vụ án", "Minh")
    assert named(workspace) == []
    release_hold(workspace, "hold-00000001", "xong", "Minh")
    done = confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    assert (done.confirmed, done.purge.originals, done.purge.waiting) == (2, 1, ())
    assert here(workspace) == set() and find_flight_purged(workspace, "f3").keys() == {sha_of(frame(1))}


def test_terrain_and_layers_are_never_due_whoever_brought_their_bytes(
    workspace: Workspace, clock: Clock
) -> None:
    claims = [
        RetentionClaim(kind=PHOTO, sha256="a" * 64, flight_id="f1"),
        RetentionClaim(kind=RetainedKind.UPLOAD, sha256="a" * 64, is_for_ever=True),
    ]
    rules = RetentionRules(terms={("", PHOTO): 1}, held_ids=(), purged={}, today_ns=DAY_NS * 9, box="box-1")
    assert select_due([claims[:1]], rules) and not select_due([claims], rules)


class Killed(BaseException):
    """As a kill -9: nothing of ours catches it."""


class Dying:
    """A store whose process is killed before or after its n-th deletion."""

    def __init__(self, store: ObjectStore, deletions: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, deletions, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def delete(self, key: str) -> None:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Killed
        self._store.delete(key)
        if self._left < 0:
            raise Killed


@pytest.mark.parametrize(("deletions", "after"), [(0, False), (3, True), (5, False)])
def test_killed_at_any_deletion_the_same_again_completes_it(
    workspace: Workspace, clock: Clock, deletions: int, after: bool
) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    digest = list_due_originals(workspace).digest
    with pytest.raises(Killed):
        confirm_purge(
            replace(workspace, store=Dying(workspace.store, deletions, after=after)), digest, "Hùng"
        )  # type: ignore[arg-type]
    left = here(workspace)
    assert len(left) == 6 - deletions - after
    gone = find_purged(workspace, [sha_of(frame(number)) for number in range(1, 7)])
    assert len(gone) == 6, "on record before the first byte goes: nobody is given it meanwhile"
    assert list_due_originals(workspace).begun == len(left) and list_due_originals(workspace).originals == ()
    done = confirm_purge(workspace, digest, "Hùng")
    assert (done.confirmed, done.purge.originals) == (0, len(left)) and here(workspace) == set()
    assert len(workspace.catalog.retention.lines()) == 6
    assert list_due_originals(workspace).begun == 0 and workspace.catalog.audit.verify() is None


def test_killed_before_it_is_on_record_nothing_is_let_go(
    workspace: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    seen = list_due_originals(workspace)

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("flycam.catalog.retention.write_entries", dies)
        confirm_purge(workspace, seen.digest, "Hùng")
    assert here(workspace) == {1, 2, 3, 4, 5, 6} and workspace.catalog.retention.lines() == []
    assert list_due_originals(workspace) == seen
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(retention, "complete_purge", dies)
        confirm_purge(workspace, seen.digest, "Hùng")
    assert here(workspace) == {1, 2, 3, 4, 5, 6} and list_due_originals(workspace).begun == 6
    assert complete_purge(workspace, "Hùng").originals == 6 and here(workspace) == set()


def test_what_was_confirmed_and_is_held_by_now_waits(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    digest = list_due_originals(workspace).digest
    with pytest.raises(Killed):
        confirm_purge(replace(workspace, store=Dying(workspace.store, 1, after=False)), digest, "Hùng")  # type: ignore[arg-type]
    place_hold(workspace, "hold-00000001", "sáng", "vụ án", "Minh")
    left = here(workspace) & {1, 2, 3}
    assert len(left) == 2
    done = confirm_purge(workspace, digest, "Hùng")
    assert done.purge.waiting == ("sáng",) and here(workspace) == left, "of the other flight nothing is here"
    release_hold(workspace, "hold-00000001", "xong", "Minh")
    assert confirm_purge(workspace, digest, "Hùng").purge.waiting == () and here(workspace) == set()


def test_a_flight_that_is_written_at_this_moment_waits(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    digest = list_due_originals(workspace).digest
    with workspace.catalog.flights.lock("finish-f1"):
        done = confirm_purge(workspace, digest, "Hùng")
    assert done.purge.waiting == ("sáng",) and here(workspace) == {1, 2, 3}
    assert confirm_purge(workspace, digest, "Hùng").purge.waiting == () and here(workspace) == set()


def test_copies_in_the_cache_go_with_it(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    copy = workspace.cache_dir / "evidence" / sha_of(frame(1)) / "DJI_0001.JPG"
    stages = workspace.cache_dir / "finish" / "f1" / "colour-1" / "overviews"
    for path in (copy, stages):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"photo 1")
    confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    assert not copy.exists() and not stages.exists()


def test_what_was_let_go_does_not_come_back_before_that_is_lifted(workspace: Workspace, clock: Clock) -> None:
    set_retention_term(workspace, PHOTO, 30, "Lan")
    clock.after(40)
    confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    with pytest.raises(OriginalPurged, match=r"DJI_0001\.JPG.*by Hùng"):
        store_original_bytes(workspace, b"photo 1", sha_of(frame(1)))
    assert here(workspace) == set()
    lifted = lift_purge(workspace, "sáng", "toà án hỏi", "Minh")
    assert {one.step for one in lifted} == {PurgeStep.LIFTED} and len(lifted) == 3
    store_original_bytes(workspace, b"photo 1", sha_of(frame(1)))
    assert here(workspace) == {1}
    with pytest.raises(NotFound):
        lift_purge(workspace, "sáng", "lại", "Minh")
    assert len(lift_purge(workspace, sha_of(frame(4)), "toà án hỏi", "Minh")) == 1
    assert named(workspace) == [("photo", "f1")], "its term is over all the same"
    assert confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng").purge.originals == 1
    with pytest.raises(OriginalPurged):
        store_original_bytes(workspace, b"photo 1", sha_of(frame(1)))


def test_what_another_box_let_go_is_due_here_and_waits_to_be_confirmed(
    workspace: Workspace, clock: Clock
) -> None:
    line = PurgeRecord(
        act_id="there",
        step=PurgeStep.PURGED,
        kind=PHOTO,
        sha256=sha_of(frame(1)),
        flight_id="f1",
        name="DJI_0001.JPG",
        list_digest="d",
        author="Hùng",
        box="box-2",
        at_ns=ENDED_NS,
    )
    workspace.catalog.retention.learn([line])
    (due,) = list_due_originals(workspace).originals
    assert (due.ordered_by, due.days, due.claim.sha256) == ("box-2", None, sha_of(frame(1)))
    assert find_flight_purged(workspace, "f1") == {}, "its bytes are here"
    place_hold(workspace, "hold-00000001", "sáng", "vụ án", "Minh")
    assert list_due_originals(workspace).originals == ()
    release_hold(workspace, "hold-00000001", "xong", "Minh")
    confirm_purge(workspace, list_due_originals(workspace).digest, "Lan")
    assert (
        here(workspace) == {2, 3, 4, 5, 6}
        and find_flight_purged(workspace, "f1")[sha_of(frame(1))].box == "box-1"
    )


def test_video_goes_by_its_own_term_and_room_is_not_made_of_what_is_held(
    workspace: Workspace, clock: Clock
) -> None:
    pieces = [
        VideoSegment(
            sha256=f"{number:064}",
            flight_id=flight_id,
            began_ns=ENDED_NS - 10**9 * (9 - number),
            seconds=1.0,
            pictures=30,
            size_bytes=100,
            codec="avc1.640028",
        )
        for number, flight_id in enumerate(("f1", "f2", "nobody"))
    ]
    for one in pieces:
        workspace.store.put(keys.format_recording_key(one.sha256), b"film", durable=True)
        workspace.catalog.recordings.put(one)
    place_hold(workspace, "hold-00000001", "sáng", "vụ án", "Minh")
    held = workspace.catalog.retention.held_flights()
    assert workspace.catalog.recordings.list_excess(0, exclude=held) == pieces[1:]
    set_retention_term(workspace, VIDEO, 7, "Lan")
    clock.after(9)
    assert named(workspace) == [("video", "f2"), ("video", "nobody")]
    confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    assert [workspace.store.exists(keys.format_recording_key(one.sha256)) for one in pieces] == [
        True,
        False,
        False,
    ]
    assert [one.let_go_ns for one in workspace.catalog.recordings.list_for_flight("f2")] == [clock.now_ns]
    assert here(workspace) == {1, 2, 3, 4, 5, 6}


def test_a_marks_photo_counts_from_its_last_line(workspace: Workspace, clock: Clock) -> None:
    sha256 = "e" * 64
    workspace.store.put(keys.format_original_key(sha256), b"mark", durable=True)
    first: MarkVersion = replace(LINE, event_id="yagi", photo_sha256=sha256, at_ns=ENDED_NS, version=1)
    for line in (first, replace(first, version=2, at_ns=ENDED_NS + 5 * DAY_NS)):
        workspace.catalog.marks.append(line, mark_told(line))
    set_retention_term(workspace, RetainedKind.MARK_PHOTO, 10, "Lan", "yagi")
    clock.after(14)
    assert named(workspace) == []
    clock.after(16)
    assert [kind for kind, _ in named(workspace)] == ["mark_photo"]
    confirm_purge(workspace, list_due_originals(workspace).digest, "Hùng")
    assert not workspace.store.exists(keys.format_original_key(sha256))
    assert len(workspace.catalog.marks.history(first.mark_id)) == 2


def test_what_an_upload_brought_has_a_term_where_no_flight_has_it(workspace: Workspace, clock: Clock) -> None:
    film = "f" * 64
    workspace.store.put(keys.format_original_key(film), b"film", durable=True)
    for sha256, name in ((film, "DJI_0009.MP4"), (sha_of(frame(1)), "DJI_0001.JPG")):
        uploaded = UploadedFile(sha256=sha256, name=name, event_id="yagi", came_ns=ENDED_NS)
        workspace.catalog.retention.note_uploaded(uploaded)
    set_retention_term(workspace, RetainedKind.UPLOAD, 10, "Lan")
    clock.after(12)
    assert named(workspace) == [("upload", "DJI_0009.MP4")]
    place_hold(workspace, "hold-00000001", "yagi", "vụ án", "Minh")
    assert named(workspace) == []


claims = st.builds(
    RetentionClaim,
    kind=st.sampled_from([PHOTO, VIDEO]),
    sha256=st.just("a" * 64),
    flight_id=st.sampled_from(["f1", "f2", "f3"]),
    event_id=st.sampled_from(["e1", "e2", ""]),
    ended_ns=st.integers(0, 20).map(lambda day: day * DAY_NS),
    is_for_ever=st.booleans(),
)
terms = st.dictionaries(
    st.tuples(st.sampled_from(["", "e1", "e2"]), st.sampled_from([PHOTO, VIDEO])),
    st.none() | st.integers(1, 20),
)


@given(
    st.lists(claims, min_size=1, max_size=3),
    terms,
    st.sets(st.sampled_from(["f1", "f2", "e1"])),
    st.integers(0, 40),
)
def test_held_or_shared_with_what_is_not_due_nothing_is_due(
    some: list[RetentionClaim], days: dict[tuple[str, RetainedKind], int | None], held: set[str], today: int
) -> None:
    rules = RetentionRules(terms=days, held_ids=held, purged={}, today_ns=today * DAY_NS, box="box-1")
    due = select_due([some], rules)
    assert len(due) in (0, len(some)), "an original goes with all that claim it, or stays"
    if any(is_retained(one, held) for one in some):
        assert not due
    for one in due:
        of_event, of_house = (one.claim.event_id, one.claim.kind), ("", one.claim.kind)
        term = days[of_event] if of_event in days else days.get(of_house)
        assert term is not None and one.claim.ended_ns + term * DAY_NS <= today * DAY_NS
    if not due and not any(is_retained(one, held) for one in some):
        assert any(rules.due(one) is None for one in some)
    later = select_due([some], replace(rules, today_ns=(today + 1) * DAY_NS))
    assert {one.claim for one in due} <= {one.claim for one in later}, "what is due stays so"
