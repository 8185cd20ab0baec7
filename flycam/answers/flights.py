"""Answers about flights: what they are, what was ingested, what was withdrawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import shapely

from flycam.answers.output import Answer, Output, describe_area, format_warnings
from flycam.frame.flight import FlightState
from flycam.frame.text_normalization import format_shell_command
from flycam.frame.timestamp import format_minute
from flycam.frame.warning import describe_warning, format_warning
from flycam.messages import Message, _, join, ngettext, pgettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.catalog.records import Coverage
    from flycam.ingest.preflight.diagnosis import Diagnosis, Problem, Rejection, ReliefZone
    from flycam.pipeline.batch import IngestReport
    from flycam.pipeline.preflight_report import PreflightReport
    from flycam.pipeline.withdrawal import WithdrawalReport


_STATES = {
    FlightState.INGESTING: _("not all laid yet"),
    FlightState.READY: _("on the map"),
    FlightState.WITHDRAWN: pgettext("flight", "withdrawn"),
}


def format_flights(catalog: Catalog, event_id: str | None = None) -> Output:
    """Return flights[], newest first.

    Keys: flight_id, name, event, is_drill, state, first_ns, last_ns, frames (that are on the map), gsd_m,
    revision (finished and shown; 0 is the live mosaic, null without one).
    """
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
        pictures, state = ngettext("{count} picture", "{count} pictures", count), _STATES[one.state]
        if revision:
            state = _("{state}, finished, revision {revision}", state=state, revision=revision)
        lines.append(
            join(
                [
                    f"{one.flight_id}  {format_minute(one.first_ns)}  {event.name}: {one.name} (",
                    pictures,
                    ", ",
                    state,
                    ")",
                ],
                "",
            )
        )
    return {"flights": flights}, lines or [_("no flights yet")]


def format_inspection(report: PreflightReport) -> Output:
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
                **gap.sentence.to_fields(),
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
    return answer, _inspection_lines(report)


def describe_problems(diagnosis: Diagnosis) -> list[Answer]:
    """Return the findings of the preflight check.

    Keys: code, severity, the sentence in both languages, frames.
    """
    return [
        {
            "code": problem.code,
            "severity": problem.severity.value,
            **problem.sentence.to_fields(),
            "frames": list(problem.frames),
        }
        for problem in diagnosis.problems
    ]


def _rejection(one: Rejection) -> Answer:
    return {"name": one.name, "reason": one.reason, **one.message.to_fields()}


def _name_first_photo(problem: Problem) -> Message:
    """Return the sentence of a finding, after the name of its first photo."""
    if not problem.frames:
        return problem.sentence
    first, *others = problem.frames
    if not others:
        return join([first, problem.sentence], ": ")
    return pgettext(
        "photos",
        "{first} and {count} more: {sentence}",
        first=first,
        count=len(others),
        sentence=problem.sentence,
    )


def _describe_rejection(one: Rejection) -> Message:
    return _("  [left out] {message}", message=one.message)


_SEVERITIES = {
    "info": pgettext("severity", "info"),
    "warning": pgettext("severity", "warning"),
    "error": pgettext("severity", "error"),
}


def _describe_problem(one: Problem) -> Message:
    return join(["  [", _SEVERITIES[one.severity.value], "] ", _name_first_photo(one)], "")


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


def _inspection_lines(report: PreflightReport) -> list[Message]:
    seen, diagnosis = report.preflight, report.preflight.diagnosis
    usable = ngettext(
        "{usable} of {count} photo usable",
        "{usable} of {count} photos usable",
        seen.photo_count,
        usable=len(diagnosis.headers),
    )
    lines = [join([usable, diagnosis.camera], " · ")]
    lines += map(_describe_problem, diagnosis.problems)
    lines += map(_describe_rejection, (*seen.unreadable, *diagnosis.rejected))
    lines += [_("  [gap] {sentence}", sentence=gap.sentence) for gap in diagnosis.gaps]
    lines += map(_describe_zone, diagnosis.relief)
    if report.refly:
        lines.append(_("ground to refly: {path}", path=report.refly))
    return lines


_ZONES = {
    "valley": pgettext("relief", "valley"),
    "slope": pgettext("relief", "slope"),
    "summit": pgettext("relief", "summit"),
    "flat": pgettext("relief", "flat"),
}


def _describe_zone(zone: ReliefZone) -> Message:
    overlap = zone.side_overlap
    return _(
        "  [{zone}] ground {lowest_m:.0f} to {highest_m:.0f} m: {above_m:.0f} m above ground, GSD "
        "{gsd_cm:.1f} cm{overlap}",
        zone=_ZONES.get(zone.zone, zone.zone),
        lowest_m=zone.ground_m[0],
        highest_m=zone.ground_m[1],
        above_m=zone.height_above_ground_m[1],
        gsd_cm=zone.gsd_m[1] * 100,
        overlap="" if overlap is None else _(", side overlap {overlap:.0%}", overlap=overlap),
    )


def format_ingest(report: IngestReport, catalog: Catalog) -> Output:
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
        "problems": [str(_name_first_photo(problem)) for problem in report.preflight.diagnosis.problems],
        "communes": [_commune(one, names) for one in report.communes],
        "seconds": round(report.seconds, 3),
    }
    problems = [p for p in report.preflight.diagnosis.problems if p.code not in _IN_FLIGHT_WARNINGS]
    lines = [_describe_used_frames(report)]
    lines += map(_describe_problem, problems)
    lines += map(_describe_rejection, report.rejections)
    lines += [_describe_warning("  *", one) for one in report.notes]
    lines += [_describe_warning("  !", one) for one in flight.warnings]
    lines += [
        _(
            "  {name} ({code}): {area}, {covered_pct:.1f} %",
            name=names[one.commune_code],
            code=one.commune_code,
            area=describe_area(one.covered_m2),
            covered_pct=one.covered_pct,
        )
        for one in report.communes
    ]
    return answer, lines


def _describe_warning(mark: str, kept: str) -> Message:
    return join([mark, describe_warning(kept)])


def _describe_used_frames(report: IngestReport) -> Message:
    return ngettext(
        "{name} ({flight_id}): {count} frame, {new} new, {gsd_cm:,.1f} cm, {seconds:,.1f} s",
        "{name} ({flight_id}): {count} frames, {new} new, {gsd_cm:,.1f} cm, {seconds:,.1f} s",
        report.in_flight,
        name=report.flight.name,
        flight_id=report.flight.flight_id,
        new=report.new,
        gsd_cm=report.flight.gsd_m * 100,
        seconds=report.seconds,
    )


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


def format_withdrawal(report: WithdrawalReport) -> Output:
    """Return tiles, frames and the finished revisions that are no longer shown."""
    name = report.flight.name
    answer = {
        "flight_id": report.flight.flight_id,
        "frames": report.frames,
        "tiles": report.tiles,
        "retired": list(report.retired),
    }
    lines = [
        ngettext(
            "{count} frame withdrawn from {name}, {tiles} written",
            "{count} frames withdrawn from {name}, {tiles} written",
            report.frames,
            name=name,
            tiles=ngettext("{count} tile", "{count} tiles", report.tiles),
        )
    ]
    if report.retired:
        lines.append(
            _(
                "finished revision {revisions} held them and is not shown any more; run again: {command}",
                revisions=", ".join(map(str, report.retired)),
                command=format_shell_command("finish", name),
            )
        )
    return answer, lines
