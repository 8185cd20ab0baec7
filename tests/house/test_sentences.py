"""Every error that a person can meet says what is wrong in Vietnamese of its own."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from flycam import errors

HOUSE = Path(errors.__file__).parent

_NOBODY_MEETS = {
    "mosaic/tiles/merge.py": 2,  # tiles of another zoom or epoch: a fault of ours, loud
    "mosaic/tiles/writer.py": 1,  # finished tiles merged into the live revision: as well
    "catalog/mosaics.py": 1,  # a mosaic opened twice in two ways: as well
    "storage/stores.py": 1,  # the store of tests
}
"""Errors without Vietnamese by module, and how many."""


_KINDS = frozenset(
    name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
)


_MENTIONS = re.compile(rf"\b({'|'.join(_KINDS)})\b")


def _kinds_in(expression: ast.expr, kinds: frozenset[str]) -> bool:
    """Whether an expression is an error's class, or a choice between some: `(A if … else B)`, `errors.A`."""
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in kinds
        case ast.IfExp(body=one, orelse=other):
            return _kinds_in(one, kinds) or _kinds_in(other, kinds)
        case ast.BoolOp(values=several):
            return any(_kinds_in(one, kinds) for one in several)
        case ast.NamedExpr(value=one):
            return _kinds_in(one, kinds)
        case ast.Subscript(value=ast.Dict(values=several)) | ast.Subscript(value=ast.Tuple(elts=several)):
            return any(_kinds_in(one, kinds) for one in several)
    return False


def _without_vietnamese(source: str) -> Iterator[int]:
    """Lines that make an error of plain text, which is in no catalogue, by its class or by a name of it."""
    if not _MENTIONS.search(source):
        return
    nodes = list(ast.walk(ast.parse(source)))
    given = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _kinds_in(node.value, _KINDS)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    kinds = _KINDS | given
    for node in nodes:
        is_error = isinstance(node, ast.Call) and node.args and _kinds_in(node.func, kinds)
        if is_error and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp):
            yield node.lineno


def test_every_error_has_vietnamese_of_its_own() -> None:
    found = {
        path.relative_to(HOUSE).as_posix(): list(_without_vietnamese(path.read_text(encoding="utf-8")))
        for path in HOUSE.rglob("*.py")
    }
    assert {name: len(lines) for name, lines in found.items() if lines} == _NOBODY_MEETS, found
