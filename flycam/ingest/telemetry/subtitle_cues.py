"""Parser of DJI subtitle cues: the fields of every dialect, in one pass over the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

NAN = float("nan")
_FIRST_YEAR, _LAST_YEAR = 2005, 2100
UNKNOWN = (NAN, NAN, NAN)
# Length of a cue, and of the lines that begin it.
_MAX_CUE_CHARACTERS, _MAX_HEADER_CHARACTERS = (
    1 << 16,
    256,
)

# Every repetition has a bound: a file may be one line of anything.
_NUMBER = r"[-+]?\d{1,12}(?:\.\d{1,18})?"
# A cue starts with its number and the video's times; one dialect has the number and a date only.
_START = re.compile(
    r"^(?:[ \t]{0,8}\d{1,9}[ \t]{0,8}\n)?[ \t]{0,8}(\d{1,3}):(\d\d):(\d\d)[,.](\d{1,3})[ \t]{0,8}-->[^\n]*$"
    r"|^[ \t]{0,8}\d{1,9}[ \t]{0,8}\n(?=\d{4}[.\-/]\d)",
    re.MULTILINE,
)
_CLOCK = re.compile(
    r"(\d{4})[.\-/](\d{1,2})[.\-/](\d{1,2})[ T](\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d{3}))?(?:[.,](\d{3}))?"
)
# A number cut by the end of the file is not a number: something must follow it.
_PAIR = re.compile(rf"\b([A-Za-z]\w{{0,31}})\s{{0,8}}:\s{{0,8}}({_NUMBER})(?=[\s,\])mM/°])")
_CALL = re.compile(r"(GPS|HOME|BAROMETER|[FG]\.PRY)\s{0,8}\(([^()\n]{0,120})\)")
_WORD = re.compile(rf"(?:^|[\s,])(D|H|H\.S)\s{{1,8}}({_NUMBER})m")
_BARE = re.compile(_NUMBER)


@dataclass(frozen=True, slots=True)
class SubtitleCue:
    """Fields of one cue.

    place  (longitude, latitude) if `named`, else the two coordinates in the file's order; None: absent
    """

    video_ms: int | None
    wall_ns: int
    place: tuple[float, float] | None
    named: bool
    no_fix: bool
    relative_m: float
    absolute_m: float
    above_sea: bool
    home: tuple[float, float] | None
    home_distance_m: float
    satellites: float
    body: tuple[float, float, float]
    gimbal: tuple[float, float, float]
    focal_35mm_mm: float
    zoom: float
    speed_mps: float


def parse_cues(pieces: Iterable[str]) -> Iterator[SubtitleCue]:
    """Yield every cue of a subtitle text, in the file's order.

    Of an overlong cue the beginning is used. Never holds more than that and a piece.
    """
    held = ""
    for piece in pieces:
        held += piece
        starts = list(_START.finditer(held))
        for start, following in pairwise(starts):
            yield _cue(start, held[start.end() : following.start()])
        if starts:  # the last may go on in the next piece
            held = held[starts[-1].start() :][:_MAX_CUE_CHARACTERS]
        else:
            held = held[max(held.rfind("\n", 0, -_MAX_HEADER_CHARACTERS), 0) :][:_MAX_CUE_CHARACTERS]
    yield from (_cue(start, held[start.end() :]) for start in _START.finditer(held))


def detect_order_evidence(cues: list[SubtitleCue]) -> str:
    """Return how the longitude is identified.

    "named", "range", "distance" (to home, as stated) or by "dialect".
    """
    bare = [cue for cue in cues if cue.place is not None and not cue.named]
    if not bare:
        return "named"
    places = np.array([cue.place for cue in bare])
    if (np.abs(places) > 90.0).any():
        return "range"
    return "distance" if _by_distance(bare) is not None else "dialect"


def is_lon_first(cues: list[SubtitleCue], evidence: str) -> bool:
    """Return True if the first of two unnamed coordinates is the longitude."""
    bare = [cue for cue in cues if cue.place is not None and not cue.named]
    if evidence == "range":
        over = np.abs(np.array([cue.place for cue in bare])) > 90.0
        return int(over[:, 0].sum()) >= int(over[:, 1].sum())
    if evidence == "distance":
        return bool(_by_distance(bare))
    # as in every `GPS(…)` with a whole third number that can be checked (docs/formats/srt.md)
    return True


def _by_distance(cues: list[SubtitleCue]) -> bool | None:
    """Return True for longitude first, False for latitude first, None if undecided.

    The order is the one that gives the stated distance to home.
    """
    known = [
        c for c in cues if c.home is not None and np.isfinite(c.home_distance_m) and c.home_distance_m > 20
    ]
    if not known:
        return None
    place, home = np.array([c.place for c in known]), np.array([c.home for c in known])
    stated = np.array([c.home_distance_m for c in known])
    apart = np.radians(place - home) * 6_371_008.8
    east_first = np.hypot(apart[:, 0] * np.cos(np.radians(home[:, 1])), apart[:, 1])
    north_first = np.hypot(apart[:, 0], apart[:, 1] * np.cos(np.radians(home[:, 0])))
    off = [float(np.median(np.abs(d - stated) / stated)) for d in (east_first, north_first)]
    return None if min(off) > 0.1 or max(off) < 2 * min(off) else off[0] < off[1]


def _cue(start: re.Match[str], body: str) -> SubtitleCue:
    hours, minutes, seconds, fraction = start.groups()
    video_ms = None
    if hours is not None:
        video_ms = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))
    said = {key.lower(): value for key, value in _PAIR.findall(body)}
    calls = dict(_CALL.findall(body))
    words = {key: float(value) for key, value in _WORD.findall(body)}
    place, named = _named_place(said), True
    gps = calls.get("GPS", "")
    third = ""
    if place is None and gps:
        parts = [part.strip() for part in gps.split(",")]
        place, named = _pair(parts), False
        if place is not None and len(parts) > 2 and parts[2].endswith("M"):
            # Matrice 300: the only dialect that has the latitude first
            place, named = place[::-1], True
        third = parts[2] if len(parts) > 2 and _BARE.fullmatch(parts[2]) else ""
    above_sea = "abs_alt" in said
    absolute = said.get("abs_alt") or said.get("altitude") or (third if "." in third else "nan")
    barometer = said.get("barometer") or said.get("hb") or _first_number(calls.get("BAROMETER", ""))
    relative = float(said.get("rel_alt") or barometer)
    return SubtitleCue(
        video_ms=video_ms,
        wall_ns=_wall_ns(body),
        place=place,
        named=named,
        no_fix=place is None and "N/A" in gps,
        relative_m=words.get("H", relative),
        absolute_m=float(absolute),
        above_sea=above_sea,
        home=_pair(calls.get("HOME", "").split(",")),
        home_distance_m=words.get("D", NAN),
        satellites=float(third) if third and "." not in third else NAN,
        body=_yaw_pitch_roll(calls.get("F.PRY", "")),
        gimbal=_gimbal(said) if "gb_pitch" in said else _yaw_pitch_roll(calls.get("G.PRY", "")),
        focal_35mm_mm=_focal_35mm(said.get("focal_len")),
        zoom=_zoom(said.get("dzoom_ratio") or said.get("dzoom")),
        speed_mps=words.get("H.S", NAN),
    )


def _named_place(values: dict[str, str]) -> tuple[float, float] | None:
    lon = values.get("longitude") or values.get("longtitude")
    lat = values.get("latitude")
    return None if lon is None or lat is None else (float(lon), float(lat))


def _pair(parts: list[str]) -> tuple[float, float] | None:
    numbers = [part.strip() for part in parts[:2]]
    if len(numbers) < 2 or not all(_BARE.fullmatch(n) for n in numbers):
        return None
    return float(numbers[0]), float(numbers[1])


def _first_number(text: str) -> str:
    found = _BARE.search(text)
    return found.group() if found else "nan"


def _yaw_pitch_roll(text: str) -> tuple[float, float, float]:
    """Parse PRY, which is pitch, roll, yaw in degrees."""
    numbers = _BARE.findall(text)
    if len(numbers) != 3:
        return UNKNOWN
    pitch, roll, yaw = (float(n) for n in numbers)
    return yaw, pitch, roll


def _gimbal(values: dict[str, str]) -> tuple[float, float, float]:
    return float(values.get("gb_yaw", "nan")), float(values["gb_pitch"]), float(values.get("gb_roll", "nan"))


def _focal_35mm(text: str | None) -> float:
    """Parse a 35 mm equivalent focal length, mm.

    280 is 28 mm in tenths, 24.00 is in millimetres: the decimal point distinguishes them.
    """
    if text is None:
        return NAN
    return float(text) if "." in text else float(text) / 10.0


def _zoom(text: str | None) -> float:
    """Parse a digital zoom ratio; 10000 and 1.00 both mean none."""
    if text is None:
        return NAN
    return float(text) if "." in text or float(text) < 1000.0 else float(text) / 10_000.0


def _wall_ns(body: str) -> int:
    """Return the aircraft's clock as if it were UTC, nanoseconds.

    0 if absent, no date or outside 2005 to 2100.
    """
    found = _CLOCK.search(body)
    if found is None:
        return 0
    year, month, day, hour, minute, second = (int(v) for v in found.groups()[:6])
    milli, micro = (int(v or 0) for v in found.groups()[6:])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return 0
    if not _FIRST_YEAR <= year < _LAST_YEAR:
        return 0
    return int(moment.timestamp()) * 1_000_000_000 + milli * 1_000_000 + micro * 1_000
