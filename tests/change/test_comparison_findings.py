"""What is said beside the changes, and when it is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flycam.change.comparison import (
    describe_missing_detection,
    explain_unreviewable,
    list_pair_doubts,
    list_pair_remarks,
)
from flycam.change.image_pair import ColourFault


def side(name: str, first_ns: int | None, *, is_live: bool = False) -> Any:
    flight = None if first_ns is None else SimpleNamespace(first_ns=first_ns, flight_id=name)
    file = Path(f"/{name}") if flight is None else None
    return SimpleNamespace(name=name, flight=flight, file=file, is_live=is_live)


def said_of(*sides: Any, off_px: float = 0.0) -> list[str]:
    """In English, where terrain is known."""
    said = list_pair_remarks(sides, explain_unreviewable(sides), off_px, 0.0)  # type: ignore[arg-type]
    return list(map(str, said))


@pytest.mark.parametrize(
    ("before_ns", "after_ns", "is_said"), [(2, 1, True), (1, 2, False), (None, 1, False), (2, None, False)]
)
def test_flights_in_the_wrong_order_are_told(
    before_ns: int | None, after_ns: int | None, is_said: bool
) -> None:
    said = said_of(side("one", before_ns), side("other", after_ns))
    assert [english.startswith("other: was flown before one") for english in said] == [True] * is_said
    assert all("not put up for review" in english for english in said)


@pytest.mark.parametrize("first_ns", [1, None])
def test_a_side_beside_itself_is_told(first_ns: int | None) -> None:
    said, *of_pictures = said_of(side("one", first_ns), side("one", first_ns), off_px=3.0)
    assert ["fitted on drills" in one for one in of_pictures] == [True] * (first_ns is None)
    assert said.startswith("one: stands as BEFORE and AFTER") and "not put up for review" in said
    assert str(explain_unreviewable((side("one", first_ns), side("one", first_ns)))) == said
    assert explain_unreviewable((side("one", 1), side("two", 1))) is None, "two that began together"


def test_a_finished_flight_that_lay_off_can_be_adjusted_onto_the_one_before() -> None:
    before, after = side("one", 1), side("other", 2)
    (said,) = said_of(before, after, off_px=3.0)
    assert "flycam finish other --reference one" in said
    assert said_of(before, after, off_px=1.0) == []
    assert said_of(side("a.tif", None), after, off_px=3.0) == []


def test_a_live_flight_is_finished_first() -> None:
    sides = side("one", 1), side("other", 2, is_live=True)
    assert said_of(*sides, off_px=3.0) == []
    sure = SimpleNamespace(agreed_share=0.5)
    (said,) = list_pair_doubts(sides, sure)  # type: ignore[arg-type]
    assert str(said).startswith("other: not finished") and "run 'flycam finish' first" in str(said)
    assert list_pair_doubts((side("one", 1), side("other", 2)), sure) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", list(ColourFault))
def test_every_fault_of_colours_has_its_words(fault: ColourFault) -> None:
    said = describe_missing_detection("a.tif", fault)
    assert str(said).startswith("a.tif: ") and "not looked for" in str(said)
