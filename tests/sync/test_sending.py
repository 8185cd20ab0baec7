from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable, StoreConflict
from flycam.frame.flight import FlightState
from flycam.mosaic.tilelog import read_tile
from flycam.store import keys
from flycam.sync import sending
from tests.laws.recorded import ZOOM
from tests.sync.boxes import Box, alone, mosaic_of, new_box
from tests.sync.lines import Wire, sync


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
