"""Two boxes that overlap, by stick and by line, in any order, some of it twice: one state at the province."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.sync.boxes import Box, alone, new_box
from tests.sync.lines import Wire, sync

_TRIALS = 50


def trial(folder: Path, seed: int) -> tuple[dict[str, str], dict[str, str]]:
    """The tiles at the province, and of one box that laid all frames and withdrew the same."""
    rng = random.Random(seed)
    boxes = [new_box(folder, name) for name in ("one", "two")]
    province = new_box(folder, "province")
    for box in boxes:
        box.lay(set(rng.sample(range(6), rng.randint(2, 5))))
    boxes[1].lay({rng.choice(sorted(boxes[0].numbers))})  # they overlap
    ways: list[Callable[[], object]] = []
    for box in boxes:
        ways += [partial(province.read, box.write(folder)) for _ in range(2)]
        ways += [partial(sync, box, Wire(province, folder / box.workspace.box, cuts_of(rng)))]
    rng.shuffle(ways)
    for way in ways:
        way()
    gone = withdrawn_by(rng, boxes)
    for box in rng.sample(boxes, 2):
        sync(box, Wire(province, folder / box.workspace.box, cuts_of(rng)))
        province.read(box.write(folder))
    return province.tiles(), alone(folder, boxes[0].numbers | boxes[1].numbers, gone)


def cuts_of(rng: random.Random) -> list[int]:
    """After so many bytes, one after another, a line is cut."""
    return [rng.randint(1, 40_000) for _ in range(rng.randint(0, 3))]


def withdrawn_by(rng: random.Random, boxes: list[Box]) -> set[int]:
    """Every second time a frame that the first box alone has is withdrawn there."""
    own = boxes[0].numbers - boxes[1].numbers
    if not own or rng.random() < 0.5:
        return set()
    gone = rng.choice(sorted(own))
    boxes[0].withdraw(gone)
    return {gone}


def test_a_few_trials_agree_to_the_last_byte(tmp_path: Path) -> None:
    for seed in range(2):
        there, truth = trial(tmp_path, seed)
        assert there == truth, f"seed {seed}"


@pytest.mark.soak
def test_all_trials_agree_to_the_last_byte(tmp_path: Path) -> None:
    began_s = time.monotonic()
    for seed in range(100, 100 + _TRIALS):
        there, truth = trial(tmp_path, seed)
        assert there == truth, f"seed {seed}"
    print(f"{_TRIALS} trials of two boxes agree to the last byte, {time.monotonic() - began_s:.0f} s")
