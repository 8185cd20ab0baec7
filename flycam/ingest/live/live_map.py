"""The map of a live video: its flight, mosaic writer, and publisher.

Frames are merged with visibility patches, and published in groups by a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeVar

import shapely

from flycam.concurrency import count_workers
from flycam.geometry.terrain import TerrainGrid
from flycam.media.pixels import Pixels
from flycam.model.flight import Flight
from flycam.model.frame import OrthoPatch
from flycam.model.layer import Layer
from flycam.model.records import FrameRecord
from flycam.mosaic.orthorectify.flight_session import FlightSession, open_mosaic
from flycam.mosaic.orthorectify.frame_merge import FrameRecordBuffer
from flycam.mosaic.orthorectify.rebuild import load_amendments
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    FrameGeometry,
    compute_frame_quality_bounds,
    find_frame_tiles,
    get_recorded_pose,
    orthorectify_frame,
    split_tiles,
)
from flycam.mosaic.orthorectify.visibility import VisibilitySolver
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.retry import RetryPolicy
from flycam.storage.disk_space import GROUP_BYTES
from flycam.workspace import Workspace

# -- Publishing thread of merged frames ------------------------------------------------------------
#
# One group is written at a time and takes all that was merged by its beginning: where frames come faster than
# groups are written, groups grow, and share their tiles and the catalogue's commits. A group's overview tiles
# reach to the coarsest zoom, and cost as much as its frames do; so after each group the thread rests half as
# long as that took. `add` waits once too many frames are merged and not yet published, as while the store is
# away.


Merged = TypeVar("Merged")
MAX_UNPUBLISHED = 8
_REST_SHARE, _MAX_REST_S = 0.5, 0.5


class Publisher(Generic[Merged]):
    """Publisher of merged frames, in groups.

    publish   writes what is merged; on_shown: called with the published frames, oldest first
    patience  calls `publish` again while store or database are away

    Both are called in this one's thread; what they raise is raised by the next `add`, or `close`, and is
    `error` until then.
    """

    def __init__(
        self,
        publish: Callable[[], object],
        on_shown: Callable[[Sequence[Merged]], None],
        most: int = MAX_UNPUBLISHED,
        clock_s: Callable[[], float] = time.monotonic,
        patience: Callable[[Callable[[], object]], object] = lambda ask: ask(),
    ) -> None:
        self._patience = patience
        self._publish, self._shown, self._most, self._clock_s = publish, on_shown, most, clock_s
        self._rest_until_s = clock_s()
        self._waiting: list[Merged] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="publishing", daemon=True)
        self._thread.start()

    def add(self, merged: Merged) -> None:
        """Add a merged frame; wait while too many are unpublished. Raises earlier errors."""
        with self._changed:
            while len(self._waiting) >= self._most and self.error is None:
                self._changed.wait()
            self._raise()
            self._waiting.append(merged)
            self._changed.notify_all()

    def close(self) -> None:
        """Publish what waits. Raises earlier errors."""
        self._end()
        self._raise()

    def abandon(self) -> None:
        """Drop what waits: an error is being raised."""
        with self._changed:
            self._waiting.clear()
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        while group := self._next():
            began_s = self._clock_s()
            try:
                self._patience(self._publish)
                now_s = self._clock_s()
                self._rest_until_s = now_s + min(_REST_SHARE * (now_s - began_s), _MAX_REST_S)
                self._shown(group)
            except BaseException as error:  # noqa: BLE001  raised again in `add`, `close`
                with self._changed:
                    self.error = error
                    self._changed.notify_all()
                return

    def _next(self) -> list[Merged]:
        """Return all that waits, once there is any and the rest is over; [] at the end."""
        with self._changed:
            while not self._is_closed and (rest_s := self._rest_s()) != 0.0:
                self._changed.wait(rest_s)
            group, self._waiting = self._waiting, []
            self._changed.notify_all()
            return group

    def _rest_s(self) -> float | None:
        """Return seconds until the next group; None: no frame. No rest if half full."""
        if not self._waiting:
            return None
        if 2 * len(self._waiting) >= self._most:
            return 0.0
        return max(self._rest_until_s - self._clock_s(), 0.0)


# -- Visibility of live frames, where they can win a pixel -----------------------------------------
#
# Unlike photos, frames to come are unknown, so each is solved against those before it. More orthopatches are
# made than of a flight of photos, but the tiles come out the same to the last byte (decision 0012).


# Tiles whose promises are kept: 5 MB.
_MAX_CLAIMED_TILES = 8192


class LiveVisibility:
    """Visibility solver for the frames of one run.

    Promises are kept for the latest tiles: on ground that is imaged again much later all is made.
    """

    def __init__(self) -> None:
        self._claims = VisibilitySolver()

    def make_patches(self, record: FrameRecord, pixels: Pixels, terrain: TerrainGrid) -> Iterator[OrthoPatch]:
        """Yield orthopatches where a frame can win against earlier ones, in parts.

        Parts are of bounded size. Each has to be merged.
        """
        exterior, tiles, _ = get_recorded_pose(record)
        size_px = (pixels.shape[1], pixels.shape[0])
        ((bounds, lattices),) = compute_frame_quality_bounds(
            [FrameGeometry(record.header, exterior, size_px, terrain, tiles)]
        )
        self._claims.add_frame(record.frame_id, tiles, bounds)
        claim = self._claims.solve(record.frame_id)
        self._claims.remove_frame(record.frame_id)
        self._claims.forget_tiles(_MAX_CLAIMED_TILES)
        for part in split_tiles(claim.tiles) if claim.tiles else ():
            if (on := claim.crop(part)) is not None:
                wanted, blocks = on
                yield orthorectify_frame(
                    record.header, exterior, pixels, terrain, tiles, wanted, blocks, lattices
                )


# -- Flight and mosaic writer of a live video ------------------------------------------------------


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
                amendments=load_amendments(workspace.catalog, mosaic),
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
