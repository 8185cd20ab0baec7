"""What a province withdraws is withdrawn on its boxes with their next round."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import shapely

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.model.records import FrameStatus, Withdrawal
from flycam.sync.client import Sender, TransferLimits
from flycam.sync.reference_client import FetchReport, ReferenceFetcher
from flycam.sync.reference_feed import ReferenceKind, build_feed
from tests.sync.boxes import Box, alone, new_box, record
from tests.sync.lines import Wire


@dataclass(frozen=True)
class Recipes(Box):
    """A box that gets things from a server, too; nothing else comes in these tests."""

    def register_terrain(
        self, sha256: str, name: str, datum: str, sigma_m: tuple[float, float | None] | None
    ) -> None:
        raise AssertionError(name)

    def compute_redaction_grounds(self) -> None:
        raise AssertionError


def field(tmp_path: Path, name: str = "field") -> Recipes:
    return Recipes(new_box(tmp_path, name).workspace)


def both_ways(box: Recipes, wire: Wire, folder: Path) -> FetchReport:
    back = ReferenceFetcher(box.workspace, wire, box, folder / "way", TransferLimits(), sleep=lambda _s: None)
    Sender(box.workspace, wire, TransferLimits(), back=back, sleep=lambda _s: None).run_round()
    return back.got


def withdraw_at(province: Box, number: int, flight_id: str = "f1") -> None:
    """An order from above: the province need not have the photo."""
    one = Withdrawal(
        frame_id=record(number).frame_id,
        flight_id=flight_id,
        reason="nạn nhân",
        authority="lan",
        withdrawn_ns=5,
    )
    province.catalog.frames.withdraw([one])


def gone(box: Box) -> set[str]:
    return {one.frame_id for one in box.catalog.frames.withdrawals()}


def test_it_leaves_the_map_of_the_box_that_flew_it_and_its_tiles_agree(tmp_path: Path) -> None:
    box, province = field(tmp_path), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    both_ways(box, Wire(province, tmp_path), tmp_path)
    withdraw_at(province, 0)
    got = both_ways(box, Wire(province, tmp_path), tmp_path)
    assert got.item_counts == {"withdrawn": 1} and got.conflicts == []
    assert gone(box) == {record(0).frame_id}
    assert box.tiles() == alone(tmp_path, {0, 1, 2}, [0])
    assert province.tiles() == box.tiles()
    (said,) = [one for one in box.catalog.audit.lines() if one.what == "withdraw"]
    assert said.who == "province" and "nạn nhân (lan)" in said.detail
    assert both_ways(box, Wire(province, tmp_path), tmp_path).item_counts == {}, "once"


def test_a_photo_that_comes_later_is_withdrawn_then(tmp_path: Path) -> None:
    box, province = field(tmp_path), new_box(tmp_path, "province")
    box.lay({1})
    withdraw_at(province, 0, "f9")
    both_ways(box, Wire(province, tmp_path), tmp_path)
    box.lay({0})
    used = {one.frame_id for one in box.catalog.frames.list_for_flight("f1", FrameStatus.USED)}
    assert used == {record(1).frame_id}


def test_a_flight_that_is_being_written_holds_nothing_else_up_and_has_its_turn(tmp_path: Path) -> None:
    box, province = field(tmp_path), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    both_ways(box, Wire(province, tmp_path), tmp_path)
    withdraw_at(province, 0)
    withdraw_at(province, 7, "f2")
    with box.catalog.flights.lock("f1"):
        got = both_ways(box, Wire(province, tmp_path), tmp_path)
    assert (got.item_counts, [one.name for one in got.conflicts]) == ({"withdrawn": 1}, ["f1"])
    assert gone(box) == {record(7).frame_id}
    assert both_ways(box, Wire(province, tmp_path), tmp_path).conflicts == []
    assert gone(box) == {record(0).frame_id, record(7).frame_id}


def test_a_box_of_some_communes_is_told_of_what_lies_there_alone(tmp_path: Path) -> None:
    province = new_box(tmp_path, "province")
    province.lay({0, 1})
    for number in (0, 7):  # the second is not known there, nor where it lies
        withdraw_at(province, number)
    ground = shapely.from_wkb(record(0).footprint_wkb)
    there, elsewhere = (
        build_feed(province.workspace, AccessPolicy(within=shapely.to_wkb(one))).items
        for one in (ground.envelope, shapely.box(0, 0, 1, 1))
    )
    assert [one.kind for one in there] == [ReferenceKind.WITHDRAWN] and elsewhere == ()
    (whole,) = build_feed(province.workspace, UNRESTRICTED).items
    assert whole.size_bytes > there[0].size_bytes
