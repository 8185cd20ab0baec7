"""Every error that a person can meet says what is wrong in Vietnamese of its own."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam import errors

HOUSE = Path(errors.__file__).parent

_NOBODY_MEETS = {
    "mosaic/tiles/merge.py": 2,  # tiles of another zoom or epoch: a fault of ours, loud
    "mosaic/tiles/writer.py": 1,  # finished tiles merged into the live revision: as well
    "catalog/tiles.py": 1,  # a mosaic opened twice in two ways: as well
    "storage/address.py": 1,  # the store of tests
}
"""Errors without Vietnamese by module, and how many."""


_KINDS = frozenset(
    name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
)


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


@pytest.mark.parametrize(
    "line",
    [
        "raise DiskFull('full')",
        "raise errors.DiskFull('full')",
        "raise (DiskFull if full else StorageTrouble)('full')",
        "kind = DiskFull if full else StorageTrouble; raise kind('full')",
        "raise (kind := DiskFull)('full')",
        "raise {True: DiskFull, False: StorageTrouble}[full]('full')",
    ],
)
def test_no_way_to_make_an_error_hides_that_it_has_no_vietnamese(line: str) -> None:
    assert list(_without_vietnamese(line)) == [1]
    assert not list(_without_vietnamese(line.replace("('full')", "(_('full'))")))


def test_every_error_has_vietnamese_of_its_own() -> None:
    found = {
        path.relative_to(HOUSE).as_posix(): list(_without_vietnamese(path.read_text(encoding="utf-8")))
        for path in HOUSE.rglob("*.py")
    }
    assert {name: len(lines) for name, lines in found.items() if lines} == _NOBODY_MEETS, found


def test_ground_that_was_imaged_is_never_called_as_a_masts_reach() -> None:
    """A mast has a "vùng phủ"; ground with pictures, which may stand beside it, is "phạm vi đã chụp"."""
    page = HOUSE.parent / "web"
    texts = [*HOUSE.rglob("*.py"), *HOUSE.rglob("*.typ"), *(page / "src").rglob("*.ts"), *page.glob("*.html")]
    said = {path: path.read_text(encoding="utf-8").lower() for path in texts}
    assert not [str(path) for path, text in said.items() if "vùng phủ" in text]
    assert any("phạm vi đã chụp" in text for path, text in said.items() if path.suffix == ".ts")


def test_reviewing_and_approving_have_words_of_their_own() -> None:
    """A change is reviewed (soát xét), a meeting pack approved (phê duyệt): "duyệt" alone would be either."""
    pages = HOUSE.parent / "web" / "src"
    places = [*HOUSE.rglob("*.py"), *HOUSE.rglob("*.typ"), *pages.rglob("*.ts")]
    alone = re.compile(r"(?<![Tt]rình )(?<![Pp]hê )\bduyệt\b", re.IGNORECASE)
    found = [
        f"{path.name}: {line.strip()}"
        for path in places
        for line in path.read_text(encoding="utf-8").splitlines()
        if alone.search(line)
    ]
    assert not found
