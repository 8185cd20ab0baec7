"""What is said beside the changes, and when it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flycam.analysis.colour import ColourFault
from flycam.pipeline.compare_remarks import not_looked_for, remarks_on


def side(name: str, first_ns: int | None) -> Any:
    flight = None if first_ns is None else SimpleNamespace(first_ns=first_ns)
    return SimpleNamespace(name=name, flight=flight, is_live=False)


@pytest.mark.parametrize(
    ("before_ns", "after_ns", "is_said"), [(2, 1, True), (1, 2, False), (None, 1, False), (2, None, False)]
)
def test_flights_in_the_wrong_order_are_told(
    before_ns: int | None, after_ns: int | None, is_said: bool
) -> None:
    sides = side("one", before_ns), side("other", after_ns)
    said = remarks_on(sides, without_heights=0.0, communes=[object()])  # type: ignore[list-item]
    assert [english.startswith("other: was flown before one") for english, _ in said] == [True] * is_said


@pytest.mark.parametrize("fault", list(ColourFault))
def test_every_fault_of_colours_has_its_words(fault: ColourFault) -> None:
    english, vietnamese = not_looked_for("a.tif", fault)
    assert english.startswith("a.tif: ") and "not looked for" in english
    assert vietnamese.startswith("a.tif: ") and "không dò" in vietnamese
