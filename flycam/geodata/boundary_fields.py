"""Recognition of a boundary file's columns of code, name and stated area, under any usual name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.errors import BoundaryInvalid
from flycam.frame.text_normalization import to_search_key
from flycam.geodata.vector_fields import has_text, read_texts, repair_mojibake, to_column_key
from flycam.messages import _, pgettext

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
    """Find the columns; raise BoundaryInvalid without a code or a name, listing them."""
    by_key = {to_column_key(column): column for column in reversed(list(columns))}
    code_column, name_column, area_column = (
        next((by_key[key] for key in wanted if key in by_key and has_text(columns[by_key[key]])), None)
        for wanted in (_CODE_COLUMNS, _NAME_COLUMNS, _AREA_COLUMNS)
    )
    if code_column is None and "id" in by_key and all(t.isdigit() for t in read_texts(columns[by_key["id"]])):
        # a number may be the official code; "a.1" is a feature's serial
        code_column = by_key["id"]
    remarks: list[str] = []
    if code_column is None and name_column is None:
        raise BoundaryInvalid(
            _(
                "{name}: no column holds commune names, codes (columns: {listed}): call them code and name",
                name=path.name,
                listed=", ".join(columns) or pgettext("columns", "none"),
            )
        )
    codes = read_texts(columns[code_column]) if code_column is not None else None
    names = read_texts(columns[name_column]) if name_column is not None else None
    if names is not None:
        names = repair_mojibake(names, remarks, path)
    if codes is None:
        codes = tuple(to_search_key(name).replace(" ", "-") for name in names or ())
        remarks.append(f"{path.name}: has no column of codes; codes were made from the names")
    names = tuple(name or code for name, code in zip(names or codes, codes, strict=True))
    codes = tuple(c or to_search_key(n).replace(" ", "-") for c, n in zip(codes, names, strict=True))
    return BoundaryFields(
        codes=codes, names=names, declared=_numbers(columns, area_column, len(codes)), remarks=tuple(remarks)
    )


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
