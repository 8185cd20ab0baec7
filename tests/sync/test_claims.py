"""The table of claims, row by row: what the maker says holds, what another box says does not.

Every kind of claim of `CLAIMS` is said here by four: the box that brought the flight, another by a line,
another on a stick, and another that somebody allowed. A new kind fails the test until it is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.flights import to_placement
from flycam.catalog.peers import ClaimKind
from flycam.catalog.retention import HoldRecord, select_active_holds, select_active_purges
from flycam.errors import SourceUnreadable
from flycam.model.access import HoldStep, PurgeStep
from flycam.model.flight import Classification
from flycam.model.records import Withdrawal
from flycam.sync.authority import allow_peer
from flycam.sync.claims import CLAIMS, format_claims_table
from flycam.sync.exchange import compress, encode_json, to_values
from flycam.sync.node_keys import get_own_key, require_node_key
from flycam.sync.records import FlightRecords
from flycam.sync.revocation import list_revocable, revoke_claims
from flycam.sync.step_planner import build_records_item
from tests.attack.doctored import make_offer, read_records, send_by_line, send_by_stick
from tests.sync.boxes import WAYS, Box, masked, new_box, record
from tests.sync.test_hostile_peer import make_tile_objects, project
from tests.sync.test_retention import line

ROOT = Path(__file__).resolve().parents[2]
_HELD = HoldRecord(hold_id="hold-00000009", step=HoldStep.HELD, subject="f1", reason="x", author="x", at_ns=1)
_MADE_HERE = replace(_HELD, hold_id="hold-here")
_PURGED = line(0, "province")

Say = Callable[[FlightRecords, str], FlightRecords]
Holds = Callable[[Box], bool]


def _place(said: FlightRecords, _box: str) -> FlightRecords:
    frame = record(0, WAYS[1])
    assert frame.exterior is not None
    placement = replace(to_placement(frame), version=5, exterior=replace(frame.exterior, version=5))
    return replace(said, placements=(replace(placement, placed_ns=1, authority="x"),))


def _withdraw(said: FlightRecords, _box: str) -> FlightRecords:
    gone = Withdrawal(frame_id=record(0).frame_id, flight_id="f1", reason="x", authority="x", withdrawn_ns=1)
    return replace(said, withdrawals=(gone,))


SAID: dict[ClaimKind, tuple[Say, Holds]] = {
    ClaimKind.FLIGHT: (
        lambda said, _: replace(said, flight=replace(said.flight, gsd_m=1e-6)),
        lambda box: box.catalog.flights.flight("f1").gsd_m == 1e-6,
    ),
    ClaimKind.FRAME: (
        lambda said, _: replace(said, frames=(*said.frames, record(5))),
        lambda box: record(5).frame_id in box.catalog.frames.find_flights([record(5).frame_id]),
    ),
    ClaimKind.PLACEMENT: (
        _place,
        lambda box: box.catalog.frames.get(record(0).frame_id).dem_id == WAYS[1],
    ),
    ClaimKind.WITHDRAWAL: (_withdraw, lambda box: bool(box.catalog.frames.withdrawals())),
    ClaimKind.CLASSIFICATION: (
        lambda said, _: replace(said, classification=Classification.RESTRICTED),
        lambda box: box.catalog.restrictions.level("f1") is Classification.RESTRICTED,
    ),
    ClaimKind.MASK: (
        lambda said, _: replace(said, redactions=(masked(0),)),
        lambda box: bool(box.catalog.redactions.lines()),
    ),
    ClaimKind.HOLD: (
        lambda said, _: replace(said, holds=(_HELD,)),
        lambda box: len(select_active_holds(box.catalog.retention.holds())) == 2,
    ),
    ClaimKind.RELEASE: (
        lambda said, _: replace(said, holds=(_HELD, replace(_HELD, step=HoldStep.RELEASED, at_ns=2))),
        lambda box: len(box.catalog.retention.holds()) == 3,
    ),
    ClaimKind.PURGE: (
        lambda said, box: replace(said, purges=(line(1, box),)),
        lambda box: len(select_active_purges(box.catalog.retention.lines())) == 2,
    ),
    ClaimKind.LIFT: (
        lambda said, box: replace(said, purges=(line(1, box), line(1, box, PurgeStep.LIFTED))),
        lambda box: len(box.catalog.retention.lines()) == 3,
    ),
}


def _fly(folder: Path) -> tuple[Box, Box, Box]:
    """A flight that `field` brought to a province, which holds and let go of it, and another box."""
    field, other = new_box(folder, "field"), new_box(folder, "other")
    province = new_box(folder, "province", is_wary=True)
    field.lay({0, 1})
    province.read(field.write(folder))
    require_node_key(province.workspace, "other", get_own_key(other.workspace), folder)
    province.catalog.retention.add_holds([_MADE_HERE])
    province.catalog.retention.learn([_PURGED])
    return field, other, province


@pytest.mark.parametrize("kind", SAID)
def test_who_brought_a_flight_speaks_for_it(tmp_path: Path, kind: ClaimKind) -> None:
    field, _, province = _fly(tmp_path)
    say, holds = SAID[kind]
    said = say(read_records(field.workspace, "f1"), "field")
    assert not holds(province)
    send_by_line(province.workspace, make_offer("field", [said]), tmp_path, "box-1", province)
    assert holds(province)
    kinds = {one.kind for one in province.catalog.peers.list_claims(node="field", flight_id="f1")}
    assert kinds >= ({kind} - {ClaimKind.RELEASE})


@pytest.mark.parametrize("way", ["line", "stick"])
@pytest.mark.parametrize("kind", SAID)
def test_another_box_does_not_until_somebody_allows_it(tmp_path: Path, kind: ClaimKind, way: str) -> None:
    field, other, province = _fly(tmp_path)
    say, holds = SAID[kind]
    said = make_offer("other", [say(read_records(field.workspace, "f1"), "other")])

    def send() -> None:
        if way == "line":
            send_by_line(province.workspace, said, tmp_path, "box-2", province)
        else:
            send_by_stick(province.workspace, said, tmp_path, other.workspace, province)

    before = project(province)
    send()
    assert project(province) == before and not holds(province)
    lines = [one.what for one in province.catalog.audit.lines()]
    waiting = [one.node for one in province.catalog.peers.requests()]
    is_asked = kind is not ClaimKind.FLIGHT
    assert (waiting, lines.count("peer refused")) == ((["other"], 1) if is_asked else ([], 0))
    allow_peer(province.workspace, "other", "f1", "Hoa")
    assert province.catalog.peers.requests() == []
    send()
    assert holds(province)


@pytest.mark.parametrize(
    ("kind", "say"),
    [
        (
            ClaimKind.RELEASE,
            lambda said: replace(said, holds=(replace(_MADE_HERE, step=HoldStep.RELEASED, at_ns=2),)),
        ),
        (
            ClaimKind.LIFT,
            lambda said: replace(said, purges=(line(0, "province", PurgeStep.LIFTED),)),
        ),
        (ClaimKind.PURGE, lambda said: replace(said, purges=(line(1, "other"),))),
    ],
)
def test_what_was_made_here_no_box_undoes_nor_speaks_in_anothers_name(
    tmp_path: Path, kind: ClaimKind, say: Callable[[FlightRecords], FlightRecords]
) -> None:
    field, _, province = _fly(tmp_path)
    before = project(province)
    said = say(read_records(field.workspace, "f1"))
    send_by_line(province.workspace, make_offer("field", [said]), tmp_path, "box-1", province)
    assert project(province) == before
    (refused,) = province.catalog.peers.requests()
    assert refused.claims == {kind.value: 1}


def test_a_placement_made_here_outranks_a_boxs_of_any_version(tmp_path: Path) -> None:
    field, _, province = _fly(tmp_path)
    here = province.catalog.frames.get(record(0).frame_id)
    (own,) = province.catalog.placements.supersede([here], "đặt lại", "Lan", 1)
    said = _place(read_records(field.workspace, "f1"), "field")
    said = replace(said, placements=tuple(replace(one, version=1 << 40) for one in said.placements))
    send_by_line(province.workspace, make_offer("field", [said]), tmp_path, "box-1", province)
    assert province.catalog.frames.get(own.frame_id) == own
    (refused,) = province.catalog.peers.requests()
    assert refused.claims == {"placement": 1}


def test_every_kind_of_claim_is_said_here_and_stands_in_the_table() -> None:
    stated = {one.kind for one in CLAIMS if one.kind is not None}
    assert stated == set(ClaimKind) == {*SAID, ClaimKind.TILES}


def test_the_table_is_the_one_of_the_documents() -> None:
    assert format_claims_table() in (ROOT / "docs/security.md").read_text(encoding="utf-8")


def test_a_tile_of_frames_that_no_record_names_refuses_its_step(tmp_path: Path) -> None:
    """And a step that is right but for that is refused whole: nothing of it is here."""
    _, other, province = _fly(tmp_path)
    other.lay({7, 8}, "f7")
    said = read_records(other.workspace, "f7")
    tiles, ranges = make_tile_objects(said.mosaics[0].mosaic_id, [(record(7).frame_id, record(0).frame_id)])
    before = project(province)
    with pytest.raises(SourceUnreadable) as refused:
        send_by_line(
            province.workspace, make_offer("other", [said], tiles, ranges), tmp_path, "box-2", province
        )
    assert record(0).frame_id in str(refused.value)
    assert project(province) == before
    assert {one.flight_id for one in province.catalog.flights.flights()} == {"f1"}


def test_a_flight_told_twice_once_unreadably_is_checked_all_the_same(tmp_path: Path) -> None:
    """The fault: tiles of no log line passed, since one of its two records did not read."""
    _, other, province = _fly(tmp_path)
    other.lay({7}, "f7")
    said = read_records(other.workspace, "f7")
    tiles, _ = make_tile_objects(said.mosaics[0].mosaic_id, [(record(7).frame_id,)])
    broken = {**to_values(said), "withdrawals": [{}]}
    unreadable = build_records_item(compress(encode_json(broken)))
    with pytest.raises(SourceUnreadable):
        send_by_line(
            province.workspace, make_offer("other", [said], [unreadable, *tiles]), tmp_path, "b", province
        )
    assert {one.flight_id for one in province.catalog.flights.flights()} == {"f1"}
    taken = send_by_line(
        province.workspace, make_offer("other", [said], [unreadable]), tmp_path, "b", province
    )
    assert [one.flight_id for one in taken.conflicts] == ["f7"], "the rest lands, and this is said"


def test_a_box_whose_clock_is_in_2050_is_revoked_by_the_clock_here(tmp_path: Path) -> None:
    year_2050_ns = 2_524_608_000 * 10**9
    field = new_box(tmp_path, "field")
    province = new_box(tmp_path, "province", is_wary=True)
    late = replace(province, workspace=replace(province.workspace, clock_ns=lambda: 7))
    field.lay({0, 1})
    province.read(field.write(tmp_path))
    field.withdraw(0, at_ns=year_2050_ns)
    late.read(field.write(tmp_path))
    (gone,) = province.catalog.frames.withdrawals()
    assert gone.withdrawn_ns == year_2050_ns
    listed = list_revocable(late.workspace, "field", 7)
    assert (listed.claims, listed.flights) == ({"tiles": 1, "withdrawal": 1}, ("f1",))
    before = project(province)
    field.withdraw(1, at_ns=-1)
    later = replace(province, workspace=replace(province.workspace, clock_ns=lambda: 9))
    later.read(field.write(tmp_path))
    assert project(province) != before
    revoke_claims(replace(later.workspace, box="province"), "field", 8, "Hoa", later)
    after = project(province)
    assert {**after, "grants": 0} == {**before, "grants": 0}, "as it was, to the byte"
