"""Tiles of a named revision, and data layers: `?revision=N`, `?layer=…`.

Each answer reads the tile's head from the catalogue, so it is never older than the log. A retired revision,
or one that is still being written, is not found.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from urllib.parse import parse_qs

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.records import MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.tiles import make_mosaic_not_found
from flycam.errors import NotFound
from flycam.frame.flight import is_flat_datum
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tile_codec import ViewFormat, decode_tile
from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.mosaic.pixel_attributes import compute_age_h, compute_error_m, compute_gsd_m
from flycam.pipeline.tile_masks import TileMask, compute_tile_mask
from flycam.pipeline.workspace import Workspace
from flycam.serve.tiles.data_layers import (
    ClassImage,
    DataLayer,
    classify_pixels,
    classify_surface,
    compute_ages_valid_until_ns,
    render_class_png,
)
from flycam.serve.tiles.log_follower import TileLogFollower
from flycam.serve.tiles.terrain_cache import TerrainCache
from flycam.serve.tiles.tile_views import EMPTY_VIEW, TileView, ViewCache, load_view
from flycam.serve.tiles.visible_flights import find_shown_revision


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
        asked: TileQuery,
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
        info = find_shown_revision(self._catalog, watched.info, asked.revision)
        head = self._catalog.tiles.head(mosaic_id, info.revision, tile_id)
        if head is None:
            return EMPTY_VIEW
        rules = policy.fingerprint if policy.touches_tile(tile_id) else ""
        key = f"{path}?{info.revision}.{asked.layer or ''}.{rules}"
        kept = self._cache.get(key)
        if kept is not None and self._is_still_valid(kept, head):
            return kept
        veil = compute_tile_mask(tile_id, policy)
        if veil is not None and veil.hidden.all():
            return EMPTY_VIEW
        view = (
            load_view(self._workspace.store, head, wanted, veil)
            if asked.layer is None
            else self._render_data_view(info, head, asked.layer, veil)
        )
        self._cache.keep(key, view, watched)
        return view

    def _is_still_valid(self, kept: TileView, head: TileRecord) -> bool:
        """Return True if a cached view equals one that would be made now."""
        is_its_time = kept.until_ns is None or self._workspace.clock_ns() <= kept.until_ns
        return is_its_time and kept.etag.startswith(f'"{head.content_hash}.'.encode())

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
        """Return until when its ages keep their colours."""
        captured = [self._catalog.frames.get(name).header.captured_ns for name in tile.frames]
        return compute_ages_valid_until_ns(captured, self._workspace.clock_ns())

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
