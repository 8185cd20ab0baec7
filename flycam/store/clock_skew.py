"""Clock skew between this machine and an S3 server.

Requests signed with a wrong clock are denied, and not every server says why.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from minio import time as client_time
from minio.error import S3Error

MAX_CLOCK_SKEW = timedelta(minutes=15)
"""S3 accepts a signed request for this long, whichever of the two clocks is ahead."""

_SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "ExpiredPresignRequest", "RequestNotReadyYet")
_AMBIGUOUS_CODES = ("AccessDenied", "")
# the answer's clock is read later than the request's, and to the second
_NEARLY = timedelta(minutes=14)
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3600, 60


def describe_clock_skew(error: Exception, code: str) -> tuple[str, str] | None:
    """Explain a denial by clock skew (English, Vietnamese), or return None.

    code  of the error, "" where the server gave none. Wrong keys have a code of their own; "AccessDenied"
          is put down to the clock where the answer's Date is too far off the clock that signed.
    """
    here = client_time.utcnow()
    there = _date_of(error)
    if code in _SKEWED and there is None:
        return (
            "this machine's clock and the store's differ too much; set this machine's clock and run again",
            "giờ máy này và giờ kho lưu trữ lệch quá nhiều; hãy chỉnh giờ máy này rồi chạy lại",
        )
    if there is None or not (code in _SKEWED or (code in _AMBIGUOUS_CODES and abs(here - there) >= _NEARLY)):
        return None
    off = here - there
    times = f"({here:%d/%m/%Y %H:%M:%S}, {there:%d/%m/%Y %H:%M:%S} UTC)"
    slow, slow_vi = ("behind", "chậm hơn") if off < timedelta(0) else ("ahead of", "nhanh hơn")
    return (
        f"this machine's clock is {_format_duration(off)} {slow} the store's {times}; set this machine's "
        "clock, or the store's if that one is wrong, and run again",
        f"giờ máy này {slow_vi} giờ kho lưu trữ {_format_duration(off, 'vi')} {times}; hãy chỉnh giờ máy "
        "này, hoặc giờ máy chủ kho nếu máy đó sai, rồi chạy lại",
    )


def _date_of(error: Exception) -> datetime | None:
    """Return the time of the server's clock in its answer, None if absent."""
    if not isinstance(error, S3Error):
        return None
    try:
        return client_time.from_http_header(error.response.headers.get("Date", ""))
    except ValueError:
        return None


def _format_duration(off: timedelta, language: str = "en") -> str:
    seconds = round(abs(off).total_seconds())
    units = (
        ((_DAY_S, "ngày"), (_HOUR_S, "giờ"), (_MINUTE_S, "phút"))
        if language == "vi"
        else ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min"))
    )
    for size, name in units:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds} {'giây' if language == 'vi' else 's'}"
