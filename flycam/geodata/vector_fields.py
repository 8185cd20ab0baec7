"""Columns of a vector file as text, under any name and encoding."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.frame.text_normalization import to_search_key


def to_column_key(column: str) -> str:
    """Return a column's key for comparison: "Mã xã", "ma_xa" and "MAXA" are equal."""
    return "".join(c for c in to_search_key(column) if c.isalnum())


def has_text(values: NDArray[Any]) -> bool:
    """Return True if any of a column's values is not empty."""
    return any(read_texts(values))


def read_texts(values: NDArray[Any]) -> tuple[str, ...]:
    """Return a column's values as text, NFC, single spaces; empty where missing."""
    return tuple(_text(value) for value in values.tolist())


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(unicodedata.normalize("NFC", str(value)).split())


def repair_mojibake(names: Sequence[str], remarks: list[str], path: Path) -> tuple[str, ...]:
    """Undo UTF-8 that was read as Latin-1, as in a Shapefile without .cpg."""
    mended = []
    for name in names:
        try:
            mended.append(unicodedata.normalize("NFC", b"".join(map(_single_byte, name)).decode("utf-8")))
        except UnicodeError:
            mended.append(name)
    if tuple(mended) != tuple(names):
        remarks.append(
            f"{path.name}: names were UTF-8 although the file does not say so, and were read as such"
        )
    return tuple(mended)


def _single_byte(character: str) -> bytes:
    """Return the byte that Windows-1252 shows as this character.

    Its five undefined bytes are decoded as control characters.
    """
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")
