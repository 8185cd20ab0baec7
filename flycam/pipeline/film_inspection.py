"""`flycam inspect FILM`: what a film is, and what it or its log tells of where it was filmed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample
from flycam.ingest.video.log import VideoLog, read_video_log
from flycam.ingest.video.pictures import VideoSource


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmInspection:
    """A film and its telemetry.

    fps, duration_s  0 where the container does not state them
    began_ns         UTC of the first picture, as its telemetry or else the container says; None: neither does
    log              what tells where it was filmed; None: nothing does, `untold` says why
    """

    name: str
    size_px: tuple[int, int]
    fps: float
    duration_s: float
    began_ns: int | None
    log: VideoLog | None
    untold: SourceUnreadable | None
    seconds: float

    @property
    def samples(self) -> tuple[TelemetrySample, ...]:
        """Those of the log."""
        return self.log.log.track.samples if self.log is not None else ()

    def median(self, of: str) -> float:
        """The median of what the samples tell of this name; NaN: none does."""
        told = [value for one in self.samples if np.isfinite(value := getattr(one, of))]
        return float(np.median(told)) if told else float("nan")


def inspect_film(video: Path, telemetry: Path | None) -> FilmInspection:
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
    return FilmInspection(
        name=video.name,
        size_px=source.size_px,
        fps=source.fps,
        duration_s=source.duration_s,
        began_ns=log.zero_ns if log is not None and log.is_own else source.created_ns,
        log=log,
        untold=untold,
        seconds=time.monotonic() - started,
    )
