"""How the tests themselves are run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.longest import LONGEST

ROOT = Path(__file__).resolve().parents[2]


def test_each_file_that_goes_first_is_there() -> None:
    assert LONGEST
    assert not [name for name in LONGEST if not (ROOT / "tests" / name).is_file()]
    assert len(set(LONGEST)) == len(LONGEST)


def test_the_browsers_run_collects_every_file_that_drives_one() -> None:
    """It is told where they are: collecting all others takes longer than some of them."""
    told = re.search(r"^BROWSER := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert told is not None
    places = [ROOT / place for place in told[1].split()]
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if _drives_a_browser(path)]
    assert marked
    assert not [path for path in marked if not any(path.is_relative_to(place) for place in places)]


def _drives_a_browser(path: Path) -> bool:
    return path != Path(__file__) and "mark.browser" in path.read_text(encoding="utf-8")
