"""Every error that a person can meet says what is wrong in Vietnamese of its own."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from flycam import errors

HOUSE = Path(errors.__file__).parent

_NOBODY_MEETS = {
    "mosaic/merge.py": 2,  # tiles of another zoom or epoch: a fault of ours, loud
    "mosaic/writer.py": 1,  # finished tiles merged into the live revision: as well
    "catalog/tiles.py": 1,  # a mosaic opened twice in two ways: as well
    "store/memory.py": 1,  # the store of tests
    "console.py": 1,  # what click says, which is translated where it can be
}
"""Errors without Vietnamese by module, and how many."""


def _without_vietnamese(path: Path) -> Iterator[int]:
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_error = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds
        if is_error and node.args and not any(word.arg == "vi" for word in node.keywords):
            yield node.lineno


def test_every_error_has_vietnamese_of_its_own() -> None:
    found = {
        path.relative_to(HOUSE).as_posix(): list(_without_vietnamese(path)) for path in HOUSE.rglob("*.py")
    }
    assert {name: len(lines) for name, lines in found.items() if lines} == _NOBODY_MEETS, found
