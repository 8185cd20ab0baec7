"""Live flights: latest report of each, and segments of their recorded video.

Readers poll the report; a report that does not come is news, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, or_, select, update

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.rows import to_row
from flycam.messages import Message, decode_message, encode_message
from flycam.model.flight import FlightState

# -- Segments of recorded video --------------------------------------------------------------------
#
# The bytes are in the object store. A segment that was deleted to free space keeps its row: its description
# and its hash stay known.


_mine = tables.recordings


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSegment:
    """A stretch of a live flight's video as received, playable alone.

    began_ns   UTC of its first frame, as frames of the stream are dated
    codec      as browsers name it (RFC 6381)
    let_go_ns  when its bytes were deleted, UTC; None: they are kept
    """

    sha256: str
    flight_id: str
    began_ns: int
    seconds: float
    pictures: int
    size_bytes: int
    codec: str
    let_go_ns: int | None = None

    @property
    def ended_ns(self) -> int:
        """UTC at which its last frame ended."""
        return self.began_ns + round(self.seconds * 1e9)


class VideoSegments:
    """Segments by their hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, piece: VideoSegment) -> None:
        """Record a segment whose bytes are kept; idempotent.

        Raises CatalogUnavailable, DiskFull.
        """
        insert = self._database.insert(_mine).on_conflict_do_nothing()
        with self._database.write() as connection:
            connection.execute(insert, to_row(_mine, piece))

    def list_for_flight(self, flight_id: str) -> list[VideoSegment]:
        """Return all segments of a flight, oldest first, deleted ones too."""
        query = select(_mine).where(_mine.c.flight_id == flight_id).order_by(_mine.c.began_ns, _mine.c.sha256)
        return self._database.fetch(VideoSegment, query)

    def list_stored(self) -> list[VideoSegment]:
        """Return the segments of all flights whose bytes are kept, oldest first."""
        query = select(_mine).where(_mine.c.let_go_ns.is_(None)).order_by(_mine.c.began_ns, _mine.c.sha256)
        return self._database.fetch(VideoSegment, query)

    def sum_stored_seconds(self, flight_id: str) -> float:
        """Return the seconds of a flight's video that are kept; 0 if none are."""
        kept = _mine.c.flight_id == flight_id, _mine.c.let_go_ns.is_(None)
        with self._database.read() as connection:
            return float(connection.execute(select(func.sum(_mine.c.seconds)).where(*kept)).scalar() or 0.0)

    def list_excess(self, max_bytes: int, exclude: Collection[str] = ()) -> list[VideoSegment]:
        """Return the oldest segments beyond `max_bytes` over all flights.

        Without them no more than that is kept; segments of the flights `exclude` are never among them.
        """
        kept = _mine.c.let_go_ns.is_(None)
        newest_first = (_mine.c.began_ns.desc(), _mine.c.sha256.desc())
        total = func.sum(_mine.c.size_bytes).over(order_by=newest_first)
        counted = select(_mine, total.label("total")).where(kept).subquery()
        beyond = counted.c.total > max_bytes, counted.c.flight_id.not_in(list(exclude))
        query = select(counted).where(*beyond).order_by(counted.c.began_ns)
        return self._database.fetch(VideoSegment, query)

    def mark_deleted(self, sha256: str, at_ns: int) -> None:
        """Record that a segment's bytes are kept no longer."""
        change = update(_mine).where(_mine.c.sha256 == sha256, _mine.c.let_go_ns.is_(None))
        with self._database.write() as connection:
            connection.execute(change.values(let_go_ns=at_ns))


# -- Report of a live flight: position, footprint, state of the links ------------------------------
#
# Durations are the reporter's own, by a monotonic clock: a reader adds the age of the report by its own
# clock, so that no two machines have to agree on the time.


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


# -- Reports in the database -----------------------------------------------------------------------


_COLUMNS = ("flight_id", "event_id", "name", "run", "beat", "told_ns")


class LiveFlightReports:
    """Reports of live flights, one row a flight: each report replaces the one before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, report: LiveFlightReport) -> None:
        """Write a report. Raises CatalogUnavailable, DiskFull."""
        values = asdict(replace(report, remarks=(), failure=None))
        values["remarks"] = [encode_message(one) for one in report.remarks]
        values["failure"] = report.failure and encode_message(report.failure)
        row = {name: values.pop(name) for name in _COLUMNS}
        row["report"] = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        with self._database.write() as connection:
            connection.execute(self._database.upsert(tables.airborne), row)

    def end(self, flight_id: str, told_ns: int) -> None:
        """Mark a flight whose program was killed as ended.

        Does nothing if it has no report, or has ended itself. Raises CatalogUnavailable, DiskFull.
        """
        for report in self.list_since(0):
            if report.flight_id == flight_id and report.phase is not LiveFlightPhase.ENDED:
                self.put(replace(report, phase=LiveFlightPhase.ENDED, told_ns=told_ns, beat=report.beat + 1))

    def delete_before(self, told_ns: int) -> None:
        """Delete reports older than `told_ns`, which are no longer shown."""
        with self._database.write() as connection:
            connection.execute(delete(tables.airborne).where(tables.airborne.c.told_ns < told_ns))

    def list_since(self, told_ns: int) -> list[LiveFlightReport]:
        """Return reports since `told_ns` by flight id, without withdrawn flights.

        Name and event are those that the flight has on record.
        """
        reports, flights = tables.airborne, tables.flights
        query = (
            select(
                reports.c.flight_id,
                reports.c.run,
                reports.c.beat,
                reports.c.told_ns,
                reports.c.report,
                func.coalesce(flights.c.name, reports.c.name).label("name"),
                func.coalesce(flights.c.event_id, reports.c.event_id).label("event_id"),
            )
            .outerjoin_from(reports, flights, reports.c.flight_id == flights.c.flight_id)
            .where(
                reports.c.told_ns >= told_ns,
                or_(flights.c.state.is_(None), flights.c.state != FlightState.WITHDRAWN.value),
            )
            .order_by(reports.c.flight_id)
        )
        return self._database.fetch(_airborne, query)


def _airborne(row: Any) -> LiveFlightReport:
    """Convert a row and its JSON to a report; lists become tuples again."""
    values: dict[str, Any] = json.loads(row.report)
    values |= {name: getattr(row, name) for name in _COLUMNS}
    values |= {name: tuple(tuple(one) for one in values[name]) for name in ("track", "footprint")}
    values["remarks"] = tuple(map(decode_message, values["remarks"]))
    values |= {name: LinkState(**values[name]) for name in ("video", "telemetry")}
    if values["aircraft"] is not None:
        aircraft: dict[str, Any] = values["aircraft"]
        values["aircraft"] = AircraftState(**{**aircraft, "lonlat_deg": tuple(aircraft["lonlat_deg"])})
    if values["failure"] is not None:
        values["failure"] = decode_message(values["failure"])
    return LiveFlightReport(**{**values, "phase": LiveFlightPhase(values["phase"])})
