"""Clock skew between this machine and an S3 server.

Requests signed with a wrong clock are denied, and not every server says why.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from minio import time as client_time
from minio.error import S3Error

from flycam.messages import Message, _

MAX_CLOCK_SKEW = timedelta(minutes=15)
"""S3 accepts a signed request for this long, whichever of the two clocks is ahead."""

_SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "ExpiredPresignRequest", "RequestNotReadyYet")
_AMBIGUOUS_CODES = ("AccessDenied", "")
# the answer's clock is read later than the request's, and to the second
_NEARLY = timedelta(minutes=14)
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3600, 60


def describe_clock_skew(error: Exception, code: str) -> Message | None:
    """Explain a denial by clock skew, or return None.

    code  of the error, "" where the server gave none. Wrong keys have a code of their own; "AccessDenied"
          is put down to the clock where the answer's Date is too far off the clock that signed.
    """
    here = client_time.utcnow()
    there = _date_of(error)
    if code in _SKEWED and there is None:
        return _(
            "this machine's clock and the store's differ too much; set this machine's clock and run again"
        )
    if there is None or not (code in _SKEWED or (code in _AMBIGUOUS_CODES and abs(here - there) >= _NEARLY)):
        return None
    times = {
        "difference": _format_duration(here - there),
        "here": f"{here:%d/%m/%Y %H:%M:%S}",
        "there": f"{there:%d/%m/%Y %H:%M:%S}",
    }
    if here < there:
        return _(
            "this machine's clock is {difference} behind the store's ({here}, {there} UTC); set this "
            "machine's clock, or the store's if that one is wrong, and run again",
            **times,
        )
    return _(
        "this machine's clock is {difference} ahead of the store's ({here}, {there} UTC); set this "
        "machine's clock, or the store's if that one is wrong, and run again",
        **times,
    )


def _date_of(error: Exception) -> datetime | None:
    """Return the time of the server's clock in its answer, None if absent."""
    if not isinstance(error, S3Error):
        return None
    try:
        return client_time.from_http_header(error.response.headers.get("Date", ""))
    except ValueError:
        return None


def _format_duration(off: timedelta) -> Message:
    seconds = round(abs(off).total_seconds())
    if seconds >= 2 * _DAY_S:
        return _("{days:.0f} d", days=seconds / _DAY_S)
    if seconds >= 2 * _HOUR_S:
        return _("{hours:.0f} h", hours=seconds / _HOUR_S)
    if seconds >= 2 * _MINUTE_S:
        return _("{minutes:.0f} min", minutes=seconds / _MINUTE_S)
    return _("{seconds} s", seconds=seconds)
