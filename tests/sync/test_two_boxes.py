"""Two boxes that overlap and a province, by stick and by line, in any order: one state, to the last byte."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from flycam.catalog.access import select_active_redactions
from flycam.operations.backup import save_backup
from flycam.operations.restore import restore_backup
from flycam.sync.client import Sender, TransferLimits
from flycam.sync.reference_client import ReferenceFetcher
from tests.sync.boxes import NUMBERS, Box, alone, ground_of, masked, new_box
from tests.sync.lines import Wire

_NAMES = ("one", "two")
_boxes = st.sampled_from(_NAMES)
_frames = st.integers(0, 5)
# after so many bytes, one after another, a line is cut
_cuts = st.lists(st.integers(1, 40_000), max_size=3)


class Node(Box):
    """A box that hears of withdrawals and masks from a province; terrain never comes in these trials."""

    def register_terrain(self, *_of: Any) -> None:
        raise AssertionError

    def compute_redaction_grounds(self) -> None:
        """The lines bring theirs with them."""


class TwoBoxes(RuleBasedStateMachine):
    """What a box knows and gives is held as sets of frames; the boxes are held against them at the end."""

    is_wary = False
    """Whether the province hears peers only as far as somebody there allowed it."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name)
        self.province = new_box(self.folder, "province", is_wary=self.is_wary)
        self.boxes = {name: self.node(name) for name in _NAMES}
        self.restored = count(1)
        self.given: set[int] = set()
        self.saved: dict[str, tuple[Path, frozenset[int]]] = {}

    def node(self, name: str) -> Node:
        return Node(new_box(self.folder, name).workspace)

    @initialize(one=st.sets(_frames, min_size=1), two=st.sets(_frames, min_size=1))
    def fly(self, one: set[int], two: set[int]) -> None:
        self.boxes["one"].lay(one)
        self.boxes["two"].lay(two)

    @rule(name=_boxes, number=_frames)
    def ingest(self, name: str, number: int) -> None:
        self.boxes[name].lay({number})

    @rule(name=_boxes, chance=st.randoms(use_true_random=False))
    def withdraw(self, name: str, chance: Any) -> None:
        self.boxes[name].withdraw(chance.choice(sorted(self.boxes[name].numbers)))

    @rule(name=_boxes, chance=st.randoms(use_true_random=False))
    def mask(self, name: str, chance: Any) -> None:
        line = masked(chance.choice(sorted(self.boxes[name].numbers)))
        redactions = self.boxes[name].catalog.redactions
        redactions.append([line])
        redactions.put_footprints([ground_of(line)])

    @rule(name=_boxes, cuts=_cuts)
    def line(self, name: str, cuts: list[int]) -> None:
        """One round, both ways."""
        box, wire = self.boxes[name], Wire(self.province, self.folder / name, cuts)
        limits, way = TransferLimits(), self.folder / f"{name}-way"
        back = ReferenceFetcher(box.workspace, wire, box, way, limits, sleep=lambda _s: None)
        Sender(box.workspace, wire, limits, back=back, sleep=lambda _s: None).run_round()
        self.given |= box.numbers

    @rule(name=_boxes, times=st.integers(1, 2))
    def stick(self, name: str, times: int) -> None:
        path = self.boxes[name].write(self.folder)
        for _ in range(times):
            self.province.read(path)
        self.given |= self.boxes[name].numbers

    @rule(name=_boxes)
    def back_up(self, name: str) -> None:
        box = self.boxes[name]
        path = self.folder / f"{box.workspace.box}-backup"
        save_backup(box.workspace, path)
        self.saved[name] = path, frozenset(box.numbers)

    @precondition(lambda self: self.saved)
    @rule(chance=st.randoms(use_true_random=False))
    def restore(self, chance: Any) -> None:
        """What was flown since is gone, but for what the province has; it has a name and a key of its own."""
        name = chance.choice(sorted(self.saved))
        box = self.node(f"{name}-{next(self.restored)}")
        path, numbers = self.saved[name]
        restore_backup(box.workspace, path)
        box.numbers.update(numbers)
        self.boxes[name] = box
        self.admit(box)

    def admit(self, box: Box) -> None:
        """Nobody at the province need allow a box."""

    def teardown(self) -> None:
        """Once every line has been up, in both ways, all agree."""
        try:
            for name in (*_NAMES, *_NAMES):
                self.line(name, [])
            gone = withdrawn(self.province)
            assert self.province.tiles() == alone(self.folder, self.given, gone & self.given)
            masks = set(select_active_redactions(self.province.catalog.redactions.lines()))
            for box in self.boxes.values():
                assert withdrawn(box) == gone
                assert box.tiles() == alone(self.folder, box.numbers, gone & box.numbers)
                assert set(select_active_redactions(box.catalog.redactions.lines())) == masks
        finally:
            self.place.cleanup()


def withdrawn(box: Box) -> set[int]:
    """Frames of these trials that were withdrawn; a peer may have withdrawn some of its own making."""
    withdrawals = box.catalog.frames.withdrawals()
    return {NUMBERS[one.frame_id] for one in withdrawals if one.frame_id in NUMBERS}


TestTwoBoxes = TwoBoxes.TestCase
TestTwoBoxes.settings = settings(max_examples=4, stateful_step_count=10)


@pytest.mark.soak
class TestTwoBoxesForLong(TwoBoxes.TestCase):
    settings = settings(max_examples=50, stateful_step_count=30)
