"""Compile the message catalogues when flycam is built or installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CATALOGUES = Path(__file__).parent / "flycam" / "messages"


def compile_catalogues() -> None:
    """Write each .po of `CATALOGUES` as the .mo that gettext reads."""
    for path in CATALOGUES.glob("*/LC_MESSAGES/*.po"):
        with path.open("rb") as source, path.with_suffix(".mo").open("wb") as compiled:
            write_mo(compiled, read_po(source))


class CompileCatalogues(BuildHookInterface):
    """The step of the build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the files of the wheel are collected."""
        compile_catalogues()


if __name__ == "__main__":
    compile_catalogues()
