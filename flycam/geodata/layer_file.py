"""Specialist layers (power lines, masts, …) from a file, with owner and date.

Columns are recognised under any usual name; what a file does not state is left empty, never guessed. Format
page: docs/formats/layers.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.errors import LayerInvalid
from flycam.geodata.vector_file import (
    Geometries,
    VectorLayer,
    has_network_link,
    has_text,
    read_texts,
    read_vector_layers,
    repair_mojibake,
    to_column_key,
)
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.board import Condition, LayerKind, parse_condition
from flycam.model.text import strip_unprintable
from flycam.model.time import parse_timestamp

MAX_FEATURES = 300_000
"""A province has some 250,000 houses; more is another country, or a broken file."""

_LETTERS = 200
_NAMED = 3

_NAME_COLUMNS = (
    "ten", "tendoituong", "tenduong", "tencongtrinh", "tentram", "tentruong", "tensong", "tenthon", "tenban",
    "name", "label", "title", "sohieu", "maso", "matram", "ref", "code", "id",
)  # fmt: skip
_OWNER_COLUMNS = (
    "chusohuu", "chuquan", "donvi", "donviquanly", "quanly", "coquan", "nhamang", "owner", "operator",
)  # fmt: skip
_STATUS_COLUMNS = (
    "tinhtrang", "trangthai", "hientrang", "status", "state", "condition",
)  # fmt: skip
_TIME_COLUMNS = (
    "thoidiem", "thoigian", "capnhat", "ngaycapnhat", "gio", "ngay", "validtime", "valid", "updated",
    "updatedat", "lastupdate", "timestamp", "datetime", "date", "time",
)  # fmt: skip

_POINT, _LINE, _AREA = "point", "line", "area"
_SHAPE_OF = {0: _POINT, 4: _POINT, 1: _LINE, 2: _LINE, 5: _LINE, 3: _AREA, 6: _AREA}
_FITTING: Mapping[LayerKind, frozenset[str]] = {
    LayerKind.MAST: frozenset({_POINT, _AREA}),
    LayerKind.SCHOOL: frozenset({_POINT, _AREA}),
    LayerKind.HOUSE: frozenset({_POINT, _AREA}),
    LayerKind.SETTLEMENT: frozenset({_POINT, _AREA}),
    LayerKind.ROAD: frozenset({_LINE, _AREA}),
}
"""The two shapes as which features of a kind can be drawn; other kinds allow all."""

_SHAPES = {
    _POINT: pgettext("shape of a feature", "points"),
    _LINE: pgettext("shape of a feature", "lines"),
    _AREA: pgettext("shape of a feature", "areas"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFeature:
    """One feature of a layer. Empty text and None: the file does not state it.

    status     the owner's own words; `condition` is their classification
    valid_ns   time of that status
    geometry   WGS 84 degrees, valid
    """

    name: str
    owner: str
    status: str
    condition: Condition
    valid_ns: int | None
    geometry: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerImport:
    """Result of importing a file: features in its order, and what was done to them."""

    features: tuple[LayerFeature, ...]
    repaired: int
    removed: int
    remarks: tuple[Message, ...]


def read_layer(path: Path, kind: LayerKind, *, max_features: int = MAX_FEATURES) -> LayerImport:
    """Read and repair a layer: GeoJSON, GeoPackage, Shapefile or KML in any CRS.

    Raises SourceUnreadable, CrsMissing, LayerInvalid (nothing in it, or nothing that can be of this kind).
    """
    path = Path(path)
    remarks: list[Message] = []
    features: list[LayerFeature] = []
    repaired: list[str] = []
    removed: list[str] = []
    layers = read_vector_layers(path, max_features=max_features)
    linked = has_network_link(path)  # after the checks: nothing is unpacked before them
    if linked:
        remarks.append(
            _(
                "{name}: points elsewhere (NetworkLink), which is not followed: what lies there is missing",
                name=path.name,
            )
        )
    for layer in layers:
        features += _features_of(layer, path, repaired, removed, remarks)
    if not features:
        raise _empty(path, linked=linked)
    _check_kind(path, kind, features)
    if repaired:
        remarks.append(
            ngettext(
                "{count} feature with edges that cross: repaired ({names})",
                "{count} features with edges that cross: repaired ({names})",
                len(repaired),
                names=_list_first(repaired),
            )
        )
    if removed:
        remarks.append(
            ngettext(
                "{count} feature without a usable geometry: left out ({names})",
                "{count} features without a usable geometry: left out ({names})",
                len(removed),
                names=_list_first(removed),
            )
        )
    return LayerImport(
        features=tuple(features),
        repaired=len(repaired),
        removed=len(removed),
        remarks=tuple({str(one): one for one in remarks}.values()),
    )


def _features_of(
    layer: VectorLayer, path: Path, repaired: list[str], removed: list[str], remarks: list[Message]
) -> list[LayerFeature]:
    columns = _Columns(layer.fields, len(layer.geometries), path, remarks)
    geometries, was_repaired = _mended(layer.geometries)
    usable = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    features = []
    for row in range(len(geometries)):
        label = columns.names[row] or f"#{row + 1}"
        if not usable[row]:
            removed.append(label)
            continue
        if was_repaired[row]:
            repaired.append(label)
        features.append(
            LayerFeature(
                name=columns.names[row],
                owner=columns.owners[row],
                status=columns.statuses[row],
                condition=parse_condition(columns.statuses[row]),
                valid_ns=columns.moments[row],
                geometry=geometries[row],
            )
        )
    return features


def _mended(geometries: Geometries) -> tuple[Geometries, NDArray[np.bool_]]:
    """Return valid geometries (N) and which were repaired.

    Empty where nothing of the same type was left.
    """
    broken = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    mended = geometries.copy()
    mended[broken] = shapely.make_valid(geometries[broken], method="structure", keep_collapsed=False)
    return mended, broken & ~shapely.is_empty(mended)


class _Columns:
    """Name, owner, status and time of each feature of a layer."""

    def __init__(
        self, fields: Mapping[str, NDArray[Any]], count: int, path: Path, remarks: list[Message]
    ) -> None:
        self._by_key = {to_column_key(column): values for column, values in reversed(list(fields.items()))}
        self._count = count
        scrambled: list[str] = []
        self.names = self._text(_NAME_COLUMNS, scrambled, path)
        self.owners = self._text(_OWNER_COLUMNS, scrambled, path)
        self.statuses = self._text(_STATUS_COLUMNS, scrambled, path)
        self.moments = self._moments()
        if scrambled:
            remarks.append(
                _(
                    "{name}: text was UTF-8 although the file does not say so, and was read as such",
                    name=path.name,
                )
            )

    def _column(self, wanted: tuple[str, ...]) -> NDArray[Any] | None:
        found = (self._by_key[key] for key in wanted if key in self._by_key)
        return next((values for values in found if has_text(values)), None)

    def _text(self, wanted: tuple[str, ...], scrambled: list[str], path: Path) -> tuple[str, ...]:
        values = self._column(wanted)
        if values is None:
            return ("",) * self._count
        return tuple(_short(text) for text in repair_mojibake(read_texts(values), scrambled, path))

    def _moments(self) -> tuple[int | None, ...]:
        values = self._column(_TIME_COLUMNS)
        if values is None:
            return (None,) * self._count
        return tuple(parse_timestamp(text) for text in read_texts(values))


def _short(text: str) -> str:
    """Strip control characters and cut overlong text."""
    printable = strip_unprintable(text)
    return printable if len(printable) <= _LETTERS else printable[: _LETTERS - 1] + "…"


def _check_kind(path: Path, kind: LayerKind, features: list[LayerFeature]) -> None:
    """Raise LayerInvalid unless some feature can be of the kind: masts are not lines."""
    fitting = _FITTING.get(kind)
    if fitting is None:
        return
    shapes = {_SHAPE_OF.get(int(one), _AREA) for one in shapely.get_type_id([f.geometry for f in features])}
    if shapes & fitting:
        return
    one, other = sorted(fitting)
    raise LayerInvalid(
        _(
            "{name}: holds {held} only, but --kind {kind} is drawn as {wanted}: give the kind that it is",
            name=path.name,
            held=join((_SHAPES[shape] for shape in sorted(shapes)), ", "),
            kind=kind,
            wanted=pgettext(
                "shapes of a feature", "{one} or {other}", one=_SHAPES[one], other=_SHAPES[other]
            ),
        )
    )


def _empty(path: Path, *, linked: bool) -> LayerInvalid:
    if linked:
        return LayerInvalid(
            _(
                "{name}: holds nothing but a link elsewhere (NetworkLink): open that and save it as KML",
                name=path.name,
            )
        )
    return LayerInvalid(
        _("{name}: holds no feature with a place: give a file of points, lines or areas", name=path.name)
    )


def _list_first(labels: list[str]) -> str:
    return ", ".join(labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")
