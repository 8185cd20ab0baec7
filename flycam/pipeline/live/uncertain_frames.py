"""Frames of a film that lie by a clock that was not known as they were laid: which of them a better one lays
again, and what the flight says of the others."""

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
"""Frames laid again at once while others wait: of a minute, after which a clock is known or long in doubt."""


@dataclass(frozen=True, slots=True)
class _UncertainFrame:
    """sigma_s of the clock, metres on the ground; time of the picture, and of how many times the video's time
    had jumped by then."""

    sigma_s: float
    metres: int
    pts_ns: int
    breaks: int


class UncertainFrames:
    """Of one film in one flight; `before`: the flight's warnings as it was opened by this run."""

    def __init__(self, video: VideoIdentity, flight_id: str) -> None:
        self._film, self._is_own = video, flight_id == video.flight_id
        self._by_id: dict[str, _UncertainFrame] = {}
        self._before: tuple[str, ...] = ()

    def start(self, flight: Flight) -> None:
        """The flight as it is before any frame of this run lies in it."""
        self._before = tuple(one for one in flight.warnings if self._is_own_warning(one))

    def add(self, header: FrameHeader, sigma_s: float, breaks: int) -> None:
        """A frame with its prior by a clock known to sigma_s, after so many jumps of the video's time."""
        metres = round(header.exterior_prior.sigma_position_m[0])
        pts_ns = parse_video_frame_pts_ns(header.provenance.source_name)
        self._by_id[header.frame_id] = _UncertainFrame(sigma_s, metres, pts_ns, breaks)

    def select_due(self, clock: ClockOffset, breaks: int, *, is_over: bool) -> dict[str, int]:
        """Ids and times (PTS, ns) of the frames to be laid again by a clock: where it is known, or twice as
        well as it was; until all `is_over` no more than the newest. Of a frame from before a jump of the
        video's time it says nothing."""
        better = 1.0 if clock.is_known else IMPROVEMENT_FACTOR
        found = [
            (frame_id, one.pts_ns)
            for frame_id, one in self._by_id.items()
            if one.breaks == breaks and one.sigma_s > better * clock.sigma_s
        ]
        return dict(found if is_over else found[-MAX_REPROCESSED:])

    def mark_reprocessed(self, records: Iterable[FrameRecord], clock: ClockOffset) -> None:
        """These lie by this clock now."""
        for record in records:
            was = self._by_id.pop(record.frame_id)
            if not clock.is_known:
                self.add(record.header, clock.sigma_s, was.breaks)

    def add_warning(self, flight: Flight) -> Flight:
        """The flight with the warning that frames lie by an unknown clock, the worst one; where none of this
        run does, with what it said before."""
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
