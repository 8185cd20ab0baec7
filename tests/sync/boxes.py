"""Boxes of a small world: a catalogue and a store each, and frames that stand for photos as laid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import shapely

from flycam.catalog.access import RedactionFootprint, RedactionRecord
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.peers import ALL_FLIGHTS, PeerGrant, Permission
from flycam.errors import SourceUnreadable
from flycam.geometry.grid import TileId, TileRange
from flycam.model.access import RedactionReason, RedactionStep
from flycam.model.flight import Event, EventKind, Flight, FlightState, Layer, derive_live_mosaic_id
from flycam.model.frame import MosaicTile, OrthoPatch, TileRecord
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, Withdrawal
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, load_amendments, rebuild_stale_tiles
from flycam.mosaic.tiles.codec import read_tile
from flycam.mosaic.tiles.merge import Amendments, TileCanvas, merge_patch
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.stores import MemoryStore
from flycam.sync.bundle import BundleParts, BundleReadReport, read_bundle, write_bundle
from flycam.sync.exchange import read_manifest
from flycam.workspace import Workspace
from tests.laws.recorded import MIN_ZOOM, ZOOM, patch
from tests.suites.catalog_suite import flight, frame

EVENT = Event(event_id="yagi", name="Bão số 3", kind=EventKind.STORM, is_drill=False)
_fresh = itertools.count()


WAYS = ("dem-1", "dem-2")
"""Terrains that frames may be laid on."""


def record(number: int, dem_id: str = WAYS[0]) -> FrameRecord:
    """Where frame `number` lies on a terrain."""
    return frame(number, tiles=patch(number, version=WAYS.index(dem_id)).tiles, dem_id=dem_id)


NUMBERS = {record(number).frame_id: number for number in range(12)}


def make_patch(standing: FrameRecord) -> OrthoPatch:
    """A frame's patch, as it lies by its record."""
    assert standing.exterior is not None
    assert standing.dem_id is not None
    return replace(
        patch(NUMBERS[standing.frame_id], version=WAYS.index(standing.dem_id)),
        frame_id=standing.frame_id,
        exterior_version=standing.exterior.version,
        dem_id=standing.dem_id,
    )


def rectangle_of(tile_id: TileId) -> TileRange:
    """One tile as a rectangle."""
    return TileRange(
        z=tile_id.z, x_start=tile_id.x, y_start=tile_id.y, x_stop=tile_id.x + 1, y_stop=tile_id.y + 1
    )


def mosaic_of(flight_id: str) -> MosaicInfo:
    """The live mosaic of a flight."""
    return MosaicInfo(
        mosaic_id=derive_live_mosaic_id(flight_id, Layer.COLOUR),
        flight_id=flight_id,
        layer=Layer.COLOUR,
        base_zoom=ZOOM,
        min_zoom=MIN_ZOOM,
    )


MOSAIC = mosaic_of("f1")


def masked(number: int, step: RedactionStep = RedactionStep.MADE, at_ns: int = 1) -> RedactionRecord:
    """A mask on frame `number`, or the line that takes it back."""
    return RedactionRecord(
        mask_id=f"mask-{number:08}",
        step=step,
        frame_id=record(number).frame_id,
        reason=RedactionReason.HOME,
        author="Lan",
        at_ns=at_ns,
        wkb=shapely.to_wkb(shapely.box(10, 10, 40, 30)),
    )


def ground_of(line: RedactionRecord, west: float = 104.8) -> RedactionFootprint:
    """What it shows, as its photo lies there."""
    ground = shapely.box(west, 21.9, west + 1e-4, 21.9001)
    return RedactionFootprint(line_id=line.line_id, lay="theirs", wkb=shapely.to_wkb(ground))


def allow(workspace: Workspace, peer: str, flight_id: str = ALL_FLIGHTS) -> None:
    """Somebody at a house allows a peer to speak for a flight."""
    now_ns = workspace.clock_ns()
    allowed = PeerGrant(
        flight_id=flight_id, node=peer, permission=Permission.ALLOWED, who="Hoa", at_ns=now_ns
    )
    workspace.catalog.peers.add_grant(allowed)


@dataclass(frozen=True)
class Box:
    """One box; it can fold again what it laid itself. Its own hands for `flycam.sync.exchange_import`.

    is_wary  nobody at it allowed any peer to speak for more than it brings; else somebody allows every peer
    """

    workspace: Workspace
    is_wary: bool = False
    numbers: set[int] = field(default_factory=set)
    film: str | None = None
    settled_flights: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)

    @property
    def catalog(self) -> Catalog:
        return self.workspace.catalog

    def lay(
        self,
        numbers: Iterable[int],
        flight_id: str = "f1",
        state: FlightState = FlightState.READY,
        dem_id: str = WAYS[0],
    ) -> None:
        """Ingest frames: records first, then tiles."""
        new = sorted(numbers)
        self.numbers.update(new)
        self.catalog.flights.put_event(EVENT)
        self.catalog.flights.put_flight(flight(flight_id, name=f"bay {flight_id}", state=state))
        self.catalog.tiles.put_mosaic(mosaic_of(flight_id))
        frames = [self._filmed(replace(record(number, dem_id), flight_id=flight_id)) for number in new]
        with self._writer(flight_id) as writer:
            for standing in self.catalog.frames.put(frames):
                writer.add(make_patch(standing))

    def _filmed(self, photo: FrameRecord) -> FrameRecord:
        provenance = replace(photo.header.provenance, film=self.film)
        return replace(photo, header=replace(photo.header, provenance=provenance))

    def withdraw(self, number: int, flight_id: str = "f1", at_ns: int = 5) -> None:
        """Withdraw a frame, and fold again what it touched."""
        gone = Withdrawal(
            frame_id=record(number).frame_id,
            flight_id=flight_id,
            reason="shows a victim",
            authority="lan",
            withdrawn_ns=at_ns,
        )
        self.catalog.frames.withdraw([gone])
        mosaic = mosaic_of(flight_id)
        amendments = load_amendments(self.catalog, mosaic)
        with self._writer(flight_id) as writer:
            rebuild_stale_tiles(
                writer, find_stale_tiles(self.catalog.tiles, mosaic, amendments), self._patches(flight_id)
            )

    def write(self, folder: Path, since: Path | None = None) -> Path:
        """A bundle of what this box knows."""
        path = folder / f"{self.workspace.box}-{next(_fresh)}.fcb"
        write_bundle(self.workspace, path, receipt=since)
        return path

    def read(self, path: Path) -> BundleReadReport:
        """Take in a bundle."""
        with suppress(SourceUnreadable), BundleParts(path) as parts:
            self.welcome(read_manifest(parts, 1 << 30)[0].box)
        return read_bundle(self.workspace, path, self)

    def welcome(self, peer: str) -> None:
        """Somebody here allows a peer to speak for every flight."""
        if not self.is_wary:
            self.allow(peer)

    def allow(self, peer: str, flight_id: str = ALL_FLIGHTS) -> None:
        """Somebody here allows a peer to speak for a flight."""
        allow(self.workspace, peer, flight_id)

    def tiles(self, flight_id: str = "f1") -> dict[str, str]:
        """Content hash of every head of a flight's mosaic."""
        heads = self.catalog.tiles.heads(mosaic_of(flight_id).mosaic_id, 0)
        return {str(head.tile_id): head.content_hash for head in heads}

    def tile(self, head: TileRecord) -> MosaicTile:
        """The state that a head names."""
        return read_tile(self.workspace.store, head)

    def rebuild_tiles(self, mosaic: MosaicInfo, amendments: Amendments) -> Callable[[TileId], MosaicTile]:
        """What this box's own frames make of a tile."""

        patches = self._patches(mosaic.flight_id)

        def of(tile_id: TileId) -> MosaicTile:
            tile = TileCanvas(tile_id, amendments.epoch(tile_id)).freeze()
            for one in patches(rectangle_of(tile_id)):
                if not amendments.forbids(one):
                    tile = merge_patch(tile, one, tile_id, tile.epoch)
            return tile

        assert mosaic.base_zoom == ZOOM
        return of

    def on_withdrawn(self, flight: Flight) -> None:
        """Nothing beside the tiles shows a frame."""

    def on_arriving(self, flight: Flight) -> None:
        """Remember it."""
        self.arrived.append(flight.flight_id)

    def on_settled(self, flight: Flight) -> None:
        """Remember it."""
        self.settled_flights.append(flight.flight_id)

    def _patches(self, flight_id: str) -> Callable[[TileRange], Iterable[OrthoPatch]]:
        """Patches of the frames of a flight that were laid here, as they lie by now."""
        used = self.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
        patches = [make_patch(one) for one in used if NUMBERS.get(one.frame_id) in self.numbers]
        return lambda tiles: (one for one in patches if not one.tiles.intersection(tiles).is_empty)

    def _writer(self, flight_id: str) -> MosaicWriter:
        return MosaicWriter(
            self.workspace.store,
            self.catalog.tiles,
            mosaic_of(flight_id),
            origin=self.workspace.box,
            clock_ns=lambda: 0,
            amendments=load_amendments(self.catalog, mosaic_of(flight_id)),
        )


def new_box(folder: Path, name: str, key: Path | None = None, *, is_wary: bool = False) -> Box:
    """An empty box called `name`; it signs with the key in this file (None: one of its own)."""
    path = folder / f"{name}-{next(_fresh)}.db"
    return Box(
        Workspace(
            store=MemoryStore(),
            catalog=open_catalog(f"sqlite:///{path}", key or path.with_suffix(".key")),
            box=name,
            cache_dir=folder,
            clock_ns=lambda: 0,
        ),
        is_wary=is_wary,
    )


def alone(folder: Path, numbers: set[int], withdrawn: Iterable[int] = ()) -> dict[str, str]:
    """The tiles of one box that laid it all."""
    box = new_box(folder, "alone")
    box.lay(numbers)
    for number in sorted(withdrawn):
        box.withdraw(number)
    return box.tiles()
