"""Numbers of documents: none looks whole, or nothing, that is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.model.text import format_percent


@given(st.floats(0.0, 100.0))
def test_only_all_looks_whole_and_only_nothing_looks_like_nothing(value: float) -> None:
    said = (
        str(format_percent(value))
        .replace("\N{NO-BREAK SPACE}", " ")
        .replace("\N{NARROW NO-BREAK SPACE}", " ")
    )
    sign, number = said[0] if said[0] in "<>" else "", float(said.strip("<>% "))
    assert (number == 100.0) == (value == 100.0)
    assert (number == 0.0) == (value == 0.0)
    if sign:
        assert value < number == 0.1 if sign == "<" else value > number == 99.9
    else:
        assert abs(number - value) <= (0.5 if 1.0 <= value <= 99.0 else 0.05 + 1e-9)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0 %"), (0.0002, "< 0,1 %"), (0.1, "0,1 %"), (0.85, "0,8 %"), (12.4, "12 %"), (99.97, "> 99,9 %")],
)
def test_what_is_less_than_can_be_told_is_not_made_more(value: float, said: str) -> None:
    assert format_percent(value).in_language("vi").replace("\N{NO-BREAK SPACE}", " ") == said
