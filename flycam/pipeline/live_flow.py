"""Pictures of a video on their way: clock, selection, and the laying beside them in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from flycam.errors import FrameRejected
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.latest import Latest
from flycam.ingest.select import KeyframeSelector
from flycam.ingest.video import VideoPicture, VideoSource
from flycam.ingest.video_motion import ToldPoses
from flycam.ingest.video_poses import VideoPoses
from flycam.pipeline.live_clock import LiveClock
from flycam.pipeline.live_laying import LiveLaying
from flycam.pipeline.workspace import Progress

_WAITING_FOR_CLOCK = 48
_WAITING_TO_BE_LAID = 32  # chosen pictures are new ground: they are the last to be dropped


class LiveFlow:
    """Pictures from the source through clock and selection to the laying, which works in a thread of its own.

    log_zero_ns  the log's stamp from which the times of `told` and `clock` count
    drops        who is late loses the oldest; else all wait for each other
    dropped      pictures not laid, by reason; decoded: pictures that came
    """

    def __init__(
        self,
        source: VideoSource,
        poses: VideoPoses,
        told: ToldPoses,
        clock: LiveClock,
        log_zero_ns: int,
        interior: InteriorOrientation,
        laying: LiveLaying,
        *,
        drops: bool,
    ) -> None:
        self._source, self._poses, self._told, self._clock = source, poses, told, clock
        self._log_zero_ns, self._laying = log_zero_ns, laying
        self._selector = KeyframeSelector(interior)
        self._waiting: deque[VideoPicture] = deque()
        self._to_lay: Latest[VideoPicture] = Latest(_WAITING_TO_BE_LAID, waits=not drops)
        self._drops = drops
        self._expected = pictures_in(source)
        self._late_ms: list[float] = []
        self._error: BaseException | None = None
        self.dropped: Counter[str] = Counter()
        self.decoded = 0

    @property
    def latency_ms(self) -> tuple[float, float]:
        """p50 and p95 of arrival to tiles; NaN of nothing."""
        if not self._late_ms:
            return float("nan"), float("nan")
        half, most = np.percentile(self._late_ms, [50, 95])
        return float(half), float(most)

    def run(self, progress: Progress, stopped: Callable[[], bool]) -> None:
        """Until the video ends, or somebody asks to stop: what was chosen by then is laid all the same.

        Raises what the laying raises.
        """
        thread = threading.Thread(target=self._lay_all, name="laying", daemon=True)
        thread.start()
        try:
            for picture in self._source.pictures():
                self.decoded += 1
                self._take(picture)
                progress("live", self.decoded, max(self.decoded, self._expected))
                if self._error is not None or stopped():
                    break
            self._end()
        finally:
            self._source.stop()
            self._to_lay.close()
            thread.join()
        if self._error is not None:
            self._laying.abandon()
            raise self._error
        self.dropped += self._source.health.dropped + self._selector.passed_over
        self.dropped["overrun"] += self._to_lay.dropped
        self.dropped += Counter(error.reason for _, error in self._laying.rejections.errors)

    def _take(self, picture: VideoPicture) -> None:
        self._clock.add(picture)
        chosen = self._selector.add(picture, self._told, self._clock.log_s(picture.pts_ns))
        if chosen is not None:
            self._waiting.append(chosen)
        if self._clock.is_settled:
            self._pass_on()
        elif self._drops and len(self._waiting) > _WAITING_FOR_CLOCK:
            self._waiting.popleft()
            self.dropped["clock_unknown"] += 1

    def _end(self) -> None:
        """The video is over: the clock has all the evidence there will be, and what waits is laid."""
        self._clock.settle()
        last = self._selector.last()
        if last is not None:
            self._waiting.append(last)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting and self._to_lay.put(self._waiting[0]):
            self._waiting.popleft()

    def _lay_all(self) -> None:
        try:
            while (picture := self._to_lay.get()) is not None:
                self._lay(picture)
        except BaseException as error:  # noqa: BLE001  raised where the pictures are taken
            self._error = error
            self._to_lay.close()

    def _lay(self, picture: VideoPicture) -> None:
        t_ns = self._log_zero_ns + round(self._clock.log_s(picture.pts_ns) * 1e9)
        try:
            pose = self._poses.exterior_at(t_ns, self._clock.offset.sigma_s)
        except FrameRejected as error:
            self.dropped[error.reason] += 1
            return
        if self._laying.lay(picture, pose):
            self._late_ms.append((time.monotonic_ns() - picture.arrived_ns) / 1e6)


def pictures_in(source: VideoSource) -> int:
    """How many pictures the container announces; one more than none where it does not say."""
    return max(1, round(source.duration_s * source.fps))
