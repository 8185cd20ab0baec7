from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable, StoreConflict, StoreUnavailable
from flycam.http.client import MAX_REFUSALS
from flycam.model.flight import FlightState
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage import keys
from flycam.sync import client, step_planner
from flycam.sync.client import REQUEST_OVERHEAD_BYTES, SyncReport, TransferLimits
from flycam.sync.exchange import ObjectKind
from flycam.sync.server import open_step
from tests.laws.recorded import ZOOM
from tests.sync.boxes import MOSAIC, Box, alone, mosaic_of, new_box, record
from tests.sync.lines import Said, Wire, sync

FILM = "f" * 64


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a tile or two."""
    for name in ("_FIRST_STEP_BYTES", "_MIN_STEP_BYTES", "_MAX_STEP_BYTES"):
        monkeypatch.setattr(client, name, 4 << 10)


def marks(box: Box) -> list[str]:
    return list(box.workspace.store.list(keys.format_preview_prefix()))


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
    assert len(list(province.workspace.store.list(keys.format_cursor_prefix()))) == 1
    assert len(list(province.workspace.store.list(keys.format_peer_placements_prefix()))) == 1
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


def test_what_a_peer_has_from_elsewhere_does_not_go_over_the_line(tmp_path: Path) -> None:
    """A box that read the province's stick, or another box's that the province has too."""
    flyer, province, other = (new_box(tmp_path, name) for name in ("flyer", "province", "other"))
    flyer.lay({0, 1, 2})
    sync(flyer, Wire(province, tmp_path))
    other.read(flyer.write(tmp_path))
    sent = sync(other, Wire(province, tmp_path / "other"))
    assert (sent.tiles, sent.views, sent.left_bytes, sent.ended_by) == (0, 0, 0, "")
    assert sync(other, Wire(province, tmp_path / "other")).steps == 0
    flyer.lay({3})
    other.read(flyer.write(tmp_path))
    assert sync(other, Wire(province, tmp_path / "other")).tiles, "what is new goes by whoever comes first"
    sync(flyer, Wire(province, tmp_path))
    assert province.tiles() == flyer.tiles() == other.tiles()


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


def test_the_smallest_budget_gets_on_and_is_used(tmp_path: Path) -> None:
    """A step that is larger goes in parts, from one run to the next."""
    budget = 9_000
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    wire = Wire(province, tmp_path)
    runs: list[SyncReport] = []
    while not runs or runs[-1].ended_by:
        runs.append(sync(box, wire, budget_bytes=budget))
        assert runs[-1].sent_bytes <= budget
        assert runs[-1].step_bytes, "each gets on"
    assert province.tiles() == box.tiles()
    whole = sync(box, Wire(new_box(tmp_path, "other"), tmp_path / "other")).step_bytes
    assert sum(one.step_bytes for one in runs) < 1.2 * whole, "what was sent of a step is kept there"
    assert len(runs) < 2 + 2 * sum(one.sent_bytes for one in runs) / budget


def test_a_rate_is_kept(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    sender = client.Sender(
        box.workspace,
        Wire(province, tmp_path),
        TransferLimits(rate_bytes_s=8000),
        clock_s=lambda: now_s[0],
        sleep=sleep,
    )
    sender.run_round()
    assert province.tiles() == box.tiles()
    paced = sender.sent.sent_bytes - REQUEST_OVERHEAD_BYTES * (sender.sent.steps + 1)
    assert paced / 8000 * 0.8 < now_s[0] < sender.sent.sent_bytes / 8000 * 1.1


@pytest.mark.parametrize("examples", [4, pytest.param(30, marks=pytest.mark.soak)])
def test_a_line_and_a_stick_agree_whatever_is_cut(examples: int) -> None:
    law = given(data=st.data(), film=st.sampled_from([None, FILM]))(agree_whatever_is_cut)
    settings(deadline=None, max_examples=examples)(law)()


def agree_whatever_is_cut(data: st.DataObject, film: str | None) -> None:
    frames = st.sets(st.integers(0, 4), min_size=1)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_planner, "_FIRST_FRAMES", 1)
        folder = Path(name)
        one, two = (replace(new_box(folder, name), film=film) for name in ("one", "two"))
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


class Stubborn(Wire):
    """A peer that says all came and takes nothing: so one did whose answer a power cut had emptied."""

    def request_once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        if not path.startswith("/api/sync/steps/"):
            return super().request_once(method, path, body, **headers)
        size = headers["Upload_Length"]
        return Said(409 if method == "PUT" else 200, {"error": "Refused"}, {"Upload-Offset": size})


def test_a_peer_that_never_gets_on_is_given_up_after_pauses_that_grow(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    pauses: list[float] = []
    wire = Stubborn(province, tmp_path)
    sender = client.Sender(box.workspace, wire, TransferLimits(), sleep=pauses.append)
    with pytest.raises(StoreUnavailable, match="restart flycam there"):
        sender.run_round()
    waited = [one for one in pauses if one]
    assert waited == sorted(waited)
    assert sum(waited) > 300
    assert len(pauses) <= MAX_REFUSALS


class Misspeaking(Wire):
    """A server that takes each step and answers with another shape."""

    answer: object = None

    def request_once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        reply = super().request_once(method, path, body, **headers)
        return Said(200, self.answer, reply.headers) if method == "PUT" else reply


@pytest.mark.parametrize(
    "answer", [{}, {"apart": [], "unnamed": 1}, {"apart": [1], "unnamed": []}, {"apart": [{}], "unnamed": []}]
)
def test_an_answer_of_another_shape_to_a_step_names_the_server(tmp_path: Path, answer: object) -> None:
    box, wire = new_box(tmp_path, "field"), Misspeaking(new_box(tmp_path, "province"), tmp_path)
    wire.answer = answer
    box.lay({0})
    with pytest.raises(SourceUnreadable, match=wire.url):
        sync(box, wire)


@pytest.mark.parametrize("is_longer", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_two_boxes_of_one_name_are_found(tmp_path: Path, is_longer: bool) -> None:
    """Whichever of the two logs is the longer: the cure is a name of its own, and it cures."""
    box, clone, province = (new_box(tmp_path, name) for name in ("field", "field", "province"))
    for number, one in enumerate([box, clone]):
        one.lay({0, 1})
        one.lay({4 + number})
    (clone if is_longer else box).lay({2, 3})
    sync(box, Wire(province, tmp_path))
    ends = [one.catalog.tiles.last_seq(MOSAIC.mosaic_id) for one in (box, clone)]
    assert (ends[0] < ends[1]) == is_longer
    with pytest.raises(StoreConflict, match="FLYCAM_BOX"):
        sync(clone, Wire(province, tmp_path))
    assert province.tiles() == box.tiles()
    named = replace(clone, workspace=replace(clone.workspace, box="field-2"))
    assert sync(named, Wire(province, tmp_path / "named")).left_bytes == 0


def test_a_box_of_the_servers_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="FLYCAM_BOX"):
        sync(new_box(tmp_path, "a"), Wire(new_box(tmp_path, "a"), tmp_path))


class Refusing(Wire):
    """A peer that refuses every step in the same words."""

    error = ""

    def request_once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        if method == "PUT":
            self.requests += 1
            return Said(409, {"error": self.error})
        return super().request_once(method, path, body, **headers)


class Portal(Wire):
    """A network that wants a sign-in first answers some requests of each kind with its page."""

    def __init__(self, *given: Any, pages: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self.left = {"POST": pages, "PUT": pages, "HEAD": pages}
        self.told: list[str] = []

    def request_once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        if self.left[method]:
            self.left[method] -= 1
            return Said(200, None)
        return super().request_once(method, path, body, **headers)

    def report_wait(self, why: str) -> None:
        self.told.append(why)


def test_a_page_that_wants_a_sign_in_is_waited_for(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    wire = Portal(province, tmp_path, pages=2)
    sync(box, wire)
    assert wire.left["POST"] == wire.left["PUT"] == 0
    assert len(wire.told) >= 4
    assert province.tiles() == box.tiles()


def test_a_step_without_room_gives_way_to_a_withdrawal(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    gone = record(0).frame_id

    def is_told() -> bool:
        return gone in {one.frame_id for one in province.catalog.frames.withdrawals("f1")}

    class Full(Wire):
        """A peer without room for tiles until it has heard of the withdrawal."""

        def call_with_retries(self, send: Any) -> Said:
            for _ in range(9):
                if (said := super().call_with_retries(send)).status != 507:
                    return said
            raise AssertionError("full for ever")

        def request_once(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
            if method != "PUT" or is_told():
                return super().request_once(method, path, body, **headers)
            data = b"".join(body)
            (tmp_path / "step").write_bytes(data)
            source, manifest, _ = open_step(tmp_path / "step")
            source.close()
            if all(one.kind is not ObjectKind.TILE for one in manifest.items):
                return super().request_once(method, path, [data], **headers)
            if not box.catalog.frames.withdrawals("f1"):
                box.withdraw(0)
            return Said(507)

    sync(box, Full(province, tmp_path))
    assert is_told()
    assert province.tiles() == box.tiles()
