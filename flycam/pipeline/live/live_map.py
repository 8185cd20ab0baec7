"""The map of a live video: its flight, mosaic writer, and publisher."""

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
from flycam.pipeline.disk_space import GROUP_BYTES
from flycam.pipeline.executor import count_workers
from flycam.pipeline.live.publisher import MAX_UNPUBLISHED, Publisher
from flycam.pipeline.live.retry_policy import RetryPolicy
from flycam.pipeline.live.visibility import LiveVisibility
from flycam.pipeline.orthorectification.flight_session import FlightSession, open_mosaic
from flycam.pipeline.orthorectification.frame_merge import FrameRecordBuffer
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint
from flycam.pipeline.orthorectification.rectification import find_frame_tiles
from flycam.pipeline.orthorectification.tile_rebuild import read_amendments
from flycam.pipeline.workspace import Workspace

_MIN_TILES, _MAX_TILES = 64, 256  # 0.46 MB each


def _count_cached_tiles(first: FrameFootprint, work_crs: str, base_zoom: int) -> int:
    """Return how many base tiles to cache: of all frames that may be unpublished.

    Fewer than the writer's default where frames are small: memory that fills over half an hour would exceed
    what was planned.
    """
    rows, columns = find_frame_tiles(first.view, work_crs, base_zoom).shape_tiles
    return min(max(MAX_UNPUBLISHED * rows * columns, _MIN_TILES), _MAX_TILES)


@dataclass(frozen=True, slots=True)
class MergedFrame:
    """A frame that is merged, and when it arrived (monotonic)."""

    record: FrameRecord
    arrived_ns: int


@dataclass(slots=True)
class LiveMap:
    """State of a flight's map while its video is processed.

    The flight, its mosaic's writer, records that are written before the log names their tiles, and the
    publisher.
    """

    flight: FlightSession
    base_zoom: int
    writer: MosaicWriter
    records: FrameRecordBuffer
    claims: LiveVisibility
    publisher: Publisher[MergedFrame]
    stack: ExitStack
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def open(
        workspace: Workspace,
        flight: FlightSession,
        first: FrameFootprint,
        on_shown: Callable[[Sequence[MergedFrame]], None],
        retry_policy: RetryPolicy,
    ) -> LiveMap:
        mosaic = open_mosaic(workspace, flight.flight, Layer.COLOUR, [first])
        records = FrameRecordBuffer(workspace)
        stack = ExitStack()
        writer = stack.enter_context(
            MosaicWriter(
                workspace.store,
                workspace.catalog.tiles,
                mosaic,
                origin=workspace.box,
                clock_ns=workspace.clock_ns,
                amendments=read_amendments(workspace, mosaic),
                # Records precede the log: it names no tile of a frame that is not on record (decision 0012).
                before_append=records.write,
                before_group=partial(workspace.require_disk_space, GROUP_BYTES, held_lock=mosaic.flight_id),
                workers=count_workers(),
                cache_tiles=_count_cached_tiles(first, flight.flight.work_crs, mosaic.base_zoom),
            )
        )

        def publish() -> None:
            writer.publish()
            # Where no tile changed, nothing was appended and no record written before it.
            records.write()

        publisher = Publisher(publish, on_shown, patience=retry_policy)
        return LiveMap(flight, mosaic.base_zoom, writer, records, LiveVisibility(), publisher, stack)

    def extend_flight(self, workspace: Workspace, records: Sequence[FrameRecord]) -> None:
        """Extend the recorded flight by frames: its bounds and times.

        The web map zooms to these bounds, and shows how old its newest image is.
        """
        self.update_flight(workspace, lambda flight: _holding(flight, records))

    def update_flight(self, workspace: Workspace, changed: Callable[[Flight], Flight]) -> None:
        """Write the changed flight to the catalogue; thread-safe."""
        with self._changing:
            flight = changed(self.flight.flight)
            if flight != self.flight.flight:
                workspace.catalog.flights.put_flight(flight)
                self.flight = replace(self.flight, flight=flight)


def _holding(flight: Flight, records: Sequence[FrameRecord]) -> Flight:
    """Return the flight with these frames in its bounds and times."""
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
