"""Pictures are merged in their order, one at a time, beside whoever adds them; what goes wrong is said."""

from __future__ import annotations

import threading

import pytest

from flycam.ingest.live.orthorectifier import MergeThread

WAIT_S = 60.0


def test_in_their_order_and_beside_who_adds_them() -> None:
    merger, merged, go = MergeThread(), [], threading.Event()

    def first() -> None:
        assert go.wait(WAIT_S)
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
    assert fallen.wait(WAIT_S)
    with pytest.raises(OSError, match="disk full"):
        merger.add(lambda: None)
    assert isinstance(merger.error, OSError)
    with pytest.raises(OSError, match="disk full"):
        merger.close()
