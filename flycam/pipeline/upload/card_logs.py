"""Assignment of a memory card's flight logs to its photos, and to each of its videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.ingest.photo.file_kinds import find_sidecar_logs, is_subtitles
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.preflight.capture_time import resolve_capture_times
from flycam.ingest.video.video_source import read_creation_ns

# tolerance for a camera's clock, and for a log that begins late
_AROUND_NS = 10 * 60 * 10**9

Span = tuple[int, int]
"""UTC ns of a log's first and last sample."""


class CardLogs:
    """Flight logs of one memory card, each read at most once, and only if needed.

    unreadable  errors of those that cannot be read
    """

    def __init__(self, card: Path, logs: Sequence[str], note: Callable[[str], None]) -> None:
        """Take complete logs by their paths below `card`.

        note: called before each is read.
        """
        self._card = card
        self._note = note
        self._logs = tuple(logs)
        self._spans: dict[str, Span | None] = {}
        self.unreadable: list[SourceUnreadable] = []

    def find_photo_log(self, photos: Sequence[PhotoMetadata]) -> str | None:
        """Return the log for photos that lack position or attitude.

        None if none fits or is needed. It is the log that was recorded while most of them were taken, or the
        only one there is.
        """
        if not any(map(_is_incomplete, photos)):
            return None
        logs = [log for log in self._logs if self._span(log) is not None]
        if len(logs) <= 1:
            return logs[0] if logs else None
        times, _ = resolve_capture_times(photos)
        inside = {log: self._inside(log, times) for log in logs}
        best = max(logs, key=lambda log: inside[log])
        return best if inside[best] else None

    def find_video_logs(self, video: str) -> Iterator[str]:
        """Yield the logs that may position a video, the likeliest first.

        First those under its own name, then the telemetry in the video itself, then those recorded around its
        start, or the only one there is. Raises SourceUnreadable for the video.
        """
        own = find_sidecar_logs(video, self._logs)
        yield from own
        if self._holds_telemetry(video):
            yield video
        others = [log for log in self._logs if log not in own and self._span(log) is not None]
        if len(others) <= 1:
            yield from others
            return
        began_ns = read_creation_ns(self._card / video)
        if began_ns is not None:
            apart = {log: self._distance_ns(log, began_ns) for log in others}
            yield from sorted((log for log in others if apart[log] <= _AROUND_NS), key=lambda log: apart[log])

    def _holds_telemetry(self, film: str) -> bool:
        from flycam.ingest.telemetry.log_files import read_flight_log  # noqa: PLC0415  its dialects are slow to load

        try:
            return bool(read_flight_log(self._card / film).track.samples)
        except SourceUnreadable:
            return False

    def _inside(self, log: str, times_ns: NDArray[np.int64]) -> int:
        first, last = self._span(log) or (0, 0)
        return int(((times_ns >= first - _AROUND_NS) & (times_ns <= last + _AROUND_NS)).sum())

    def _distance_ns(self, log: str, at_ns: int) -> int:
        first, last = self._span(log) or (0, 0)
        return max(first - at_ns, at_ns - last, 0)

    def _span(self, log: str) -> Span | None:
        """Return a log's time span.

        None for subtitles, timed by their video, and unreadable logs.
        """
        if is_subtitles(log):
            return None
        if log not in self._spans:
            self._spans[log] = self._read(log)
        return self._spans[log]

    def _read(self, log: str) -> Span | None:
        from flycam.ingest.telemetry.log_files import read_flight_log  # noqa: PLC0415  its dialects are slow to load

        self._note(log)
        try:
            samples = read_flight_log(self._card / log).track.samples
        except SourceUnreadable as error:
            self.unreadable.append(error)
            return None
        return (samples[0].t_utc_ns, samples[-1].t_utc_ns) if samples else None


def guess_video_log(video: str, logs: Sequence[str]) -> str | None:
    """Guess the log of a video by names alone; None if nothing can position it."""
    others = [log for log in logs if not is_subtitles(log)]
    return next(iter([*find_sidecar_logs(video, logs), *others]), None)


def _is_incomplete(photo: PhotoMetadata) -> bool:
    """Return True if a photo lacks position or attitude."""
    has_place = photo.lat_deg is not None or photo.xmp_lat_deg is not None
    angles = (photo.gimbal, photo.camera, photo.aircraft)
    return not has_place or all(one.pitch_deg is None for one in angles)
