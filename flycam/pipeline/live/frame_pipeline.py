"""Video frames on their way: clock, keyframe selection, orthorectification."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flycam.errors import FrameRejected, SourceUnreadable
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.ingest.video.decoder import count_fitting_frames
from flycam.ingest.video.keyframe_selection import KeyframeSelector
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.pipeline.live.clock import LiveClock
from flycam.pipeline.live.frame_queue import MAX_QUEUED, MAX_QUEUED_BYTES, FrameQueue, choose_spacing
from flycam.pipeline.live.live_orthorectifier import LiveOrthorectifier
from flycam.pipeline.live.live_telemetry import Telemetry
from flycam.pipeline.live.stream_stop import stop_stream_when
from flycam.pipeline.workspace import Progress

PROGRESS_STAGE = "live"
"""The progress stage in which frames are orthorectified."""

# three seconds, by which a link may be late
_WAITING_FOR_LOG = 30
_OFTEN_NS = 90_000_000
# Frames that wait longer leave no time to register each to its neighbours.
_HURRY_S = 0.5


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """A frame's times, as `VideoFrame` has them, without pixels."""

    pts_ns: int
    t_utc_ns: int
    arrived_ns: int


class FramePipeline:
    """Pipeline of frames through clock and selection to the orthorectifying thread.

    drops        frames come in real time: if late, fewer are chosen, and new ground is lost last
       (`live.frame_queue`); else all wait
    is_sparing   whether a battery has to last: fewer frames are chosen, of the same ground
    decoded      frames that came; chosen: of them those for the map
    newest       the newest frame; newest_picture: the same with its pixels
    covered      the newest one that the log covers
    broken_by    the error with which the source ended early; None: none
    """

    def __init__(
        self,
        source: VideoSource,
        telemetry: Telemetry,
        clock: LiveClock,
        interior: InteriorOrientation,
        laying: LiveOrthorectifier,
        *,
        drops: bool,
        is_sparing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source, self._telemetry, self._clock = source, telemetry, clock
        self._laying = laying
        self._uncovered: deque[VideoFrame] = deque()
        self._most_uncovered = count_fitting_frames(
            _WAITING_FOR_LOG, MAX_QUEUED_BYTES, interior.image_size_px
        )
        self._last_pts_ns: int | None = None
        self._selector = KeyframeSelector(interior, is_eager=drops)
        most = count_fitting_frames(MAX_QUEUED, MAX_QUEUED_BYTES, interior.image_size_px)
        self._to_lay = FrameQueue(most, drops=drops, is_away=lambda: laying.patience.is_away)
        self._drops, self._is_sparing = drops, is_sparing
        self._error: BaseException | None = None
        self._dropped: Counter[str] = Counter()
        self.decoded = self.chosen = 0
        self.newest: FrameTimes | None = None
        self.newest_picture: VideoFrame | None = None
        self.covered: FrameTimes | None = None
        self.broken_by: SourceUnreadable | None = None
        self._laid_by: ClockOffset | None = None
        self._posed_ns: int | None = None
        self._came_ns: int | None = None
        self._began_ns = 0

    @property
    def latency_ms(self) -> tuple[float, float]:
        """p50 and p95 from arrival to tiles, milliseconds; NaN if there are none."""
        late_ms = self._laying.late_ms
        if not late_ms:
            return float("nan"), float("nan")
        half, most = np.percentile(late_ms, [50, 95])
        return float(half), float(most)

    @property
    def first_tile_s(self) -> float:
        """Seconds from the first frame with a pose to the first tiles in the log; or NaN."""
        return self._until_shown_s(self._posed_ns)

    @property
    def first_ground_s(self) -> float:
        """Seconds from the first frame to the first tiles in the log; or NaN."""
        return self._until_shown_s(self._came_ns)

    def _until_shown_s(self, since_ns: int | None) -> float:
        shown_ns = self._laying.first_shown_ns
        return float("nan") if shown_ns is None or since_ns is None else (shown_ns - since_ns) / 1e9

    @property
    def drop_counts(self) -> Counter[str]:
        """Frames not orthorectified so far, by reason. Safe from any thread."""
        counts = (
            self._to_lay.dropped,
            self._dropped,
            self._source.health.dropped,
            self._selector.passed_over,
        )
        # Copies first, in one step each: their own threads go on counting.
        return sum((Counter(dict(one)) for one in counts), self._laying.drop_counts)

    def run(self, progress: Progress, stopped: Callable[[], bool]) -> None:
        """Run until the video ends, breaks off or is stopped; finish the chosen frames.

        Raises what orthorectification raises. The source's own error is kept in `broken_by`: the flight is
        closed first.
        """
        self._began_ns = time.monotonic_ns()
        thread = threading.Thread(target=self._orthorectify_all, name="laying", daemon=True)
        thread.start()
        try:
            with stop_stream_when(self._source, lambda: self._failed is not None or stopped()):
                self._take_all(progress, stopped)
            self._end()
        except BaseException:
            self._laying.patience.give_up()
            self._to_lay.abandon()
            self._close(thread)
            raise
        if self._failed is not None:
            # Waiting for the store would delay the end.
            self._laying.patience.give_up()
        self._close(thread)
        if (error := self._failed) is not None:
            raise error
        self._reprocess(is_over=True)

    @property
    def _failed(self) -> BaseException | None:
        """Error of orthorectification or of the publisher."""
        return self._error or self._laying.error

    def _take_all(self, progress: Progress, stopped: Callable[[], bool]) -> None:
        try:
            for picture in self._source.frames():
                self.decoded += 1
                self._take(picture)
                progress(PROGRESS_STAGE, self.decoded, count_frames(self._source, self.decoded))
                if self._failed is not None or stopped():
                    return
        except SourceUnreadable as error:
            self.broken_by = error

    def _close(self, thread: threading.Thread) -> None:
        """Wait until the queued frames are orthorectified, in their thread."""
        try:
            self._source.stop()
        finally:
            self._to_lay.close()
            thread.join()

    def _take(self, picture: VideoFrame) -> None:
        """Pass a frame on once the log covers its moment.

        Of a stream no more frames than the clock can use.
        """
        self.newest, self.newest_picture = _seen(picture), picture
        self._came_ns = self._came_ns or max(picture.arrived_ns, self._began_ns)
        self._telemetry.refresh()
        last_ns = self._last_pts_ns
        if self._source.is_stream and last_ns is not None and picture.pts_ns - last_ns < _OFTEN_NS:
            return
        self._last_pts_ns = picture.pts_ns
        self._clock.add(picture)
        self._uncovered.append(picture)
        while self._uncovered and self._telemetry.covers(self._clock.to_log_s(self._uncovered[0].pts_ns)):
            self._choose(self._uncovered.popleft())
        if len(self._uncovered) > self._most_uncovered:
            self._uncovered.popleft()
            self._dropped["telemetry_gap"] += 1

    def _choose(self, picture: VideoFrame) -> None:
        self.covered = _seen(picture)
        is_sparing = self._is_sparing()
        if self._drops or is_sparing:
            spaced = choose_spacing(self._to_lay.late_s if self._drops else 0.0, is_sparing=is_sparing)
            self._selector.opens_at, self._selector.closes_at = spaced
        chosen = self._selector.add(picture, self._telemetry.log_poses, self._clock.to_log_s(picture.pts_ns))
        self._keep(chosen)
        self._posed_ns = self._posed_ns or max(picture.arrived_ns, self._began_ns)

    def _end(self) -> None:
        """End the video: settle the clock with all evidence, and process waiting frames."""
        self._telemetry.refresh()
        self._clock.settle()
        for picture in self._uncovered:
            self._choose(picture)
        self._keep(self._selector.flush())

    def _keep(self, chosen: VideoFrame | None) -> None:
        if chosen is not None:
            self.chosen += 1
            self._to_lay.put(chosen, self._selector.share)

    def _orthorectify_all(self) -> None:
        try:
            while (picture := self._to_lay.get()) is not None:
                self._orthorectify(picture)
        except BaseException as error:  # noqa: BLE001  raised again in `run`
            self._error = error
            self._to_lay.close()

    def _reprocess(self, *, is_over: bool = False) -> None:
        """Reprocess frames in doubt if the clock is known better now."""
        offset = self._clock.offset
        if is_over or offset is not self._laid_by:
            self._laid_by = offset
            pose_at = partial(interpolate_pose, self._telemetry, offset)
            self._laying.reprocess(offset, self._clock.breaks, pose_at, is_over=is_over)

    def _orthorectify(self, picture: VideoFrame) -> None:
        self._reprocess()
        offset = self._clock.offset
        try:
            pose = interpolate_pose(self._telemetry, offset, picture.pts_ns)
        except FrameRejected as error:
            self._dropped[error.reason] += 1
            return
        if self._source.is_undated:
            t_ns = compute_log_time(self._telemetry, offset, picture.pts_ns)
            picture = replace(picture, t_utc_ns=self._telemetry.utc_ns(t_ns))
        hurried = self._drops and self._to_lay.late_s > _HURRY_S
        doubt_s = None if offset.is_known else offset.sigma_s
        self._laying.orthorectify(picture, pose, hurried=hurried, doubt_s=doubt_s)


def _seen(picture: VideoFrame) -> FrameTimes:
    return FrameTimes(picture.pts_ns, picture.t_utc_ns, picture.arrived_ns)


def compute_log_time(telemetry: Telemetry, offset: ClockOffset, pts_ns: int) -> int:
    """Return a frame's time on the log's clock, nanoseconds."""
    return telemetry.zero_ns + round(offset.to_log_s(pts_ns / 1e9) * 1e9)


def interpolate_pose(telemetry: Telemetry, offset: ClockOffset, pts_ns: int) -> ExteriorOrientation:
    """Return a frame's pose by the log, with the sigma of its clock offset.

    Raises what `VideoPoses.exterior_at` does.
    """
    return telemetry.poses.exterior_at(compute_log_time(telemetry, offset, pts_ns), offset.sigma_s)


def count_frames(source: VideoSource, came: int) -> int:
    """Return the container's frame count, no fewer than came; 0 if unknown (stream)."""
    announced = round(source.duration_s * source.fps)
    return max(came, announced) if announced > 0 else 0
