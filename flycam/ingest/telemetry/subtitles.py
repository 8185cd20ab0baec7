"""DJI subtitle telemetry (.SRT), in a dozen dialects.

There is one cue per frame or per second.

A cue states where the aircraft was during an interval of the video. There are two clocks: the cue's start is
time of the *video*, the date inside is the aircraft's clock, whose time zone no dialect states. Keyed
dialects write `[latitude: …]`; older ones `GPS(a,b,c)` without stating which is the longitude, and c is a
count of satellites where it is an integer and a height where it has decimals. The fields read from each
dialect, with the evidence for them, are listed in docs/formats/srt.md.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog, Home, require_bounded_log
from flycam.messages import Message, _, join, ngettext
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from flycam.storage.files import guard_foreign_reader, make_unopenable

# -- Parser of subtitle cues: the fields of every dialect ------------------------------------------


NAN = float("nan")
_FIRST_YEAR, _LAST_YEAR = 2005, 2100
UNKNOWN = (NAN, NAN, NAN)
# Width of a 4:3 image with the diagonal of 36 × 24 mm: 35 mm equivalents compare diagonals (CIPA DCG-001) of
# the whole sensor, of which a 16:9 video has the full width.
_WIDTH_35MM = 0.8 * math.hypot(36.0, 24.0)
# Length of a cue, and of the lines that begin it.
_MAX_CUE_CHARACTERS, _MAX_HEADER_CHARACTERS = (
    1 << 16,
    256,
)

# Every repetition has a bound: a file may be one line of anything.
_NUMBER = r"[-+]?\d{1,12}(?:\.\d{1,18})?"
# A cue starts with its number and the video's times; one dialect has the number and a date only.
_CUE_START = re.compile(
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
    pending = ""
    for piece in pieces:
        pending += piece
        starts = list(_CUE_START.finditer(pending))
        for start, following in pairwise(starts):
            yield _cue(start, pending[start.end() : following.start()])
        if starts:  # the last may go on in the next piece
            pending = pending[starts[-1].start() :][:_MAX_CUE_CHARACTERS]
        else:
            pending = pending[max(pending.rfind("\n", 0, -_MAX_HEADER_CHARACTERS), 0) :][:_MAX_CUE_CHARACTERS]
    yield from (_cue(start, pending[start.end() :]) for start in _CUE_START.finditer(pending))


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
    offset_m = np.radians(place - home) * 6_371_008.8
    east_first = np.hypot(offset_m[:, 0] * np.cos(np.radians(home[:, 1])), offset_m[:, 1])
    north_first = np.hypot(offset_m[:, 0], offset_m[:, 1] * np.cos(np.radians(home[:, 0])))
    off = [float(np.median(np.abs(d - stated) / stated)) for d in (east_first, north_first)]
    return None if min(off) > 0.1 or max(off) < 2 * min(off) else off[0] < off[1]


def _cue(start: re.Match[str], body: str) -> SubtitleCue:
    hours, minutes, seconds, fraction = start.groups()
    video_ms = None
    if hours is not None:
        video_ms = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))
    pairs = {key.lower(): value for key, value in _PAIR.findall(body)}
    calls = dict(_CALL.findall(body))
    words = {key: float(value) for key, value in _WORD.findall(body)}
    place, named = _named_place(pairs), True
    gps = calls.get("GPS", "")
    third = ""
    if place is None and gps:
        parts = [part.strip() for part in gps.split(",")]
        place, named = _pair(parts), False
        if place is not None and len(parts) > 2 and parts[2].endswith("M"):
            # Matrice 300: the only dialect that has the latitude first
            place, named = place[::-1], True
        third = parts[2] if len(parts) > 2 and _BARE.fullmatch(parts[2]) else ""
    above_sea = "abs_alt" in pairs
    absolute = pairs.get("abs_alt") or pairs.get("altitude") or (third if "." in third else "nan")
    barometer = pairs.get("barometer") or pairs.get("hb") or _first_number(calls.get("BAROMETER", ""))
    relative = float(pairs.get("rel_alt") or barometer)
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
        gimbal=_gimbal(pairs) if "gb_pitch" in pairs else _yaw_pitch_roll(calls.get("G.PRY", "")),
        focal_35mm_mm=_focal_35mm(pairs.get("focal_len")),
        zoom=_zoom(pairs.get("dzoom_ratio") or pairs.get("dzoom")),
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
    focal_mm = float(text) if "." in text else float(text) / 10.0
    return focal_mm if focal_mm > 0.0 else NAN


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


# -- Subtitle files, and their flight log ----------------------------------------------------------


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_BYTES = 256 << 20
_PIECE = 1 << 18  # characters
_GAP_S, _GAP_STEPS = 1.0, 2.5

# Times of a cue, or (in one dialect) its number and a date.
_FIRST_CUE = re.compile(r"\d\d:\d\d:\d\d[,.]\d{1,3}\s*-->|\A\s*\d+\s*\n\d{4}[.\-/]\d")

_REASONS = {
    "no_position": ngettext(
        "{count} of {total} cues says nothing about a position",
        "{count} of {total} cues say nothing about a position",
        1,
    ),
    "incomplete": ngettext(
        "{count} of {total} cues breaks off before its position",
        "{count} of {total} cues break off before their position",
        1,
    ),
    "no_fix": ngettext(
        "{count} of {total} cues was written without a GPS fix",
        "{count} of {total} cues were written without a GPS fix",
        1,
    ),
    "impossible_position": ngettext(
        "{count} of {total} cues names a place that does not exist",
        "{count} of {total} cues name a place that does not exist",
        1,
    ),
    "time_not_increasing": ngettext(
        "{count} of {total} cues repeats or goes back in time",
        "{count} of {total} cues repeat or go back in time",
        1,
    ),
    "no_time": ngettext(
        "{count} of {total} cues has no readable time",
        "{count} of {total} cues have no readable time",
        1,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subtitles:
    """Contents of a subtitle file, one row per usable cue, in order of the video.

    video_ms      N, start of the cue; from the aircraft's clock where the file has no video times
    wall_ns       N, the aircraft's clock read as if it were UTC, 0 where it is absent or impossible
    lonlat        N×2 degrees
    relative_m    N, above take-off; absolute_m N, as the dialect writes it, in `absolute_datum`
    body, gimbal  N×3 yaw, pitch, roll in degrees, NaN unknown
    order         how the longitude was identified: "named", "range", "distance" or "dialect"
    cues          number of cues in the file; dropped: how many of them gave no row, by reason
    """

    name: str
    video_ms: Ints
    wall_ns: Ints
    lonlat: Floats
    relative_m: Floats
    absolute_m: Floats
    absolute_datum: str
    body: Floats
    gimbal: Floats
    focal_35mm_mm: Floats
    zoom: Floats
    speed_mps: Floats
    satellites: Floats
    home: Home | None
    order: str
    cues: int
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.video_ms)

    def video_track(self) -> TelemetryTrack:
        """Return the track in video time: nanoseconds since the first frame."""
        return self._track(self.video_ms * 1_000_000, np.arange(len(self)))

    def wall_track(self) -> TelemetryTrack:
        """Return the track by the aircraft's clock, as if that were UTC.

        Rows without a later stamp are dropped.
        """
        latest = (
            np.concatenate([[0], np.maximum.accumulate(self.wall_ns)[:-1]]) if len(self) else self.wall_ns
        )
        return self._track(self.wall_ns, np.flatnonzero(self.wall_ns > latest))

    def _track(self, t_ns: Ints, rows: NDArray[np.intp]) -> TelemetryTrack:
        steps_s = np.diff(t_ns[rows]) / 1e9
        gap_s = max(_GAP_S, _GAP_STEPS * float(np.median(steps_s))) if steps_s.size else _GAP_S
        return TelemetryTrack(
            samples=tuple(self._sample(int(i), int(t_ns[i])) for i in rows), max_gap_s=gap_s
        )

    def _sample(self, i: int, t_ns: int) -> TelemetrySample:
        absolute = bool(np.isfinite(self.absolute_m[i]))
        zoom = self.zoom[i] if np.isfinite(self.zoom[i]) else 1.0
        hfov_deg = np.degrees(2.0 * np.arctan(_WIDTH_35MM / (2.0 * zoom * self.focal_35mm_mm[i])))
        return TelemetrySample(
            t_utc_ns=t_ns,
            lon_deg=float(self.lonlat[i, 0]),
            lat_deg=float(self.lonlat[i, 1]),
            height_m=float(self.absolute_m[i] if absolute else self.relative_m[i]),
            height_datum=self.absolute_datum if absolute else "TAKEOFF",
            relative_height_m=float(self.relative_m[i]),
            yaw_deg=float(self.body[i, 0]),
            pitch_deg=float(self.body[i, 1]),
            roll_deg=float(self.body[i, 2]),
            gimbal_yaw_deg=float(self.gimbal[i, 0]),
            gimbal_pitch_deg=float(self.gimbal[i, 1]),
            gimbal_roll_deg=float(self.gimbal[i, 2]),
            speed_mps=float(self.speed_mps[i]),
            hfov_deg=float(hfov_deg),
            origin=self.name,
        )

    def describe_dropped(self) -> list[Message]:
        """Return a remark for each reason for which cues were dropped."""
        return [
            replace(_REASONS[why], values={"count": n, "total": self.cues}, count=n)
            for why, n in self.dropped.items()
        ]

    def remarks(self) -> tuple[Message, ...]:
        """Return remarks on dropped cues and assumptions."""
        notes = self.describe_dropped()
        if self.order == "dialect":
            notes.append(
                _(
                    "nothing in the file proves which coordinate is the longitude: the first is taken, as "
                    "this dialect has it wherever it can be checked"
                )
            )
        if self.absolute_datum == "UNKNOWN" and np.isfinite(self.absolute_m).any():
            notes.append(_("the file does not say above what its altitude is measured"))
        return tuple(notes)


def is_subtitle_file(head: bytes) -> bool:
    """Return True if the first bytes of a file are those of a subtitle file."""
    return _FIRST_CUE.search(_decode(head)) is not None


@guard_foreign_reader
def read_subtitles(path: Path) -> Subtitles:
    """Read every usable cue of a DJI subtitle file.

    Raises SourceUnreadable if there is no cue to read, or more than in any video.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise SourceUnreadable(
                _(
                    "{path}: {size} MiB is more than any subtitle file: check what it is",
                    path=path,
                    size=size >> 20,
                )
            )
        with path.open("rb") as file:
            encoding = _encoding(file.read(2))
        with path.open(encoding=encoding, errors="replace") as text:
            cues: list[SubtitleCue] = []
            for cue in parse_cues(iter(lambda: text.read(_PIECE), "")):
                cues.append(cue)
                require_bounded_log(path, len(cues))
    except OSError as error:
        raise make_unopenable(path, error) from error
    if not cues:
        raise SourceUnreadable(
            _("{path}: holds no subtitle: copy the .SRT from the aircraft's card again", path=path)
        )
    return _table(cues, path.name)


def read_subtitle_log(path: Path) -> FlightLog:
    """Read a flight log by the aircraft's clock, if present, else by the video's.

    Raises SourceUnreadable if no cue has a position.
    """
    table = read_subtitles(path)
    if not len(table):
        raise SourceUnreadable(
            _(
                "{path}: no cue has a position ({why}): give another log of this flight",
                path=path,
                why=join(table.describe_dropped(), "; "),
            )
        )
    walled = bool((table.wall_ns > 0).all())
    return FlightLog(
        name=path.name,
        track=table.wall_track() if walled else table.video_track(),
        clock="the aircraft's clock, zone unknown" if walled else "time of the video, no date",
        has_zone=not walled,
        home=table.home,
        remarks=table.remarks(),
    )


def _decode(data: bytes) -> str:
    return re.sub(r"\r\n?", "\n", data.decode(_encoding(data), errors="replace"))


def _encoding(head: bytes) -> str:
    return "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _table(cues: list[SubtitleCue], name: str) -> Subtitles:
    dropped: Counter[str] = Counter()
    somewhere = any(cue.place is not None for cue in cues)
    timed_by = "video" if any(cue.video_ms is not None for cue in cues) else "aircraft"
    order = detect_order_evidence(cues)
    first = is_lon_first(cues, order)
    rows: list[tuple[SubtitleCue, tuple[float, float], int]] = []
    start_ns = next((cue.wall_ns for cue in cues if cue.wall_ns), 0)
    last_ms = -1
    for cue in cues:
        if cue.place is None:
            dropped["no_fix" if cue.no_fix else "incomplete" if somewhere else "no_position"] += 1
            continue
        lon, lat = cue.place if cue.named or first else cue.place[::-1]
        if lon == 0.0 and lat == 0.0:
            dropped["no_fix"] += 1
            continue
        if abs(lon) > 180.0 or abs(lat) > 90.0:
            dropped["impossible_position"] += 1
            continue
        ms = cue.video_ms
        if timed_by == "aircraft" and cue.wall_ns:
            ms = (cue.wall_ns - start_ns) // 1_000_000
        if ms is None or ms <= last_ms:
            dropped["no_time" if ms is None else "time_not_increasing"] += 1
            continue
        last_ms = ms
        rows.append((cue, (lon, lat), ms))
    kept = [cue for cue, *__ in rows]
    stated = [cue.home for cue in cues if cue.home is not None]
    home = None if not stated else stated[-1] if first else stated[-1][::-1]
    return Subtitles(
        name=name,
        video_ms=np.array([ms for *__, ms in rows], dtype=np.int64),
        wall_ns=np.array([cue.wall_ns for cue in kept], dtype=np.int64),
        lonlat=np.array([place for __, place, _ms in rows], dtype=np.float64).reshape(-1, 2),
        relative_m=_column([cue.relative_m for cue in kept]),
        absolute_m=_column([cue.absolute_m for cue in kept]),
        # only `abs_alt` is above sea level; `altitude` does not state its reference
        absolute_datum="EGM96" if any(cue.above_sea for cue in kept) else "UNKNOWN",
        body=_column([cue.body for cue in kept]).reshape(-1, 3),
        gimbal=_column([cue.gimbal for cue in kept]).reshape(-1, 3),
        focal_35mm_mm=_column([cue.focal_35mm_mm for cue in kept]),
        zoom=_column([cue.zoom for cue in kept]),
        speed_mps=_column([cue.speed_mps for cue in kept]),
        satellites=_column([cue.satellites for cue in kept]),
        home=Home(lon_deg=home[0], lat_deg=home[1], height_m=float("nan")) if home else None,
        order=order,
        cues=len(cues),
        dropped=dict(dropped),
    )


def _column(values: list[float] | list[tuple[float, float, float]]) -> Floats:
    return np.array(values, dtype=np.float64)
