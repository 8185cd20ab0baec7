"""What a flight says of a film for ever because it may lie wrong: by its clock, or by the log of another."""

from __future__ import annotations

from urllib.parse import parse_qsl

from flycam.frame.warning import (
    CLOCK_UNKNOWN,
    CLOCK_UNKNOWN_LIVE,
    LOG_DOUBTFUL,
    LOG_DOUBTFUL_LIVE,
    encode_warning,
)

_ID_DIGITS = 16


def is_clock_warning(kept: str, film_id: str, *, is_own: bool) -> bool:
    """Whether it says that the clock of this film is not known.

    is_own  the flight is the film's own: what was kept before films were named with it is said of this one
    """
    return _is_of_film(kept, (CLOCK_UNKNOWN, CLOCK_UNKNOWN_LIVE), film_id, is_own=is_own)


def is_video_warning(kept: str, film_id: str, *, is_own: bool) -> bool:
    """As `is_clock_warning`, or that its log may be of another film: it lies where better is known one
    day."""
    codes = (CLOCK_UNKNOWN, CLOCK_UNKNOWN_LIVE, LOG_DOUBTFUL, LOG_DOUBTFUL_LIVE)
    return _is_of_film(kept, codes, film_id, is_own=is_own)


def _is_of_film(kept: str, codes: tuple[str, ...], film_id: str, *, is_own: bool) -> bool:
    code, _, query = kept.partition("?")
    of = dict(parse_qsl(query)).get("of")
    return code in codes and (of == film_id[:_ID_DIGITS] if of is not None else is_own)


def format_clock_warning(
    film: str, film_id: str, sigma_s: float, metres: int, *, is_stream: bool = False
) -> str:
    """That the clock of a film (its name, its hash) is not known, or was not as some of its frames were laid:
    by sigma_s, which is metres on the ground. is_stream: it does not come again, and is called as its
    flight."""
    code = CLOCK_UNKNOWN_LIVE if is_stream else CLOCK_UNKNOWN
    return encode_warning(code, film=film, of=film_id[:_ID_DIGITS], sigma=f"{sigma_s:.1f}", metres=metres)


def format_log_warning(
    film: str, film_id: str, log: str, why: str, why_vi: str, *, is_stream: bool = False
) -> str:
    """That a log may be of another film than this (its name, its hash), and why it seems so; is_stream: it
    does not come again."""
    code = LOG_DOUBTFUL_LIVE if is_stream else LOG_DOUBTFUL
    return encode_warning(code, film=film, of=film_id[:_ID_DIGITS], log=log, why=why, why_vi=why_vi)
