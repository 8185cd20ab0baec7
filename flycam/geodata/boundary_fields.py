"""Which columns of a boundary file hold the code, the name and the stated area, whatever they are called."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.errors import BoundaryInvalid
from flycam.frame.spelling import search_key

_CODE_COLUMNS = (
    "maxa", "maxaphuong", "maphuongxa", "madvhc", "macode", "code", "wardcode", "communecode", "adm3pcode",
    "adm2pcode", "gid3", "cc3", "maso", "ma",
)  # fmt: skip
_NAME_COLUMNS = (
    "fullname", "tenday", "tendaydu", "tenxa", "tenxaphuong", "tenphuongxa", "tendvhc", "ten", "name",
    "adm3vi", "adm2vi", "name3", "wardname", "communename", "commune", "xa", "adm3en",
)  # fmt: skip
_AREA_COLUMNS = ("areakm2", "dientichkm2", "dientich", "dtich", "dientichtn", "area", "sqkm", "areaha")


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryFields:
    """Code, name and stated area (None unknown, the file's unit) of each feature."""

    codes: tuple[str, ...]
    names: tuple[str, ...]
    declared: tuple[float | None, ...]
    remarks: tuple[str, ...]


def find_fields(columns: Mapping[str, NDArray[Any]], path: Path) -> BoundaryFields:
    """Pick the columns. Raises BoundaryInvalid if neither a code nor a name can be found, listing them."""
    by_key = {_column_key(column): column for column in reversed(list(columns))}
    code_column, name_column, area_column = (
        next((by_key[key] for key in wanted if key in by_key and _has_text(columns[by_key[key]])), None)
        for wanted in (_CODE_COLUMNS, _NAME_COLUMNS, _AREA_COLUMNS)
    )
    if code_column is None and "id" in by_key and all(t.isdigit() for t in _texts(columns[by_key["id"]])):
        code_column = by_key["id"]  # a number may be the official code; "a.1" is a feature's serial
    remarks: list[str] = []
    if code_column is None and name_column is None:
        listed, listed_vi = ", ".join(columns) or "none", ", ".join(columns) or "không có cột nào"
        raise BoundaryInvalid(
            f"{path.name}: no column holds commune names, codes (columns: {listed}): call them code and name",
            vi=f"{path.name}: không có cột tên xã hay mã xã (các cột: {listed_vi}); hãy đặt tên cột là "
            "code và name",
        )
    codes = _texts(columns[code_column]) if code_column is not None else None
    names = _texts(columns[name_column]) if name_column is not None else None
    if names is not None:
        names = _unscrambled(names, remarks, path)
    if codes is None:
        codes = tuple(search_key(name).replace(" ", "-") for name in names or ())
        remarks.append(f"{path.name}: has no column of codes; codes were made from the names")
    names = tuple(name or code for name, code in zip(names or codes, codes, strict=True))
    codes = tuple(c or search_key(n).replace(" ", "-") for c, n in zip(codes, names, strict=True))
    return BoundaryFields(
        codes=codes, names=names, declared=_numbers(columns, area_column, len(codes)), remarks=tuple(remarks)
    )


def _column_key(column: str) -> str:
    return "".join(c for c in search_key(column) if c.isalnum())


def _has_text(values: NDArray[Any]) -> bool:
    return any(_texts(values))


def _texts(values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(_text(value) for value in values.tolist())


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(unicodedata.normalize("NFC", str(value)).split())


def _unscrambled(names: Sequence[str], remarks: list[str], path: Path) -> tuple[str, ...]:
    """Undo UTF-8 that was read as Latin-1, which a Shapefile without .cpg always is."""
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
    """The byte that Windows-1252 shows as this character; its five undefined bytes come as controls."""
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")


def _numbers(columns: Mapping[str, NDArray[Any]], column: str | None, count: int) -> tuple[float | None, ...]:
    if column is None:
        return (None,) * count
    out: list[float | None] = []
    for value in columns[column].tolist():
        try:
            number = float(str(value).replace(",", "."))
        except ValueError:
            number = float("nan")
        out.append(number if np.isfinite(number) and number > 0 else None)
    return tuple(out)
