"""Capture times of photos in UTC, from clocks that mostly do not state their time zone.

Order of trust: a stamp with its zone; the time in the file's name if it ends in Z; the camera's local clock,
whose zone follows from its difference to GPS time; the camera's clock with an assumed zone. GPS time that was
never corrected for leap seconds runs 18 s ahead of UTC (since 2017-01-01, IERS Bulletin C).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.photo.display_names import make_display_names
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.telemetry.gps_time import compute_leap_seconds
from flycam.messages import _, ngettext

DEFAULT_ZONE_S = 7 * 3600  # Vietnam
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DRONE_YEAR = 2005
# Time zones differ by whole quarter hours; the rest is the clock's error.
_QUARTER_S = 900.0
_NAME_UTC = re.compile(r"(?<!\d)(20\d{2})(\d{2})(\d{2})[T_-]?(\d{2})(\d{2})(\d{2})(\d{0,6})Z")

UtcTimes = NDArray[np.int64]


def resolve_capture_times(photos: Sequence[PhotoMetadata]) -> tuple[UtcTimes, list[Problem]]:
    """Return UTC nanoseconds of each photo (N int64; 0: unknown), and the decisions."""
    problems: list[Problem] = []
    stamped = np.array([_stamped_ns(p) for p in photos], dtype=np.int64)
    local = np.array([_parse_ns(p.taken_text) for p in photos], dtype=np.int64)
    gps = np.array([_parse_ns(p.gps_time_text) for p in photos], dtype=np.int64)
    times = stamped.copy()
    open_ = (times == 0) & (local != 0)
    if open_.any():
        zone_s, gps_is_utc, found = _zone_of(photos, local, gps, open_)
        problems += found
        times[open_] = local[open_] - int(zone_s * 1e9)
        if not gps_is_utc:
            gps = np.where(gps != 0, gps - (compute_leap_seconds(gps / 1e9) * 1e9).astype(np.int64), gps)
    only_gps = (times == 0) & (gps != 0)
    times[only_gps] = gps[only_gps]
    return times, problems + _bad_clocks(photos, times)


def _stamped_ns(photo: PhotoMetadata) -> int:
    """Return the time of a stamp that carries its zone; 0 if there is none."""
    if photo.taken_text and photo.taken_offset and (zone := _zone_text(photo.taken_offset)) is not None:
        local = _parse_ns(photo.taken_text)
        if local:
            return local - int(zone.total_seconds() * 1e9)
    if photo.xmp_time_text and (t := _parse_ns(photo.xmp_time_text, zone_required=True)):
        return t
    return _name_ns(photo.name)


def _name_ns(name: str) -> int:
    match = _NAME_UTC.search(name)
    if match is None:
        return 0
    *parts, fraction = match.groups()
    year, month, day, hour, minute, second = map(int, parts)
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return 0
    return _ns(whole) + int(fraction.ljust(9, "0") or 0)


def _parse_ns(text: str | None, *, zone_required: bool = False) -> int:
    """Parse ISO text to UTC ns, as UTC without a zone; 0 if it is no date."""
    if not text:
        return 0
    try:
        value = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return 0
    if value.tzinfo is None:
        if zone_required:
            return 0
        value = value.replace(tzinfo=UTC)
    return _ns(value)


def _ns(value: datetime) -> int:
    delta = value - _EPOCH
    return (delta.days * 86400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1000


def _zone_text(text: str) -> timedelta | None:
    match = re.fullmatch(r"([+-])(\d{1,2}):?(\d{2})", text.strip())
    if match is None:
        return timedelta(0) if text.strip() == "Z" else None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return -offset if sign == "-" else offset


def _zone_of(
    photos: Sequence[PhotoMetadata], local: UtcTimes, gps: UtcTimes, open_: NDArray[np.bool_]
) -> tuple[float, bool, list[Problem]]:
    """Return seconds to subtract from local clocks, and the finding.

    The second value is True if GPS stamps are UTC.
    """
    both = open_ & (gps != 0)
    if both.any():
        difference_s = float(np.median((local[both] - gps[both]) / 1e9))
        zone_s = round(difference_s / _QUARTER_S) * _QUARTER_S
        rest_s = difference_s - zone_s
        if abs(rest_s + float(compute_leap_seconds(np.median(gps[both]) / 1e9))) <= 1.5:
            return zone_s, False, [_leap_problem(zone_s, rest_s)]
        return zone_s + rest_s, True, [_gps_zone_problem(zone_s, rest_s, int(both.sum()))]
    zone_s, found = _assumed_zone(photos, local, open_)
    return zone_s, True, [found]


def _assumed_zone(
    photos: Sequence[PhotoMetadata], local: UtcTimes, open_: NDArray[np.bool_]
) -> tuple[float, Problem]:
    """Return UTC+7 unless that puts a daylight flight far into the night."""
    lon = [p.lon_deg for p in photos if p.lon_deg is not None and abs(p.lon_deg) <= 180.0]
    colour = all(p.band == "colour" for p in photos)
    if lon and colour:
        middle = float(np.median(lon))
        noon_zone = round(middle / 15.0)
        day_s = float(np.median(local[open_]) / 1e9 % 86400.0)
        solar_h = ((day_s - DEFAULT_ZONE_S) / 3600.0 + middle / 15.0) % 24.0
        solar_there_h = (day_s / 3600.0 - noon_zone + middle / 15.0) % 24.0
        if not 4.5 <= solar_h <= 19.5 and 4.5 <= solar_there_h <= 19.5:
            return noon_zone * 3600.0, Problem(
                code="clock_zone_from_longitude",
                severity=Severity.INFO,
                sentence=_(
                    "Camera clocks carry no zone; UTC+7 would put colour photos at solar time {solar_h:.0f} "
                    "h (night), so UTC{zone:+d} is taken from longitude {longitude_deg:.1f}°.",
                    solar_h=solar_h,
                    zone=noon_zone,
                    longitude_deg=middle,
                ),
            )
    return float(DEFAULT_ZONE_S), Problem(
        code="clock_zone_assumed",
        severity=Severity.INFO,
        sentence=_("Camera clocks carry no zone and no GPS time: Vietnam time (UTC+7) is assumed."),
    )


def _leap_problem(zone_s: float, rest_s: float) -> Problem:
    return Problem(
        code="gps_leap_seconds",
        severity=Severity.INFO,
        sentence=_(
            "GPS stamps run {ahead_s:.1f} s ahead of the camera clock beside the zone UTC{zone}: they miss "
            "the 18 leap seconds, which were taken off.",
            ahead_s=-rest_s,
            zone=_hours(zone_s),
        ),
    )


def _gps_zone_problem(zone_s: float, rest_s: float, count: int) -> Problem:
    return Problem(
        code="clock_zone_from_gps",
        severity=Severity.INFO,
        sentence=ngettext(
            "GPS time of {count} photo shows that the camera clock keeps UTC{zone} and is {error_s:+.1f} s "
            "off; both were corrected.",
            "GPS time of {count} photos shows that the camera clock keeps UTC{zone} and is {error_s:+.1f} s "
            "off; both were corrected.",
            count,
            zone=_hours(zone_s),
            error_s=rest_s,
        ),
    )


def _hours(zone_s: float) -> str:
    sign = "+" if zone_s >= 0 else "-"
    minutes = round(abs(zone_s) / 60)
    return f"{sign}{minutes // 60}" + (f":{minutes % 60:02d}" if minutes % 60 else "")


def _bad_clocks(photos: Sequence[PhotoMetadata], times: UtcTimes) -> list[Problem]:
    first_ns = _ns(datetime(_FIRST_DRONE_YEAR, 1, 1, tzinfo=UTC))
    unknown = times == 0
    reset = ~unknown & (times < first_ns)
    problems = []
    if unknown.any():
        problems.append(
            Problem(
                code="no_time",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} photo carries no time at all: it is ordered by name.",
                    "{count} photos carry no time at all: they are ordered by name.",
                    int(unknown.sum()),
                ),
                frames=tuple(n for n, u in zip(make_display_names(photos), unknown, strict=True) if u),
            )
        )
    if reset.any():
        problems.append(
            Problem(
                code="clock_reset",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} photo is dated before {year}: the camera's clock was never set, so its date "
                    "says nothing; set it before the next flight.",
                    "{count} photos are dated before {year}: the camera's clock was never set, so their "
                    "dates say nothing; set it before the next flight.",
                    int(reset.sum()),
                    year=_FIRST_DRONE_YEAR,
                ),
                frames=tuple(n for n, r in zip(make_display_names(photos), reset, strict=True) if r),
            )
        )
    return problems
