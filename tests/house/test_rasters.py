"""Rasters are opened at one door: no other module asks GDAL to read a file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import flycam

HOUSE = Path(flycam.__file__).parent
DOOR = "geodata/raster_source.py"
_READERS = frozenset({"open", "DatasetReader", "MemoryFile", "ZipMemoryFile", "FilePath"})
_COPY = "rasterio.shutil.copy"
_MENTIONS = re.compile(r"\brasterio\b|\bosgeo\b")
COPIED = {("geodata/raster.py", _COPY)}
"""Of a file that was just written there."""


def test_no_other_module_opens_a_raster_to_read() -> None:
    found = {
        (name, what)
        for path in HOUSE.rglob("*.py")
        if (name := path.relative_to(HOUSE).as_posix()) != DOOR
        if _MENTIONS.search(text := path.read_text(encoding="utf-8"))
        for what in opened_in(text)
    }
    assert found == COPIED


def opened_in(text: str) -> Iterator[str]:
    """What of a module opens rasters to read, or takes what does from its library."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                yield from ("osgeo" for one in names if one.name.split(".")[0] == "osgeo")
                renamed = [one for one in names if one.name == "rasterio" and one.asname]
                yield from (f"rasterio as {one.asname}" for one in renamed)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "osgeo":
                yield "osgeo"
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "rasterio":
                yield from (f"{module}.{one.name}" for one in names if one.name in _READERS)
            case ast.Call(func=ast.Attribute(attr=name) as func, args=args):
                called = ast.unparse(func)
                is_write = len(args) > 1 and isinstance(args[1], ast.Constant) and args[1].value == "w"
                if called.startswith("rasterio.") and (name in _READERS or called == _COPY) and not is_write:
                    yield called
