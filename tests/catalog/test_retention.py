"""Lines of holds and of letting go: the same whichever comes first."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from flycam.catalog.retention import (
    HoldRecord,
    PurgeRecord,
    select_active_holds,
    select_active_purges,
)
from flycam.model.access import HoldStep, PurgeStep
from tests.suites.retention_suite import GONE, HELD

holds = st.builds(
    lambda number, step, subject: replace(HELD, hold_id=f"hold-{number}", step=step, subject=subject),
    st.integers(0, 3),
    st.sampled_from(HoldStep),
    st.sampled_from(["f1", "f2"]),
)
let_go = st.builds(
    lambda act, step, sha256, box: replace(GONE, act_id=f"act-{act}", step=step, sha256=sha256 * 64, box=box),
    st.integers(0, 3),
    st.sampled_from(PurgeStep),
    st.sampled_from("ab"),
    st.sampled_from(["box-1", "box-2"]),
)


@given(st.lists(holds, unique=True), st.randoms(use_true_random=False))
def test_a_release_ends_its_hold_in_whatever_order_they_come(lines: list[HoldRecord], random: Random) -> None:
    shuffled = lines[:]
    random.shuffle(shuffled)
    standing = select_active_holds(lines)
    assert set(select_active_holds(shuffled + lines)) == set(standing)
    released = {(one.hold_id, one.subject) for one in lines if one.step is HoldStep.RELEASED}
    assert {(one.hold_id, one.subject) for one in standing}.isdisjoint(released)
    assert {(one.hold_id, one.subject) for one in lines} == released | {
        (one.hold_id, one.subject) for one in standing
    }


@given(st.lists(let_go, unique=True), st.randoms(use_true_random=False))
def test_a_lifting_takes_back_its_own_letting_go_alone(lines: list[PurgeRecord], random: Random) -> None:
    shuffled = lines[:]
    random.shuffle(shuffled)
    standing = {one for some in select_active_purges(lines).values() for one in some}
    assert {one for some in select_active_purges(shuffled).values() for one in some} == standing
    lifted = {(one.act_id, one.sha256) for one in lines if one.step is PurgeStep.LIFTED}
    gone = {one for one in lines if one.step is PurgeStep.PURGED}
    assert standing == {one for one in gone if (one.act_id, one.sha256) not in lifted}
