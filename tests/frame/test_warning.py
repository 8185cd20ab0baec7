"""Warnings as kept and as said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.frame.warning import NO_TERRAIN, TERRAIN_HOLES, brief, code_of, sentence, warning


def test_each_language_has_its_own_words() -> None:
    kept = warning(NO_TERRAIN)
    assert kept == "no_terrain"
    assert sentence(kept).startswith("No terrain") and "flycam dem add" in sentence(kept)
    assert "mặt phẳng" in sentence(kept, "vi") and "flycam dem add" in sentence(kept, "vi")
    assert "mặt phẳng" in brief(kept, "vi") and "flat plane" in brief(kept)
    assert len(brief(kept, "vi")) < 90


def test_a_finished_revision_has_words_of_its_own_where_it_needs_them() -> None:
    assert "bề mặt đo từ chính chuyến bay" in brief(warning(NO_TERRAIN), "vi", finished=True)
    assert "measured from the flight" in brief(warning(NO_TERRAIN), finished=True)
    holes = warning(TERRAIN_HOLES, files="a.tif", percent=12)
    for language in ("vi", "en"):
        assert brief(holes, language, finished=True) == brief(holes, language)


@given(st.text(min_size=1))
def test_any_file_name_comes_back_in_the_sentence(files: str) -> None:
    kept = warning(TERRAIN_HOLES, files=files, percent=12)
    assert code_of(kept) == TERRAIN_HOLES
    for language in ("vi", "en"):
        assert sentence(kept, language).startswith(files)
        assert "12 %" in brief(kept, language)


def test_text_that_is_no_code_is_said_as_it_stands() -> None:
    for text in ("Kept by an older box: 50 % {empty}?x=1", "", "no_terrain_at_all"):
        assert sentence(text, "vi") == brief(text) == text
        assert code_of(text) is None


def test_a_warning_without_words_or_values_is_refused_when_written() -> None:
    with pytest.raises(KeyError):
        warning("unheard_of")
    with pytest.raises(KeyError):
        warning(TERRAIN_HOLES, files="a.tif")


@pytest.mark.parametrize("kept", [TERRAIN_HOLES, f"{TERRAIN_HOLES}?percent=12", f"{TERRAIN_HOLES}?other=1&&"])
def test_what_another_version_did_not_tell_with_a_code_is_left_open(kept: str) -> None:
    for language in ("vi", "en"):
        assert "…" in sentence(kept, language)
        assert brief(kept, language)
        assert brief(kept, language, finished=True)
