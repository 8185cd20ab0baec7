"""What the linters are told to pass over: never without a reason."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PASSED_OVER = re.compile(r"#\s*(?:ruff:\s*|flake8:\s*)?no(?:qa|sec)\b.*", re.IGNORECASE)
_WITH_A_REASON = re.compile(r"# noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* .{4,}")


def without_a_reason(text: str) -> list[str]:
    """Lines of a Python file that pass a rule over and do not say why."""
    found = (_PASSED_OVER.search(line) for line in text.splitlines())
    return [one[0] for one in found if one is not None and not _WITH_A_REASON.fullmatch(one[0])]


def test_nothing_is_passed_over_without_a_reason() -> None:
    files = [path for room in ("flycam", "tests") for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 500, "nothing is looked at"
    here = Path(__file__)
    told = {
        path.relative_to(ROOT): without_a_reason(path.read_text("utf-8")) for path in files if path != here
    }
    assert not {path: lines for path, lines in told.items() if lines}


def test_each_rule_that_is_off_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for table in ("ignore = [", "[tool.ruff.lint.per-file-ignores]"):
        rows = text.partition(f"\n{table}\n")[2].partition("\n]\n" if table.endswith("[") else "\n\n")[0]
        assert rows and not [row for row in rows.splitlines() if not re.search(r"[],]  # \S.+", row)]
