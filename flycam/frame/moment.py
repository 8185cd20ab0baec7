"""A point in time as people and files write it, in UTC nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

VIETNAM = timezone(timedelta(hours=7))
EARLIEST_NS, LATEST_NS = 1_104_537_600_000_000_000, 4_102_444_800_000_000_000
"""2005 and 2100: a clock that tells another time was never set, for before nobody flew with cameras."""

_NS = 1_000_000_000
_MOST_DAYS = 106_000
_DAY_FIRST = re.compile(
    r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T,]+(\d{1,2})[:h](\d{2})(?::(\d{2}))?)?", re.ASCII
)
_HOUR_FIRST = re.compile(
    r"(\d{1,2})[:h](\d{2})(?::(\d{2}))?[ ,]+(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", re.ASCII
)


def ns_of(moment: datetime) -> int:
    """UTC nanoseconds; a time without a zone is Vietnam's (UTC+7). OverflowError outside 1678 to 2262."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=VIETNAM)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    if not -_MOST_DAYS < since.days < _MOST_DAYS:
        raise OverflowError(f"{moment}: nanoseconds of 64 bits end before")
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000


def iso(ns: int, timespec: str = "milliseconds") -> str:
    """UTC nanoseconds as "2024-09-10T03:15:00.000Z"; `timespec` as of `datetime.isoformat`. What is finer is
    cut off."""
    moment = datetime.fromtimestamp(ns // 1_000_000 / 1000, UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def day_of(ns: int, language: str = "en") -> str:
    """The day in Vietnam (UTC+7) of UTC nanoseconds: "2024-09-10", in "vi" "10/09/2024"."""
    moment = datetime.fromtimestamp(ns // _NS, VIETNAM)
    return f"{moment:%d/%m/%Y}" if language == "vi" else f"{moment:%Y-%m-%d}"


def minute_of(ns: int) -> str:
    """UTC nanoseconds as people in Vietnam read them, whatever their language: "10/09/2024 10:15" (UTC+7)."""
    return f"{datetime.fromtimestamp(ns // _NS, VIETNAM):%d/%m/%Y %H:%M}"


def midnight_ns(ns: int) -> int:
    """When the day in Vietnam began to which UTC nanoseconds belong."""
    return ns_of(datetime.fromtimestamp(ns // _NS, VIETNAM).replace(hour=0, minute=0, second=0))


def parse_moment(text: str) -> int | None:
    """UTC nanoseconds of "2024-09-10T03:15Z", "2024-09-10 10:15", "10/09/2024", "10/09/2024 10:15" or
    "10:15 10/09/2024"; without a zone it is Vietnam's (UTC+7). None if it is none of them."""
    words = text.strip()
    try:
        if found := _DAY_FIRST.fullmatch(words):
            day, month, year, hour, minute, second = (int(part or 0) for part in found.groups())
            return ns_of(datetime(year, month, day, hour, minute, second))
        if found := _HOUR_FIRST.fullmatch(words):
            hour, minute, second, day, month, year = (int(part or 0) for part in found.groups())
            return ns_of(datetime(year, month, day, hour, minute, second))
        return ns_of(datetime.fromisoformat(words.replace("/", "-")))
    except (ValueError, OverflowError):
        return None
