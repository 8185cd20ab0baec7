from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import RecordsMissing, SourceUnreadable
from flycam.storage import keys
from flycam.sync.manifest import parse_missing_objects
from flycam.sync.server import _StepFile, answer_inventory_query, import_step
from flycam.sync.step_planner import StepPlanner
from tests.sync.boxes import new_box
from tests.sync.lines import Wire, sync


def test_a_file_that_is_cut_short_while_it_is_read_ends(tmp_path: Path) -> None:
    file = tmp_path / "step"
    file.write_bytes(bytes(3 << 20))
    blocks = _StepFile(file, "field").blocks(0, 3 << 20)
    assert len(next(blocks)) == 1 << 20
    file.write_bytes(b"")
    with pytest.raises(SourceUnreadable, match="ends early"):
        next(blocks)


@pytest.mark.parametrize("spoiled", [b"rotten", None])
def test_records_that_are_damaged_or_lost_here_are_sent_again(tmp_path: Path, spoiled: bytes | None) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    store = province.workspace.store
    sync(box, Wire(province, tmp_path))
    (key,) = list(store.list(keys.format_peer_records_prefix("field")))
    flight_id = box.catalog.flights.flights()[0].flight_id
    assert flight_id == "f1"
    box.lay({0, 1, 2}, flight_id="f2")  # its steps name what came of no other
    giver = StepPlanner(box.workspace)
    lacking = parse_missing_objects(
        answer_inventory_query(province.workspace, giver.build_query(), "test"), "wire"
    )
    giver.note_missing(lacking)
    steps = list(giver.steps(lacking, lambda: 6000))
    step = next(one for one in steps if one.manifest.known_records)
    (known,) = step.manifest.known_records
    there = keys.format_peer_records_key("field", known)
    if spoiled is not None:
        store.put(there, spoiled)
    (tmp_path / "step").write_bytes(b"".join(step.blocks(0)))
    with pytest.raises(RecordsMissing, match="sent again"):
        import_step(province.workspace, tmp_path / "step", province)
    assert not store.exists(there)
    assert store.exists(key)
    assert known in answer_inventory_query(province.workspace, giver.build_query(), "test")["records"]
    sync(box, Wire(province, tmp_path))
    assert province.tiles("f2") == box.tiles("f2")


@pytest.mark.parametrize("box", ["\ud800x", "b" * 501, "a\0b", 5, ["field"] * 100_000])
def test_a_name_that_nothing_here_could_hold_is_refused(tmp_path: Path, box: object) -> None:
    """Half letters of UTF-16 broke the answer, and three million letters went into the audit log for ever."""
    question = {**StepPlanner(new_box(tmp_path, "field").workspace).build_query(), "box": box}
    with pytest.raises(SourceUnreadable) as refused:
        answer_inventory_query(new_box(tmp_path, "province").workspace, question, "test")
    assert len(str(refused.value)) < 300


def test_heads_are_asked_of_few_mosaics_at_once(tmp_path: Path) -> None:
    """Of 40,000 that are not there, in one question, each was looked for."""
    province = new_box(tmp_path, "province").workspace
    question = StepPlanner(new_box(tmp_path, "field").workspace).build_heads_query("m", [])
    heads = {f"m{number}": ["0" * 16] for number in range(16)}
    assert answer_inventory_query(province, {**question, "heads": heads}, "test")["heads"] == heads
    with pytest.raises(SourceUnreadable, match="17 at once"):
        answer_inventory_query(province, {**question, "heads": {**heads, "m": []}}, "test")


def test_what_is_asked_about_is_never_answered_in_part(tmp_path: Path) -> None:
    question = StepPlanner(new_box(tmp_path, "field").workspace).build_query()
    question["originals"] = ["ab"] * ((1 << 16) + 1)
    with pytest.raises(SourceUnreadable, match="65537 at once"):
        answer_inventory_query(new_box(tmp_path, "province").workspace, question, "test")
