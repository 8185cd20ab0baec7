"""Boxes of a small world: a catalogue and a store each, and frames that stand for photos as laid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.records import FrameRecord, MosaicInfo, Withdrawal
from flycam.frame.flight import Event, EventKind, Flight, FlightState
from flycam.frame.frame import Layer
from flycam.frame.tile import MosaicTile, OrthoPatch
from flycam.geometry.grid import TileId, TileRange
from flycam.mosaic.amending import recorded_amendments
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.merge import TileCanvas, merge_patch
from flycam.mosaic.refold import refold, stale_tiles
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.workspace import Workspace
from flycam.store.memory import MemoryStore
from tests.laws.recorded import MIN_ZOOM, ZOOM, patch
from tests.suites.catalog_suite import flight, frame

MOSAIC = MosaicInfo(
    mosaic_id="f1-colour", flight_id="f1", layer=Layer.COLOUR, base_zoom=ZOOM, min_zoom=MIN_ZOOM
)
EVENT = Event(event_id="yagi", name="Bão số 3", kind=EventKind.STORM, is_drill=False)
_fresh = itertools.count()


def record(number: int) -> FrameRecord:
    """Where frame `number` of the flight lies."""
    return frame(number, tiles=patch(number).tiles)


def laid(number: int) -> OrthoPatch:
    """Its patch, under the pose on record."""
    standing = record(number)
    assert standing.exterior is not None
    assert standing.dem_id is not None
    return replace(
        patch(number),
        frame_id=standing.frame_id,
        exterior_version=standing.exterior.version,
        dem_id=standing.dem_id,
    )


@dataclass(frozen=True)
class Box:
    """One box; it can fold again what it laid itself."""

    workspace: Workspace
    numbers: set[int]

    @property
    def catalog(self) -> Catalog:
        return self.workspace.catalog

    def lay(self, numbers: Iterable[int]) -> None:
        """Ingest frames: records first, then tiles."""
        new = sorted(numbers)
        self.numbers.update(new)
        self.catalog.flights.put_event(EVENT)
        self.catalog.flights.put_flight(self.flight())
        self.catalog.tiles.put_mosaic(MOSAIC)
        self.catalog.frames.put([record(number) for number in new])
        with self._writer() as writer:
            for number in new:
                writer.add(laid(number))

    def withdraw(self, number: int, at_ns: int = 5) -> None:
        """Withdraw a frame, and fold again what it touched."""
        gone = Withdrawal(
            frame_id=record(number).frame_id,
            flight_id="f1",
            reason="shows a victim",
            authority="lan",
            withdrawn_ns=at_ns,
        )
        self.catalog.frames.withdraw([gone])
        amendments = recorded_amendments(self.catalog, MOSAIC)
        with self._writer() as writer:
            refold(writer, stale_tiles(self.catalog.tiles, MOSAIC, amendments), self._patches)

    def flight(self) -> Flight:
        return flight(state=FlightState.READY)

    def tiles(self) -> dict[str, str]:
        """Content hash of every head."""
        heads = self.catalog.tiles.heads(MOSAIC.mosaic_id, 0)
        return {str(head.tile_id): head.content_hash for head in heads}

    def fold(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """What this box's own frames make of a tile."""

        def of(tile_id: TileId) -> MosaicTile:
            tile = TileCanvas(tile_id, amendments.epoch(tile_id)).freeze()
            for one in map(laid, sorted(self.numbers)):
                if not amendments.forbids(one):
                    tile = merge_patch(tile, one, tile_id, tile.epoch)
            return tile

        assert mosaic.base_zoom == ZOOM
        return of

    def _patches(self, tiles: TileRange) -> Iterable[OrthoPatch]:
        patches = (laid(number) for number in sorted(self.numbers))
        return (one for one in patches if not one.tiles.intersection(tiles).is_empty)

    def _writer(self) -> MosaicWriter:
        return MosaicWriter(
            self.workspace.store,
            self.catalog.tiles,
            MOSAIC,
            origin=self.workspace.box,
            clock_ns=lambda: 0,
            amendments=recorded_amendments(self.catalog, MOSAIC),
        )


def new_box(folder: Path, name: str) -> Box:
    """An empty box called `name`."""
    return Box(
        Workspace(
            store=MemoryStore(),
            catalog=open_catalog(f"sqlite:///{folder}/{name}-{next(_fresh)}.db"),
            box=name,
            cache_dir=folder,
            clock_ns=lambda: 0,
        ),
        set(),
    )
