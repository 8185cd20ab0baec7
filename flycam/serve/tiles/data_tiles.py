"""Tiles of a named revision, and data layers: `?revision=N`, `?layer=…`.

Each answer reads the tile's head from the catalogue, so it is never older than the log. A retired revision,
or one that is still being written, is not found.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.access.policy import AccessPolicy, find_shown_revision
from flycam.catalog.mosaics import LIVE_REVISION, make_mosaic_not_found
from flycam.errors import NotFound
from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _, ngettext
from flycam.model.flight import is_flat_datum
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import MosaicInfo
from flycam.mosaic.finish.finished_tiles import (
    HOUR_NS,
    compute_age_h,
    compute_error_m,
    compute_gsd_m,
    compute_hours_since,
    mask_dsm_pixels,
)
from flycam.mosaic.redaction import TileMask, compute_tile_mask
from flycam.mosaic.terrain_codec import TerrainCache
from flycam.mosaic.tiles.codec import ViewFormat, decode_tile
from flycam.reports.layout import ERROR_COLOURS, SURFACE_COLOURS
from flycam.serve.tiles.tile_views import EMPTY_VIEW, TileLogFollower, TileView, ViewCache, load_view
from flycam.workspace import Workspace

# -- Data layers of a tile: expected error, age, GSD and ground of its pixels ----------------------
#
# They are made from the lossless state on request and never stored. Colours are classes, not a ramp: a class
# can be read off the legend on a bad projector, and each has one colour that holds for every flight.


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


def _build_legend(title: Message, bounds: Sequence[tuple[float, Message | str]], last: Message) -> Legend:
    classes = [
        LegendClass(colour=colour, up_to=bound, label=_("up to {bound}", bound=bound_text))
        for colour, (bound, bound_text) in zip(ERROR_COLOURS, bounds, strict=False)
    ]
    return Legend(
        title=title, classes=(*classes, LegendClass(colour=ERROR_COLOURS[-1], up_to=None, label=last))
    )


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
            LegendClass(colour=SURFACE_COLOURS["own"], up_to=None, label=_("the flight's own surface")),
            LegendClass(
                colour=SURFACE_COLOURS["corrected"],
                up_to=None,
                label=_("carried on or corrected from the flight"),
            ),
            LegendClass(colour=SURFACE_COLOURS["dem"], up_to=None, label=_("terrain model (DEM)")),
            LegendClass(colour=SURFACE_COLOURS["plane"], up_to=None, label=_("a flat plane (no DEM)")),
        ),
    ),
}
OWN_SURFACE, CORRECTED, TERRAIN_MODEL, PLANE = range(4)


def classify_pixels(value: NDArray[np.float32], layer: DataLayer) -> ClassImage:
    """Classify each pixel (256×256) by its value in the layer's unit.

    Unknown values (NaN) get the last class. Pixels without data get any.
    """
    return np.searchsorted(LEGENDS[layer].bounds, value, side="left").astype(np.uint8)


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


# -- Tiles of a named revision, and data views -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class TileQuery:
    """Parameters of a tile request beyond the published view."""

    revision: int | None
    layer: DataLayer | None


def parse_tile_query(query: bytes) -> TileQuery | None:
    """Parse the query; None for the published view. Raises NotFound otherwise.

    NotFound is for revisions and layers that do not exist.
    """
    if b"revision=" not in query and b"layer=" not in query:
        return None
    values = parse_qs(query.decode("latin-1"))
    revision, layer = values.get("revision", [""])[0], values.get("layer", [""])[0]
    if revision and not (revision.isdecimal() and len(revision) < 10):
        raise NotFound(
            _("revision={revision}: no revision has such a number; see the flight's list", revision=revision)
        )
    if layer and layer not in frozenset(DataLayer):
        raise NotFound(
            _(
                "layer={layer}: there is no such view; ask for {datalayer}",
                layer=layer,
                datalayer=", ".join(DataLayer),
            )
        )
    if not revision and not layer:
        return None
    return TileQuery(int(revision) if revision else None, DataLayer(layer) if layer else None)


PUBLISHED_VIEW = TileQuery(None, None)
"""Published revision, in its own colours."""


class DataTileViews:
    """Maker of data views, and of views of redacted tiles. Thread-safe."""

    def __init__(
        self, workspace: Workspace, follower: TileLogFollower, cache: ViewCache, grounds: TerrainCache
    ) -> None:
        self._workspace = workspace
        self._catalog = workspace.catalog
        self._follower = follower
        self._cache = cache
        self._grounds = grounds

    def view(
        self,
        path: str,
        mosaic_id: str,
        tile_id: TileId,
        query: TileQuery,
        wanted: ViewFormat | None,
        policy: AccessPolicy,
    ) -> TileView:
        """Return the view under an access policy.

        EMPTY_VIEW where nothing was flown, or all is withheld. Raises NotFound (also for a mosaic that the
        policy hides), and errors of reading a tile.
        """
        self._follower.read_if_due()
        watched = self._follower.watch_mosaic(mosaic_id)
        if policy.hides_mosaic(mosaic_id):
            raise make_mosaic_not_found(mosaic_id)
        info = find_shown_revision(self._catalog, watched.info, query.revision)
        head = self._catalog.tiles.head(mosaic_id, info.revision, tile_id)
        if head is None:
            return EMPTY_VIEW
        rules = policy.fingerprint if policy.touches_tile(tile_id) else ""
        key = f"{path}?{info.revision}.{query.layer or ''}.{rules}"
        cached = self._cache.get(key)
        if cached is not None and self._is_still_valid(cached, head):
            return cached
        veil = compute_tile_mask(tile_id, policy)
        if veil is not None and veil.hidden.all():
            return EMPTY_VIEW
        view = (
            load_view(self._workspace.store, head, wanted, veil)
            if query.layer is None
            else self._render_data_view(info, head, query.layer, veil)
        )
        self._cache.keep(key, view, watched)
        return view

    def _is_still_valid(self, cached: TileView, head: TileRecord) -> bool:
        """Return True if a cached view equals one that would be made now."""
        is_its_time = cached.until_ns is None or self._workspace.clock_ns() <= cached.until_ns
        return is_its_time and cached.etag.startswith(f'"{head.content_hash}.'.encode())

    def _render_data_view(
        self, info: MosaicInfo, head: TileRecord, layer: DataLayer, veil: TileMask | None
    ) -> TileView:
        tile = decode_tile(self._workspace.store.get(head.key), head.tile_id, head.content_hash)
        shown = tile.quality > 0 if veil is None else (tile.quality > 0) & ~veil.hidden
        # taken before the ages are drawn: never too long
        until_ns = self._ages_valid_until_ns(tile) if layer is DataLayer.AGE else None
        png = render_class_png(self._classify(info, tile, layer), shown, layer)
        # a view changes without its tile: with the clock, and with what classes mean in a newer flycam
        stamp = f"{head.content_hash}.{layer}.{zlib.crc32(png):08x}"
        return TileView(png, ViewFormat.PNG.value, f'"{stamp}"', head.seq, until_ns)

    def _ages_valid_until_ns(self, tile: MosaicTile) -> int | None:
        """Return the time, UTC ns, until which its age colours are valid."""
        captured = [self._catalog.frames.get(name).header.captured_ns for name in tile.frames]
        now_ns = self._workspace.clock_ns()
        bounds = LEGENDS[DataLayer.AGE].bounds
        now = np.searchsorted(bounds, compute_hours_since(captured, now_ns), side="left")
        ends = [
            moment + int(bounds[at] * HOUR_NS)
            for moment, at in zip(captured, now.tolist(), strict=True)
            if at < len(bounds)
        ]
        return min(ends, default=None)

    def _classify(self, info: MosaicInfo, tile: MosaicTile, layer: DataLayer) -> ClassImage:
        if layer is DataLayer.SURFACE:
            flight = self._catalog.flights.flight(info.flight_id)
            on_plane = is_flat_datum(flight.vertical_datum)
            return classify_surface(tile, self._load_support(info), on_plane=on_plane)
        finished = info.revision != LIVE_REVISION
        # a finished tile holds its errors: no frame is looked up
        if layer is DataLayer.ERROR and finished:
            return classify_pixels(compute_error_m(tile, None), layer)
        frames = {name: self._catalog.frames.get(name) for name in tile.frames}
        if layer is DataLayer.AGE:
            return classify_pixels(compute_age_h(tile, frames, self._workspace.clock_ns()), layer)
        if layer is DataLayer.GSD:
            return classify_pixels(compute_gsd_m(tile, frames), layer)
        return classify_pixels(compute_error_m(tile, frames), layer)

    def _load_support(self, info: MosaicInfo) -> TerrainGrid | None:
        if info.revision == LIVE_REVISION:
            return None
        key = self._catalog.revisions.get(info.mosaic_id, info.revision).support_key
        return None if key is None else self._grounds.grid(key)
