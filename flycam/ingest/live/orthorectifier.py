"""Orthorectification of video frames, as they come, into one flight and its map.

A frame becomes a record like any photo: a JPEG stored as original under its SHA-256, decoded again before it
is orthorectified, with pose and terrain on record. So replay, withdrawal, finish and export treat it alike.
Its pose registers it to earlier frames (`LiveRegistration`); its prior is the log's. While the clock offset
is not known it is placed in doubt, with the sigma that this deserves, and reprocessed once the clock is known
better.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
import shapely

from flycam.concurrency import BoundedQueue, DropCounter, Stage, count_workers
from flycam.errors import FrameRejected, NotFound, OptionUnusable, OriginalPurged
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.footprint import is_looking_up
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.quality_bounds import compute_quality_bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.live.telemetry import (
    IMPROVEMENT_FACTOR,
    LiveClock,
    Telemetry,
    compute_log_time,
    interpolate_orientation,
)
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.ingest.video.video_frames import VIDEO_CAMERA, VideoIdentity, is_stream_name
from flycam.ingest.video.video_source import VideoFrame, VideoSource, count_fitting_frames
from flycam.media.pixels import EncodedFrame, Pixels, encode_frame_jpeg, open_pixels
from flycam.messages import _
from flycam.model.flight import Flight, Layer
from flycam.model.frame import (
    FrameHeader,
    OrthoPatch,
    Provenance,
    derive_frame_id,
    format_video_frame_name,
    parse_video_frame_pts_ns,
)
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.warning import format_clock_warning, is_clock_warning
from flycam.mosaic.adjustment.incremental import Registrar, RegistrationResult
from flycam.mosaic.amendments import apply_reprocess_plan
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import (
    FlightLabels,
    FlightSession,
    ReprocessPlan,
    close_flight,
    find_flight,
    list_unused_label_notes,
    open_flight,
    open_mosaic,
    resolve_flight_state,
)
from flycam.mosaic.orthorectify.frame_merge import FrameRecordBuffer, Rejections
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, load_amendments, rebuild_mosaic
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    build_frame_record,
    find_frame_tiles,
    get_recorded_pose,
    orthorectify_frame,
    project_frame,
    view_frame,
)
from flycam.mosaic.orthorectify.visibility import VisibilitySolver
from flycam.mosaic.surface.refinement import Bounds, raise_terrain
from flycam.mosaic.terrain import TerrainSource, store_frame_terrain
from flycam.mosaic.terrain_codec import assign_content_id
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.originals import fetch_local_copy, store_original_bytes
from flycam.retry import RetryPolicy
from flycam.storage import keys
from flycam.storage.files import GROUP_BYTES
from flycam.workspace import Progress, Workspace, ignore_progress

# -- The map of a live video: its flight, mosaic writer, and publisher -----------------------------
#
# Frames are merged with visibility patches. The last stage of a live flight is here: a thread that publishes
# them in groups.


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


# -- Orthorectification of video frames, as they come, into one flight -----------------------------


# -- Intervals of a video on the map ---------------------------------------------------------------


class IngestedIntervals:
    """Intervals of a video that are on the map, or were until they were withdrawn.

    A run with another log, or another clock, chooses other frames of the same ground: beside the recorded
    ones they would show it twice, and show again what was withdrawn. A gap much wider than the usual spacing
    was dropped by a run that was late, and is filled.
    """

    _GAP = 3.0
    _NEAR = 0.5

    def __init__(self, records: Iterable[FrameRecord]) -> None:
        known = sorted(
            (parse_video_frame_pts_ns(one.header.provenance.source_name), one.status is FrameStatus.WITHDRAWN)
            for one in records
            if one.status is not FrameStatus.REJECTED
        )
        self._pts_ns = np.array([pts_ns for pts_ns, __ in known], dtype=np.int64)
        self._gone_ns = np.array([pts_ns for pts_ns, is_gone in known if is_gone], dtype=np.int64)
        steps = np.diff(self._pts_ns)
        self._usual_ns = float(np.median(steps)) if steps.size else 0.0

    def contains(self, pts_ns: int) -> bool:
        """Return True if a frame lies between two recorded neighbours.

        Or within half the usual spacing of one that was withdrawn.
        """
        if (np.abs(self._gone_ns - pts_ns) <= self._NEAR * self._usual_ns).any():
            return True
        after = int(np.searchsorted(self._pts_ns, pts_ns))
        if not 0 < after < len(self._pts_ns):
            return False
        return bool(self._pts_ns[after] - self._pts_ns[after - 1] <= self._GAP * self._usual_ns)


# -- Registration of frames to earlier ones --------------------------------------------------------
#
# The log's pose stays on record as a frame's prior, with its sigmas: `finish` starts from it. The registered
# pose is recorded as its exterior, so that replay gives the same tiles. Registration never holds up frames:
# its work is bounded by counts, and where frames queue up they are placed by their neighbours' correction
# alone.


HURRIED = "hurried"
"""Reason for a frame without evidence of its own: frames queued up behind it."""

# Objects there lean into the frame.
_MARGIN_M = 30.0
# An oblique frame's horizon is left as it is: posts are stored with every frame.
_MAX_WIDTH_M = 1500.0


class LiveRegistration:
    """Registration of frames in order of time, each with `pose`.

    Then call `mark_placed` or `mark_rejected`.

    fitted    frames placed by their own evidence; by_log: those that were not, by reason
    """

    def __init__(self, interior: InteriorOrientation) -> None:
        self._interior = interior
        self._registrar = Registrar(interior)
        self.fitted = 0
        self.by_log: Counter[str] = Counter()
        self._newest: RegistrationResult | None = None

    def reset(self) -> None:
        """Stop registering to earlier frames: those to come have another clock."""
        self._registrar, self._newest = Registrar(self._interior), None

    def pose(
        self,
        picture: VideoFrame,
        log_pose: ExteriorOrientation,
        interior: InteriorOrientation,
        terrain: TerrainGrid,
        current_pose: ExteriorOrientation | None = None,
        *,
        hurried: bool = False,
    ) -> ExteriorOrientation:
        """Return the pose to orthorectify a frame with.

        Frames are registered to earlier ones of the same interior orientation, not across a zoom.

        log_pose      by the log
        current_pose  its pose on the map already: later frames are registered to that, and nothing is counted
        hurried       no time for its own evidence
        """
        seconds = picture.pts_ns / 1e9
        if interior != self._interior:
            self._interior = interior
            self.reset()
        if hurried:
            self._newest = None
            return self._registrar.predict_pose(log_pose, seconds)
        self._newest = registered = self._registrar.add(picture.pixels, log_pose, seconds, terrain)
        if current_pose is not None:
            self._registrar.set_map_pose(current_pose)
            return current_pose
        return registered.pose

    def ground(
        self, seen_m: Bounds, centre_m: tuple[float, float, float], terrain: TerrainGrid
    ) -> TerrainGrid:
        """Return the terrain for the frame registered last, under an id of its own.

        The terrain raised to what the frames so far show to stand on it; unchanged where they show nothing.

        seen_m  (west, south, east, north) of what the frame sees; centre_m: where it was taken from
        """
        (west, south, east, north), (x, y, __) = seen_m, centre_m
        bounds = (
            min(west, x) - _MARGIN_M,
            min(south, y) - _MARGIN_M,
            max(east, x) + _MARGIN_M,
            max(north, y) + _MARGIN_M,
        )
        if max(bounds[2] - bounds[0], bounds[3] - bounds[1]) > _MAX_WIDTH_M:
            return terrain
        ground = raise_terrain(terrain, *self._registrar.within_bounds(bounds), bounds)
        return terrain if ground is terrain else assign_content_id(ground, source_dem_id=terrain.dem_id)

    def mark_placed(self) -> None:
        """Count the frame registered last as placed."""
        if self._newest is None:
            self.by_log[HURRIED] += 1
        elif self._newest.failure is None:
            self.fitted += 1
        else:
            self.by_log[self._newest.failure.value] += 1

    def mark_rejected(self) -> None:
        """Drop the frame registered last: not on the map, nothing is fitted to it."""
        if self._newest is not None:
            self._registrar.forget_newest()


# -- Frames placed in doubt of the clock -----------------------------------------------------------


MAX_REPROCESSED = 60
"""Frames reprocessed at once while others wait: a minute's, after which a clock is known or long in doubt."""


@dataclass(frozen=True, slots=True)
class _UncertainFrame:
    """A frame in doubt.

    sigma_s of the clock, metres on the ground; time of the frame, and how many times the video's time had
    jumped by then.
    """

    sigma_s: float
    metres: int
    pts_ns: int
    breaks: int


class UncertainFrames:
    """Frames in doubt of one video in one flight."""

    def __init__(self, video: VideoIdentity) -> None:
        self._film = video
        self._by_id: dict[str, _UncertainFrame] = {}
        self._before: tuple[str, ...] = ()

    def start(self, flight: Flight) -> None:
        """Keep the flight's own warnings from before this run."""
        self._before = tuple(one for one in flight.warnings if self._is_own_warning(one))

    def add(self, header: FrameHeader, sigma_s: float, breaks: int) -> None:
        """Add a frame placed by a clock known to sigma_s, after `breaks` time jumps."""
        metres = round(header.exterior_prior.sigma_position_m[0])
        pts_ns = parse_video_frame_pts_ns(header.provenance.source_name)
        self._by_id[header.frame_id] = _UncertainFrame(sigma_s, metres, pts_ns, breaks)

    def select_due(self, clock: ClockOffset, breaks: int, *, is_over: bool) -> dict[str, int]:
        """Return ids and times (PTS, ns) of the frames to reprocess by a clock.

        Where it is known, or twice as well as it was; until all `is_over` only the newest. Frames from before
        a jump of the video's time are left out: the clock does not apply to them.
        """
        better = 1.0 if clock.is_known else IMPROVEMENT_FACTOR
        found = [
            (frame_id, one.pts_ns)
            for frame_id, one in self._by_id.items()
            if one.breaks == breaks and one.sigma_s > better * clock.sigma_s
        ]
        return dict(found if is_over else found[-MAX_REPROCESSED:])

    def mark_reprocessed(self, records: Iterable[FrameRecord], clock: ClockOffset) -> None:
        """Mark frames as placed by this clock."""
        for record in records:
            was = self._by_id.pop(record.frame_id)
            if not clock.is_known:
                self.add(record.header, clock.sigma_s, was.breaks)

    def add_warning(self, flight: Flight) -> Flight:
        """Return the flight with a warning on frames in doubt, by the worst one.

        If this run has none, with the warnings from before.
        """
        others = [one for one in flight.warnings if not self._is_own_warning(one)]
        if not self._by_id:
            return replace(flight, warnings=(*others, *self._before))
        is_stream = is_stream_name(self._film.name)
        name = flight.name if is_stream else self._film.name
        sigma_s, metres = max((one.sigma_s, one.metres) for one in self._by_id.values())
        doubt = format_clock_warning(name, self._film.stream_id, sigma_s, metres, is_stream=is_stream)
        return replace(flight, warnings=(*others, doubt))

    def _is_own_warning(self, warning: str) -> bool:
        return is_clock_warning(warning, self._film.stream_id)


# -- Queue of chosen frames: new ground is dropped last --------------------------------------------
#
# When late, frames are first chosen more seldom (`choose_spacing`): frames farther apart show the same ground
# in fewer views. If the queue is full all the same, the frame is dropped whose neighbours show most of what
# it shows: "thinned". Only where they do not is new ground lost: "no_time", or "store_away" while that is
# why.


MAX_QUEUED = 24
MAX_QUEUED_BYTES = 768 << 20
"""Frames in memory: 150 MB of 1920×1080, the same number of 4K, fewer of what is larger."""

_SHOWN_BY_NEIGHBOURS = 0.85


@dataclass(frozen=True, slots=True)
class ChosenFrame:
    """A frame chosen for the map.

    share     of the view that is new against the frame chosen, and kept, before; at most 1
    since_ns  monotonic time from which it waits
    """

    picture: VideoFrame
    share: float
    since_ns: int


class NewGroundRule:
    """Rule of a `BoundedQueue` of chosen frames: when full, the frame least missed is dropped.

    is_away  whether store or database are away, so that no frame can be processed
    dropped  counts by reason: "thinned", "no_time"; in place of the latter "store_away" while they are
    """

    def __init__(self, most: int, dropped: DropCounter, is_away: Callable[[], bool] = lambda: False) -> None:
        self._most, self._dropped, self._is_away = most, dropped, is_away

    def __call__(self, waiting: deque[ChosenFrame], _newest: ChosenFrame) -> bool:
        """Make room, and add the share of the dropped frame to the next one."""
        if len(waiting) < self._most:
            return True
        joined = [min(1.0, a.share + b.share) for a, b in pairwise(waiting)] or [1.0]
        least = int(np.argmin(joined))
        del waiting[least]
        if least < len(waiting):
            waiting[least] = replace(waiting[least], share=joined[least])
        lost = "store_away" if self._is_away() else "no_time"
        self._dropped.add("thinned" if joined[least] <= _SHOWN_BY_NEIGHBOURS else lost)
        return True


# -- Orthorectification of frames into a flight ----------------------------------------------------


# Frames that wait longer leave no time to register each to its neighbours.
_HURRY_S = 0.5
_WHY = "laid again by a clock that is known better"


class LiveOrthorectifier:
    """Orthorectifier of a video's frames into a flight that the first one opens: the stage that places them.

    Its thread takes the chosen frames (`put`) in order, and puts what it merged into its `LiveMap`. A context
    manager, which the caller leaves before releasing the flight's lock: whatever fails before
    `close` is through, nothing of this is still writing then. Frames on the map are not touched: see
    `flycam.ingest.live.status`.

    source      its `health` counts chosen frames that are not on the map, by reason: of their rejection,
       "withdrawn", and "filmed_before" where frames on record show what they show
    is_timely   frames come in real time: what has no room is dropped (`NewGroundRule`); else all wait
    published   frames that this run merged and published; reprocessed: how many of them it reprocessed
    notes       on how the flight was opened, encoded by `flycam.model.warning`
    rejections  frames that could not be orthorectified; withdrawn: ids of those that were withdrawn
    registration  of frames to each other, with counts
    patience    the retry policy while store and database are away
    """

    def __init__(
        self,
        workspace: Workspace,
        flight_id: str,
        video: VideoIdentity,
        ground: TerrainSource,
        labels: FlightLabels,
        source: VideoSource,
        telemetry: Telemetry,
        clock: LiveClock,
        patience: RetryPolicy,
        *,
        is_timely: bool,
    ) -> None:
        self._source, self._telemetry, self._clock = source, telemetry, clock
        self.patience, self._dropped, self._is_timely = patience, source.health.dropped, is_timely
        self._workspace, self._flight_id, self._film = workspace, flight_id, video
        self._ground, self._labels = ground, labels
        self._open: LiveMap | None = None
        self._opens: Callable[[FlightSession], LiveMap]
        self._is_closed = False
        self._doubts = UncertainFrames(video)
        # It encodes a frame as JPEG, and decodes it, while that is registered to earlier ones; then it merges
        # it while the next one is registered, which is encoded only after that: a frame's pixels are 6 MB.
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="merging")
        self._merging: Future[None] | None = None
        existing = workspace.catalog.frames.list_for_flight(flight_id)
        self._standing = {record.frame_id: record for record in existing}
        own_records = video.select_frames(existing)
        self._filmed = IngestedIntervals(own_records)
        self.rejections = Rejections()
        self.registration = LiveRegistration(video.interior)
        self.withdrawn: set[str] = set()
        self.reprocessed = 0
        self.notes: tuple[str, ...] = ()
        on_map = (one.header.captured_ns for one in own_records if one.status is FrameStatus.USED)
        self.published = PublishedFrames(max(on_map, default=None))
        self._laid_by: ClockOffset | None = None
        most = count_fitting_frames(MAX_QUEUED, MAX_QUEUED_BYTES, video.interior.image_size_px)
        rule = NewGroundRule(most, self._dropped, lambda: patience.is_away)
        self._chosen = BoundedQueue[ChosenFrame](most, rule if is_timely else None)
        self._placing = Stage("placing", self._chosen, self._place_all)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Abandon what `close` did not write."""
        if not self._is_closed:
            self._abandon()

    def put(self, picture: VideoFrame, share: float) -> None:
        """Add a chosen frame, of whose view a share is new. Raises earlier errors."""
        self._placing.put(ChosenFrame(picture, min(share, 1.0), time.monotonic_ns()))

    @property
    def late_s(self) -> float:
        """Seconds that the oldest chosen frame has waited; 0 if none waits.

        The delay of this stage alone: choosing fewer frames would not shorten decoding or the log's delay.
        """
        oldest = self._chosen.oldest
        return 0.0 if oldest is None else (time.monotonic_ns() - oldest.since_ns) / 1e9

    def finish(self) -> None:
        """Place the frames that wait, and reprocess those in doubt. Raises what failed."""
        if self.error is not None:
            # Waiting for the store would delay the end.
            self.patience.give_up()
        self._placing.close()
        if (error := self.error) is not None:
            raise error
        self._reprocess(is_over=True)

    def _place_all(self) -> None:
        while (chosen := self._chosen.get()) is not None:
            self._reprocess()
            self._place(chosen.picture)

    def _place(self, picture: VideoFrame) -> None:
        """Place a frame by the log and the clock as they are known now."""
        offset = self._clock.offset
        try:
            oriented = interpolate_orientation(self._telemetry, offset, self._film.interior, picture.pts_ns)
        except FrameRejected as error:
            self._dropped.add(error.reason)
            return
        if self._source.is_undated:
            t_ns = compute_log_time(self._telemetry, offset, picture.pts_ns)
            picture = replace(picture, t_utc_ns=self._telemetry.utc_ns(t_ns))
        hurried = self._is_timely and self.late_s > _HURRY_S
        doubt_s = None if offset.is_known else offset.sigma_s
        self._orthorectify(picture, *oriented, hurried=hurried, doubt_s=doubt_s)

    def _orthorectify(
        self,
        picture: VideoFrame,
        log_pose: ExteriorOrientation,
        interior: InteriorOrientation,
        *,
        hurried: bool,
        doubt_s: float | None,
    ) -> None:
        """Orthorectify, record and merge one frame. Raises what storage does.

        log_pose, interior  its orientation by the log
        hurried   others wait, so it is not registered by its own evidence
        doubt_s   sigma of the clock offset, where that is not known: the flight then carries a warning
        """
        frame_id = derive_frame_id(self._film.stream_id, f"pts:{picture.pts_ns}")
        record = self._standing.get(frame_id)
        if record is not None and record.status is FrameStatus.WITHDRAWN:
            self.withdrawn.add(frame_id)
            self._dropped.add("withdrawn")
            return
        if record is not None and record.status is FrameStatus.USED:
            self._recall(picture, log_pose, interior, record)
            return
        if record is None and self._filmed.contains(picture.pts_ns):
            self._dropped.add("filmed_before")
            return
        if self._open is None:
            self.patience(lambda: self._check_lies_nowhere_else(frame_id))
        name = format_video_frame_name(self._film.name, picture.pts_ns)
        header = FrameHeader(
            frame_id=frame_id,
            captured_ns=picture.t_utc_ns,
            layer=Layer.COLOUR,
            interior=interior,
            exterior_prior=log_pose,
            provenance=Provenance(
                source_name=name, source_sha256="", camera=VIDEO_CAMERA, film=self._film.stream_id
            ),
        )
        coded: Future[EncodedFrame] | None = None
        try:
            terrain = self.patience(lambda: self._ground.terrain_at(log_pose.projection_centre_m))
            if is_looking_up(interior, log_pose):
                # A frame that sees no ground need not be registered.
                project_frame(header, terrain)
            coded = self._beside.submit(encode_frame_jpeg, picture.pixels, name)
            pose = self.registration.pose(picture, log_pose, interior, terrain, hurried=hurried)
            try:
                store_frame = partial(self._store_frame, pose, header, coded, terrain, picture, doubt_s)
                merge = self.patience(store_frame)
            except FrameRejected:
                self.registration.mark_rejected()
                raise
        except FrameRejected as error:
            if coded is not None:
                coded.cancel()
            self.rejections.add(header, error)
            self._dropped.add(error.reason)
            return
        self.registration.mark_placed()
        self._finish_merging()
        self._merging = self._beside.submit(merge)

    def _finish_merging(self) -> None:
        """Wait for the frame that is being merged. Raises its error."""
        if self._merging is not None:
            self._merging.result()

    def _check_lies_nowhere_else(self, frame_id: str) -> None:
        """Raise OptionUnusable if the video is in another flight.

        A frame belongs to one flight alone.
        """
        catalog = self._workspace.catalog
        try:
            record = catalog.frames.get(frame_id)
        except NotFound:
            return
        if record.flight_id == self._flight_id or record.status is FrameStatus.REJECTED:
            return
        name = catalog.flights.flight(record.flight_id).name
        raise OptionUnusable(
            _(
                "{name}: this video is in the flight {flight} already, and stays there; give --flight "
                "{flight_id}",
                name=self._film.name,
                flight=name,
                flight_id=record.flight_id,
            )
        )

    def _store_frame(
        self,
        pose: ExteriorOrientation,
        header: FrameHeader,
        coded: Future[EncodedFrame],
        terrain: TerrainGrid,
        picture: VideoFrame,
        doubt_s: float | None,
    ) -> Callable[[], None]:
        """Store a frame with this pose; return a call that merges it.

        Raises FrameRejected.
        """
        seen, ground = self._seen(replace(header, exterior_prior=pose), terrain)
        # Only now: a frame that sees no ground need not be stored.
        data, sha256, decoded = coded.result()
        store_original_bytes(self._workspace, data, sha256)
        header = replace(header, provenance=replace(header.provenance, source_sha256=sha256))
        planned = replace(seen, header=header)
        opened = self._opened(planned, terrain)
        if doubt_s is not None:
            self._doubts.add(header, doubt_s, picture.breaks)
            # Written at once: a killed program leaves no warning otherwise.
            opened.update_flight(self._doubts.add_warning)
        if ground is not terrain:
            store_frame_terrain(self._workspace, ground)
        record = replace(self._record(planned, opened, ground.dem_id), exterior=pose)
        return partial(opened.merge, MergedFrame(record, picture.arrived_ns), decoded, ground)

    def _seen(self, header: FrameHeader, terrain: TerrainGrid) -> tuple[FrameFootprint, TerrainGrid]:
        """Return a frame's footprint, and the terrain to orthorectify it on.

        Raises FrameRejected.
        """
        seen = project_frame(header, terrain)
        centre_m = header.exterior_prior.projection_centre_m
        ground = self.registration.ground(seen.footprint.bounds_m, centre_m, terrain)
        if ground is terrain:
            return seen, terrain
        try:
            return project_frame(header, ground), ground
        # It sees past the part that was raised.
        except FrameRejected:
            return seen, terrain

    def _recall(
        self,
        picture: VideoFrame,
        log_pose: ExteriorOrientation,
        interior: InteriorOrientation,
        record: FrameRecord,
    ) -> None:
        """Register a frame on the map for those to come, as if just merged.

        Its original and its terrain are stored again where they were lost.
        """
        with suppress(FrameRejected):
            terrain = self.patience(lambda: self._ground.terrain_at(log_pose.projection_centre_m))
            recorded = get_recorded_pose(record)[0]
            pose = self.registration.pose(picture, log_pose, interior, terrain, recorded)
            header = replace(record.header, exterior_prior=pose)
            self.patience(partial(self._put_back, picture, header, str(record.dem_id), terrain))

    def _put_back(self, picture: VideoFrame, header: FrameHeader, dem_id: str, terrain: TerrainGrid) -> None:
        """Store the original and terrain again, if identical to those of the tiles."""
        store, sha256 = self._workspace.store, header.provenance.source_sha256
        if not store.exists(keys.format_original_key(sha256)):
            data, found, _ = encode_frame_jpeg(picture.pixels, header.provenance.source_name)
            if found == sha256:
                with suppress(OriginalPurged):
                    store_original_bytes(self._workspace, data, sha256)
                store.flush()
        if not store.exists(keys.format_terrain_key(dem_id)):
            _, ground = self._seen(header, terrain)
            if ground.dem_id == dem_id:
                store_frame_terrain(self._workspace, ground)
                store.flush()

    @property
    def error(self) -> BaseException | None:
        """Error of placing, merging or publishing, as soon as it occurred; None: none."""
        merging = self._merging
        merged_error = merging.exception() if merging is not None and merging.done() else None
        published_error = self._open.publisher.error if self._open is not None else None
        return self._placing.error or merged_error or published_error

    def close(self, warnings: Sequence[str], progress: Progress) -> Flight | None:
        """Write what is left, measure coverage, close the flight; None without one.

        warnings  further ones that the flight keeps
        """
        self._finish_merging()
        self._beside.shutdown()
        if self._open is not None:
            self._open.close()
        self._is_closed = True
        if self._open is None:
            return self._find_unchanged_flight()
        opened = self._open
        catalog = self._workspace.catalog
        used = self.patience(partial(catalog.frames.list_for_flight, self._flight_id, FrameStatus.USED))
        on_map = {record.frame_id for record in used}
        refused = self.rejections.to_records(self._flight_id)
        self.patience(partial(catalog.frames.put, [one for one in refused if one.frame_id not in on_map]))
        flight = opened.flight.flight
        flight = replace(flight, warnings=tuple(dict.fromkeys((*flight.warnings, *warnings))))
        cover = partial(measure_coverage, self._workspace, flight, progress, changed=len(self.published) > 0)
        self.patience(cover)
        return self.patience(
            lambda: close_flight(
                self._workspace, flight, resolve_flight_state(self._workspace, self._flight_id)
            )
        )

    def _find_unchanged_flight(self) -> Flight | None:
        """Return the flight to which no frame was added; None: there is none."""
        existing = self.patience(partial(find_flight, self._workspace, self._flight_id))
        if existing is None:
            return None
        self.notes = self.patience(partial(list_unused_label_notes, self._workspace, existing, self._labels))
        return existing

    def _reprocess(self, *, is_over: bool = False) -> None:
        """Reprocess frames in doubt if the clock is known now, or twice as well as then.

        Frames to come are registered to them as placed then. Frames from before a jump of the video's time
        stay, and so do those that the log no longer covers: the flight keeps a warning. Raises what storage
        does.

        is_over  no frame comes any more; until then those to come wait, and only the newest are reprocessed
        """
        clock = self._clock.offset
        if clock is self._laid_by and not is_over:
            return
        self._laid_by = clock
        oriented: dict[str, tuple[ExteriorOrientation, InteriorOrientation]] = {}
        for frame_id, pts_ns in self._doubts.select_due(clock, self._clock.breaks, is_over=is_over).items():
            with suppress(FrameRejected):
                oriented[frame_id] = interpolate_orientation(
                    self._telemetry, clock, self._film.interior, pts_ns
                )
        if not oriented or self._open is None:
            return
        opened = self._open
        self._finish_merging()
        opened.close()
        of_flight = partial(self._workspace.catalog.frames.list_for_flight, self._flight_id, FrameStatus.USED)
        records = {one.frame_id: one for one in self.patience(of_flight)}
        self.registration.reset()
        again: list[FrameRecord] = []
        for frame_id, (pose, interior) in oriented.items():
            with suppress(FrameRejected):
                again.append(self._placed_again(records[frame_id], pose, interior, opened))
        relay = ReprocessPlan(frames=tuple(again))
        carried = partial(
            apply_reprocess_plan, self._workspace, self._flight_id, relay, self._workspace.clock_ns(), _WHY
        )
        self.patience(carried)
        for mosaic in list_live_mosaics(self._workspace, self._flight_id):
            also = relay.tiles(mosaic.layer)
            self.patience(partial(rebuild_mosaic, self._workspace, mosaic, ignore_progress, also=also))
        self.reprocessed += len(again)
        self._doubts.mark_reprocessed(again, clock)
        self._open = self._opens(opened.flight)
        self._open.update_flight(self._doubts.add_warning)

    def _placed_again(
        self,
        record: FrameRecord,
        log_pose: ExteriorOrientation,
        interior: InteriorOrientation,
        opened: LiveMap,
    ) -> FrameRecord:
        """Return the record of a frame on the map with another orientation by the log.

        Raises FrameRejected.
        """
        provenance = record.header.provenance
        header = replace(record.header, exterior_prior=log_pose, interior=interior)
        sha256, name = provenance.source_sha256, provenance.source_name
        copy = self.patience(partial(fetch_local_copy, self._workspace, sha256, name))
        pts_ns, taken_ns = parse_video_frame_pts_ns(name), header.captured_ns
        picture = VideoFrame(pts_ns=pts_ns, t_utc_ns=taken_ns, arrived_ns=0, pixels=open_pixels(copy))
        terrain = self.patience(lambda: self._ground.terrain_at(log_pose.projection_centre_m))
        pose = self.registration.pose(picture, log_pose, interior, terrain)
        try:
            seen, ground = self._seen(replace(header, exterior_prior=pose), terrain)
        except FrameRejected:
            self.registration.mark_rejected()
            raise
        if ground is not terrain:
            self.patience(partial(store_frame_terrain, self._workspace, ground))
        planned = replace(seen, header=header)
        return replace(self._record(planned, opened, ground.dem_id), exterior=pose)

    def _abandon(self) -> None:
        """Wait for writers, and write nothing that waits: an error is being raised.

        An error in one step does not prevent the others.
        """
        # the last is done first
        with ExitStack() as steps:
            steps.callback(self._abandon_map)
            steps.callback(self._placing.abandon)
            # A retry for the store would delay this.
            steps.callback(self.patience.give_up)

    def _abandon_map(self) -> None:
        opened = self._open
        with ExitStack() as steps:
            if opened is not None:
                steps.callback(opened.abandon)
            steps.callback(self._beside.shutdown, cancel_futures=True)
            if opened is not None:
                # Merging may wait for it.
                steps.callback(opened.publisher.abandon)

    def _opened(self, planned: FrameFootprint, terrain: TerrainGrid) -> LiveMap:
        if self._open is None:
            flight = open_flight(
                self._workspace,
                self._flight_id,
                [planned],
                terrain,
                self._labels,
                self._ground.names,
                default_name=self._film.title,
                work_crs=self._film.work_crs,
                is_drill=self._film.is_drill,
            )
            self._opens = partial(
                LiveMap, self._workspace, first=planned, published=self.published, patience=self.patience
            )
            self._open = self._opens(flight)
            self.notes = flight.notes
            self._doubts.start(flight.flight)
        return self._open

    def _record(self, planned: FrameFootprint, opened: LiveMap, dem_id: str) -> FrameRecord:
        return build_frame_record(planned, self._flight_id, opened.base_zoom, dem_id)
