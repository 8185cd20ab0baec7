"""Tiles of a named revision, and views of what is known about pixels: `?revision=N`,
`?layer=error|age|gsd|surface`.

Each answer looks the tile's head up in the catalogue, so it is never older than the log. A retired revision,
or one that is still being written, is not there.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from urllib.parse import parse_qs

from flycam.catalog.records import MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.tiles import no_such_mosaic
from flycam.catalog.withholding import Withholding
from flycam.errors import NotFound
from flycam.frame.flight import is_plane
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tilecodec import ViewFormat, decode
from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.mosaic.pixel_figures import age_h, error_m, gsd_m
from flycam.pipeline.veils import Veil, veil_over
from flycam.pipeline.workspace import Workspace
from flycam.serve.tiles.follower import Follower
from flycam.serve.tiles.grounds import Grounds
from flycam.serve.tiles.layers import (
    Classes,
    DataLayer,
    ages_hold_until_ns,
    classes_of,
    picture_of,
    surface_classes,
)
from flycam.serve.tiles.offered import revision_on_show
from flycam.serve.tiles.views import EMPTY, View, ViewCache, read_view


@dataclass(frozen=True, slots=True)
class Asked:
    """What a tile request asks for beside the picture on show."""

    revision: int | None
    layer: DataLayer | None


def asked_of(query: bytes) -> Asked | None:
    """What the query asks for; None for the picture on show. Raises NotFound for what there is not."""
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
    return Asked(int(revision) if revision else None, DataLayer(layer) if layer else None)


ON_SHOW = Asked(None, None)
"""The picture on show."""


class AskedViews:
    """Makes such views, and those of tiles of which something is withheld. For several threads at once."""

    def __init__(self, workspace: Workspace, follower: Follower, cache: ViewCache, grounds: Grounds) -> None:
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
        asked: Asked,
        wanted: ViewFormat | None,
        withholding: Withholding,
    ) -> View:
        """The view as this visitor may have it; EMPTY where nothing was flown, or all is withheld.

        Raises NotFound (also for a mosaic that is not for this visitor), and what reading a tile raises.
        """
        self._follower.read_if_due()
        watched = self._follower.watch(mosaic_id)
        if withholding.hides_mosaic(mosaic_id):
            raise no_such_mosaic(mosaic_id)
        info = revision_on_show(self._catalog, watched.info, asked.revision)
        head = self._catalog.tiles.head(mosaic_id, info.revision, tile_id)
        if head is None:
            return EMPTY
        rules = withholding.fingerprint if withholding.touches_tile(tile_id) else ""
        key = f"{path}?{info.revision}.{asked.layer or ''}.{rules}"
        kept = self._cache.get(key)
        if kept is not None and self._holds(kept, head):
            return kept
        veil = veil_over(tile_id, withholding)
        if veil is not None and veil.hidden.all():
            return EMPTY
        view = (
            read_view(self._workspace.store, head, wanted, veil)
            if asked.layer is None
            else self._data_view(info, head, asked.layer, veil)
        )
        self._cache.keep(key, view, watched)
        return view

    def _holds(self, kept: View, head: TileRecord) -> bool:
        """Whether a view that was kept is what would be made now."""
        is_its_time = kept.until_ns is None or self._workspace.clock_ns() <= kept.until_ns
        return is_its_time and kept.etag.startswith(f'"{head.content_hash}.'.encode())

    def _data_view(self, info: MosaicInfo, head: TileRecord, layer: DataLayer, veil: Veil | None) -> View:
        tile = decode(self._workspace.store.get(head.key), head.tile_id, head.content_hash)
        shown = tile.quality > 0 if veil is None else (tile.quality > 0) & ~veil.hidden
        until_ns = (
            self._until_ns(tile) if layer is DataLayer.AGE else None
        )  # before it is drawn: never too long
        png = picture_of(self._classes(info, tile, layer), shown, layer)
        # a view changes without its tile: with the clock, and with what classes mean in a newer flycam
        stamp = f"{head.content_hash}.{layer}.{zlib.crc32(png):08x}"
        return View(png, ViewFormat.PNG.value, f'"{stamp}"', head.seq, until_ns)

    def _until_ns(self, tile: MosaicTile) -> int | None:
        """Until when its ages are shown in the colours of now."""
        captured = [self._catalog.frames.get(name).header.captured_ns for name in tile.frames]
        return ages_hold_until_ns(captured, self._workspace.clock_ns())

    def _classes(self, info: MosaicInfo, tile: MosaicTile, layer: DataLayer) -> Classes:
        if layer is DataLayer.SURFACE:
            flight = self._catalog.flights.flight(info.flight_id)
            on_plane = is_plane(flight.vertical_datum)
            return surface_classes(tile, self._support_of(info), on_plane=on_plane)
        finished = info.revision != LIVE_REVISION
        if layer is DataLayer.ERROR and finished:  # it tells its errors itself: no frame is looked up
            return classes_of(error_m(tile, None), layer)
        frames = {name: self._catalog.frames.get(name) for name in tile.frames}
        if layer is DataLayer.AGE:
            return classes_of(age_h(tile, frames, self._workspace.clock_ns()), layer)
        if layer is DataLayer.GSD:
            return classes_of(gsd_m(tile, frames), layer)
        return classes_of(error_m(tile, frames), layer)

    def _support_of(self, info: MosaicInfo) -> TerrainGrid | None:
        if info.revision == LIVE_REVISION:
            return None
        key = self._catalog.revisions.get(info.mosaic_id, info.revision).support_key
        return None if key is None else self._grounds.grid(key)
