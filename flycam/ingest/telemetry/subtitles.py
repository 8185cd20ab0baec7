"""DJI subtitle telemetry (.SRT): one cue per frame or per second, in a dozen dialects.

A cue states where the aircraft was during an interval of the video. There are two clocks: the cue's start is
time of the *video*, the date inside is the aircraft's clock, whose time zone no dialect states. Keyed
dialects write `[latitude: …]`; older ones `GPS(a,b,c)` without stating which is the longitude, and c is a
count of satellites where it is an integer and a height where it has decimals. The fields read from each
dialect, with the evidence for them, are listed in docs/formats/srt.md.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.ingest.telemetry.flight_log import FlightLog, Home, require_bounded_log
from flycam.ingest.telemetry.subtitle_cues import SubtitleCue, detect_order_evidence, is_lon_first, parse_cues
from flycam.messages import Message, _, join
from flycam.store.regular_file import guard_foreign_reader, make_unopenable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_BYTES = 256 << 20
_PIECE = 1 << 18  # characters
_GAP_S, _GAP_STEPS = 1.0, 2.5

# Times of a cue, or (in one dialect) its number and a date.
_START = re.compile(r"\d\d:\d\d:\d\d[,.]\d{1,3}\s*-->|\A\s*\d+\s*\n\d{4}[.\-/]\d")

_REASONS = {
    "no_position": _("{count} of {total} cues say nothing about a position"),
    "incomplete": _("{count} of {total} cues break off before their position"),
    "no_fix": _("{count} of {total} cues were written without a GPS fix"),
    "impossible_position": _("{count} of {total} cues name a place that does not exist"),
    "time_not_increasing": _("{count} of {total} cues repeat or go back in time"),
    "no_time": _("{count} of {total} cues have no readable time"),
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
    timed_by: str
    cues: int
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.video_ms)

    @property
    def is_new_position(self) -> NDArray[np.bool_]:
        """N, True where the position changed.

        Many aircraft repeat one fix over several frames.
        """
        moved = np.any(np.diff(self.lonlat, axis=0) != 0, axis=1)
        return np.concatenate([np.ones(min(1, len(self)), dtype=bool), moved])

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
            focal_35mm_mm=float(self.focal_35mm_mm[i]),
            zoom=float(self.zoom[i]),
            origin=self.name,
        )

    def describe_dropped(self) -> list[Message]:
        """Return a remark for each reason for which cues were dropped."""
        return [
            replace(_REASONS[why], values={"count": n, "total": self.cues}) for why, n in self.dropped.items()
        ]

    def remarks(self) -> tuple[Message, ...]:
        """Return remarks on dropped cues and assumptions."""
        said = self.describe_dropped()
        if self.order == "dialect":
            said.append(
                _(
                    "nothing in the file proves which coordinate is the longitude: the first is taken, as "
                    "this dialect has it wherever it can be checked"
                )
            )
        if self.absolute_datum == "UNKNOWN" and np.isfinite(self.absolute_m).any():
            said.append(_("the file does not say above what its altitude is measured"))
        return tuple(said)


def is_subtitle_file(head: bytes) -> bool:
    """Return True if the first bytes of a file are those of a subtitle file."""
    return _START.search(_decode(head)) is not None


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
        timed_by=timed_by,
        cues=len(cues),
        dropped=dict(dropped),
    )


def _column(values: list[float] | list[tuple[float, float, float]]) -> Floats:
    return np.array(values, dtype=np.float64)
