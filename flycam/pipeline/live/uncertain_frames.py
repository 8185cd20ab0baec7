"""Frames of a video placed in doubt of the clock: reprocessing and warning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from flycam.catalog.records import FrameRecord
from flycam.frame.flight import Flight
from flycam.frame.frame import FrameHeader, parse_video_frame_pts_ns
from flycam.frame.video_warnings import format_clock_warning, is_clock_warning
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.pipeline.live.clock import IMPROVEMENT_FACTOR
from flycam.pipeline.video_frames import VideoIdentity, is_stream_name

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

    def __init__(self, video: VideoIdentity, flight_id: str) -> None:
        self._film, self._is_own = video, flight_id == video.flight_id
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
        return is_clock_warning(warning, self._film.stream_id, is_own=self._is_own)
