"""Flights from photos and videos: `inspect`, `ingest`, `withdraw`."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.cluster import open_cluster
from flycam.cli.output import (
    DATUM_CHOICE,
    FILE_PATH,
    Answer,
    Output,
    ProgressBar,
    describe_area,
    format_warnings,
    open_workspace,
    print_line,
    register_resumable_job,
    wrap_command,
)
from flycam.cli.video import find_recordings, find_single_video, ingest_video, inspect_recordings
from flycam.config import read_settings
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.flight import FlightState, Layer
from flycam.model.text import format_shell_command
from flycam.model.time import format_minute, set_local_zone
from flycam.model.warning import describe_warning

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.ingest.batch import IngestReport
    from flycam.ingest.preflight_check import PreflightReport, PreflightRequest
    from flycam.model.diagnosis import Diagnosis, Problem, Rejection, ReliefZone
    from flycam.model.records import Coverage


_STATES = {
    FlightState.INGESTING: _("not all processed yet"),
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
    import shapely

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
    return answer, lines


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
    from flycam.mosaic.coverage import get_flight_date

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
        **format_warnings(report.notes, "notes"),
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
    lines = [
        ngettext(
            "{name} ({flight_id}): {count} frame, {new} new, {gsd_cm:,.1f} cm, {seconds:,.1f} s",
            "{name} ({flight_id}): {count} frames, {new} new, {gsd_cm:,.1f} cm, {seconds:,.1f} s",
            report.in_flight,
            name=report.flight.name,
            flight_id=report.flight.flight_id,
            new=report.new,
            gsd_cm=report.flight.gsd_m * 100,
            seconds=report.seconds,
        )
    ]
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


def _describe_warning(mark: str, warning: str) -> Message:
    return join([mark, describe_warning(warning)])


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


# -- Options common to `inspect` and `ingest` ------------------------------------------------------


LAYER_CHOICE = click.Choice([layer.value for layer in Layer])
_MAX_OFFSET_S = 10 * 365.25 * 86_400


def add_ingest_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `inspect` and `ingest` share."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, required=True, type=FILE_PATH),
            click.option(
                "--telemetry",
                type=FILE_PATH,
                help="Flight log; or what places photos: poses (CSV, OpenSfM, ODM), control points, a map.",
            ),
            click.option(
                "--layer",
                type=LAYER_CHOICE,
                help="What the pixels show, where tags are silent or wrong.",
            ),
            click.option(
                "--camera", type=FILE_PATH, help="Camera file (JSON or YAML) that beats the photos."
            ),
            click.option(
                "--height",
                "height_mode",
                type=click.Choice(["auto", "relative", "absolute", "exif"]),
                default="auto",
                show_default=True,
                help="Which altitude to believe.",
            ),
            click.option("--takeoff", metavar="LON,LAT|H", help="Take-off point, or its height in metres."),
            click.option(
                "--clock-offset", "clock_offset_s", type=float, help="Log time minus photo time, s."
            ),
            click.option("--dem", type=FILE_PATH, help="Terrain to register first."),
            click.option("--datum", type=DATUM_CHOICE, help="Height datum of --dem."),
        ]
    ):
        function = option(function)
    return function


def _parse_takeoff(text: str | None) -> float | tuple[float, float] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if all(map(math.isfinite, numbers)):
        if len(numbers) == 1:
            return numbers[0]
        if len(numbers) == 2 and abs(numbers[0]) <= 180.0 and abs(numbers[1]) <= 90.0:
            return numbers[0], numbers[1]
        if len(numbers) == 2 and abs(numbers[1]) <= 180.0 and abs(numbers[0]) <= 90.0:
            raise OptionUnusable(
                _(
                    "--takeoff {text}: no latitude is {second:g}°; longitude comes first: "
                    "--takeoff {second:g},{first:g}",
                    text=text,
                    second=numbers[1],
                    first=numbers[0],
                )
            )
    raise OptionUnusable(_("--takeoff {text}: give LON,LAT in degrees or a height in metres", text=text))


def parse_ingest_options(options: dict[str, Any]) -> PreflightRequest:
    """Return the preflight request of these options.

    Raises OptionUnusable for an impossible value.
    """
    from flycam.ingest.preflight_check import PreflightRequest

    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _MAX_OFFSET_S:
        raise OptionUnusable(
            _("--clock-offset {offset_s:g}: give seconds, at most ten years of them", offset_s=offset_s)
        )
    return PreflightRequest(
        paths=tuple(options["paths"]),
        telemetry=options["telemetry"],
        camera=options["camera"],
        height_mode=options["height_mode"],
        takeoff=_parse_takeoff(options["takeoff"]),
        clock_offset_s=options["clock_offset_s"],
        layer=options["layer"],
    )


# -- Commands `inspect`, `ingest` and `withdraw` ---------------------------------------------------


@click.command()
@add_ingest_options
@click.option("--aoi", type=FILE_PATH, help="Area of interest: gaps are looked for inside it.")
@click.option("--refly", type=FILE_PATH, help="Write the missing ground as KML, to fly it.")
@click.option("--pixels/--no-pixels", default=True, help="Also look for blur and a covered lens.")
@wrap_command
def inspect_command(
    *, data_dir: str | None, aoi: Path | None, refly: Path | None, pixels: bool, **options: Any
) -> Output:
    """Check a flight, video or log and name its problems; writes only the KML files requested."""
    from flycam.ingest.photos.photo_search import search_photos

    found = search_photos(options["paths"])
    if recordings := find_recordings(found, options["paths"]):
        return inspect_recordings(recordings, options["telemetry"])
    from flycam.ingest.preflight_check import check_flight
    from flycam.mosaic.terrain import load_registered_dems

    settings = read_settings(os.environ, data_dir)
    set_local_zone(settings.time_zone)
    dems = []
    if (settings.data_dir / "catalog.sqlite").exists() or "FLYCAM_DATABASE" in os.environ:
        with open_workspace(data_dir, creates=True) as (workspace, __):
            dems = load_registered_dems(workspace)
    report = check_flight(
        parse_ingest_options(options),
        dems,
        extra_dem=options["dem"],
        datum=options["datum"],
        aoi=aoi,
        refly=refly,
        check_pixels=pixels,
        found=found,
        progress=ProgressBar(),
    )
    return format_inspection(report)


@click.command()
@add_ingest_options
@click.option("--communes", type=FILE_PATH, help="Commune boundaries to register first.")
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance in metres (default: the flight's).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option(
    "--flight", "into", metavar="ID|NAME|auto", help="Flight that the photos join, such as one filmed live."
)
@click.option(
    "--reprocess",
    "--relay",
    "reprocess",
    is_flag=True,
    help="Lay a flight on the map again on the terrain known now.",
)
@wrap_command
def ingest_command(*, data_dir: str | None, **options: Any) -> Output:
    """Photos, or a film, to a mosaic in the store, on terrain, clipped to communes."""
    if (film := find_single_video(options["paths"])) is not None:
        return ingest_video(data_dir, film, options)
    from flycam.cli.output import limit_to_one_arena
    from flycam.ingest.photos.photo_reader import prefetch_photos
    from flycam.ingest.photos.photo_search import search_photos

    limit_to_one_arena()
    with prefetch_photos(search_photos(options["paths"]).photos) as early:  # while the libraries are loaded
        from flycam.ingest.batch import ingest as ingest_flight
        from flycam.mosaic.orthorectify.flight_session import FlightLabels
        from flycam.mosaic.terrain import register_dem
        from flycam.retry import retry_on_outage

        with (
            open_workspace(data_dir, creates=True) as (opened, settings),
            open_cluster(opened, settings) as workspace,
            register_resumable_job(settings) as begun,
        ):
            if options["dem"] is not None:
                register_dem(workspace, options["dem"], options["datum"])
            if options["communes"] is not None:
                from flycam.board.layers import register_communes

                register_communes(workspace, options["communes"])
            request = replace(parse_ingest_options(options), own_dem=options["dem"])
            labels = FlightLabels(name=options["name"], event=options["event"], gsd_m=options["gsd_m"])
            how = {"reprocess": options["reprocess"], "into": options["into"], "prefetch": early}
            report = retry_on_outage(
                workspace,
                lambda progress: ingest_flight(workspace, request, labels, progress, **how),
                begun,
                print_line,
            )
            return format_ingest(report, workspace.catalog)


@click.command()
@click.argument("ref", metavar="FLIGHT|FRAME")
@click.option("--reason", required=True, help="Why; kept for ever.")
@click.option("--authority", help="Who decided (default: FLYCAM_OPERATOR or this node).")
@wrap_command
def withdraw_command(*, data_dir: str | None, ref: str, reason: str, authority: str | None) -> Output:
    """Take a flight, or one frame, out of every mosaic, with a trace."""
    from flycam.mosaic.amendments import withdraw_by_reference

    with open_workspace(data_dir) as (workspace, __):
        who = authority or workspace.operator or workspace.box
        report = withdraw_by_reference(workspace, ref, reason, who, ProgressBar())
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
                    "finished revision {revisions} held them and is no longer shown; run again: {command}",
                    revisions=", ".join(map(str, report.retired)),
                    command=format_shell_command("finish", name),
                )
            )
        return answer, lines
