"""Pictures are merged one at a time and shown in groups behind: in order, bounded, and errors come back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from flycam.errors import StorageFailed
from flycam.ingest.live.live_map import Publisher
from flycam.ingest.live.orthorectifier import MergeThread

_SOON_S = 30.0


def test_what_is_merged_while_a_group_is_written_comes_in_the_next_together() -> None:
    begun, gate, groups = threading.Event(), threading.Event(), []

    def publish() -> None:
        begun.set()
        assert gate.wait(_SOON_S)

    def shown(group: Sequence[int]) -> None:
        groups.append(list(group))

    publisher = Publisher(publish, shown)
    publisher.add(0)
    assert begun.wait(_SOON_S)
    for number in (1, 2, 3):
        publisher.add(number)
    assert groups == []
    gate.set()
    publisher.close()
    assert groups == [[0], [1, 2, 3]]


def test_who_merges_waits_while_too_many_are_not_shown() -> None:
    begun, gate, added = threading.Event(), threading.Event(), []

    def publish() -> None:
        begun.set()
        assert gate.wait(_SOON_S)

    publisher = Publisher(publish, lambda _group: None, most=2)

    def merge() -> None:
        for number in range(6):
            publisher.add(number)
            added.append(number)

    merging = threading.Thread(target=merge, daemon=True)
    merging.start()
    assert begun.wait(_SOON_S)
    merging.join(0.3)
    assert merging.is_alive() and len(added) <= 4  # two are written, two wait
    gate.set()
    merging.join(_SOON_S)
    publisher.close()
    assert added == list(range(6))


def test_what_went_wrong_is_raised_where_the_pictures_come_from() -> None:
    def broken() -> None:
        raise StorageFailed("the disk went away: run again")

    failed = threading.Event()
    publisher = Publisher(broken, lambda _group: failed.set())
    publisher.add(0)
    with pytest.raises(StorageFailed, match="disk"):
        for number in range(1, 1000):
            publisher.add(number)
    with pytest.raises(StorageFailed, match="disk"):
        publisher.close()
    assert not failed.is_set()


def test_in_their_order_and_beside_who_adds_them() -> None:
    merger, merged, go = MergeThread(), [], threading.Event()

    def first() -> None:
        assert go.wait(_SOON_S)
        merged.append(1)

    merger.add(first)  # returns although nothing is merged yet
    assert merged == []
    go.set()
    for number in (2, 3, 4):
        merger.add(lambda number=number: merged.append(number))
    merger.close()
    assert merged == [1, 2, 3, 4]


def test_what_goes_wrong_is_told_and_raised() -> None:
    merger, fallen = MergeThread(), threading.Event()

    def fails() -> None:
        try:
            raise OSError("disk full")
        finally:
            fallen.set()

    merger.add(fails)
    assert fallen.wait(_SOON_S)
    with pytest.raises(OSError, match="disk full"):
        merger.add(lambda: None)
    assert isinstance(merger.error, OSError)
    with pytest.raises(OSError, match="disk full"):
        merger.close()
