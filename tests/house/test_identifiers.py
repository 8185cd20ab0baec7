"""Identifiers speak the field's language (docs/glossary.md): no retired word, a class name once, verbs."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "flycam"
RETIRED = re.compile(
    r"(^|_)(said|told|untold|laid|relaid|relay|given|apart|standing|beside|whole|under_way|made_up|let_go|letting|"
    r"going|believing|outlasting|heard|asked|asking|lacking|owed|drawn_over|found_again|looked_for|passed_over|"
    r"mended|stands|gone|aloft|house|room|patience)(_|$)"
)
# What a function's first word is not: of another word class, or a verb's form that is no order.
NO_ORDER = re.compile(
    r"(of|by|in|at|for|on|onto|over|under|beside|between|within|what|which|who|whether|where|when|how|the|a|an|and|or|"
    r"not|no|all|any|every|one|own|"
    r"(?!feed|need|seed|speed|embed|shed|bring|ring|string|wing)\w+(?:ing|ed))"
)
MAX_SAME_FUNCTIONS = 20


@cache
def _statements() -> dict[Path, list[ast.stmt]]:
    """At the top of every module."""
    return {path: ast.parse(path.read_text(encoding="utf-8")).body for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def _definitions() -> list[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Module and definition, of every public class and function at the top of a module."""
    found = []
    for path, statements in _statements().items():
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in statements:
            is_named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_named and not node.name.startswith("_"):
                found.append((module, node))
    return found


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_no_name_has_a_retired_word() -> None:
    names = {
        part for path in PACKAGE.rglob("*.py") for part in path.relative_to(PACKAGE).with_suffix("").parts
    }
    for _, node in _definitions():
        names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                one.name for one in node.body if isinstance(one, ast.FunctionDef) and one.name[0] != "_"
            }
    assert not sorted(name for name in names if RETIRED.search(_words(name)))


def _names_bound(node: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module binds; imports and `+=` aside."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if isinstance(node, ast.AugAssign):
        return []
    parts = [part for target in targets if target is not None for part in ast.walk(target)]
    return [part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]


def test_no_name_of_a_module_is_bound_twice() -> None:
    """A second binding would change what functions far above it read."""
    twice = {}
    for path, statements in _statements().items():
        counts = Counter(name for node in statements for name in _names_bound(node))
        if again := sorted(name for name, count in counts.items() if count > 1):
            twice[path.relative_to(PACKAGE).as_posix()] = again
    assert twice == {}


def test_a_class_name_stands_once_and_a_function_name_seldom_twice() -> None:
    where: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for module, node in _definitions():
        where[isinstance(node, ast.ClassDef), node.name].append(module)
    twice = {key: modules for key, modules in where.items() if len(modules) > 1}
    assert not {name: modules for (is_class, name), modules in twice.items() if is_class}
    assert len(twice) <= MAX_SAME_FUNCTIONS, twice


def test_functions_are_orders() -> None:
    functions = [node.name for _, node in _definitions() if not isinstance(node, ast.ClassDef)]
    assert not sorted(name for name in functions if NO_ORDER.fullmatch(name.partition("_")[0]))
    assert not sorted(name for name in functions if name.endswith("_of"))
