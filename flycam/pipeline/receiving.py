"""What this box does beside taking in another one's tiles: the hands of `flycam.sync.taking`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flycam.catalog.records import MosaicInfo
from flycam.errors import SourceUnreadable
from flycam.frame.flight import Flight
from flycam.frame.tile import MosaicTile
from flycam.geodata.raster_source import is_mosaic
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.mosaic.epochs import Amendments
from flycam.pipeline.coverage import cover_communes
from flycam.pipeline.evidence import local_copy
from flycam.pipeline.laying.moving import show_layers_in_use
from flycam.pipeline.laying.redacting import settle_masked_ground
from flycam.pipeline.laying.refolding import folded_here
from flycam.pipeline.laying.retired import drop_retired_reports, forget_pictures
from flycam.pipeline.terrain import register_dem
from flycam.pipeline.workspace import Progress, Workspace, silent


class Receiving:
    """Own photos folded again, what shows withdrawn frames let go, communes measured."""

    def __init__(self, workspace: Workspace, progress: Progress = silent) -> None:
        self._workspace = workspace
        self._progress = progress

    def fold(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """Gives the state of a base tile from the photos in this store alone."""
        return folded_here(self._workspace, mosaic, amendments)

    def terrain(self, sha256: str, name: str, datum: str, sigma_m: tuple[float, float | None] | None) -> None:
        """Enter a terrain file that is evidence here, read as one that is added here is; where it is known
        already nothing of it changes. Raises InputUnusable."""
        if is_mosaic(Path(name)):  # which would be used where it lies
            raise SourceUnreadable(
                _(
                    "{name}: is a VRT, which only names files of the box that it came from: "
                    "add the terrain there as GeoTIFF or HGT",
                    name=name,
                )
            )
        if all(dem.sha256 != sha256 for dem in self._workspace.catalog.terrain.dems()):
            register_dem(self._workspace, local_copy(self._workspace, sha256, name), datum, sigma_m)

    def masked(self) -> None:
        """Masks came from the server: laid on the ground as their photos lie here."""
        settle_masked_ground(self._workspace)

    def withdrawn(self, flight: Flight) -> None:
        """Reports of retired revisions, and a live flight's newest picture."""
        drop_retired_reports(self._workspace, flight.flight_id)
        forget_pictures(self._workspace, flight.flight_id)

    def arriving(self, flight: Flight) -> None:
        """Layers that came into use are shown, and masks laid on the ground as their photos lie here."""
        settle_masked_ground(self._workspace)
        show_layers_in_use(self._workspace, flight.flight_id)

    def settled(self, flight: Flight) -> None:
        """The same once all is there, and its communes measured."""
        settle_masked_ground(self._workspace)
        show_layers_in_use(self._workspace, flight.flight_id)
        cover_communes(self._workspace, flight, self._progress, changed=True)
