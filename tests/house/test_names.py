"""What prose says lies somewhere lies there: files and modules named in the docs and in comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ROOT / "flycam"
_ROOMS = "|".join(sorted(path.name for path in HOUSE.iterdir() if (path / "__init__.py").is_file()))
_MODULE = re.compile(rf"`(?:flycam\.)?((?:{_ROOMS})(?:\.[A-Za-z_]\w*)+)`")
_FILE = re.compile(r"`([\w./]*\w\.(?:py|ts|typ|css|mjs))`")
_BEFORE_MODULE = re.compile(rf"(?<=─ )(?:flycam\.)?((?:{_ROOMS})\.[a-z_.]+\w)(?=:| |,|$)", re.MULTILINE)
_SUFFIXES = {"css", "stage", "tif", "typ"}  # a file's, not a module's
_PLAIN = ["ARCHITECTURE.md", "README.md", "docs/operations.md", "docs/formats/*.md"]


def told() -> Iterator[tuple[str, str]]:
    """(where, text) of what tells people where things are. Decisions and evidence are of their day."""
    for pattern in _PLAIN:
        for path in sorted(ROOT.glob(pattern)):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted(HOUSE.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def is_there(dotted: str) -> bool:
    """Whether it is a module or a package, or a name that one says; what a room's objects do too."""
    names = dotted.split(".")
    room = HOUSE / names[0]
    if len(names) == 2 and any(f"def {names[1]}(" in path.read_text("utf-8") for path in room.glob("*.py")):
        return True
    for count in range(len(names), 0, -1):
        place = HOUSE.joinpath(*names[:count])
        module = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        if module.is_file():
            rest = names[count:]
            text = module.read_text(encoding="utf-8")
            return all(re.search(rf"\b{re.escape(name)}\b", text) for name in rest)
    return False


def test_modules_that_are_named_are_there() -> None:
    named = [
        (where, name)
        for where, text in told()
        for name in [*_MODULE.findall(text), *(_BEFORE_MODULE.findall(text) if where.endswith(".md") else [])]
    ]
    assert len(named) > 50, "nothing is looked at"
    named = [(where, name) for where, name in named if name.rpartition(".")[2] not in _SUFFIXES]
    assert not [(where, name) for where, name in named if not is_there(name)]


def test_files_that_are_named_are_there() -> None:
    kept = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for place in ("flycam", "tests", "bench", "web", "models", "docs")
        for path in (ROOT / place).rglob("*.*")
        if "node_modules" not in path.parts and "static" not in path.parts
    ]
    named = [(where, name) for where, text in told() for name in _FILE.findall(text)]
    assert len(named) > 100, "nothing is looked at"
    assert not [(where, name) for where, name in named if not any(one.endswith(f"/{name}") for one in kept)]
