"""Report of a live flight: position of the aircraft, its footprint, the state of its links.

Durations are the reporter's own, by a monotonic clock: a reader adds the age of the report by its own clock,
so that no two machines have to agree on the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flycam.messages import Message

LonLat = tuple[float, float]


class LiveFlightPhase(StrEnum):
    """Phase of a live flight.

    CLOSING orthorectifies the remaining frames, and no more arrive; ENDED is reported once.
    """

    FLYING = "flying"
    CLOSING = "closing"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkState:
    """State of one link; silent_s: since the last data over it, None: nothing yet."""

    silent_s: float | None = None
    is_lost: bool = False
    connections: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AircraftState:
    """Last reported position of the aircraft.

    heading_deg  of its nose, else of its course over ground, clockwise from true north; None: not known
    above_m      metres above take-off, None: not reported
    age_s        seconds since
    """

    lonlat_deg: LonLat
    heading_deg: float | None = None
    above_m: float | None = None
    age_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveFlightReport:
    """One report. Times are UTC nanoseconds, places WGS 84 longitude and latitude.

    is_recording   a recorded video played again: its aircraft is not there now
    run, beat      the run of the flight that reports, and the number of its report
    told_ns        time of the report, by the reporter's clock
    track          where the aircraft has been, oldest first, thinned where it is long
    footprint      ground in the newest frame that the log covers; empty: not known
    picture_ns     when the newest frame was taken; picture_age_s: seconds since then, as far as known; None:
                   none yet
    laid_ns        when the newest frame on the map was taken, None: none yet
    left_out       frames and samples not used, by reason
    remarks        further remarks
    recorded_s     seconds of the stream that are recorded; None: it is not recorded
    picture_key    store key of its newest frame, reduced; None: none is shown
    failure        why it ended, if abnormally
    is_matching    the clock offset of video and log is still being estimated: frames are orthorectified
                   provisionally, and reprocessed
    """

    flight_id: str
    event_id: str
    name: str
    is_drill: bool
    is_recording: bool
    run: str
    beat: int
    told_ns: int
    phase: LiveFlightPhase = LiveFlightPhase.FLYING
    aircraft: AircraftState | None = None
    track: tuple[LonLat, ...] = ()
    footprint: tuple[LonLat, ...] = ()
    picture_ns: int | None = None
    picture_age_s: float | None = None
    laid_ns: int | None = None
    video: LinkState = LinkState()
    telemetry: LinkState = LinkState()
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[Message, ...] = ()
    failure: Message | None = None
    recorded_s: float | None = None
    picture_key: str | None = None
    is_matching: bool = False
