"""A place that waits is told of what was decided on its ground, mostly of other two pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flycam.catalog.changes import ChangeVersion
from flycam.change.outlines import find_overlapping_decisions
from flycam.model.board import ChangeKind, ChangeStatus
from tests.change.impacted import changed, square

WAITING = changed("change-00000001", square(0, 0, 100), event_id="e1")
ACCEPTED = changed(
    "change-00000002", square(20, 20, 100), event_id="e1", status=ChangeStatus.ACCEPTED, after_shown="m3@1"
)


def test_the_last_decided_comes_first_whatever_its_kind() -> None:
    later = replace(
        ACCEPTED,
        change_id="change-00000003",
        status=ChangeStatus.REJECTED,
        kind=ChangeKind.FLOOD,
        at_ns=ACCEPTED.at_ns + 1,
    )
    assert find_overlapping_decisions([WAITING], [ACCEPTED, later]) == {WAITING.change_id: [later, ACCEPTED]}


@pytest.mark.parametrize(
    ("waiting", "decided"),
    [
        (replace(WAITING, status=ChangeStatus.REJECTED), ACCEPTED),
        (WAITING, replace(ACCEPTED, event_id="e2")),
        (WAITING, replace(ACCEPTED, wkb=changed("c", square(95, 0, 100)).wkb)),
        (WAITING, replace(ACCEPTED, wkb=changed("c", square(500, 0, 100)).wkb)),
    ],
    ids=["it is decided on itself", "of another event", "hardly touches it", "lies elsewhere"],
)
def test_nothing_is_told_where_nothing_was_decided_there(
    waiting: ChangeVersion, decided: ChangeVersion
) -> None:
    assert find_overlapping_decisions([waiting], [decided]) == {}
