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

from flycam.frame.tile import MosaicTile
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _, ngettext
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
    label: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """Classes of a layer, best first."""

    title: Message
    classes: tuple[LegendClass, ...]

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Upper bounds of all classes but the last."""
        return np.array([one.up_to for one in self.classes[:-1]], dtype=np.float64)


# Blue to red through pale yellow (ColorBrewer RdYlBu): distinct to colour-blind eyes and in print.
_SEVEN = ("#313695", "#4575b4", "#91bfdb", "#ffffbf", "#fdae61", "#f46d43", "#a50026")


def _build_legend(title: Message, bounds: Sequence[tuple[float, Message | str]], last: Message) -> Legend:
    classes = [
        LegendClass(colour=colour, up_to=bound, label=_("up to {bound}", bound=said))
        for colour, (bound, said) in zip(_SEVEN, bounds, strict=False)
    ]
    return Legend(title=title, classes=(*classes, LegendClass(colour=_SEVEN[-1], up_to=None, label=last)))


LEGENDS: Mapping[DataLayer, Legend] = {
    DataLayer.ERROR: _build_legend(
        _("Expected error (1 sigma)"),
        [(bound, Message("{error_m:,g} m", {"error_m": bound})) for bound in (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)],
        _("over 5 m, or not known"),
    ),
    DataLayer.AGE: _build_legend(
        _("Age of the picture"),
        [
            *((float(hours), ngettext("{count} hour", "{count} hours", hours)) for hours in (1, 3, 12)),
            *((24.0 * days, ngettext("{count} day", "{count} days", days)) for days in (1, 3, 7)),
        ],
        _("over 7 days"),
    ),
    DataLayer.GSD: _build_legend(
        _("GSD of the photo"),
        [(0.03, "3 cm"), (0.05, "5 cm"), (0.1, "10 cm"), (0.2, "20 cm"), (0.5, "50 cm"), (1.0, "1 m")],
        _("over 1 m, or not known"),
    ),
    DataLayer.SURFACE: Legend(
        title=_("Ground the pixels lie on"),
        classes=(
            LegendClass(colour="#1b7837", up_to=None, label=_("the flight's own surface")),
            LegendClass(colour="#a6dba0", up_to=None, label=_("carried on or corrected from the flight")),
            LegendClass(colour="#c2a5cf", up_to=None, label=_("terrain model (DEM)")),
            LegendClass(colour="#f1b6da", up_to=None, label=_("a flat plane (no DEM)")),
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
        **legend.title.to_fields("title"),
        "classes": [
            {"colour": one.colour, "up_to": one.up_to, **one.label.to_fields("label")}
            for one in legend.classes
        ],
    }
