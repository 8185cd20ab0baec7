"""How the tests themselves are run."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.longest import LONGEST

ROOT = Path(__file__).resolve().parents[2]
_WHATEVER_CAME = r"\bRandom\(\)|\bdefault_rng\(\)|\brandom\.seed\(\)"
_IN_TIME = r"assert .*\b(monotonic|perf_counter)\(\).*<"


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


def test_laws_are_tried_on_the_same_examples_every_time() -> None:
    """Whether they hold hangs on no luck; `make soak` has a profile of its own."""

    def drawn() -> list[int]:
        found: list[int] = []

        @given(st.integers())
        def law(number: int) -> None:
            found.append(number)

        law()
        return found

    assert drawn() == drawn()
    assert "--hypothesis-profile explore" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert settings.get_profile("explore").derandomize is False


def test_no_test_draws_without_a_seed() -> None:
    assert _lines_with(_WHATEVER_CAME) == []


def test_no_test_asserts_how_long_something_took() -> None:
    """What it waits for is awaited by `tests/waiting.py`: the event itself, however slow a machine is."""
    assert _lines_with(_IN_TIME) == []


def _lines_with(pattern: str) -> list[str]:
    """Lines of the tests that hold it, benches and this module aside."""
    paths = [path for path in (ROOT / "tests").rglob("*.py") if "bench" not in path.parts]
    return [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in paths
        if path not in (Path(__file__), ROOT / "tests" / "waiting.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line)
    ]


def _drives_a_browser(path: Path) -> bool:
    return path != Path(__file__) and "mark.browser" in path.read_text(encoding="utf-8")
