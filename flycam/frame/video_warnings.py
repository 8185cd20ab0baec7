"""Permanent warnings of a flight that a video may lie wrong: by its clock, or by the log of another."""

from __future__ import annotations

from urllib.parse import parse_qsl

from flycam.frame.warning import (
    CLOCK_UNKNOWN,
    CLOCK_UNKNOWN_LIVE,
    LOG_DOUBTFUL,
    LOG_DOUBTFUL_LIVE,
    encode_warning,
)
from flycam.messages import Message

_ID_DIGITS = 16


def is_clock_warning(kept: str, film_id: str, *, is_own: bool) -> bool:
    """Return True if a warning states that the clock of this video is unknown.

    is_own  the flight is the video's own: warnings from before videos were named apply to this one
    """
    return _is_of_film(kept, (CLOCK_UNKNOWN, CLOCK_UNKNOWN_LIVE), film_id, is_own=is_own)


def is_video_warning(kept: str, film_id: str, *, is_own: bool) -> bool:
    """Return True for a clock warning, or one that the log may be of another video.

    Such a video may be placed better one day.
    """
    codes = (CLOCK_UNKNOWN, CLOCK_UNKNOWN_LIVE, LOG_DOUBTFUL, LOG_DOUBTFUL_LIVE)
    return _is_of_film(kept, codes, film_id, is_own=is_own)


def _is_of_film(kept: str, codes: tuple[str, ...], film_id: str, *, is_own: bool) -> bool:
    code, _, query = kept.partition("?")
    of = dict(parse_qsl(query)).get("of")
    return code in codes and (of == film_id[:_ID_DIGITS] if of is not None else is_own)


def format_clock_warning(
    film: str, film_id: str, sigma_s: float, metres: int, *, is_stream: bool = False
) -> str:
    """Encode the warning that a video's clock is, or was for some frames, not known.

    film, film_id    its name and its hash
    sigma_s, metres  1-sigma of the clock offset, and what it is on the ground
    is_stream        it is a live stream: it does not come again, and has its flight's name
    """
    code = CLOCK_UNKNOWN_LIVE if is_stream else CLOCK_UNKNOWN
    return encode_warning(code, film=film, of=film_id[:_ID_DIGITS], sigma=f"{sigma_s:.1f}", metres=metres)


def format_log_warning(film: str, film_id: str, log: str, why: Message, *, is_stream: bool = False) -> str:
    """Encode the warning that a log may be of another video, with the reason.

    film, film_id  the video's name and its hash
    is_stream      it is a live stream: it does not come again
    """
    code = LOG_DOUBTFUL_LIVE if is_stream else LOG_DOUBTFUL
    return encode_warning(code, film=film, of=film_id[:_ID_DIGITS], log=log, why=why)
