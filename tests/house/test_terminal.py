"""One rule says what a name holds, and one writer what a terminal gets: nobody has another beside them."""

from __future__ import annotations

import re
from pathlib import Path

import flycam

HOUSE = Path(flycam.__file__).parent
_WRITES = re.compile(r"click\.s?echo\(|\bprint\(|sys\.std(?:out|err)\.write|print_exc\(|basicConfig\(")
_JUDGES = re.compile(r"\.isprintable\(|unicodedata\.category\(")

_WRITERS = {
    "cli/output.py",
    "operations/installer_check.py",  # runs on a stick without flycam
}
_RULES = {
    "model/text.py",
    "operations/installer_check.py",
    "ingest/poses/external_poses.py",  # whether a file is text at all
}


def _having(pattern: re.Pattern[str]) -> set[str]:
    return {
        path.relative_to(HOUSE).as_posix()
        for path in HOUSE.rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    }


def test_only_the_console_writes_to_a_terminal() -> None:
    assert _having(_WRITES) == _WRITERS


def test_only_one_rule_says_which_characters_are_plain() -> None:
    assert _having(_JUDGES) == _RULES
