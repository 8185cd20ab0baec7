"""Numbers of documents: none looks whole, or nothing, that is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flycam.report.numbers import percent


@given(st.floats(0.0, 100.0))
def test_only_all_looks_whole_and_only_nothing_looks_like_nothing(value: float) -> None:
    said = percent(value, "en").replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    number = float(said.removesuffix("%").strip())
    assert (number == 100.0) == (value == 100.0)
    assert (number == 0.0) == (value == 0.0)
    assert abs(number - value) <= 0.5
