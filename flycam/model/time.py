"""Conversion between times as people and files write them and UTC nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flycam.messages import Message, _

VIETNAM = timezone(timedelta(hours=7))
VIETNAM_NAME = "Asia/Ho_Chi_Minh"
EARLIEST_NS, LATEST_NS = 1_104_537_600_000_000_000, 4_102_444_800_000_000_000
"""2005 and 2100: a clock with another time was never set, for nobody flew with cameras before."""

_NS = 1_000_000_000
_MAX_DAYS = 106_000
_DAY_FIRST = re.compile(
    r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T,]+(\d{1,2})[:h](\d{2})(?::(\d{2}))?)?", re.ASCII
)
_HOUR_FIRST = re.compile(
    r"(\d{1,2})[:h](\d{2})(?::(\d{2}))?[ ,]+(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", re.ASCII
)


class _LocalZone:
    """Time zone in which times are read and written.

    Vietnam's, unless the node's settings name another.
    """

    zone: tzinfo = VIETNAM
    name = VIETNAM_NAME


def set_local_zone(name: str) -> None:
    """Set the time zone of this process (`parse_zone`)."""
    _LocalZone.zone, _LocalZone.name = parse_zone(name), name


def parse_zone(name: str) -> tzinfo:
    """Parse a zone by its IANA name. Raises ValueError for an unknown one."""
    try:
        return VIETNAM if name == VIETNAM_NAME else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(name) from error


def get_local_zone() -> tzinfo:
    """Return the time zone in which times are written and read."""
    return _LocalZone.zone


def get_local_zone_name() -> str:
    """Return the IANA name of the local zone."""
    return _LocalZone.name


def format_utc_offset(*moments_ns: int) -> str:
    """Format the local zone's offset from UTC at some moments: "UTC+7".

    For a zone that changes its clocks "UTC-6, UTC-5".
    """
    offsets = {
        datetime.fromtimestamp(ns // _NS, _LocalZone.zone).utcoffset() or timedelta() for ns in moments_ns
    }
    return ", ".join(_offset(offset) for offset in sorted(offsets))


def _offset(offset: timedelta) -> str:
    hours, minutes = divmod(round(abs(offset.total_seconds()) / 60), 60)
    return f"UTC{'-' if offset < timedelta() else '+'}{hours}" + (f":{minutes:02}" if minutes else "")


def to_utc_ns(moment: datetime) -> int:
    """Convert to UTC nanoseconds; a time without a zone is in the local one.

    Raises OverflowError outside 1678 to 2262.
    """
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=_LocalZone.zone)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    if not -_MAX_DAYS < since.days < _MAX_DAYS:
        raise OverflowError(f"{moment}: nanoseconds of 64 bits end before")
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000


def format_iso(ns: int, timespec: str = "milliseconds") -> str:
    """Format UTC nanoseconds as "2024-09-10T03:15:00.000Z".

    `timespec` as of `datetime.isoformat`. Finer digits are truncated.
    """
    moment = datetime.fromtimestamp(ns // 1_000_000 / 1000, UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def format_day(ns: int) -> Message:
    """Format the local day of UTC nanoseconds: "2024-09-10", Vietnamese "10/09/2024"."""
    moment = datetime.fromtimestamp(ns // _NS, _LocalZone.zone)
    year, month, day = f"{moment:%Y-%m-%d}".split("-")
    return _("{year}-{month}-{day}", year=year, month=month, day=day)


def format_minute(ns: int) -> str:
    """Format UTC nanoseconds in the local zone, in any language: "10/09/2024 10:15"."""
    return f"{datetime.fromtimestamp(ns // _NS, _LocalZone.zone):%d/%m/%Y %H:%M}"


def find_midnight_ns(ns: int) -> int:
    """Find the beginning of the local day to which UTC nanoseconds belong."""
    return to_utc_ns(datetime.fromtimestamp(ns // _NS, _LocalZone.zone).replace(hour=0, minute=0, second=0))


def parse_timestamp(text: str) -> int | None:
    """Parse a time to UTC nanoseconds; None if it is in no known form.

    "2024-09-10T03:15Z", "2024-09-10 10:15", "10/09/2024", "10/09/2024 10:15" or "10:15 10/09/2024"; without a
    zone it is local.
    """
    words = text.strip()
    try:
        if found := _DAY_FIRST.fullmatch(words):
            day, month, year, hour, minute, second = (int(part or 0) for part in found.groups())
            return to_utc_ns(datetime(year, month, day, hour, minute, second))
        if found := _HOUR_FIRST.fullmatch(words):
            hour, minute, second, day, month, year = (int(part or 0) for part in found.groups())
            return to_utc_ns(datetime(year, month, day, hour, minute, second))
        return to_utc_ns(datetime.fromisoformat(words.replace("/", "-")))
    except (ValueError, OverflowError):
        return None
