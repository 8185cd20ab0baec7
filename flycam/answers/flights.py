"""Answers about flights: what they are, what was ingested, what was withdrawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import shapely

from flycam.answers.output import Answer, Output, format_warnings
from flycam.frame.flight import FlightState
from flycam.frame.pluralization import correct_singular
from flycam.frame.text_normalization import format_shell_command
from flycam.frame.timestamp import format_minute
from flycam.frame.warning import format_warning
from flycam.report.number_format import format_area, format_number, replace_no_break_spaces

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.catalog.records import Coverage
    from flycam.ingest.preflight.diagnosis import Diagnosis, Problem, Rejection, ReliefZone
    from flycam.pipeline.batch import IngestReport
    from flycam.pipeline.preflight_report import PreflightReport
    from flycam.pipeline.withdrawal import WithdrawalReport


_STATES = {
    FlightState.INGESTING: ("not all laid yet", "chưa xếp xong"),
    FlightState.READY: ("on the map", "có trên bản đồ"),
    FlightState.WITHDRAWN: ("withdrawn", "đã rút khỏi bản đồ"),
}


def format_flights(catalog: Catalog, event_id: str | None = None, language: str = "en") -> Output:
    """Return flights[], newest first.

    Keys: flight_id, name, event, is_drill, state, first_ns, last_ns, frames (that are on the map), gsd_m,
    revision (finished and shown; 0 is the live mosaic, null without one).
    """
    vi = language == "vi"
    events, frames = {one.event_id: one for one in catalog.flights.events()}, catalog.frames.count_used()
    mosaics = sorted(catalog.tiles.mosaics(), key=lambda one: one.revision)
    shown = {one.flight_id: one.revision for one in mosaics if one.published}
    flights, lines = [], []
    for one in sorted(catalog.flights.flights(event_id), key=lambda one: one.first_ns, reverse=True):
        event, count, revision = events[one.event_id], frames.get(one.flight_id, 0), shown.get(one.flight_id)
        flights.append(
            {
                "flight_id": one.flight_id,
                "name": one.name,
                "event": event.name,
                "is_drill": event.is_drill,
                "state": one.state.value,
                "first_ns": one.first_ns,
                "last_ns": one.last_ns,
                "frames": count,
                "gsd_m": one.gsd_m,
                "revision": revision,
            }
        )
        said = f"{count} ảnh" if vi else correct_singular(f"{count} pictures")
        state = _STATES[one.state][vi]
        if revision:
            state += f", {'đã hoàn thiện, bản' if vi else 'finished, revision'} {revision}"
        lines.append(
            f"{one.flight_id}  {format_minute(one.first_ns)}  {event.name}: {one.name} ({said}, {state})"
        )
    return {"flights": flights}, lines or ["chưa có chuyến bay nào" if vi else "no flights yet"]


def format_inspection(report: PreflightReport, language: str = "en") -> Output:
    """Return frames, usable, camera, problems[] and more."""
    seen, diagnosis = report.preflight, report.preflight.diagnosis
    rejected = [*seen.unreadable, *diagnosis.rejected]
    answer = {
        "frames": seen.photo_count,
        "usable": len(diagnosis.headers),
        "rejected": dict(sorted(Counter(one.reason for one in rejected).items())),
        "camera": diagnosis.camera,
        "calibration": sorted({header.interior.calibration_id for header in diagnosis.headers}),
        "work_crs": diagnosis.work_crs,
        "vertical_datum": diagnosis.vertical_datum,
        "is_drill": diagnosis.is_drill,
        "takeoff": _takeoff(diagnosis),
        "problems": describe_problems(diagnosis),
        "rejections": [_rejection(one) for one in rejected],
        "gaps": [
            {
                "kind": gap.kind.value,
                "area_m2": round(gap.area_m2, 1),
                "missing": gap.missing,
                "between": list(gap.between),
                "seen_by": gap.seen_by,
                "sentence": gap.sentence_en,
                "sentence_vi": gap.sentence_vi,
                "polygon": shapely.geometry.mapping(gap.polygon_lonlat),
            }
            for gap in diagnosis.gaps
        ],
        "relief": [
            {
                "zone": zone.zone,
                "ground_m": zone.ground_m,
                "photos": zone.photos,
                "height_above_ground_m": zone.height_above_ground_m,
                "gsd_m": zone.gsd_m,
                "views": zone.views,
                "side_overlap": zone.side_overlap,
            }
            for zone in diagnosis.relief
        ],
        "missing_names": list(diagnosis.missing_names),
        "refly": str(report.refly) if report.refly else None,
        "seconds": round(report.seconds, 3),
    }
    return answer, _inspection_lines(report, language)


def describe_problems(diagnosis: Diagnosis) -> list[Answer]:
    """Return the findings of the preflight check.

    Keys: code, severity, the sentence in both languages, frames.
    """
    return [
        {
            "code": problem.code,
            "severity": problem.severity.value,
            "sentence": problem.sentence_en,
            "sentence_vi": problem.sentence_vi,
            "frames": list(problem.frames),
        }
        for problem in diagnosis.problems
    ]


def _rejection(one: Rejection) -> Answer:
    return {
        "name": one.name,
        "reason": one.reason,
        "sentence": one.message,
        "sentence_vi": one.message_vi,
    }


def _named(problem: Problem, language: str = "en") -> str:
    """Return the sentence of a finding, after the name of its first photo."""
    said = problem.sentence_vi if language == "vi" else problem.sentence_en
    if not problem.frames:
        return said
    others = len(problem.frames) - 1
    more = (f" và {others} ảnh khác" if language == "vi" else f" and {others} more") if others else ""
    return f"{problem.frames[0]}{more}: {said}"


def _format_rejection(one: Rejection, language: str) -> str:
    return f"  [loại] {one.message_vi}" if language == "vi" else f"  [left out] {one.message}"


_SEVERITY_VI = {"info": "thông tin", "warning": "lưu ý", "error": "lỗi"}


def _problem(one: Problem, language: str) -> str:
    severity = one.severity.value
    return f"  [{_SEVERITY_VI[severity] if language == 'vi' else severity}] {_named(one, language)}"


def _takeoff(diagnosis: Diagnosis) -> Answer | None:
    takeoff = diagnosis.takeoff
    if takeoff is None:
        return None
    return {
        "height_m": round(takeoff.height_m, 2),
        "sigma_m": round(takeoff.sigma_m, 2),
        "datum": takeoff.datum,
        "how": takeoff.how,
    }


def _inspection_lines(report: PreflightReport, language: str) -> list[str]:
    seen, diagnosis = report.preflight, report.preflight.diagnosis
    vi = language == "vi"
    count = len(diagnosis.headers)
    usable = (
        f"{count} trong {seen.photo_count} ảnh dùng được"
        if vi
        else f"{count} of {seen.photo_count} photos usable"
    )
    lines = [f"{usable} · {diagnosis.camera}"]
    lines += [_problem(problem, language) for problem in diagnosis.problems]
    lines += [_format_rejection(one, language) for one in (*seen.unreadable, *diagnosis.rejected)]
    lines += [f"  [sót] {gap.sentence_vi}" if vi else f"  [gap] {gap.sentence_en}" for gap in diagnosis.gaps]
    lines += [_zone(zone, language) for zone in diagnosis.relief]
    if report.refly:
        lines.append(f"{'vùng cần bay lại' if vi else 'ground to refly'}: {report.refly}")
    return lines


_ZONE_VI = {"valley": "thung lũng", "slope": "sườn", "summit": "đỉnh", "flat": "bằng phẳng"}


def _zone(zone: ReliefZone, language: str) -> str:
    vi = language == "vi"
    low, high = zone.ground_m
    above, gsd_cm, overlap = zone.height_above_ground_m[1], zone.gsd_m[1] * 100, zone.side_overlap
    if vi:
        side = f", độ phủ ngang {overlap:.0%}" if overlap is not None else ""
        place = f"[{_ZONE_VI.get(zone.zone, zone.zone)}] mặt đất {low:.0f} đến {high:.0f} m"
        return f"  {place}: cách mặt đất {above:.0f} m, GSD {format_number(gsd_cm, 1, 'vi')} cm{side}"
    side = f", side overlap {overlap:.0%}" if overlap is not None else ""
    place = f"[{zone.zone}] ground {low:.0f} to {high:.0f} m"
    return f"  {place}: {above:.0f} m above ground, GSD {gsd_cm:.1f} cm{side}"


def format_ingest(report: IngestReport, catalog: Catalog, language: str = "en") -> Output:
    """Return flight_id, frames, gsd_m, communes and seconds of an ingest.

    frames  `used` of those read; `in_flight`: all of its flight
    """
    from flycam.pipeline.coverage import get_flight_date  # noqa: PLC0415  the recipe has loaded it

    boundaries = catalog.boundaries
    names = {**boundaries.names(), **boundaries.names(get_flight_date(report.flight))}
    flight = report.flight
    answer = {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "frames": {
            "read": report.preflight.photo_count,
            "used": report.used,
            "in_flight": report.in_flight,
            "rejected": report.rejected,
        },
        "new": report.new,
        "relaid": report.reprocessed,
        "mended": report.repaired,
        "notes": [format_warning(one) for one in report.notes],
        "notes_vi": [format_warning(one, "vi") for one in report.notes],
        "gsd_m": round(flight.gsd_m, 4),
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        **format_warnings(flight.warnings),
        "rejections": [_rejection(one) for one in report.rejections],
        "problems": [_named(problem) for problem in report.preflight.diagnosis.problems],
        "communes": [_commune(one, names) for one in report.communes],
        "seconds": round(report.seconds, 3),
    }
    problems = [p for p in report.preflight.diagnosis.problems if p.code not in _IN_FLIGHT_WARNINGS]
    lines = [_format_used_frames(report, language)]
    lines += [_problem(one, language) for one in problems]
    lines += [_format_rejection(one, language) for one in report.rejections]
    lines += [f"  * {format_warning(one, language)}" for one in report.notes]
    lines += [f"  ! {format_warning(one, language)}" for one in flight.warnings]
    lines += [
        f"  {names[one.commune_code]} ({one.commune_code}): "
        f"{replace_no_break_spaces(format_area(one.covered_m2, language))}, "
        f"{format_number(one.covered_pct, 1, language)} %"
        for one in report.communes
    ]
    return answer, lines


def _format_used_frames(report: IngestReport, language: str) -> str:
    flight, used, new = report.flight, report.in_flight, report.new
    seconds = format_number(report.seconds, 1, language)
    size = (
        f"{format_number(flight.gsd_m * 100, 1, language)} cm, {seconds} "
        f"{'giây' if language == 'vi' else 's'}"
    )
    counts = f"{used} ảnh, {new} ảnh mới" if language == "vi" else f"{used} frames, {new} new"
    return f"{flight.name} ({flight.flight_id}): {counts}, {size}"


_IN_FLIGHT_WARNINGS = frozenset({"no_terrain", "terrain_elsewhere", "maybe_infrared"})
"""Findings that are warnings of the flight too, printed once."""


def _commune(one: Coverage, names: Mapping[str, str]) -> Answer:
    return {
        "code": one.commune_code,
        "name": names[one.commune_code],
        "covered_pct": round(one.covered_pct, 3),
        "area_m2": round(one.covered_m2, 1),
        "gsd_m": round(one.gsd_m, 4),
    }


def format_withdrawal(report: WithdrawalReport, language: str = "en") -> Output:
    """Return tiles, frames and the finished revisions that are no longer shown."""
    name = report.flight.name
    answer = {
        "flight_id": report.flight.flight_id,
        "frames": report.frames,
        "tiles": report.tiles,
        "retired": list(report.retired),
    }
    vi = language == "vi"
    frames, tiles = report.frames, report.tiles
    lines = [
        f"đã rút {frames} ảnh khỏi {name}, ghi lại {tiles} mảnh bản đồ"
        if vi
        else f"{frames} frames withdrawn from {name}, {tiles} tiles written"
    ]
    if report.retired:
        which, again = ", ".join(map(str, report.retired)), format_shell_command("finish", name)
        lines.append(
            f"bản hoàn thiện số {which} có các ảnh đó nên không hiển thị nữa; hãy chạy lại: {again}"
            if vi
            else f"finished revision {which} held them and is not shown any more; run again: {again}"
        )
    return answer, lines
