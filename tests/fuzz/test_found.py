"""What fuzzing found once: each input is read, or refused in a typed error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.corpus import CORPORA
from tests.fuzz.parsers import PARSERS

FOUND = sorted((Path(__file__).parent / "found").glob("*/*"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_breaks_its_parser_no_more(path: Path) -> None:
    PARSERS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", PARSERS)
def test_what_fuzzing_begins_with_does_not_break_its_parser(name: str) -> None:
    for data in CORPORA[name]():
        PARSERS[name](data)
