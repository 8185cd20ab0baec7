"""What a pack is about, where nobody named a storm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flycam.model.flight import UNNAMED_EVENTS
from flycam.reports.briefing.document import format_events, format_subtitle

NS = 1_757_000_000 * 10**9  # 04/09/2025 22:33 in Vietnam


def figures(*events: str) -> Any:
    return SimpleNamespace(events=events, flights=[SimpleNamespace(first_ns=NS, last_ns=NS + 10**12)])


@pytest.mark.parametrize("name", UNNAMED_EVENTS.values())
def test_an_event_that_nobody_named_stands_on_no_title(name: str) -> None:
    for language in ("vi", "en"):
        title = format_subtitle(figures(name)).in_language(language)
        assert name not in title and "04/09/2025" in title and "survey" not in title
    assert format_events(figures(name)).in_language("vi") == "Hình ảnh bay chụp"


def test_a_storm_stands_on_it_and_what_is_unnamed_beside_it_does_not() -> None:
    title = format_subtitle(figures("Bão số 3", "Bay chụp")).in_language("vi")
    assert title.endswith("– Bão số 3")
    assert str(format_events(figures("Bão số 3", "Bay chụp"))) == "Bão số 3"
