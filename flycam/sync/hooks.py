"""Local work after a peer's tiles are merged, as hooks of `exchange_import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.geodata.raster_source import is_mosaic
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.frame import MosaicTile
from flycam.model.records import MosaicInfo
from flycam.mosaic.amendments import delete_live_thumbnails, drop_retired_reports, update_visible_layers
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.rebuild import make_tile_rebuilder
from flycam.mosaic.redaction import update_redaction_footprints
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.tiles.merge import Amendments
from flycam.originals import fetch_local_copy
from flycam.workspace import Progress, Workspace, ignore_progress


class SyncApplyHooks:
    """Local work after an exchange: tiles, products, communes.

    Tiles are rebuilt from own photos, products of withdrawn frames deleted, communes measured.
    """

    def __init__(self, workspace: Workspace, progress: Progress = ignore_progress) -> None:
        self._workspace = workspace
        self._progress = progress

    def rebuild_tiles(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """Return a function that makes a base tile from the photos in this store alone."""
        return make_tile_rebuilder(self._workspace, mosaic, amendments)

    def register_terrain(
        self, sha256: str, name: str, datum: str, sigma_m: tuple[float, float | None] | None
    ) -> None:
        """Register a terrain file that is stored here, read as any other.

        A known one is not changed. Raises InputUnusable.
        """
        if is_mosaic(Path(name)):  # a VRT would be used in place
            raise SourceUnreadable(
                _(
                    "{name}: is a VRT, which only names files of the node that it came from: add "
                    "the terrain there as GeoTIFF or HGT",
                    name=name,
                )
            )
        if all(dem.sha256 != sha256 for dem in self._workspace.catalog.terrain.dems()):
            register_dem(self._workspace, fetch_local_copy(self._workspace, sha256, name), datum, sigma_m)

    def compute_redaction_grounds(self) -> None:
        """Compute the footprints of redactions from the server, from this node's poses."""
        update_redaction_footprints(self._workspace)

    def on_withdrawn(self, flight: Flight) -> None:
        """Delete reports of retired revisions, and a live flight's newest thumbnail."""
        drop_retired_reports(self._workspace, flight.flight_id)
        delete_live_thumbnails(self._workspace, flight.flight_id)

    def on_arriving(self, flight: Flight) -> None:
        """Show layers that came into use, and compute redaction footprints."""
        update_redaction_footprints(self._workspace)
        update_visible_layers(self._workspace, flight.flight_id)

    def on_settled(self, flight: Flight) -> None:
        """Do the same once all has arrived, and measure the coverage."""
        self.on_arriving(flight)
        measure_coverage(self._workspace, flight, self._progress, changed=True)
