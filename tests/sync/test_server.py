from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import RecordsMissing, SourceUnreadable
from flycam.storage import keys
from flycam.sync.manifest import parse_missing_objects
from flycam.sync.server import answer_inventory_query, import_step
from flycam.sync.step_planner import StepPlanner
from tests.sync.boxes import new_box
from tests.sync.lines import Wire, sync


def test_records_that_are_damaged_or_lost_here_are_sent_again(tmp_path: Path) -> None:
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
    store.put(there, b"rotten")
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
