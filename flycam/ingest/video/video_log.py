"""Flight log of a video: shared clock, search range of the offset, inspection.

`flycam inspect` reads a video or a log here without processing it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.telemetry.subtitles import Subtitles, is_subtitle_file, read_subtitles
from flycam.ingest.video.clock_offset import REACH_S, ClockOffset, make_unknown_offset
from flycam.ingest.video.video_source import VideoSource
from flycam.messages import Message, _
from flycam.model.telemetry import TelemetrySample

_HEAD_BYTES = 4096
# Tolerance for one cue a second, the last one cut off.
_LENGTH_S, _LENGTH_SHARE = 3.0, 0.05
# Between the easternmost and the westernmost time zone.
_ZONES_S = 26 * 3600.0
# Time zones differ by whole quarter hours.
_QUARTER_S, _SAME_S = 900.0, 30.0
# For a video's embedded telemetry against its frames.
_SHARED_SIGMA_S, _MAX_SIGMAS = 0.05, 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLog:
    """Flight log of a video, and the zero from which its times are counted.

    zero_ns    the log's stamp that would belong to PTS 0 if the clocks agreed: the video's time of creation;
               for a video that states none the log's first stamp; 0 for subtitles, which run on the video's
               own time
    is_shared  the log is timed by the video itself
    utc_base_ns  UTC ns of the log's zero: 0 where its stamps are UTC; for subtitles the aircraft's clock at
                 PTS 0, which may be local time; None where they name no date
    base_s     added to an offset against zero_ns to report it against the video's time
    is_own     read out of the video itself
    reach_s    how far zero_ns may be off; None: the video may have been filmed at any time of the log
    """

    log: FlightLog
    zero_ns: int
    is_shared: bool
    base_s: float
    utc_base_ns: int | None = 0
    is_own: bool = False
    reach_s: float | None = REACH_S

    def utc_ns(self, t_ns: int) -> int:
        """Return the UTC of a time of the log's clock.

        Where the log names no date, as if the video began in 1970.
        """
        return t_ns + (self.utc_base_ns or 0)

    def describe_dating(self, video: str) -> Message:
        """Return a remark on the dating of a video without creation time."""
        if self.utc_base_ns is None:
            return _(
                "{video}: neither it nor {log} says on what day it was filmed: its pictures bear no date; "
                "give the flight log",
                video=video,
                log=self.log.name,
            )
        if self.is_shared:
            return _(
                "{video}: states no time of creation that can be: its pictures are dated by the aircraft's "
                "clock in {log}, which may be local time",
                video=video,
                log=self.log.name,
            )
        return _(
            "{video}: states no time of creation that can be: its pictures are dated by {log}",
            video=video,
            log=self.log.name,
        )

    def find_doubts(self, video_s: float, created_ns: int | None) -> tuple[Message, ...]:
        """Return reasons to doubt that these subtitles are this video's.

        None for a log whose clock is searched for: the search reports its own doubts.

        video_s     length of the video, 0: not known
        created_ns  time of creation that the video states
        """
        if not self.is_shared or self.is_own or not self.log.track.samples:
            return ()
        doubts = []
        told_s = self.log.track.samples[-1].t_utc_ns / 1e9
        if video_s > 0.0 and abs(told_s - video_s) > _LENGTH_S + _LENGTH_SHARE * video_s:
            doubts.append(
                _(
                    "its cues reach to {cues_s:.0f} s, the video to {video_s:.0f} s",
                    cues_s=told_s,
                    video_s=video_s,
                )
            )
        began_ns = self.utc_base_ns
        if began_ns is None or created_ns is None or _can_be_one((created_ns - began_ns) / 1e9, video_s):
            return tuple(doubts)
        shown, stated = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (began_ns, created_ns))
        doubts.append(
            _(
                "its clock showed {shown:%Y-%m-%d %H:%M:%S} as the video began, the video "
                "says {stated:%Y-%m-%d %H:%M:%S} UTC, which no time zone explains",
                shown=shown,
                stated=stated,
            )
        )
        return tuple(doubts)

    def initial_search(self, video_s: float) -> tuple[ClockOffset, float]:
        """Return the offset known before any motion is measured, and how far to search.

        video_s  length of the video, 0: not known
        """
        if self.is_own and math.isfinite(self.log.video_zero_sigma_s):
            return ClockOffset(0.0, self.log.video_zero_sigma_s), self.reach_s or REACH_S
        if self.reach_s is not None:
            return make_unknown_offset(0.0, self.reach_s), self.reach_s
        samples = self.log.track.samples
        spare = max((samples[-1].t_utc_ns - samples[0].t_utc_ns) / 1e9 - video_s, 0.0) if samples else 0.0
        reach_s = spare / 2.0 + REACH_S
        return make_unknown_offset(spare / 2.0, reach_s), reach_s

    def to_reported(self, offset: ClockOffset) -> ClockOffset:
        """Convert to telemetry stamp minus video time.

        Video time is creation + PTS; without creation, since the first frame.
        """
        return replace(offset, offset_s=offset.offset_s + self.base_s)

    def from_reported(self, offset_s: float) -> float:
        """Convert a reported offset to one against zero_ns."""
        return offset_s - self.base_s


def read_video_log(path: Path, created_ns: int | None, video: Path | None = None) -> VideoLog:
    """Read the log of a video that states creation at created_ns, UTC.

    `path` may be the video itself, whose embedded telemetry then states the time better. Raises
    SourceUnreadable.
    """
    if _is_subtitles(path):
        table = read_subtitles(path)
        log = FlightLog(
            name=path.name,
            track=table.video_track(),
            clock="time of the video",
            home=table.home,
            remarks=table.remarks(),
        )
        return VideoLog(log=log, zero_ns=0, is_shared=True, base_s=0.0, utc_base_ns=_began_ns(table))
    log = read_flight_log(path)
    if log.video_zero_ns is not None and video is not None and path.samefile(video):
        sigma_s = log.video_zero_sigma_s
        return VideoLog(
            log=log,
            zero_ns=log.video_zero_ns,
            is_shared=sigma_s <= _SHARED_SIGMA_S,
            base_s=0.0,
            is_own=True,
            reach_s=_MAX_SIGMAS * sigma_s,
        )
    if created_ns is not None:
        return VideoLog(log=log, zero_ns=created_ns, is_shared=False, base_s=0.0)
    first_ns = log.track.samples[0].t_utc_ns if log.track.samples else 0
    return VideoLog(log=log, zero_ns=first_ns, is_shared=False, base_s=first_ns / 1e9, reach_s=None)


def _can_be_one(difference_s: float, video_s: float) -> bool:
    """Return True if two clocks that differ by this much can have been one.

    difference_s  a video's time of creation minus its subtitles' clock at its beginning

    They can in time zones of whole quarter hours, with the creation written as the video began or as it
    ended.
    """
    if abs(difference_s) > _ZONES_S + video_s:
        return False
    return bool((difference_s + _SAME_S) % _QUARTER_S <= video_s + 2.0 * _SAME_S)


def _began_ns(table: Subtitles) -> int | None:
    """Return the aircraft's clock at PTS 0, or None.

    Cues come late or early by a frame or two; their median does not.
    """
    dated = table.wall_ns > 0
    if not dated.any():
        return None
    return int(np.median(table.wall_ns[dated] - table.video_ms[dated] * 1_000_000))


def _is_subtitles(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_subtitle_file(file.read(_HEAD_BYTES))
    except OSError:
        return False  # `read_flight_log` reports the reason


# -- `flycam inspect` of videos and flight logs: properties and telemetry --------------------------


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
        values = [value for one in self.samples if np.isfinite(value := getattr(one, of))]
        return float(np.median(values)) if values else float("nan")


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
    log, failure = None, None
    try:
        log = read_flight_log(path)
    except SourceUnreadable as error:
        failure = error
    return FlightLogSummary(name=path.name, log=log, error=failure, seconds=time.monotonic() - started)


def inspect_video(video: Path, telemetry: Path | None) -> VideoSummary:
    """Read a video without processing anything; telemetry None: the video's own.

    Raises SourceUnreadable for a video that cannot be decoded, or a given log.
    """
    started = time.monotonic()
    log, failure = None, None
    source = VideoSource(str(video))
    with source:
        try:
            log = read_video_log(telemetry or video, source.created_ns, video)
        except SourceUnreadable as error:
            if telemetry is not None:
                raise
            failure = error
    return VideoSummary(
        name=video.name,
        size_px=source.size_px,
        fps=source.fps,
        duration_s=source.duration_s,
        began_ns=log.zero_ns if log is not None and log.is_own else source.created_ns,
        log=None if log is None else log.log,
        video_log=log,
        error=failure,
        seconds=time.monotonic() - started,
    )
