"""What a meeting pack says, in both languages."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from flycam.report import pack_words
from flycam.report.pack_content import age


def test_words_say_the_same_values_in_both_languages() -> None:
    for key, said in pack_words.PACK_WORDS.items():
        names = [set(re.findall(r"{(\w+)", text)) for text in said]
        assert names[0] == names[1], key


@given(st.integers(0, 10**8), st.integers(0, 10**6))
def test_a_picture_never_grows_younger(minutes: int, more: int) -> None:
    def said_minutes(count: int) -> int:
        number, unit = age(0, count * 60 * 10**9, "en").split()
        return int(number) * {"minute": 1, "hour": 60, "day": 1440, "year": 525_600}[unit.removesuffix("s")]

    assert said_minutes(minutes) <= said_minutes(minutes + more)
    assert said_minutes(minutes) <= minutes < 2 * said_minutes(minutes) + 2
