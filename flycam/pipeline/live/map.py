"""The map of a film while it is being laid: its flight, its mosaic's writer, and who makes it visible."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import shapely

from flycam.catalog.records import FrameRecord
from flycam.frame.flight import Flight
from flycam.frame.frame import Layer
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.executor import workers_here
from flycam.pipeline.laying.merging import Records
from flycam.pipeline.laying.opening import Opened, open_mosaic
from flycam.pipeline.laying.planning import Planned
from flycam.pipeline.laying.rectification import tiles_of
from flycam.pipeline.laying.refolding import amendments_of
from flycam.pipeline.live.claims import LiveClaims
from flycam.pipeline.live.patience import Patience
from flycam.pipeline.live.publishing import MOST_WAITING, Publisher
from flycam.pipeline.room import GROUP_BYTES
from flycam.pipeline.workspace import Workspace

_FEWEST_TILES, _MOST_TILES = 64, 256  # 0.46 MB each


def _tiles_kept(first: Planned, work_crs: str, base_zoom: int) -> int:
    """Base tiles kept in memory: of as many pictures as may wait to be shown. Fewer than the writer's own,
    where pictures are small: memory that takes half an hour to fill is memory that nobody planned for."""
    rows, columns = tiles_of(first.view, work_crs, base_zoom).shape_tiles
    return min(max(MOST_WAITING * rows * columns, _FEWEST_TILES), _MOST_TILES)


@dataclass(frozen=True, slots=True)
class Laid:
    """A picture that is merged, and when it arrived (monotonic)."""

    record: FrameRecord
    arrived_ns: int


@dataclass(slots=True)
class OpenMap:
    """The flight, its mosaic's writer, the records written before the log names their tiles, and who writes
    them."""

    flight: Opened
    base_zoom: int
    writer: MosaicWriter
    records: Records
    claims: LiveClaims
    publisher: Publisher[Laid]
    stack: ExitStack
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def of(
        workspace: Workspace,
        flight: Opened,
        first: Planned,
        shown: Callable[[Sequence[Laid]], None],
        patience: Patience,
    ) -> OpenMap:
        mosaic = open_mosaic(workspace, flight.flight, Layer.COLOUR, [first])
        records = Records(workspace)
        stack = ExitStack()
        writer = stack.enter_context(
            MosaicWriter(
                workspace.store,
                workspace.catalog.tiles,
                mosaic,
                origin=workspace.box,
                clock_ns=workspace.clock_ns,
                amendments=amendments_of(workspace, mosaic),
                before_append=records.write,
                before_group=partial(workspace.require_room, GROUP_BYTES, holding=mosaic.flight_id),
                workers=workers_here(),
                cache_tiles=_tiles_kept(first, flight.flight.work_crs, mosaic.base_zoom),
            )
        )

        def publish() -> None:
            writer.publish()
            records.write()  # where no tile changed, nothing was appended and nothing written before it

        publisher = Publisher(publish, shown, patience=patience)
        return OpenMap(flight, mosaic.base_zoom, writer, records, LiveClaims(), publisher, stack)

    def grow(self, workspace: Workspace, records: Sequence[FrameRecord]) -> None:
        """Make the flight on record hold frames: a map goes there, and tells how old its picture is."""
        self.change(workspace, lambda flight: _holding(flight, records))

    def change(self, workspace: Workspace, changed: Callable[[Flight], Flight]) -> None:
        """Put the flight on record as it is to be; several threads do."""
        with self._changing:
            flight = changed(self.flight.flight)
            if flight != self.flight.flight:
                workspace.catalog.flights.put_flight(flight)
                self.flight = replace(self.flight, flight=flight)


def _holding(flight: Flight, records: Sequence[FrameRecord]) -> Flight:
    """The flight with these frames in its bounds and times."""
    captured_ns = [record.header.captured_ns for record in records]
    bounds = flight.bounds_lonlat_deg
    for wkb in (record.footprint_wkb for record in records if record.footprint_wkb is not None):
        frame = shapely.from_wkb(wkb).bounds
        old = bounds or frame
        west, south = (min(a, b) for a, b in zip(old[:2], frame[:2], strict=True))
        east, north = (max(a, b) for a, b in zip(old[2:], frame[2:], strict=True))
        bounds = (west, south, east, north)
    return replace(
        flight,
        bounds_lonlat_deg=bounds,
        first_ns=min(flight.first_ns, *captured_ns),
        last_ns=max(flight.last_ns, *captured_ns),
    )
