from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from flycam.errors import SourceUnreadable
from flycam.storage import keys
from flycam.sync.client import to_request_body
from flycam.sync.exchange import ExchangeOffer, InventoryAnswer, ObjectKind, parse_peer_answer
from flycam.sync.server import answer_inventory_query, import_step, open_step
from flycam.sync.step_planner import StepPlanner
from tests.suites.catalog_suite import photo_of
from tests.sync.boxes import Box, new_box


def steps_of(box: Box, province: Box, target: int = 6000) -> list[ExchangeOffer]:
    """All steps, none of them taken in."""
    planner = StepPlanner(box.workspace)
    question = json.loads(to_request_body(planner.build_query()))
    answer = answer_inventory_query(province.workspace, question, "test")
    planner.note_missing(parse_peer_answer(InventoryAnswer, answer, "wire"))
    return list(planner.steps(lambda: target))


def test_the_key_of_a_box_goes_with_the_first_question_of_a_round(tmp_path: Path) -> None:
    box = new_box(tmp_path, "field")
    box.lay({0})
    photo = photo_of(0)
    box.workspace.store.put(keys.format_original_key(hashlib.sha256(photo).hexdigest()), photo)
    planner = StepPlanner(box.workspace, originals=True)
    assert planner.build_query().key == box.catalog.audit.key() != ""
    others = [*planner.build_name_queries(ObjectKind.ORIGINAL, ())]
    assert [one.key for one in others] == [""]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        struct.pack("<I", 5) + b"hello",
        struct.pack("<I", 1 << 31) + b"x",
        struct.pack("<I", 17) + zstandard.compress(b"{}"),
        struct.pack("<I", 99) + zstandard.compress(b"[" * 100_000),
    ],
)
def test_what_is_no_step_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "step").write_bytes(data)
    with pytest.raises(SourceUnreadable):
        open_step(tmp_path / "step")


def test_a_step_whose_objects_are_spoiled_changes_nothing(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    data = bytearray(b"".join(steps_of(box, province)[0].blocks(0)))
    for at in (len(data) - 1, len(data) // 2):
        spoiled = data.copy()
        spoiled[at] ^= 1
        (tmp_path / "step").write_bytes(spoiled)
        with pytest.raises(SourceUnreadable):
            import_step(province.workspace, tmp_path / "step", province)
    (tmp_path / "step").write_bytes(data[:-9])
    with pytest.raises(SourceUnreadable):
        import_step(province.workspace, tmp_path / "step", province)
    assert list(province.workspace.store.list("")) == []


QUESTION: Mapping[str, Any] = {
    "format": 1,
    "box": "field",
    "mosaics": [],
    "records": [],
    "terrain": [],
    "originals": [],
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 2},
        {"box": 7},
        {"box": "\ud800x"},
        {"box": "b" * 501},
        {"box": "a\0b"},
        {"box": ["field"] * 100_000},
        {"box": "province"},
        {"records": ["../../x"]},
        {"records": 3},
        {"mosaics": ["../up"]},
        {"terrain": [None]},
    ],
)
def test_a_question_that_does_not_read_is_refused(tmp_path: Path, wrong: Mapping[str, Any]) -> None:
    with pytest.raises(SourceUnreadable) as refused:
        answer_inventory_query(new_box(tmp_path, "province").workspace, {**QUESTION, **wrong}, "test")
    assert len(str(refused.value)) < 300
