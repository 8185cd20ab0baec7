"""Matching of photos with moments of the flight log.

Camera events are matched one to one by the pattern of their times; without events a photo takes the track's
pose at its own time. A photo's own metadata are kept; only missing values are filled in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.errors import TelemetryGap
from flycam.geodata.geoid import convert_height
from flycam.ingest.preflight.flight_table import Bools, FlightTable, Floats
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.messages import Message, _, ngettext
from flycam.model.diagnosis import Problem, Severity
from flycam.model.telemetry import TelemetrySample, TelemetryTrack

LOG_DOES_NOT_MATCH = "log_does_not_match"

_EVENT_TOLERANCE_S = 1.0
_QUARTER_NS = 900_000_000_000  # step of time zones
_DEFAULT_SPEED_MPS = 12.0
_SIGMA_WHOLE_SECONDS_S = 0.29  # 1 / sqrt(12)
_SIGMA_FINE_S = 0.1


@dataclass(frozen=True)
class _Matched:
    samples: list[TelemetrySample | None]
    sigma_t_s: float
    how: Message


def to_flight_log(track: FlightLog | TelemetryTrack) -> FlightLog:
    """Return a bare track as a log without events."""
    return track if isinstance(track, FlightLog) else FlightLog(name="telemetry", track=track, clock="UTC")


def fill_from_log(
    table: FlightTable, log: FlightLog, clock_offset_s: float | None = None
) -> tuple[FlightTable, list[Problem]]:
    """Fill missing positions, heights and angles from the log.

    clock_offset_s  telemetry stamp minus photo time; None: found by camera events, or whole quarter hours (a
                    wrong time zone), else 0

    Photos that match nothing keep their own values.
    """
    problems = [
        Problem(
            code="log_remark",
            severity=Severity.INFO,
            sentence=_("{log}: {remark}.", log=log.name, remark=remark),
        )
        for remark in log.remarks
    ]
    matched = _by_events(table, log, clock_offset_s) or _by_time(table, log, clock_offset_s)
    found = np.array([s is not None for s in matched.samples], dtype=bool)
    if not found.any():
        return table, [*problems, _no_match(table, log)]
    filled = _fill(table, matched, found)
    problems.append(_matched_sentence(table, log, matched, found))
    return filled, problems


def _by_events(table: FlightTable, log: FlightLog, offset_s: float | None) -> _Matched | None:
    events = log.camera_events
    if not events:
        return None
    event_ns = np.array([e.t_utc_ns for e in events], dtype=np.int64)
    if not (table.t_ns > 0).all():
        if len(events) != len(table):
            return None
        return _Matched(list(events), 0.0, _("one camera event per photo, in order"))
    shift_ns = estimate_event_offset_ns(table.t_ns, event_ns) if offset_s is None else round(offset_s * 1e9)
    nearest, distance_s = _nearest(table.t_ns + shift_ns, event_ns)
    samples: list[TelemetrySample | None] = [
        events[j] if d <= _EVENT_TOLERANCE_S else None for j, d in zip(nearest, distance_s, strict=True)
    ]
    good = distance_s[distance_s <= _EVENT_TOLERANCE_S]
    if not good.size:
        return None
    how = ngettext(
        "{matching} of {count} photo matches {events} camera events, clocks {apart_s:+.1f} s apart",
        "{matching} of {count} photos match {events} camera events, clocks {apart_s:+.1f} s apart",
        len(table),
        matching=good.size,
        events=len(events),
        apart_s=shift_ns / 1e9,
    )
    return _Matched(samples, 0.0, how)


def estimate_event_offset_ns(photo_ns: NDArray[np.int64], event_ns: NDArray[np.int64]) -> int:
    """Estimate the clock offset (event minus photo) at which most photos match.

    A photo matches an event within half a second: the fullest half-second bin of all pairwise differences,
    then the median inside it. Of equal bins the one nearest to zero, so that a regular trigger does not slip
    by one.
    """
    difference = (event_ns[None, :] - photo_ns[:, None]).ravel() / 1e9
    bins = np.round(difference / 0.5).astype(np.int64)
    values, counts = np.unique(bins, return_counts=True)
    neighbours = {int(v): int(c) for v, c in zip(values, counts, strict=True)}
    score = np.array([neighbours[int(v)] + neighbours.get(int(v) + 1, 0) for v in values])
    best = values[score == score.max()]
    chosen = int(best[np.argmin(np.abs(best))])
    inside = difference[(bins == chosen) | (bins == chosen + 1)]
    return round(float(np.median(inside)) * 1e9)


def _nearest(times: NDArray[np.int64], known: NDArray[np.int64]) -> tuple[NDArray[np.intp], Floats]:
    """Return the index of the nearest known time and its distance in seconds.

    An event serves one photo only.
    """
    order = np.argsort(known)
    right = np.clip(np.searchsorted(known[order], times), 1, max(len(known) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(known) - 1)
    pick = np.where(
        np.abs(known[order][left] - times) <= np.abs(known[order][right] - times), order[left], order[right]
    )
    distance = np.abs(known[pick] - times) / 1e9
    for event in np.unique(pick):
        rivals = np.flatnonzero(pick == event)
        distance[rivals[np.argsort(distance[rivals])[1:]]] = np.inf
    return pick, distance


def _by_time(table: FlightTable, log: FlightLog, offset_s: float | None) -> _Matched:
    timed = table.t_ns > 0
    shift_ns, clocks = (
        (round(offset_s * 1e9), _("clock offset as given"))
        if offset_s is not None
        else _track_offset(table.t_ns[timed], log)
    )
    samples: list[TelemetrySample | None] = []
    for t in table.t_ns:
        try:
            samples.append(log.track.pose_at(int(t) + shift_ns) if t > 0 else None)
        except TelemetryGap:
            samples.append(None)
    whole_seconds = bool(timed.any()) and bool((table.t_ns[timed] % 1_000_000_000 == 0).all())
    sigma_t = _SIGMA_WHOLE_SECONDS_S if whole_seconds else _SIGMA_FINE_S
    how = _(
        "photos are matched by time (± {sigma_s:.2f} s), {clocks} ({shift_s:+.1f} s)",
        sigma_s=sigma_t,
        clocks=clocks,
        shift_s=shift_ns / 1e9,
    )
    return _Matched(samples, sigma_t, how)


def _track_offset(times: NDArray[np.int64], log: FlightLog) -> tuple[int, Message]:
    """Return the clock offset under which the photos lie inside the log.

    0 if they do; else by the log's other clock; else whole quarter hours.
    """
    same = (0, _("both clocks agree"))
    if not times.size or not log.track.samples:
        return same
    first, last = log.track.samples[0].t_utc_ns, log.track.samples[-1].t_utc_ns

    def share(shift: int) -> float:
        return float(((times + shift >= first) & (times + shift <= last)).mean())

    if share(0) > 0:
        return same
    if log.shift_other_ns is not None and share(-log.shift_other_ns) > 0.5:
        return -log.shift_other_ns, _("by the autopilot's own UTC")
    near = round(((first + last) / 2 - float(np.median(times))) / _QUARTER_NS)
    tries = sorted((near + k for k in (-2, -1, 0, 1, 2)), key=lambda q: (-share(q * _QUARTER_NS), abs(q)))
    if share(tries[0] * _QUARTER_NS) > 0.9 and abs(tries[0]) <= 14 * 4:
        return tries[0] * _QUARTER_NS, _("the camera's time zone was wrong")
    return same


def _fill(table: FlightTable, matched: _Matched, found: Bools) -> FlightTable:
    def column(*names: str) -> Floats:
        rows = [[getattr(s, n) if s is not None else np.nan for n in names] for s in matched.samples]
        return np.array(rows, dtype=np.float64)

    place = column("lon_deg", "lat_deg")
    no_fix = ~np.isfinite(table.lonlat).all(axis=1) | (np.abs(table.lonlat) < 1e-4).all(axis=1)
    taken = no_fix & found
    height = _above_sea(matched.samples)
    relative = column("relative_height_m")[:, 0]
    speed = np.nan_to_num(column("speed_mps")[:, 0], nan=_DEFAULT_SPEED_MPS)
    body, gimbal = (
        column("yaw_deg", "pitch_deg", "roll_deg"),
        column("gimbal_yaw_deg", "gimbal_pitch_deg", "gimbal_roll_deg"),
    )
    no_angles = ~np.isfinite(table.gimbal[:, 1]) & ~np.isfinite(table.camera[:, 1])
    no_body = ~np.isfinite(table.aircraft[:, 1])
    times = np.array([s.t_utc_ns if s is not None else 0 for s in matched.samples], dtype=np.int64)
    return replace(
        table,
        lonlat=np.where(taken[:, None], place, table.lonlat),
        relative_m=np.where(np.isfinite(table.relative_m), table.relative_m, relative),
        absolute_m=np.where(np.isfinite(table.absolute_m), table.absolute_m, height),
        gimbal=np.where(no_angles[:, None], gimbal, table.gimbal),
        aircraft=np.where(no_body[:, None], body, table.aircraft),
        stated_xy_m=np.where(taken, np.nan, table.stated_xy_m),
        sigma_xy_m=np.where(taken, matched.sigma_t_s * speed, table.sigma_xy_m),
        t_ns=np.where(table.t_ns > 0, table.t_ns, times),
    )


def _above_sea(samples: list[TelemetrySample | None]) -> Floats:
    """Return heights of N samples in EGM96.

    NaN where a sample's height is above take-off or of unknown datum.
    """
    height = np.full(len(samples), np.nan)
    for datum in ("EGM96", "ELLIPSOID"):
        rows = [i for i, s in enumerate(samples) if s is not None and s.height_datum == datum]
        stated = [(s.height_m, s.lon_deg, s.lat_deg) for s in (samples[i] for i in rows) if s is not None]
        if stated:
            values = np.array(stated)
            height[rows] = (
                values[:, 0]
                if datum == "EGM96"
                else convert_height(values[:, 0], values[:, 1:], datum, "EGM96")
            )
    return height


def _matched_sentence(table: FlightTable, log: FlightLog, matched: _Matched, found: Bools) -> Problem:
    own = np.isfinite(table.lonlat).all(axis=1) & (np.abs(table.lonlat) >= 1e-4).any(axis=1) & found
    check: Message | str = ""
    if own.any():
        log_place = np.array([[s.lon_deg, s.lat_deg] for s in matched.samples if s is not None])[own[found]]
        d = (log_place - table.lonlat[own]) * 111_195.0
        off = np.hypot(d[:, 0] * np.cos(np.radians(table.lonlat[own, 1])), d[:, 1])
        check = ngettext(
            "; {count} photo with a position of its own lies {median_m:.1f} m from it (median)",
            "; {count} photos with a position of their own lie {median_m:.1f} m from it (median)",
            int(own.sum()),
            median_m=float(np.median(off)),
        )
    return Problem(
        code="log_matched",
        severity=Severity.INFO,
        sentence=ngettext(
            "{log} ({clock}): {how}; {found} of {count} photo found{check}.",
            "{log} ({clock}): {how}; {found} of {count} photos found{check}.",
            len(table),
            log=log.name,
            clock=log.clock,
            how=matched.how,
            found=int(found.sum()),
            check=check,
        ),
        frames=table.names_of(found),
    )


def _no_match(table: FlightTable, log: FlightLog) -> Problem:
    return Problem(
        code=LOG_DOES_NOT_MATCH,
        severity=Severity.WARNING,
        sentence=ngettext(
            "{log} does not cover the photo's time: give the log of this flight, or the clocks' "
            "difference with --clock-offset.",
            "{log} covers none of the {count} photos' times: give the log of this flight, or the clocks' "
            "difference with --clock-offset.",
            len(table),
            log=log.name,
        ),
    )
