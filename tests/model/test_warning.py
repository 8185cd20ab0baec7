"""Warnings as kept and as said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.model.warning import (
    TERRAIN_HOLES,
    describe_warning,
    describe_warning_briefly,
    encode_warning,
    parse_warning_code,
)


@given(st.text(min_size=1))
def test_any_file_name_comes_back_in_the_sentence(files: str) -> None:
    kept = encode_warning(TERRAIN_HOLES, files=files, percent=12)
    assert parse_warning_code(kept) == TERRAIN_HOLES
    for language in ("vi", "en"):
        assert describe_warning(kept).in_language(language).startswith(files)
        assert "12 %" in describe_warning_briefly(kept).in_language(language)


def test_text_that_is_no_code_is_said_as_it_stands() -> None:
    for text in ("Kept by an older box: 50 % {empty}?x=1", "", "no_terrain_at_all"):
        assert describe_warning(text).in_language("vi") == str(describe_warning_briefly(text)) == text
        assert parse_warning_code(text) is None


def test_a_warning_without_words_or_values_is_refused_when_written() -> None:
    with pytest.raises(KeyError):
        encode_warning("unheard_of")
    with pytest.raises(KeyError):
        encode_warning(TERRAIN_HOLES, files="a.tif")


@pytest.mark.parametrize("kept", [TERRAIN_HOLES, f"{TERRAIN_HOLES}?percent=12", f"{TERRAIN_HOLES}?other=1&&"])
def test_what_another_version_did_not_tell_with_a_code_is_left_open(kept: str) -> None:
    for language in ("vi", "en"):
        assert "…" in describe_warning(kept).in_language(language)
        assert describe_warning_briefly(kept).in_language(language)
        assert describe_warning_briefly(kept, finished=True).in_language(language)
