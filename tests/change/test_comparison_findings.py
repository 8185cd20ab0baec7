"""What is said beside the changes, and when it is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flycam.change.comparison import (
    explain_unreviewable,
    list_pair_doubts,
    list_pair_remarks,
)


def side(name: str, first_ns: int | None, *, is_live: bool = False) -> Any:
    flight = None if first_ns is None else SimpleNamespace(first_ns=first_ns, flight_id=name)
    file = Path(f"/{name}") if flight is None else None
    return SimpleNamespace(name=name, flight=flight, file=file, is_live=is_live)


def remarks_of(*sides: Any, off_px: float = 0.0) -> list[Any]:
    """The values of the remarks, where terrain is known."""
    remarks = list_pair_remarks(sides, explain_unreviewable(sides), off_px, 0.0)  # type: ignore[arg-type]
    return [one.values for one in remarks]


@pytest.mark.parametrize(
    ("before", "after", "is_unfit"),
    [
        (side("one", 2), side("other", 1), True),
        (side("one", 1), side("other", 2), False),
        (side("one", 1), side("other", 1), False),
        (side("one", None), side("other", 1), False),
        (side("one", 2), side("other", None), False),
        (side("one", 1), side("one", 1), True),
        (side("one", None), side("one", None), True),
    ],
)
def test_a_pair_in_the_wrong_order_or_of_one_side_is_unfit(before: Any, after: Any, is_unfit: bool) -> None:
    unfit = explain_unreviewable((before, after))
    assert (unfit is not None) is is_unfit
    assert unfit is None or unfit.values in remarks_of(before, after, off_px=3.0)


def test_a_finished_flight_that_lay_off_can_be_adjusted_onto_the_one_before() -> None:
    before, after = side("one", 1), side("other", 2)
    (values,) = remarks_of(before, after, off_px=3.0)
    assert values["command"] == "flycam finish other --reference one"
    assert remarks_of(before, after, off_px=1.0) == []
    assert remarks_of(side("a.tif", None), after, off_px=3.0) == []
    assert remarks_of(side("one", 1), side("other", 2, is_live=True), off_px=3.0) == []


def test_a_live_flight_is_finished_first() -> None:
    sure = SimpleNamespace(agreed_share=0.5)
    sides = side("one", 1), side("other", 2, is_live=True)
    assert [one.values for one in list_pair_doubts(sides, sure)] == [{"names": "other"}]  # type: ignore[arg-type]
    assert list_pair_doubts((side("one", 1), side("other", 2)), sure) == []  # type: ignore[arg-type]
