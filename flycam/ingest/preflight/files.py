"""Checks of a flight's photos: capture time, duplicates, gaps, bad images, use.

Capture times are in UTC, from clocks that mostly do not state their time zone.

Order of trust: a stamp with its zone; the time in the file's name if it ends in Z; the camera's local clock,
whose zone follows from its difference to GPS time; the camera's clock with an assumed zone. GPS time that was
never corrected for leap seconds runs 18 s ahead of UTC (since 2017-01-01, IERS Bulletin C).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import (
    DuplicateFrame,
    FrameRejected,
    FrameUnreadable,
    HeightUnknown,
    LensCovered,
    PoseRejected,
    SourceUnreadable,
    TooBlurred,
)
from flycam.ingest.photos.photo_reader import PhotoMetadata, make_display_names
from flycam.ingest.preflight.altitude import CameraHeights
from flycam.ingest.preflight.attitude import Attitude, compute_sky_fraction, reject_sky_photos
from flycam.ingest.preflight.flight_table import CLEARANCE_M, Bools, FlightTable, report_rows
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.ingest.telemetry.flight_log import compute_leap_seconds
from flycam.media.pixels import SMOOTH, PixelChecks
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.diagnosis import Problem, Rejection, Severity
from flycam.storage.files import compute_sha256

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
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return 0
    return _ns(moment) + int(fraction.ljust(9, "0") or 0)


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
    names = make_display_names(photos)
    problems = report_rows(
        names,
        unknown,
        "no_time",
        Severity.WARNING,
        ngettext(
            "{count} photo carries no time at all: it is ordered by name.",
            "{count} photos carry no time at all: they are ordered by name.",
            int(unknown.sum()),
        ),
    )
    problems += report_rows(
        names,
        reset,
        "clock_reset",
        Severity.WARNING,
        ngettext(
            "{count} photo is dated before {year}: the camera's clock was never set, so its date "
            "says nothing; set it before the next flight.",
            "{count} photos are dated before {year}: the camera's clock was never set, so their "
            "dates say nothing; set it before the next flight.",
            int(reset.sum()),
            year=_FIRST_DRONE_YEAR,
        ),
    )
    return problems


# -- Duplicate photos: files with the same bytes, under whatever name ------------------------------
#
# One exposure written again with other bytes (recompressed, its tags edited) counts as another photo.


_COPY = re.compile(r"\(\d+\)$|\bcopy\b|\bbản sao\b|^copy of ", re.IGNORECASE)
"""Names that Windows, macOS, phones and browsers give to a copy."""


def identify_photos(table: FlightTable, rows: Iterable[int]) -> tuple[dict[int, str], list[Rejection]]:
    """Return the identity of the photo in each row, and rejections.

    Rejected are photos with the same bytes as another: two frames cannot share an identity.
    """
    found: dict[int, str] = {}
    first: dict[str, str] = {}
    rejected: list[Rejection] = []
    for row in rows:
        identity, name = table.photos[row].identity, table.names[row]
        if identity in first:
            rejected.append(Rejection.from_error(name, make_duplicate_error(first[identity])))
        else:
            found[row], first[identity] = identity, name
    return found, rejected


def find_duplicates(table: FlightTable) -> tuple[list[int], list[Rejection], list[Problem]]:
    """Return the rows to keep, rejections of the rest, and the finding.

    Unreadable files are rejected too. Only photos that share size, time and position are compared, so that
    nothing is hashed needlessly; the one under the camera's own name stays, else the first by name.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for row, photo in enumerate(table.photos):
        key = (photo.size_bytes, photo.taken_text, photo.lon_deg, photo.lat_deg, photo.image_size_px)
        groups.setdefault(key, []).append(row)
    rejected: list[Rejection] = []
    unreadable: list[Rejection] = []
    dropped: set[int] = set()
    for rows in groups.values():
        if len(rows) == 1:
            continue
        first: dict[str, str] = {}
        for row in sorted(rows, key=lambda r: _order(table.photos[r])):
            photo = table.photos[row]
            try:
                identity = _hash_content(photo)
            except SourceUnreadable as error:
                dropped.add(row)
                unreadable.append(Rejection.from_error(table.names[row], FrameUnreadable.from_error(error)))
                continue
            if identity in first:
                dropped.add(row)
                rejected.append(Rejection.from_error(table.names[row], make_duplicate_error(first[identity])))
            else:
                first[identity] = table.names[row]
    kept = [row for row in range(len(table)) if row not in dropped]
    return kept, [*rejected, *unreadable], [_sentence(rejected)] if rejected else []


def make_duplicate_error(name: str) -> DuplicateFrame:
    """Return the error of a photo with the same bytes as another."""
    return DuplicateFrame(_("holds the same bytes as {name}: one of them is used", name=name))


def _order(photo: PhotoMetadata) -> tuple[bool, str, str]:
    return bool(_COPY.search(photo.path.stem)), photo.name, str(photo.path)


def _hash_content(photo: PhotoMetadata) -> str:
    """Return the hash of a photo's bytes; where its head alone was read, of the file if it is at hand."""
    return photo.sha256 or (compute_sha256(photo.path) if photo.path.is_file() else photo.identity)


def _sentence(rejected: list[Rejection]) -> Problem:
    return Problem(
        code="duplicates",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo holds the same bytes as another: each is used once.",
            "{count} photos hold the same bytes as another: each is used once.",
            len(rejected),
        ),
        frames=tuple(r.name for r in rejected),
    )


# -- Gaps in file numbering, which show that a memory card was copied only in part -----------------


_COUNTER = re.compile(r"^(?P<head>.*?)(?P<number>\d{3,5})(?P<tail>(?:_[A-Za-z]+)?\.\w+)$")
_DATED = re.compile(r"\d{8,14}[_-]?")
_MAX_GAP = 200
_ROLL_OVER = (999, 9999)


def parse_counters(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the camera's counter in each file name (N int64), -1 without one."""
    matches = [_COUNTER.match(name) for name in names]
    return np.array([-1 if m is None else int(m["number"]) for m in matches], dtype=np.int64)


def find_missing_files(paths: Sequence[Path]) -> tuple[tuple[str, ...], list[Problem]]:
    """Return names of files that are missing by the numbering, and the finding.

    A series has one prefix before the counter (dates in it count as a pattern), one suffix and one folder;
    folders are joined if no number occurs in two: then the camera counted on, or a card was sorted into
    folders. A jump of over 200, or the roll-over after 999 or 9999, begins a new series.
    """
    missing: list[str] = []
    ranges: list[Message | str] = []
    for (folder, pattern, tail, width), members in _series(paths).items():
        for before, after in _jumps(members):
            head = folder + pattern.replace("#", "*")
            absent = [f"{head}{n:0{width}d}{tail}" for n in range(before + 1, after)]
            missing += absent
            ends = _("{first} to {last}", first=absent[0], last=absent[-1])
            ranges.append(absent[0] if len(absent) == 1 else ends)
    if not missing:
        return (), []
    shown = join(ranges[:8], ", ")
    if len(ranges) > 8:
        shown = pgettext("places", "{listed} and {count} more", listed=shown, count=len(ranges) - 8)
    return tuple(missing), [
        Problem(
            code="numbers_missing",
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} file number is missing in {places} ({shown}): if the card was copied in part, copy "
                "the rest and ingest again; what is there is used.",
                "{count} file numbers are missing in {places} ({shown}): if the card was copied in part, "
                "copy the rest and ingest again; what is there is used.",
                len(missing),
                places=ngettext("{count} place", "{count} places", len(ranges)),
                shown=shown,
            ),
        )
    ]


def _series(paths: Sequence[Path]) -> dict[tuple[str, str, str, int], list[tuple[str, int]]]:
    """Group (prefix, number) by (folder/ or "", pattern, suffix, digits)."""
    cards: dict[tuple[str, str, int], dict[Path, list[tuple[str, int]]]] = {}
    for path in sorted(set(paths), key=lambda path: (path.name, path)):
        match = _COUNTER.match(path.name)
        if match is None:
            continue
        head, number, tail = match["head"], match["number"], match["tail"]
        folders = cards.setdefault((_DATED.sub("#", head), tail, len(number)), {})
        folders.setdefault(path.parent, []).append((head, int(number)))
    series: dict[tuple[str, str, str, int], list[tuple[str, int]]] = {}
    for key, folders in cards.items():
        times = Counter(pair for members in folders.values() for pair in members)
        if max(times.values()) == 1:
            series["", *key] = sorted(times)
        else:
            series |= {(f"{folder.name}/", *key): members for folder, members in folders.items()}
    return series


def _jumps(members: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """Return (number before, number after) of each gap, in the camera's order.

    Sorted by name: with a date in the name that is the order of time, so that a counter which rolls over or
    starts again does not make a gap.
    """
    numbers = [n for _, n in members]
    return [(a, b) for a, b in pairwise(numbers) if 1 < b - a <= _MAX_GAP and a not in _ROLL_OVER]


# -- Unreadable or blurred photos and covered lenses -----------------------------------------------


BLURRED_SHARE = 0.25
"""Share of the camera's median sharpness below which a photo is rejected; below twice that it is reported."""
_MIN_COMPARED = 5
# A flight that is blurred throughout offers no comparison.
_MIN_USUAL_SHARPNESS = 0.02


def reject_bad_images(
    photos: Sequence[PhotoMetadata], names: Sequence[str]
) -> tuple[dict[int, FrameRejected], list[Problem]]:
    """Return rows without usable pixels, each with its error, and findings.

    Photos that were not checked are kept.

    names  display names of the photos (`make_display_names`)
    """
    looks = [photo.checks for photo in photos]
    unread = {row: look for row, look in enumerate(looks) if isinstance(look, FrameUnreadable)}
    seen = [look if isinstance(look, PixelChecks) else None for look in looks]
    covered = np.array([look is not None and look.lens_covered for look in seen], dtype=bool)
    ratio = _sharpness_ratio(photos, seen)
    blurred = ~covered & (ratio < BLURRED_SHARE)
    soft = ~covered & ~blurred & (ratio < 2.0 * BLURRED_SHARE)
    refused: dict[int, FrameRejected] = {
        **unread,
        **{
            i: LensCovered(_("{names}: holds no picture: take off the lens cap", names=names[i]))
            for i in np.flatnonzero(covered).tolist()
        },
    }
    for i in np.flatnonzero(blurred).tolist():
        percent = ratio[i] * 100
        refused[i] = TooBlurred(
            _(
                "{names}: has {percent:.0f} % of the flight's usual sharpness: fly slower there",
                names=names[i],
                percent=percent,
            )
        )
    is_unread = np.zeros(len(photos), dtype=bool)
    is_unread[list(unread)] = True
    cases = (
        (
            is_unread,
            "unreadable",
            ngettext(
                "{count} photo cannot be read, so left out; the reason is given with it.",
                "{count} photos cannot be read, so left out; the reason is given with each.",
                int(is_unread.sum()),
            ),
        ),
        (
            covered,
            "lens_covered",
            ngettext(
                "{count} photo holds no picture (lens cap, or black) and is left out.",
                "{count} photos hold no picture (lens cap, or black) and are left out.",
                int(covered.sum()),
            ),
        ),
        (
            blurred,
            "blurred",
            ngettext(
                "{count} photo is far less sharp than the rest and is left out.",
                "{count} photos are far less sharp than the rest and are left out.",
                int(blurred.sum()),
            ),
        ),
        (
            soft,
            "soft",
            ngettext(
                "{count} photo is clearly less sharp than the rest but is used.",
                "{count} photos are clearly less sharp than the rest but are used.",
                int(soft.sum()),
            ),
        ),
    )
    problems = [
        problem
        for mask, code, sentence in cases
        for problem in report_rows(
            names, mask, code, Severity.INFO if code == "soft" else Severity.WARNING, sentence
        )
    ]
    return refused, problems


def _sharpness_ratio(photos: Sequence[PhotoMetadata], seen: Sequence[PixelChecks | None]) -> np.ndarray:
    """Return sharpness above that of a smear, over the median of camera and layer.

    NaN where not comparable. An image smeared over many pixels still has the sharpness `SMOOTH`. Smears of 25
    pixels came to 0.1 to 0.3 of the usual on brighton_beach, seneca_fixed_wing and exercises; no sharp photo
    there was below 0.7.
    """
    ratio = np.full(len(photos), np.nan)
    groups: dict[tuple[str, str, str, tuple[int, int]], list[tuple[int, float]]] = {}
    for row, (photo, look) in enumerate(zip(photos, seen, strict=True)):
        if look is not None and not look.lens_covered:
            group = (photo.maker, photo.model, photo.band, photo.image_size_px)
            groups.setdefault(group, []).append((row, look.sharpness))
    for members in groups.values():
        rows = [row for row, __ in members]
        if len(rows) < _MIN_COMPARED:
            continue
        sharpness = np.array([value for _, value in members])
        usual = float(np.median(sharpness)) - SMOOTH
        if usual > _MIN_USUAL_SHARPNESS:
            ratio[rows] = np.maximum(sharpness - SMOOTH, 0.0) / usual
    return ratio


# -- Selection of photos that can be rectified -----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class UsablePhotos:
    """Photos to rectify, and the others.

    keep           rows to rectify
    without_image  rows with a pose but without usable pixels, each with its error
    """

    keep: Bools
    without_image: Mapping[int, FrameRejected]
    rejected: tuple[Rejection, ...]
    problems: tuple[Problem, ...]


def select_usable_photos(flight: ResolvedFlight) -> UsablePhotos:
    """Check pixels, then poses; give one error for each rejected photo."""
    names = flight.table.names
    pictureless, problems = reject_bad_images(flight.table.photos, names)
    rejected = [Rejection.from_error(names[row], error) for row, error in pictureless.items()]
    shown = np.ones(len(names), dtype=bool)
    shown[list(pictureless)] = False
    posed, refused, pose_problems = _posed(flight, shown)
    return UsablePhotos(
        keep=shown & posed,
        without_image={row: error for row, error in pictureless.items() if posed[row]},
        rejected=(*rejected, *refused),
        problems=(*problems, *pose_problems),
    )


@dataclass(frozen=True)
class _Refusal:
    """Rows to reject: the error, and the finding's code."""

    rows: Bools
    error: FrameRejected
    code: str


def _posed(flight: ResolvedFlight, shown: Bools) -> tuple[Bools, list[Rejection], list[Problem]]:
    """Return rows that can be rectified; rejections and findings of the others.

    Only photos in `shown` are reported.
    """
    names = flight.table.names
    no_heading = ~np.isfinite(flight.attitude.angles_deg[:, 0])
    share = np.where(
        no_heading,
        0.0,
        np.nan_to_num(compute_sky_fraction(np.nan_to_num(flight.rotations), flight.interiors)),
    )
    keep, rejected, problems = reject_sky_photos(names, share, shown)
    are_seen = any(photo.checks is not None for photo in flight.table.photos)
    for refusal in _refusals(flight.heights, flight.attitude, are_seen=are_seen):
        rows = refusal.rows & keep
        keep = keep & ~rows
        reported = rows & shown
        if not reported.any():
            continue
        rejected += [Rejection.from_error(name, refusal.error) for name in flight.table.names_of(reported)]
        problems += report_rows(
            flight.table.names,
            reported,
            refusal.code,
            Severity.ERROR if reported.all() else Severity.WARNING,
            ngettext(
                "{count} photo is left out, it {reason}.",
                "{count} photos are left out, each {reason}.",
                int(reported.sum()),
                reason=refusal.error.message,
            ),
        )
    return keep, rejected, problems


def _refusals(heights: CameraHeights, attitude: Attitude, *, are_seen: bool) -> tuple[_Refusal, ...]:
    """Return the refusals of rows; `are_seen`: pixels were read, not headers alone."""
    no_height = (
        _(
            "has no usable height: neither terrain under it, nor a height above take-off, nor motion "
            "of the ground between pictures gives one: register terrain (flycam dem add), or give "
            "--takeoff with the ground's height"
        )
        if are_seen
        else _(
            "has no height in its metadata and no terrain under it; only headers were read, and the motion "
            "of the ground between whole pictures may still give one: ingest the photos, or register "
            "terrain (flycam dem add)"
        )
    )
    return (
        _Refusal(~np.isfinite(heights.height_m), HeightUnknown(no_height), "no_height"),
        _Refusal(
            ~np.isfinite(attitude.angles_deg[:, 0]),
            PoseRejected(_("has no heading: give the flight log with --telemetry")),
            "no_heading",
        ),
        _Refusal(
            heights.above_ground_m < CLEARANCE_M,
            PoseRejected(_("lies under the terrain: check --height and --takeoff")),
            "under_ground",
        ),
    )
