from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.errors import StoreUnavailable
from flycam.model.flight import Classification, Flight, FlightState
from flycam.sync import exchange_import
from tests.suites.catalog_suite import flight, rejected
from tests.sync.boxes import EVENT, Box, alone, new_box


class Cut(Box):
    """A box that is stopped when the tiles are there and the communes are not measured."""

    def on_settled(self, flight: Flight) -> None:
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


def test_a_flight_is_shown_no_more_widely_than_either_box_lets_it_be(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    box.catalog.restrictions.classify("f1", Classification.INTERNAL, 1)
    province.read(box.write(tmp_path))
    assert province.catalog.restrictions.level("f1") is Classification.INTERNAL
    (audited,) = [line for line in province.catalog.audit.lines() if line.what == "classify"]
    assert (audited.subject, audited.detail.endswith("internal")) == ("f1", True)
    box.catalog.restrictions.classify("f1", Classification.OPEN, 2)
    province.read(box.write(tmp_path))
    assert province.catalog.restrictions.level("f1") is Classification.INTERNAL
    box.catalog.restrictions.classify("f1", Classification.RESTRICTED, 3)
    province.read(box.write(tmp_path))
    assert province.catalog.restrictions.level("f1") is Classification.RESTRICTED


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


def test_old_bundles_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    first = box.write(tmp_path)
    box.lay({0, 1, 2})
    province.read(box.write(tmp_path))
    before = sorted(province.workspace.store.list(""))
    assert province.read(first).applied.lines == 0
    assert sorted(province.workspace.store.list("")) == before
    assert province.tiles() == box.tiles()


def cut_in(patch: pytest.MonkeyPatch, module: object, name: str) -> None:
    """The store is gone when this step is reached."""

    def stop(*_: object, **__: object) -> None:
        raise StoreUnavailable("store: does not answer; start it and run again")

    patch.setattr(module, name, stop)


def test_a_flight_whose_tiles_are_not_here_yet_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    province.lay({1})
    path = box.write(tmp_path)
    with monkeypatch.context() as patch:
        cut_in(patch, exchange_import, "merge_peer_tiles")
        with pytest.raises(StoreUnavailable):
            province.read(path)
    assert province.catalog.flights.flight("f1").state is FlightState.INGESTING
    province.read(path)
    assert province.catalog.flights.flight("f1").state is FlightState.READY


def test_a_label_that_several_have_gets_its_own_id_behind_it(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    for number, tail in enumerate(("", " (field)")):
        name = EVENT.name + tail
        province.catalog.flights.put_event(replace(EVENT, event_id=f"e{number}", name=name))
        province.catalog.flights.put_flight(flight(f"g{number}", name=f"bay f1{tail}", event_id=f"e{number}"))
    path = box.write(tmp_path)
    for _ in range(2):
        province.read(path)
        assert province.catalog.flights.flight("f1").name == "bay f1 (field, f1)"
        assert province.catalog.flights.event("yagi").name == f"{EVENT.name} (field, yagi)"
