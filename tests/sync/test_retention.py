"""Holds and letting go between boxes: in any order nothing comes back, nothing vanishes unconfirmed."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from flycam.catalog.retention import PurgeRecord, select_active_holds, select_active_purges
from flycam.model.access import HoldStep, PurgeStep, RetainedKind
from flycam.model.flight import FlightState
from flycam.operations.retention import confirm_purge, list_due_originals
from flycam.storage import keys
from flycam.sync.records import read_flight_records
from flycam.sync.step_planner import iterate_original_items
from tests.suites.catalog_suite import flight
from tests.suites.retention_suite import HELD
from tests.sync.boxes import EVENT, Box, new_box, record


def sha_of(number: int) -> str:
    return record(number).header.provenance.source_sha256


def line(number: int, box: str, step: PurgeStep = PurgeStep.PURGED, act: str = "act") -> PurgeRecord:
    return PurgeRecord(
        act_id=f"{act}-{box}",
        step=step,
        kind=RetainedKind.PHOTO,
        sha256=sha_of(number),
        flight_id="f1",
        name=f"{number}.jpg",
        list_digest="d",
        reason="" if step is PurgeStep.PURGED else "toà án hỏi",
        author="Hùng",
        box=box,
        at_ns=3,
    )


def has(box: Box, number: int) -> bool:
    return box.workspace.store.exists(keys.format_original_key(sha_of(number)))


def keeping(folder: Path, name: str, numbers: set[int], flight_id: str = "f1") -> Box:
    """A box that laid photos and has something under the names of their originals."""
    box = new_box(folder, name)
    box.lay(numbers, flight_id)
    for number in numbers:
        box.workspace.store.put(keys.format_original_key(sha_of(number)), f"photo {number}".encode())
    return box


def test_what_a_box_let_go_is_due_at_another_and_goes_when_it_is_confirmed_there(tmp_path: Path) -> None:
    field, province = keeping(tmp_path, "field", {1, 2}), keeping(tmp_path, "province", {1, 2})
    field.catalog.retention.record_purges([line(1, "field")], ["f1"], [])
    field.workspace.store.delete(keys.format_original_key(sha_of(1)))
    province.read(field.write(tmp_path))
    assert has(province, 1) and has(province, 2), "nothing vanishes by another box's word"
    seen = list_due_originals(province.workspace)
    assert [(one.claim.sha256, one.ordered_by) for one in seen.originals] == [(sha_of(1), "field")]
    assert [one.what for one in province.catalog.audit.lines()] == ["box key", "let go elsewhere"]
    assert confirm_purge(province.workspace, seen.digest, "Lan").purge.originals == 1
    assert not has(province, 1) and has(province, 2)
    before = field.tiles()
    field.read(province.write(tmp_path))
    assert field.tiles() == before and list_due_originals(field.workspace).originals == ()
    assert {one.box for one in field.catalog.retention.lines()} == {"field", "province"}


def test_lines_of_three_boxes_make_the_same_in_any_order_and_none_undoes_anothers(
    tmp_path: Path,
) -> None:
    boxes = []
    for name in ("a", "b", "c"):
        box = new_box(tmp_path, name)
        box.lay({1, 2})
        box.catalog.retention.learn([line(1, name)])
        box.catalog.retention.add_holds([replace(HELD, hold_id=f"hold-{name}")])
        boxes.append(box)
    boxes[2].catalog.retention.learn([line(1, "a", PurgeStep.LIFTED), line(2, "c")])
    boxes[1].catalog.retention.add_holds([replace(HELD, hold_id="hold-a", step=HoldStep.RELEASED)])
    bundles = [one.write(tmp_path) for one in boxes]
    for order in list(permutations(bundles))[::5]:
        province = new_box(tmp_path, "house")
        for path in (*order, order[0]):
            province.read(path)
        retention = province.catalog.retention
        gone = select_active_purges(retention.lines())
        assert {sha: sorted(one.box for one in some) for sha, some in gone.items()} == {
            sha_of(1): ["a", "b", "c"],
            sha_of(2): ["c"],
        }
        held = sorted(one.hold_id for one in select_active_holds(retention.holds()))
        assert held == ["hold-a", "hold-b", "hold-c"]
        refused = {
            (one.node, *one.claims.items()) for one in province.catalog.peers.requests(has_settled=True)
        }
        assert refused == {("b", ("release", 1)), ("c", ("lift", 1))}
        assert province.catalog.audit.verify() is None


def test_a_hold_follows_a_flight_into_another_event_and_under_another_id(tmp_path: Path) -> None:
    field, province = new_box(tmp_path, "field"), new_box(tmp_path, "house")
    field.lay({1, 2})
    province.lay({1}, "f9")
    province.catalog.flights.put_event(replace(EVENT, event_id="other", name="Khác"))
    province.catalog.flights.put_flight(flight("f9", "bay f9", state=FlightState.READY, event_id="other"))
    field.catalog.retention.add_holds([HELD, replace(HELD, hold_id="hold-event", subject=EVENT.event_id)])
    field.catalog.retention.learn([line(1, "field")])
    province.read(field.write(tmp_path))
    held = {(one.hold_id, one.subject) for one in select_active_holds(province.catalog.retention.holds())}
    assert held == {(HELD.hold_id, "f9"), ("hold-event", "f9")}, "a box holds no event"
    assert [one.flight_id for one in province.catalog.retention.lines()] == ["f9"]
    field.read(province.write(tmp_path))
    known = {(one.hold_id, one.subject) for one in field.catalog.retention.holds()}
    assert {(HELD.hold_id, "f1"), ("hold-event", EVENT.event_id)} <= known


@pytest.mark.parametrize("let_go_at", ["a", "elsewhere"])
def test_an_original_that_was_let_go_anywhere_is_handed_on_by_nobody(tmp_path: Path, let_go_at: str) -> None:
    box = keeping(tmp_path, "a", {1, 2})
    box.catalog.retention.learn([line(1, let_go_at)])
    (f1,) = box.catalog.flights.flights()

    def handed_on() -> set[str]:
        return {
            one.name for one in iterate_original_items(box.workspace, read_flight_records(box.catalog, f1))
        }

    assert handed_on() == {sha_of(2)}
    box.catalog.retention.learn([line(1, let_go_at, PurgeStep.LIFTED)])
    assert handed_on() == {sha_of(1), sha_of(2)}
