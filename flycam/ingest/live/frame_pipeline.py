"""Pipeline of video frames in four stages: read, select, place, publish.

The second one is here: frames wait until the log covers them, and keyframes are chosen from them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import DropCounter
from flycam.errors import SourceUnreadable
from flycam.geometry.camera import InteriorOrientation
from flycam.ingest.live.orthorectifier import MAX_QUEUED_BYTES, LiveOrthorectifier
from flycam.ingest.live.telemetry import LiveClock, Telemetry, interpolate_interior
from flycam.ingest.video.clock_offset import LoggedPoses, convert_to_grey, predict_rates
from flycam.ingest.video.video_source import VideoFrame, VideoSource, count_fitting_frames
from flycam.media.pixels import check_pixels
from flycam.workspace import Progress

# -- Selection of keyframes: the sharpest frames with new ground -----------------------------------
#
# New ground is predicted from the log: how far the ground under the centre of the last chosen frame has moved
# in the view. Once a share of the view is new a window opens; its sharpest frame is chosen when it closes.
# With live video that would add delay: in the second half of the window a frame as sharp as usual is taken at
# once, and only a blurred one waits for a better. Torn, green and covered frames, and those far less sharp
# than the rest, are skipped and counted.


OPENS_AT, CLOSES_AT = 0.12, 0.22
"""New shares of the view from which on a frame may be chosen, and at which one is."""

_MAX_WINDOW_S = 0.25
# Shares of a window; share of the flight's median sharpness.
_HALF, _NEAR_END, _USUAL = 0.5, 0.6, 0.9
# For a view that meets no ground: orthorectifying such a frame reports why it failed.
_RETRY_INTERVAL_S = 1.0
_REMEMBERED = 60
# Share of the flight's median sharpness, as for photos.
_TOO_BLURRED = 0.25
# RGB of 8-bit YUV (0, 0, 0), as codecs round it.
_GREEN_FROM, _GREEN_TO = (0, 129, 0), (6, 141, 6)
_GREEN_SHARE, _SPARSE = 0.03, 8


@dataclass(frozen=True, slots=True)
class KeyframeCandidate:
    """Frame that may be chosen; `share` of its view is new."""

    picture: VideoFrame
    log_s: float
    sharpness: float
    share: float


class KeyframeSelector:
    """Selector of keyframes, fed every frame in order.

    dropped      counts frames in an open window that were rejected, by reason: "torn", "lens_covered",
                 "too_blurred"; and all frames at whose time the log is silent: "telemetry_gap"
    opens_at, closes_at  new shares of the view, as the constants; may be changed at any time, as may
    interior     orientation of the frames, which a zoom changes
    share        share of the view that was new in the frame chosen last
    is_eager     a frame as sharp as usual does not wait for the window's end
    """

    def __init__(
        self, interior: InteriorOrientation, dropped: DropCounter, *, is_eager: bool = False
    ) -> None:
        self.interior, self._dropped, self._is_eager = interior, dropped, is_eager
        self.opens_at, self.closes_at = OPENS_AT, CLOSES_AT
        self.share = 1.0
        self._last_s: float | None = None
        self._opened_s: float | None = None
        self._best: KeyframeCandidate | None = None
        self._sharpness: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, picture: VideoFrame, logged: LoggedPoses, log_s: float) -> VideoFrame | None:
        """Return the frame chosen by now, this one or an earlier one, if any.

        log_s  the frame's time on the clock of `logged`
        """
        share = self._new_share(logged, log_s)
        if share is None or share < (self._within(_HALF) if self._is_eager else self.opens_at):
            return None
        if self._opened_s is None:
            self._opened_s = log_s
        considered = self._consider(picture, log_s, share)
        if considered is not None and self._is_taken_at_once(considered):
            self._best = considered
            return self._chosen()
        closes = share >= self.closes_at or log_s - self._opened_s >= _MAX_WINDOW_S or self._last_s is None
        return self._chosen() if closes else None

    def flush(self) -> VideoFrame | None:
        """Return the frame that waits in an open window when the video is over."""
        return self._chosen()

    def _new_share(self, logged: LoggedPoses, log_s: float) -> float | None:
        """Return the share of the view that the last chosen frame did not show.

        None where the log is silent.
        """
        if self._last_s is None:
            return 1.0
        elapsed = log_s - self._last_s
        if elapsed <= 0.0:
            return None
        rate = predict_rates(logged, self.interior, np.array([self._last_s]), np.array([log_s]))[0]
        if not np.isfinite(rate).all():
            return self._after_silence(logged, log_s, elapsed)
        return compute_new_share(rate * elapsed, self.interior.image_size_px)

    def _after_silence(self, logged: LoggedPoses, log_s: float, elapsed: float) -> float | None:
        """Return 1 once the log resumes after a gap since the last choice, else None.

        The same holds where the view comes back from the horizon.
        """
        if not np.isfinite(logged.interpolate(np.array([log_s]))[0]).all():
            self._dropped.add("telemetry_gap")
            return None
        return 1.0 if elapsed >= _RETRY_INTERVAL_S else None

    def _consider(self, picture: VideoFrame, log_s: float, share: float) -> KeyframeCandidate | None:
        """Return the frame as a candidate, remembered if it is the best so far.

        None if it may not be chosen.
        """
        if is_torn(picture.pixels):
            self._dropped.add("torn")
            return None
        checks = check_pixels(convert_to_grey(picture.pixels)[0])
        if checks.lens_covered:
            self._dropped.add("lens_covered")
            return None
        self._sharpness.append(checks.sharpness)
        if checks.sharpness < _TOO_BLURRED * float(np.median(self._sharpness)):
            self._dropped.add("too_blurred")
            return None
        one = KeyframeCandidate(picture, log_s, checks.sharpness, share)
        if self._best is None or one.sharpness > self._best.sharpness:
            self._best = one
        return one

    def _is_taken_at_once(self, one: KeyframeCandidate) -> bool:
        is_due = self._is_eager and one.share >= self._within(_NEAR_END)
        return is_due and one.sharpness >= _USUAL * float(np.median(self._sharpness))

    def _within(self, part: float) -> float:
        """Return the new share of the view at which `part` of the window has passed."""
        return self.opens_at + part * (self.closes_at - self.opens_at)

    def _chosen(self) -> VideoFrame | None:
        """Close the window and return its best frame.

        The window stays open while no frame is good enough.
        """
        best = self._best
        if best is None:
            return None
        self._last_s, self.share = best.log_s, best.share
        self._opened_s, self._best = None, None
        return best.picture


def compute_new_share(moved: NDArray[np.float64], size_px: tuple[int, int]) -> float:
    """Return the new share of a view after a shift (u, v) px and a turn (rad).

    `moved` is (3,). A turned view shows new corners: in a rectangle turned by a small angle about its centre
    the share |sin(angle)| · (w² + h²) / (4 w h) is new.
    """
    width, height = size_px
    overlap = max(0.0, 1.0 - abs(moved[0]) / width) * max(0.0, 1.0 - abs(moved[1]) / height)
    corners = abs(np.sin(moved[2])) * (width**2 + height**2) / (4.0 * width * height)
    return float(1.0 - overlap * max(0.0, 1.0 - corners))


def is_torn(pixels: NDArray[np.uint8]) -> bool:
    """Return True if part of a frame is the flat green of a decoder that lacks data.

    H×W×3 RGB; the green is YUV all zero.
    """
    size = (-(-pixels.shape[1] // _SPARSE), -(-pixels.shape[0] // _SPARSE))
    sparse = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST)
    green = cv2.inRange(sparse, _GREEN_FROM, _GREEN_TO)
    return cv2.countNonZero(green) > _GREEN_SHARE * green.size


# -- Spacing of keyframes by how late they are placed ----------------------------------------------


_LATE_S, _VERY_LATE_S = 0.5, 2.0
_MAX_SPACING = (0.55, 0.7)


def choose_spacing(late_s: float, *, is_sparing: bool = False) -> tuple[float, float]:
    """Return the shares of new view from which a frame may, and must, be chosen.

    The usual ones up to half a second late; from two seconds on, and to spare a battery, those that leave a
    third of the view in common.
    """
    late = 1.0 if is_sparing else float(np.clip((late_s - _LATE_S) / (_VERY_LATE_S - _LATE_S), 0.0, 1.0))
    opens, closes = (
        usual + late * (widest - usual)
        for usual, widest in zip((OPENS_AT, CLOSES_AT), _MAX_SPACING, strict=True)
    )
    return opens, closes


# -- Frame pipeline --------------------------------------------------------------------------------


PROGRESS_STAGE = "live"
"""The progress stage in which frames are orthorectified."""

# three seconds, by which a link may be late
_WAITING_FOR_LOG = 30
_OFTEN_NS = 90_000_000


class FramePipeline:
    """Pipeline of a video: frames are read, selected, placed and published, each by a thread of its own.

    `VideoSource` reads, the caller's thread selects, `LiveOrthorectifier` places what was chosen, and
    `LiveMap` publishes what that merged. What any of them leaves out is counted by the source's `health`.

    is_timely    frames come in real time: if late, fewer are chosen
    is_sparing   whether a battery has to last: fewer frames are chosen, of the same ground
    decoded      frames that came; chosen: of them those for the map
    newest       the newest frame; covered: the newest one that the log covers
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
        is_timely: bool,
        is_sparing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source, self._telemetry, self._clock = source, telemetry, clock
        self._laying, self._dropped = laying, source.health.dropped
        self._uncovered: deque[VideoFrame] = deque()
        self._most_uncovered = count_fitting_frames(
            _WAITING_FOR_LOG, MAX_QUEUED_BYTES, interior.image_size_px
        )
        self._last_pts_ns: int | None = None
        self._interior = interior
        self._selector = KeyframeSelector(interior, self._dropped, is_eager=is_timely)
        self._is_timely, self._is_sparing = is_timely, is_sparing
        self.decoded = self.chosen = 0
        self.newest: VideoFrame | None = None
        self.covered: VideoFrame | None = None
        self.broken_by: SourceUnreadable | None = None
        self._posed_ns: int | None = None
        self._came_ns: int | None = None
        self._began_ns = 0

    @property
    def first_tile_s(self) -> float:
        """Seconds from the first frame with a pose to the first tiles in the log; or NaN."""
        return self._until_shown_s(self._posed_ns)

    @property
    def first_ground_s(self) -> float:
        """Seconds from the first frame to the first tiles in the log; or NaN."""
        return self._until_shown_s(self._came_ns)

    def _until_shown_s(self, since_ns: int | None) -> float:
        shown_ns = self._laying.published.first_ns
        return float("nan") if shown_ns is None or since_ns is None else (shown_ns - since_ns) / 1e9

    def run(self, progress: Progress, stopped: Callable[[], bool]) -> None:
        """Run until the video ends, breaks off or is stopped; finish the chosen frames.

        Raises what a later stage raises. The source's own error is kept in `broken_by`: the flight is closed
        first.
        """
        self._began_ns = time.monotonic_ns()
        self._source.is_stopped = lambda: self._laying.error is not None or stopped()
        self._take_all(progress, stopped)
        self._end()
        self._source.stop()
        self._laying.finish()

    def _take_all(self, progress: Progress, stopped: Callable[[], bool]) -> None:
        try:
            for picture in self._source.frames():
                self.decoded += 1
                self._take(picture)
                progress(PROGRESS_STAGE, self.decoded, count_frames(self._source, self.decoded))
                if self._laying.error is not None or stopped():
                    return
        except SourceUnreadable as error:
            if self._laying.error is not None:
                raise
            self.broken_by = error

    def _take(self, picture: VideoFrame) -> None:
        """Pass a frame on once the log covers its moment.

        Of a stream no more frames than the clock can use.
        """
        self.newest = picture
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
            self._dropped.add("telemetry_gap")

    def _choose(self, picture: VideoFrame) -> None:
        self.covered = picture
        is_sparing = self._is_sparing()
        if self._is_timely or is_sparing:
            late_s = self._laying.late_s if self._is_timely else 0.0
            spaced = choose_spacing(late_s, is_sparing=is_sparing)
            self._selector.opens_at, self._selector.closes_at = spaced
        self._selector.interior = interpolate_interior(
            self._telemetry, self._clock.offset, self._interior, picture.pts_ns
        )
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
            self._laying.put(chosen, self._selector.share)


def count_frames(source: VideoSource, came: int) -> int:
    """Return the container's frame count, no fewer than came; 0 if unknown (stream)."""
    announced = round(source.duration_s * source.fps)
    return max(came, announced) if announced > 0 else 0
