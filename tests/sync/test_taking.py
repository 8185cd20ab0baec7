from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.records import FrameStatus
from flycam.errors import StoreUnavailable
from flycam.frame.flight import Flight
from tests.suites.catalog_suite import rejected
from tests.sync.boxes import Box, alone, new_box, record


class Cut(Box):
    """A box that is stopped when the tiles are there and the communes are not measured."""

    def settled(self, flight: Flight) -> None:
        raise StoreUnavailable("store: does not answer; start it and run again")


def test_what_follows_from_tiles_is_done_by_the_next_attempt(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    path = box.write(tmp_path)
    with pytest.raises(StoreUnavailable):
        Cut(province.workspace).read(path)
    assert province.tiles() == box.tiles()
    province.read(path)
    province.read(path)
    assert province.settled_flights == ["f1"]


def test_a_frame_left_out_here_and_withdrawn_there_never_comes_in_by_a_third_box(tmp_path: Path) -> None:
    one, two, province = (new_box(tmp_path, name) for name in ("one", "two", "province"))
    province.lay({2})
    province.catalog.frames.put([rejected(0)])
    two.lay({0, 1})  # it never hears of the withdrawal
    one.lay({0, 1})
    one.withdraw(0)
    province.read(one.write(tmp_path))
    province.read(two.write(tmp_path))
    assert province.tiles() == alone(tmp_path, {0, 1, 2}, {0})


def test_a_withdrawal_known_before_where_the_frame_lies_finds_it_when_that_is_told(tmp_path: Path) -> None:
    one, two, province = (new_box(tmp_path, name) for name in ("one", "two", "province"))
    two.lay({0, 1})
    one.lay({1})
    one.catalog.frames.put([rejected(0)])
    one.withdraw(0)
    province.read(one.write(tmp_path))
    province.read(two.write(tmp_path))
    assert province.catalog.frames.get(record(0).frame_id).status is FrameStatus.WITHDRAWN
    assert province.tiles() == alone(tmp_path, {0, 1}, {0})


def test_old_bundles_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    first = box.write(tmp_path)
    box.lay({0, 1, 2})
    province.read(box.write(tmp_path))
    before = sorted(province.workspace.store.list(""))
    assert province.read(first).taken.lines == 0
    assert sorted(province.workspace.store.list("")) == before
    assert province.tiles() == box.tiles()


def test_a_box_that_is_back_from_the_dead_hands_on_what_it_was_given(tmp_path: Path) -> None:
    one, two, province = (new_box(tmp_path, name) for name in ("one", "two", "province"))
    one.lay({0, 1})
    two.lay({1, 2})
    province.read(one.write(tmp_path))
    province.read(two.write(tmp_path))
    again = replace(new_box(tmp_path, "one"))  # its disk is lost; the name stays
    again.read(province.write(tmp_path))
    assert again.tiles() == alone(tmp_path, {0, 1, 2})
