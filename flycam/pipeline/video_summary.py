"""`flycam inspect` of films and flight logs: what they are, and what they tell of where it was flown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.video.video_log import VideoLog, read_video_log
from flycam.ingest.video.video_source import VideoSource


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightLogSummary:
    """A flight log. log: None: nothing can be read, `error` says why."""

    name: str
    log: FlightLog | None
    error: SourceUnreadable | None
    seconds: float

    @property
    def samples(self) -> tuple[TelemetrySample, ...]:
        """Those of the log."""
        return self.log.track.samples if self.log is not None else ()

    @property
    def remarks(self) -> tuple[tuple[str, str], ...]:
        """Those of the log: (English, Vietnamese)."""
        return self.log.remarks if self.log is not None else ()

    def median(self, of: str) -> float:
        """The median of what the samples tell of this name; NaN: none does."""
        told = [value for one in self.samples if np.isfinite(value := getattr(one, of))]
        return float(np.median(told)) if told else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSummary(FlightLogSummary):
    """A film and its telemetry.

    fps, duration_s  0 where the container does not state them
    began_ns         UTC of the first picture, as its telemetry or else the container says; None: neither does
    video_log        how what tells where it was filmed is timed; None: nothing tells, `untold` says why
    """

    size_px: tuple[int, int]
    fps: float
    duration_s: float
    began_ns: int | None
    video_log: VideoLog | None


def inspect_log(path: Path) -> FlightLogSummary:
    """Read a flight log without laying anything."""
    started = time.monotonic()
    log, untold = None, None
    try:
        log = read_flight_log(path)
    except SourceUnreadable as error:
        untold = error
    return FlightLogSummary(name=path.name, log=log, error=untold, seconds=time.monotonic() - started)


def inspect_video(video: Path, telemetry: Path | None) -> VideoSummary:
    """Look at a film without laying anything; telemetry: None: the film's own. Raises SourceUnreadable of a
    film that cannot be decoded, or of a log that was given."""
    started = time.monotonic()
    log, untold = None, None
    source = VideoSource(str(video))
    with source:
        try:
            log = read_video_log(telemetry or video, source.created_ns, video)
        except SourceUnreadable as error:
            if telemetry is not None:
                raise
            untold = error
    return VideoSummary(
        name=video.name,
        size_px=source.size_px,
        fps=source.fps,
        duration_s=source.duration_s,
        began_ns=log.zero_ns if log is not None and log.is_own else source.created_ns,
        log=None if log is None else log.log,
        video_log=log,
        error=untold,
        seconds=time.monotonic() - started,
    )
