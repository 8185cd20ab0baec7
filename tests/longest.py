"""Test files that take longest go first: files are handed to the processes of a run whole, and a long one
that begins last would leave the others idle."""

from __future__ import annotations

from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parent
LONGEST = (_TESTS / "longest.txt").read_text(encoding="utf-8").split()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of the list, then the others as they were."""
    places = {_TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
