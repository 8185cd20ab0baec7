"""Selection of the video frames that enter the mosaic: those with new ground, the sharpest of them.

New ground is predicted from the log: how far the ground under the centre of the last chosen frame has moved
in the view. Once a share of the view is new a window opens; its sharpest frame is chosen when it closes. With
live video that would add delay: in the second half of the window a frame as sharp as usual is taken at once,
and only a blurred one waits for a better. Torn, green and covered frames, and those far less sharp than the
rest, are skipped and counted.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.photo.pixel_checks import check_pixels
from flycam.ingest.video.image_motion import LoggedPoses, convert_to_grey, predict_rates
from flycam.ingest.video.video_source import VideoFrame

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

    passed_over  frames in an open window that were rejected, by reason: "torn", "lens_covered",
                 "too_blurred"; and all frames at whose time the log is silent: "telemetry_gap"
    opens_at, closes_at  new shares of the view, as the constants; may be changed at any time
    share        share of the view that was new in the frame chosen last
    is_eager     a frame as sharp as usual does not wait for the window's end
    """

    def __init__(self, interior: InteriorOrientation, *, is_eager: bool = False) -> None:
        self._interior, self._is_eager = interior, is_eager
        self.opens_at, self.closes_at = OPENS_AT, CLOSES_AT
        self.share = 1.0
        self._last_s: float | None = None
        self._opened_s: float | None = None
        self._best: KeyframeCandidate | None = None
        self._sharpness: deque[float] = deque(maxlen=_REMEMBERED)
        self.passed_over: Counter[str] = Counter()

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
        rate = predict_rates(logged, self._interior, np.array([self._last_s]), np.array([log_s]))[0]
        if not np.isfinite(rate).all():
            return self._after_silence(logged, log_s, elapsed)
        return compute_new_share(rate * elapsed, self._interior.image_size_px)

    def _after_silence(self, logged: LoggedPoses, log_s: float, elapsed: float) -> float | None:
        """Return 1 once the log resumes after a gap since the last choice, else None.

        The same holds where the view comes back from the horizon.
        """
        if not np.isfinite(logged.interpolate(np.array([log_s]))[0]).all():
            self.passed_over["telemetry_gap"] += 1
            return None
        return 1.0 if elapsed >= _RETRY_INTERVAL_S else None

    def _consider(self, picture: VideoFrame, log_s: float, share: float) -> KeyframeCandidate | None:
        """Return the frame as a candidate, remembered if it is the best so far.

        None if it may not be chosen.
        """
        if is_torn(picture.pixels):
            self.passed_over["torn"] += 1
            return None
        checks = check_pixels(convert_to_grey(picture.pixels)[0])
        if checks.lens_covered:
            self.passed_over["lens_covered"] += 1
            return None
        self._sharpness.append(checks.sharpness)
        if checks.sharpness < _TOO_BLURRED * float(np.median(self._sharpness)):
            self.passed_over["too_blurred"] += 1
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
    kept = max(0.0, 1.0 - abs(moved[0]) / width) * max(0.0, 1.0 - abs(moved[1]) / height)
    corners = abs(np.sin(moved[2])) * (width**2 + height**2) / (4.0 * width * height)
    return float(1.0 - kept * max(0.0, 1.0 - corners))


def is_torn(pixels: NDArray[np.uint8]) -> bool:
    """Return True if part of a frame is the flat green of a decoder that lacks data.

    H×W×3 RGB; the green is YUV all zero.
    """
    size = (-(-pixels.shape[1] // _SPARSE), -(-pixels.shape[0] // _SPARSE))
    sparse = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST)
    green = cv2.inRange(sparse, _GREEN_FROM, _GREEN_TO)
    return cv2.countNonZero(green) > _GREEN_SHARE * green.size
