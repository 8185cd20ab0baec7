"""What a live flight tells of itself while it flies: where the aircraft is, what it sees, how its links are.

Durations are the teller's own, by a clock that never jumps: whoever reads them adds how long ago they were
told by a clock of its own, so that no two machines have to agree what time it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LonLat = tuple[float, float]


class LiveFlightPhase(StrEnum):
    """How far a live flight is: CLOSING lays what waits, nothing comes any more; ENDED is told once."""

    FLYING = "flying"
    CLOSING = "closing"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkState:
    """One link by now. silent_s: since the last that came over it, None: nothing yet."""

    silent_s: float | None = None
    is_lost: bool = False
    connections: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AircraftState:
    """Where it was last told to be.

    heading_deg  of its nose, else of its way over the ground, clockwise from true north; None: not known
    above_m      metres above take-off, None: not told
    age_s        seconds since
    """

    lonlat_deg: LonLat
    heading_deg: float | None = None
    above_m: float | None = None
    age_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveFlightReport:
    """One report. Times are UTC nanoseconds, places WGS 84 longitude and latitude.

    is_recording   a film played again: its aircraft is not there now
    run, beat      which run of the flight tells this, and its how manieth report
    told_ns        when, by the teller's clock
    track          where the aircraft has been, oldest first, thinned where it is long
    footprint      outline of the ground in the newest picture that the log covers; empty: not known
    picture_ns     when the newest picture was taken; picture_age_s: seconds since then, as far as
                   that is known; None: none yet
    laid_ns        when the newest picture on the map was taken, None: none yet
    left_out       pictures and samples not used, by reason
    remarks        what is to be said besides, (English, Vietnamese)
    recorded_s     seconds of the stream that are kept as it came; None: it is not recorded
    picture_key    where its newest picture lies in the store, small; None: none is shown
    failure        why it ended, if not in peace, (English, Vietnamese)
    is_matching    it is still looked for how the clocks of video and log lie to each other: pictures are laid
                   in doubt, and laid again
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
    remarks: tuple[tuple[str, str], ...] = ()
    failure: tuple[str, str] | None = None
    recorded_s: float | None = None
    picture_key: str | None = None
    is_matching: bool = False
