"""The map of a live video: its flight, mosaic writer, and publisher.

Frames are merged with visibility patches. The last stage of a live flight is here: a thread that publishes
them in groups.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import shapely

from flycam.concurrency import BoundedQueue, Stage, count_workers
from flycam.geometry.quality_bounds import compute_quality_bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.media.pixels import Pixels
from flycam.model.flight import Flight, Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import FrameRecord
from flycam.mosaic.orthorectify.flight_session import FlightSession, open_mosaic
from flycam.mosaic.orthorectify.frame_merge import FrameRecordBuffer
from flycam.mosaic.orthorectify.rebuild import load_amendments
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    find_frame_tiles,
    get_recorded_pose,
    orthorectify_frame,
    view_frame,
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
# long as that took. Merging waits once too many frames are merged and not yet published, as while the store
# is away.


MAX_UNPUBLISHED = 8
_REST_SHARE, _MAX_REST_S = 0.5, 0.5


@dataclass(frozen=True, slots=True)
class MergedFrame:
    """A frame that is merged, and when it arrived (monotonic)."""

    record: FrameRecord
    arrived_ns: int


class Publisher(Stage[MergedFrame]):
    """Publisher of merged frames, in groups.

    publish  writes what is merged; called in this one's thread with the merged frames, oldest first
    """

    def __init__(self, publish: Callable[[Sequence[MergedFrame]], None], most: int = MAX_UNPUBLISHED) -> None:
        self._publish, self._most = publish, most
        self._merged = BoundedQueue[MergedFrame](most)
        self._rest_until_s = 0.0
        super().__init__("publishing", self._merged, self._publish_groups)

    def _publish_groups(self) -> None:
        while group := self._merged.get_all(self._rest_s):
            began_s = time.monotonic()
            self._publish(group)
            now_s = time.monotonic()
            self._rest_until_s = now_s + min(_REST_SHARE * (now_s - began_s), _MAX_REST_S)

    def _rest_s(self, waiting: int) -> float:
        """Return seconds until the next group; no rest if half full."""
        return 0.0 if 2 * waiting >= self._most else self._rest_until_s - time.monotonic()


@dataclass(slots=True)
class PublishedFrames:
    """Frames of this run whose tiles are in the log.

    late_ms   of each, from its arrival until it was published
    first_ns  when the first was published, monotonic
    taken_ns  when the newest frame on the map was taken, UTC, also by an earlier run; None: there is none
    """

    taken_ns: int | None = None
    late_ms: list[float] = field(default_factory=list)
    first_ns: int | None = None

    def __len__(self) -> int:
        return len(self.late_ms)

    @property
    def latency_ms(self) -> tuple[float, float]:
        """p50 and p95 from arrival to tiles, milliseconds; NaN if there are none."""
        half, most = np.percentile(self.late_ms, [50, 95]) if self.late_ms else (np.nan, np.nan)
        return float(half), float(most)

    def add(self, frames: Sequence[MergedFrame], now_ns: int) -> None:
        """Note frames as published at a monotonic time."""
        self.first_ns = self.first_ns or now_ns
        self.late_ms.extend((now_ns - one.arrived_ns) / 1e6 for one in frames)
        taken_ns = max(one.record.header.captured_ns for one in frames)
        self.taken_ns = max(taken_ns, self.taken_ns or taken_ns)


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
        view = view_frame(record.header, exterior, (pixels.shape[1], pixels.shape[0]), terrain, tiles)
        ((bounds, lattices),) = compute_quality_bounds([view], [tiles])
        self._claims.add_frame(record.frame_id, tiles, bounds)
        claim = self._claims.solve(record.frame_id)
        self._claims.remove_frame(record.frame_id)
        self._claims.forget_tiles(_MAX_CLAIMED_TILES)
        for wanted, blocks in claim.split():
            yield orthorectify_frame(
                record.header, exterior, pixels, terrain, tiles, wanted, blocks, lattices
            )


# -- Flight and mosaic writer of a live video ------------------------------------------------------


_MIN_TILES, _MAX_TILES = 64, 256  # 0.46 MB each


def _count_cached_tiles(first: FrameFootprint, base_zoom: int) -> int:
    """Return how many base tiles to cache: of all frames that may be unpublished.

    Fewer than the writer's default where frames are small: memory that fills over half an hour would exceed
    what was planned.
    """
    rows, columns = find_frame_tiles(first, base_zoom).shape_tiles
    return min(max(MAX_UNPUBLISHED * rows * columns, _MIN_TILES), _MAX_TILES)


class LiveMap:
    """State of a flight's map while its video is processed.

    The flight, its mosaic's writer, records that are written before the log names their tiles, and the
    publisher of merged frames.

    published  gets the frames that are in the log; patience: the retry policy while the store is away
    """

    def __init__(
        self,
        workspace: Workspace,
        flight: FlightSession,
        first: FrameFootprint,
        published: PublishedFrames,
        patience: RetryPolicy,
    ) -> None:
        mosaic = open_mosaic(workspace, flight.flight, Layer.COLOUR, [first])
        self.flight, self.base_zoom = flight, mosaic.base_zoom
        self._workspace, self._published, self._patience = workspace, published, patience
        self._records = FrameRecordBuffer(workspace)
        self._claims = LiveVisibility()
        self._changing = threading.Lock()
        self._writer = MosaicWriter(
            workspace.store,
            workspace.catalog.tiles,
            mosaic,
            origin=workspace.box,
            clock_ns=workspace.clock_ns,
            amendments=load_amendments(workspace.catalog, mosaic),
            # Records precede the log: it names no tile of a frame that is not on record (decision 0012).
            before_append=self._records.write,
            before_group=partial(workspace.require_disk_space, GROUP_BYTES, held_lock=mosaic.flight_id),
            workers=count_workers(),
            cache_tiles=_count_cached_tiles(first, mosaic.base_zoom),
        )
        self.publisher = Publisher(self._publish)

    def merge(self, frame: MergedFrame, pixels: Pixels, terrain: TerrainGrid) -> None:
        """Merge a frame where it can win; its tiles are written by the publisher."""
        self._records.add(frame.record)
        for patch in self._claims.make_patches(frame.record, pixels, terrain):
            self._patience(partial(self._writer.add, patch))
        self.publisher.put(frame)

    def close(self) -> None:
        """Publish what is merged. Raises what failed."""
        self.publisher.close()
        self._writer.__exit__(None, None, None)

    def abandon(self) -> None:
        """Wait for the writer's threads, and write nothing that waits: an error is being raised."""
        self._writer.__exit__(RuntimeError, RuntimeError("abandoned"), None)

    def update_flight(self, changed: Callable[[Flight], Flight]) -> None:
        """Write the changed flight to the catalogue; thread-safe."""
        with self._changing:
            flight = changed(self.flight.flight)
            if flight != self.flight.flight:
                self._workspace.catalog.flights.put_flight(flight)
                self.flight = replace(self.flight, flight=flight)

    def _publish(self, frames: Sequence[MergedFrame]) -> None:
        """Write merged tiles, and extend the flight; in the publisher's thread.

        The web map zooms to the flight's bounds, and shows how old its newest image is.
        """
        self._patience(self._write)
        # before the catalogue is updated: the tile log names them already
        now_ns = time.monotonic_ns()
        records = [one.record for one in frames]
        self._patience(lambda: self.update_flight(lambda flight: _holding(flight, records)))
        self._published.add(frames, now_ns)

    def _write(self) -> None:
        self._writer.publish()
        # Where no tile changed, nothing was appended and no record written before it.
        self._records.write()


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
