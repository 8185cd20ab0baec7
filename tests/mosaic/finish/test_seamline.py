"""The cut is the best expansion there is; the plan beats the live rule and goes around what moved."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flycam.mosaic.finish.radiometry import make_identity_radiometry
from flycam.mosaic.finish.seamline import (
    FULL_COST,
    ExpansionWindow,
    LabelFeatures,
    LabelMap,
    SeamCosts,
    SeamOptions,
    SeamPlan,
    compute_difference,
    compute_energy,
    expand_label,
    make_label_view,
    plan_seams,
    try_frame,
)
from tests.mosaic.finish.block import STEP, Block, Shot, strip

SHAPE = (3, 4)
FULL = 200


class World:
    """Looks of a few labels over a window with one pixel around it, and everything the energy is made of."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.labels = 3
        around = (SHAPE[0] + 2, SHAPE[1] + 2)
        self.features = rng.integers(0, 150, (self.labels + 1, *around, 2)).astype(np.int16)
        self.seen = rng.random((self.labels + 1, *around)) < 0.9
        self.data = rng.integers(0, 900, (self.labels + 1, *SHAPE)).astype(np.int32)
        self.owner = rng.integers(1, self.labels + 1, SHAPE).astype(np.uint16)
        self.length = 17

    def looks(self, owner: np.ndarray, down: int = 0, right: int = 0) -> LabelFeatures:
        rows, cols = np.indices(SHAPE)
        at = owner, rows + 1 + down, cols + 1 + right
        return LabelFeatures(features=self.features[at], seen=self.seen[at])

    def window(self, owner: np.ndarray) -> ExpansionWindow:
        rows, cols = np.indices(SHAPE)
        return ExpansionWindow(
            owner=owner,
            own=self.looks(owner),
            beyond=(self.looks(owner, 0, 1), self.looks(owner, 1, 0)),
            before=(self.looks(owner, 0, -1), self.looks(owner, -1, 0)),
            data=self.data[owner, rows, cols],
            length=self.length,
            full_scale=FULL,
        )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_an_expansion_is_the_best_of_all_expansions(seed: int) -> None:
    """Against every one of the 2^n ways in which alpha could take free pixels."""
    world = World(seed)
    alpha = 1
    full = np.full(SHAPE, alpha, np.uint16)
    looks = world.looks(full)
    active = np.random.default_rng(seed).random(SHAPE) < 0.7
    taken = expand_label(world.window(world.owner), alpha, looks, world.data[alpha], active)
    free = np.argwhere(active & (world.owner != alpha) & looks.seen)
    assert not (taken & ~active).any()

    def energy(chosen: np.ndarray) -> int:
        return world.window(np.where(chosen, alpha, world.owner).astype(np.uint16)).energy()

    best = min(
        energy(_mask(free, choice)) for choice in itertools.product((False, True), repeat=min(len(free), 9))
    ) if len(free) <= 9 else None  # fmt: skip
    assert energy(taken) <= energy(np.zeros(SHAPE, bool))
    if best is not None:
        assert energy(taken) == best


def _mask(places: np.ndarray, choice: tuple[bool, ...]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for (row, col), taken in zip(places, choice, strict=True):
        mask[row, col] = taken
    return mask


@given(
    arrays.arrays(np.int16, (3, 5, 2), elements=st.integers(-3000, 3000)),
    st.lists(st.booleans(), min_size=15, max_size=15),
)
def test_the_difference_is_a_metric(features: np.ndarray, seen: list[bool]) -> None:
    a, b, c = (
        LabelFeatures(features=f, seen=np.array(s))
        for f, s in zip(features, np.reshape(seen, (3, 5)), strict=True)
    )
    np.testing.assert_array_equal(compute_difference(a, b, FULL), compute_difference(b, a, FULL))
    # rounding down to whole numbers may cost one
    assert (
        compute_difference(a, b, FULL) <= compute_difference(a, c, FULL) + compute_difference(c, b, FULL) + 1
    ).all()
    assert (compute_difference(a, a, FULL)[np.array(a.seen)] == 0).all()
    assert compute_difference(a, b, FULL).max() <= FULL_COST


def plan_of(shots: list[Shot], options: SeamOptions | None = None) -> tuple[Block, SeamPlan]:
    block = Block(shots)
    overviews = block.overviews()
    cameras = ("camera",) * len(overviews)
    return block, plan_seams(
        overviews, make_identity_radiometry(overviews.frame_ids, cameras), options=options or SeamOptions()
    )


def test_a_seam_goes_around_what_stands_in_one_frame_only() -> None:
    """The object lies across the middle between two frames; no seam cuts it."""
    shots = strip(2)
    middle = 335  # where the two see equally well
    shots[0] = replace(shots[0], objects=((380, middle, 26),))
    _, live = plan_of(shots, SeamOptions(nadir=50.0))
    block, plan = plan_of(shots)

    def labels_on_object(one: SeamPlan) -> np.ndarray:
        box = block.box(one.z)
        row, col = box.row + 380 // STEP - one.box.row, box.col + middle // STEP - one.box.col
        half = 26 // STEP
        return np.unique(one.owner[row - half : row + half, col - half : col + half])

    assert labels_on_object(live).size == 2
    assert labels_on_object(plan).size == 1


def test_every_move_lowers_the_energy_of_the_whole_map() -> None:
    """What a window counts is all that a move changes: tried on the map as a whole, move by move."""
    block = Block([replace(shot, shift_px=4 * n) for n, shot in enumerate(strip())])
    overviews = block.overviews()
    radiometry = make_identity_radiometry(overviews.frame_ids, ("camera",) * 4)
    views = [make_label_view(overviews[n], radiometry, n, reduce=4) for n in range(4)]
    around = views[0].box
    for view in views[1:]:
        around = around.union(view.box)
    labels = LabelMap.from_best(around, ((n, view.box, view.quality) for n, view in enumerate(views)))
    costs = SeamCosts.from_relative(1.0, 0.03, 48.0)
    energies = [compute_energy(labels, views.__getitem__, costs)]
    for reach_px in (0, 3, 0):
        for number in range(4):
            before = labels.owner.copy()
            took = try_frame(labels, number, views.__getitem__, costs, views[number].box, reach_px)
            energies.append(compute_energy(labels, views.__getitem__, costs))
            changed = labels.owner != before
            assert (took is None) == (not changed.any())
            assert took is None or changed[took.slices_in(around)].sum() == changed.sum()
            assert (energies[-1] < energies[-2]) == bool(changed.any())
    assert energies[-1] < energies[0]
