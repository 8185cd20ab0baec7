"""`flycam inspect` of videos and flight logs: their properties, and their telemetry."""

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
from flycam.messages import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightLogSummary:
    """Summary of a flight log.

    log None: it cannot be read, for the reason in `error`.
    """

    name: str
    log: FlightLog | None
    error: SourceUnreadable | None
    seconds: float

    @property
    def samples(self) -> tuple[TelemetrySample, ...]:
        """Samples of the log."""
        return self.log.track.samples if self.log is not None else ()

    @property
    def remarks(self) -> tuple[Message, ...]:
        """Remarks of the log."""
        return self.log.remarks if self.log is not None else ()

    def median(self, of: str) -> float:
        """Return the median of a field of the samples; NaN if none has it."""
        told = [value for one in self.samples if np.isfinite(value := getattr(one, of))]
        return float(np.median(told)) if told else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSummary(FlightLogSummary):
    """Summary of a video and its telemetry.

    fps, duration_s  0 where the container does not state them
    began_ns         UTC of the first frame, by its telemetry, else by the container; None: unknown
    video_log        timing of its positions; None: there are none, for the reason in `error`
    """

    size_px: tuple[int, int]
    fps: float
    duration_s: float
    began_ns: int | None
    video_log: VideoLog | None


def inspect_log(path: Path) -> FlightLogSummary:
    """Read a flight log without processing anything."""
    started = time.monotonic()
    log, untold = None, None
    try:
        log = read_flight_log(path)
    except SourceUnreadable as error:
        untold = error
    return FlightLogSummary(name=path.name, log=log, error=untold, seconds=time.monotonic() - started)


def inspect_video(video: Path, telemetry: Path | None) -> VideoSummary:
    """Read a video without processing anything; telemetry None: the video's own.

    Raises SourceUnreadable for a video that cannot be decoded, or a given log.
    """
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
