"""Data layers of a tile: expected error, age, GSD and ground of its pixels.

Made from the lossless state on request, nothing of it is stored. Classes, not a ramp: a class can be read off
the legend on a bad projector, and each has one colour that holds for every flight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.text_normalization import format_decimal_comma
from flycam.frame.tile import MosaicTile
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.dsm_share import mask_dsm_pixels
from flycam.mosaic.pixel_attributes import HOUR_NS, compute_hours_since

ClassImage = NDArray[np.uint8]

_ALPHA = 205


class DataLayer(StrEnum):
    """Quantity that a data layer shows."""

    ERROR = "error"
    AGE = "age"
    GSD = "gsd"
    SURFACE = "surface"


@dataclass(frozen=True, kw_only=True, slots=True)
class LegendClass:
    """One colour and its meaning; `up_to`: upper bound in the layer's unit, or None."""

    colour: str
    up_to: float | None
    label_en: str
    label_vi: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """Classes of a layer, best first."""

    title_en: str
    title_vi: str
    classes: tuple[LegendClass, ...]

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Upper bounds of all classes but the last."""
        return np.array([one.up_to for one in self.classes[:-1]], dtype=np.float64)


def _build_legend(
    colours: Sequence[str], bounds: Sequence[tuple[float, str, str]], last: tuple[str, str]
) -> Legend:
    classes = [
        LegendClass(colour=colour, up_to=bound, label_en=f"up to {en}", label_vi=f"đến {vi}")
        for colour, (bound, en, vi) in zip(colours, bounds, strict=False)
    ]
    over = LegendClass(colour=colours[-1], up_to=None, label_en=last[0], label_vi=last[1])
    return Legend(title_en="", title_vi="", classes=(*classes, over))


def _retitle(legend: Legend, title_en: str, title_vi: str) -> Legend:
    return Legend(title_en=title_en, title_vi=title_vi, classes=legend.classes)


# Blue to red through pale yellow (ColorBrewer RdYlBu): distinct to colour-blind eyes and in print.
_SEVEN = ("#313695", "#4575b4", "#91bfdb", "#ffffbf", "#fdae61", "#f46d43", "#a50026")

LEGENDS: Mapping[DataLayer, Legend] = {
    DataLayer.ERROR: _retitle(
        _build_legend(
            _SEVEN,
            [(b, f"{b:g} m", format_decimal_comma(f"{b:g} m")) for b in (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)],
            ("over 5 m, or not known", "trên 5 m, hoặc không rõ"),
        ),
        "Expected error (1 sigma)",
        "Sai số dự kiến (1 sigma)",
    ),
    DataLayer.AGE: _retitle(
        _build_legend(
            _SEVEN,
            [
                (1.0, "1 hour", "1 giờ"),
                (3.0, "3 hours", "3 giờ"),
                (12.0, "12 hours", "12 giờ"),
                (24.0, "1 day", "1 ngày"),
                (72.0, "3 days", "3 ngày"),
                (168.0, "7 days", "7 ngày"),
            ],
            ("over 7 days", "trên 7 ngày"),
        ),
        "Age of the picture",
        "Tuổi của ảnh",
    ),
    DataLayer.GSD: _retitle(
        _build_legend(
            _SEVEN,
            [
                (0.03, "3 cm", "3 cm"),
                (0.05, "5 cm", "5 cm"),
                (0.1, "10 cm", "10 cm"),
                (0.2, "20 cm", "20 cm"),
                (0.5, "50 cm", "50 cm"),
                (1.0, "1 m", "1 m"),
            ],
            ("over 1 m, or not known", "trên 1 m, hoặc không rõ"),
        ),
        "GSD of the photo",
        "Độ phân giải mặt đất của ảnh",
    ),
    DataLayer.SURFACE: Legend(
        title_en="Ground the pixels lie on",
        title_vi="Bề mặt dùng để nắn ảnh",
        classes=(
            LegendClass(
                colour="#1b7837",
                up_to=None,
                label_en="the flight's own surface",
                label_vi="bề mặt đo từ chuyến bay",
            ),
            LegendClass(
                colour="#a6dba0",
                up_to=None,
                label_en="carried on or corrected from the flight",
                label_vi="suy ra hoặc hiệu chỉnh theo chuyến bay",
            ),
            LegendClass(
                colour="#c2a5cf", up_to=None, label_en="terrain model (DEM)", label_vi="mô hình độ cao (DEM)"
            ),
            LegendClass(
                colour="#f1b6da",
                up_to=None,
                label_en="a flat plane (no DEM)",
                label_vi="mặt phẳng (không có DEM)",
            ),
        ),
    ),
}
OWN_SURFACE, CORRECTED, TERRAIN_MODEL, PLANE = range(4)


def classify_pixels(value: NDArray[np.float32], layer: DataLayer) -> ClassImage:
    """Classify each pixel (256×256) by its value in the layer's unit.

    Unknown values (NaN) get the last class. Pixels without data get any.
    """
    return np.searchsorted(LEGENDS[layer].bounds, value, side="left").astype(np.uint8)


def compute_ages_valid_until_ns(captured_ns: Sequence[int], now_ns: int) -> int | None:
    """Return until when photos of these times keep their age classes; None: for ever."""
    bounds = LEGENDS[DataLayer.AGE].bounds
    now = np.searchsorted(bounds, compute_hours_since(captured_ns, now_ns), side="left")
    ends = [
        moment + int(bounds[at] * HOUR_NS)
        for moment, at in zip(captured_ns, now.tolist(), strict=True)
        if at < len(bounds)
    ]
    return min(ends, default=None)


def classify_surface(tile: MosaicTile, support: TerrainGrid | None, *, on_plane: bool) -> ClassImage:
    """Classify pixels by the ground that they lie on.

    `support` has heights where the flight measured the ground. Beside that a DSM is no terrain model any
    more: heights are continued from what was measured, and the terrain is corrected by it. None: there is no
    DSM, and all lies on the terrain, or on the plane in its place.
    """
    if support is None:
        return np.full(tile.quality.shape, PLANE if on_plane else TERRAIN_MODEL, dtype=np.uint8)
    return np.where(mask_dsm_pixels(tile.tile_id, support), OWN_SURFACE, CORRECTED).astype(np.uint8)


def render_class_png(classes: ClassImage, mask: NDArray[np.bool_], layer: DataLayer) -> bytes:
    """Render PNG in the palette's colours where `mask`, transparent elsewhere."""
    colours = [_bgra(one.colour) for one in LEGENDS[layer].classes]
    table = np.array([*colours, (0, 0, 0, 0)], dtype=np.uint8)
    picture = table[np.where(mask, classes, len(colours))]
    written, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not written:
        raise RuntimeError("OpenCV cannot write PNG")
    return bytes(png.tobytes())


def _bgra(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red, _ALPHA


def to_legend_json(legend: Legend) -> dict[str, object]:
    """Return a legend for the map: title and classes in both languages."""
    return {
        "title": legend.title_en,
        "title_vi": legend.title_vi,
        "classes": [
            {"colour": one.colour, "up_to": one.up_to, "label": one.label_en, "label_vi": one.label_vi}
            for one in legend.classes
        ],
    }
