from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable, StoreConflict, StoreUnavailable
from flycam.frame.flight import FlightState
from flycam.mosaic.tilelog import read_tile
from flycam.store import keys
from flycam.sync import sending
from tests.laws.recorded import ZOOM
from tests.sync.boxes import MOSAIC, Box, alone, mosaic_of, new_box, record
from tests.sync.lines import Said, Wire, sync


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a tile or two."""
    for name in ("_FIRST_BYTES", "_LEAST_BYTES", "_MOST_BYTES"):
        monkeypatch.setattr(sending, name, 4 << 10)


def marks(box: Box) -> list[str]:
    return list(box.workspace.store.list(keys.early_prefix()))


def test_a_line_brings_what_a_stick_brings(tmp_path: Path) -> None:
    box, province, other = (new_box(tmp_path, name) for name in ("field", "province", "other"))
    box.lay({0, 1, 2})
    sent = sync(box, Wire(province, tmp_path))
    other.read(box.write(tmp_path))
    assert province.tiles() == other.tiles() == box.tiles()
    assert province.catalog.flights.flight("f1").state is FlightState.READY
    assert (sent.left_bytes, sent.ended_by) == (0, "")
    assert sent.steps > 3
    assert marks(province) == []
    assert len(list(province.workspace.store.list(keys.taken_prefix()))) == 1
    assert len(list(province.workspace.store.list(keys.given_laid_prefix()))) == 1
    assert province.settled_flights == ["f1"]


def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    sync(box, Wire(province, tmp_path))
    again = sync(box, Wire(province, tmp_path))
    assert (again.steps, again.tiles, again.views) == (0, 0, 0)
    box.lay({0, 1, 2})
    more = sync(box, Wire(province, tmp_path))
    assert more.tiles
    assert province.tiles() == box.tiles()


def test_the_overview_is_there_before_the_tiles(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    seen: list[set[int]] = []

    def look() -> None:
        heads = province.catalog.tiles.heads(mosaic_of("f1").mosaic_id, 0)
        seen.append({head.tile_id.z for head in heads})
        for head in heads:
            read_tile(province.workspace.store, head)
        assert province.catalog.flights.flight("f1").state is not FlightState.READY or ZOOM in seen[-1]

    sync(box, Wire(province, tmp_path, on_step=look))
    first_tiles = next(n for n, zooms in enumerate(seen) if ZOOM in zooms)
    assert max(seen[first_tiles - 1]) == ZOOM - 1
    firsts = [max(zooms) for zooms in seen if zooms]
    assert firsts == sorted(firsts)


def test_an_early_view_shows_what_will_be_there(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    sync(box, Wire(province, tmp_path), metered=True)
    heads = province.catalog.tiles.heads(mosaic_of("f1").mosaic_id, 0)
    assert {head.tile_id.z for head in heads} == set(range(mosaic_of("f1").min_zoom, ZOOM))
    truth = {head.tile_id: head for head in box.catalog.tiles.heads(mosaic_of("f1").mosaic_id, 0)}
    for head in heads:
        early, real = province.tile(head), box.tile(truth[head.tile_id])
        assert np.array_equal(early.quality > 0, real.quality > 0)
        assert early.quality.max() == 1
        assert early.frames == ()


def test_a_metered_line_and_a_budget_leave_the_rest_for_later(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    wire = Wire(province, tmp_path)
    metered = sync(box, wire, metered=True)
    assert (metered.ended_by, metered.tiles) == ("metered", 0)
    assert metered.left_bytes > 0
    left, budget = metered.left_bytes, metered.left_bytes // 2 + 4_000
    rounds = 0
    while left:
        sent = sync(box, wire, budget_bytes=budget)
        assert sent.sent_bytes <= budget
        assert sent.views == 0
        assert sent.left_bytes < left
        left, rounds = sent.left_bytes, rounds + 1
    assert rounds > 1
    assert province.tiles() == box.tiles()


def test_a_rate_is_kept(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    sender = sending.Sender(
        box.workspace,
        Wire(province, tmp_path),
        sending.Limits(rate_bytes_s=8000),
        clock_s=lambda: now_s[0],
        sleep=sleep,
    )
    sender.round()
    assert province.tiles() == box.tiles()
    paced = sender.sent.sent_bytes - sending._HEADERS_BYTES * (sender.sent.steps + 1)
    assert paced / 8000 * 0.8 < now_s[0] < sender.sent.sent_bytes / 8000 * 1.1


@given(data=st.data())
@settings(deadline=None, max_examples=10)
def test_a_line_and_a_stick_agree_whatever_is_cut(data: st.DataObject) -> None:
    frames = st.sets(st.integers(0, 4), min_size=1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        one, two = new_box(folder, "one"), new_box(folder, "two")
        line, stick = new_box(folder, "line"), new_box(folder, "stick")
        gone: set[int] = set()
        for box in (one, two):
            box.lay(data.draw(frames))
        exchanges = data.draw(st.lists(st.sampled_from([one, two]), max_size=4))
        for box in [*exchanges, one, two]:
            cuts = data.draw(st.lists(st.integers(1, 30_000), max_size=4))
            budget = data.draw(st.none() | st.integers(2_000, 80_000))
            sync(box, Wire(line, folder, cuts), budget_bytes=budget)
            stick.read(box.write(folder))
            more = data.draw(st.none() | st.sampled_from(sorted(box.numbers)))
            if more is not None and len(gone) < 2:
                box.withdraw(more)
                gone.add(more)
        for box in (one, two):
            sync(box, Wire(line, folder))
            stick.read(box.write(folder))
        assert line.tiles() == stick.tiles()
        assert gone or line.tiles() == alone(folder, one.numbers | two.numbers)
        assert marks(line) == []


def test_a_step_that_was_cut_goes_on_at_the_byte(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    whole = Wire(new_box(tmp_path, "other"), tmp_path / "other")
    sync(box, whole)
    cut = Wire(province, tmp_path, [3_000, 5_000, 1, 8_000])
    sync(box, cut)
    assert province.tiles() == box.tiles()
    assert cut.bytes <= whole.bytes + 4 * 4096


def test_what_is_withdrawn_here_is_not_shown_by_a_view_that_comes(tmp_path: Path) -> None:
    box, province, other = (new_box(tmp_path, name) for name in ("field", "province", "other"))
    box.lay({0, 1})
    for one in (province, other):
        one.lay({0})
        one.withdraw(0)
    sync(box, Wire(province, tmp_path), metered=True)
    for head in province.catalog.tiles.heads(mosaic_of("f1").mosaic_id, 0):
        assert not province.tile(head).quality.any()
    sync(box, Wire(province, tmp_path))
    other.read(box.write(tmp_path))
    assert province.tiles() == other.tiles()


def test_a_withdrawal_takes_early_views_away(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    sync(box, Wire(province, tmp_path), metered=True)
    box.withdraw(0)
    box.withdraw(1)
    sync(box, Wire(province, tmp_path), metered=True)
    for head in province.catalog.tiles.heads(mosaic_of("f1").mosaic_id, 0):
        assert not province.tile(head).quality.any()


def test_a_tile_that_is_not_whole_is_passed_over_and_sent_once_it_is_mended(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    box.withdraw(2)
    store = box.workspace.store
    base = [head for head in box.catalog.tiles.heads(MOSAIC.mosaic_id, 0) if head.tile_id.z == ZOOM]
    lost, rotten = base[0], base[-1]
    whole = {head.key: store.get(head.key) for head in (lost, rotten)}
    store.delete(lost.key)
    store.put(rotten.key, whole[rotten.key][:-40] + bytes(40))
    sent = sync(box, Wire(province, tmp_path))
    assert set(whole) <= set(sent.passed)
    gone = {one.frame_id for one in province.catalog.frames.withdrawals("f1")}
    assert gone == {record(2).frame_id}
    there = {head.tile_id for head in province.catalog.tiles.heads(MOSAIC.mosaic_id, 0, z=ZOOM)}
    assert there == {head.tile_id for head in base} - {lost.tile_id, rotten.tile_id}
    for key, data in whole.items():
        store.put(key, data)
    again = sync(box, Wire(province, tmp_path))
    assert (again.tiles, again.passed) == (2, {})
    assert province.tiles() == box.tiles()
    assert sync(box, Wire(province, tmp_path)).steps == 0


def test_a_view_of_a_parent_that_is_not_whole_is_made_of_its_children(tmp_path: Path) -> None:
    box, province, other = (new_box(tmp_path, name) for name in ("field", "province", "other"))
    box.lay({0, 1})
    sync(box, Wire(other, tmp_path / "other"), metered=True)
    for head in box.catalog.tiles.heads(MOSAIC.mosaic_id, 0):
        if head.tile_id.z < ZOOM:
            box.workspace.store.put(head.key, b"rotten")
    sync(box, Wire(province, tmp_path / "province"), metered=True)
    assert province.tiles() == other.tiles()


class Stubborn(Wire):
    """A peer that says all came and takes nothing: so one did whose answer a power cut had emptied."""

    def once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        if not path.startswith("/api/sync/steps/"):
            return super().once(method, path, body, **headers)
        size = headers["Upload_Length"]
        return Said(409 if method == "PUT" else 200, {"error": "Refused"}, {"Upload-Offset": size})


def test_a_peer_that_never_gets_on_is_given_up_after_pauses_that_grow(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    pauses: list[float] = []
    wire = Stubborn(province, tmp_path)
    sender = sending.Sender(box.workspace, wire, sending.Limits(), sleep=pauses.append)
    with pytest.raises(StoreUnavailable, match="restart flycam there"):
        sender.round()
    waited = [one for one in pauses if one]
    assert waited == sorted(waited)
    assert sum(waited) > 300
    assert len(pauses) <= sending._MOST_TURNED_AWAY


def test_a_peer_that_never_gets_on_costs_no_more_than_the_budget(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    sent = sync(box, Stubborn(province, tmp_path), budget_bytes=12_000)
    assert sent.ended_by == "budget"
    assert sent.sent_bytes <= 12_000


def test_two_boxes_of_one_name_are_found(tmp_path: Path) -> None:
    box, clone, province = (new_box(tmp_path, name) for name in ("field", "field", "province"))
    box.lay({0, 1})
    clone.lay({0, 1, 2, 3})
    sync(box, Wire(province, tmp_path))
    with pytest.raises(StoreConflict):
        sync(clone, Wire(province, tmp_path))
    assert province.tiles() == box.tiles()


def test_a_box_of_the_servers_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="FLYCAM_BOX"):
        sync(new_box(tmp_path, "a"), Wire(new_box(tmp_path, "a"), tmp_path))
