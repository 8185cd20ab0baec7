"""Products of a flight: `finish`, `export`, `compare`, `report`, `pack`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.cluster import open_cluster
from flycam.cli.output import (
    FILE_PATH,
    Output,
    PartialFailure,
    ProgressBar,
    format_warnings,
    open_workspace,
    print_line,
    register_resumable_job,
    watch_stop_requests,
    wrap_command,
)
from flycam.errors import OptionUnusable
from flycam.messages import LANGUAGES, Message, _, decode_message, join, ngettext
from flycam.model.flight import Layer
from flycam.model.revision_stats import (
    get_refusal,
    list_control_doubts,
    list_control_notes,
    list_notes,
    put_in_words,
)
from flycam.model.text import format_list, format_number
from flycam.model.warning import NO_TERRAIN, describe_warning, describe_warning_briefly, parse_warning_code

if TYPE_CHECKING:
    from flycam.mosaic.finish.report import FinishReport


@click.command()
@click.argument("flight")
@click.option("--surface/--no-surface", default=True, help="Measure the ground from the flight itself.")
@click.option(
    "--dsm-spacing",
    "dsm_spacing_m",
    type=float,
    help="Distance of its posts, m (default: 4 GSD, at least 0.2).",
)
@click.option("--rolling-shutter/--no-rolling-shutter", default=True, help="Use cameras' readout times.")
@click.option(
    "--held-out",
    "held_out_share",
    type=float,
    default=0.05,
    show_default=True,
    help="Share of tie points kept out of the adjustment, to report.",
)
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance, m (default: the flight's).")
@click.option("--reference", help="A map of the same ground to tie it to: a GeoTIFF, or an earlier flight.")
@click.option(
    "--reference-sigma",
    "reference_sigma_m",
    type=click.FloatRange(min=0.0),
    help="How far off it may be itself, m (1 sigma; default: what an earlier flight says of itself).",
)
@click.option("--gcp", type=FILE_PATH, help="Ground control points, OpenDroneMap's gcp_list.txt.")
@click.option("--report/--no-report", default=True, help="Make the quality report, HTML and PDF.")
@click.option("--redo", is_flag=True, help="A further revision, even if one of the same inputs stands.")
@wrap_command
def finish_command(*, data_dir: str | None, flight: str, reference: str | None, **options: Any) -> Output:
    """A new revision to measure on: adjusted, even, without seams. Stopped or killed, run it again."""
    from flycam.mosaic.export import read_reference_sigma, resolve_reference_map
    from flycam.mosaic.finish.workflow import FinishRequest, finish_flight
    from flycam.reports.quality_report import make_reports
    from flycam.retry import retry_on_outage

    with (
        open_workspace(data_dir) as (opened, settings),
        open_cluster(opened, settings) as workspace,
        watch_stop_requests() as asked_to_stop,
        register_resumable_job(settings, asked_to_stop) as begun,
    ):
        tied_to = None if reference is None else resolve_reference_map(workspace, flight, reference)
        if reference is not None and options["reference_sigma_m"] is None:
            options["reference_sigma_m"] = read_reference_sigma(workspace, reference)
        request = FinishRequest(reference=tied_to, **options)
        report = retry_on_outage(
            workspace,
            lambda progress: finish_flight(
                workspace, flight, request, progress, asked_to_stop, make_reports=make_reports
            ),
            begun,
            print_line,
            asked_to_stop,
        )
        return format_finish(report)


@click.command()
@click.argument("flight")
@click.argument("out", type=FILE_PATH)
@click.option("--revision", type=click.Choice(["live", "final"]), help="Default: final if there is one.")
@click.option("--commune", metavar="CODE", help="Clip to this commune.")
@click.option("--crs", metavar="EPSG:n", help="Default: the flight's work CRS (UTM).")
@click.option("--gsd", "gsd_m", type=float, help="Default: the flight's.")
@click.option(
    "--dsm", is_flag=True, help="The ground it was finished on instead: heights, own surface or not."
)
@click.option(
    "--figures",
    "with_figures",
    is_flag=True,
    help="Each pixel's expected error (m) and age (h) instead of its colour.",
)
@click.option("--contours", type=FILE_PATH, help="Also its contour lines: .gpkg or .geojson.")
@click.option("--contour-interval", "interval_m", type=float, default=5.0, show_default=True, help="Metres.")
@wrap_command
def export_command(
    *,
    data_dir: str | None,
    flight: str,
    out: Path,
    dsm: bool,
    contours: Path | None,
    interval_m: float,
    **options: Any,
) -> Output:
    """A flight as a Cloud-Optimized GeoTIFF with mask."""
    from flycam.access.audit import record_audit_entry
    from flycam.mosaic.export import export_contours, export_flight, export_surface

    full = not options["with_figures"] and all(options[name] is None for name in ("commune", "crs", "gsd_m"))
    if dsm and not full:
        raise OptionUnusable(
            _("--dsm is written whole, on its own posts: leave --commune, --crs, --gsd, --figures")
        )
    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        if contours is not None:
            export_contours(workspace, flight, contours, interval_m, revision=options["revision"])
        if dsm:
            exported = export_surface(workspace, flight, out, revision=options["revision"])
        else:
            exported = export_flight(workspace, flight, out, **options)
        files = [one.name for one in (out, contours) if one is not None]
        record_audit_entry(
            workspace, "export", workspace.catalog.flights.flight(flight).flight_id, ", ".join(files)
        )
        rows, cols = exported.shape_px
        answer = {
            "path": str(exported.path),
            "crs": exported.crs,
            "gsd_m": exported.gsd_m,
            "bounds": list(exported.bounds),
            **format_warnings(exported.notes),
        }
        written = _(
            "{path}: {cols}×{rows} px, {gsd_m:.3g} m a pixel, {crs}",
            path=exported.path,
            cols=cols,
            rows=rows,
            gsd_m=exported.gsd_m,
            crs=exported.crs,
        )
        return answer, [
            written,
            *(join(("  !", describe_warning(one))) for one in exported.notes),
        ]


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--out", type=FILE_PATH, required=True, help="What changed: .gpkg (layer changes) or .geojson.")
@click.option(
    "--dem", type=FILE_PATH, help="Terrain to judge by (default: a flight's, else what is registered)."
)
@click.option("--aoi", type=FILE_PATH, help="Polygons to stay inside, any CRS.")
@click.option("--event", help="Whose analyst decides (default: both flights'); two pictures may begin one.")
@click.option("--review/--no-review", "for_review", default=True, help="Put them up for review on the map.")
@wrap_command
def compare_command(*, data_dir: str | None, before: str, after: str, out: Path, **options: Any) -> Output:
    """Detect changes from BEFORE to AFTER, flights or GeoTIFFs; exit code 5 if they do not register."""
    from flycam.change.comparison import compare_sources
    from flycam.change.detection import prepare_detection
    from flycam.cli.changes import build_not_searched_error, format_comparison
    from flycam.retry import retry_on_outage

    with (
        open_workspace(data_dir, creates=True, serves_originals=True) as (workspace, settings),
        register_resumable_job(settings) as begun,
    ):
        found = retry_on_outage(
            workspace,
            lambda progress: compare_sources(
                workspace, before, after, out, prepare_detection, progress=progress, **options
            ),
            begun,
            print_line,
        )
        answered = format_comparison(found)
    if not found.is_detected:
        raise PartialFailure(*answered, build_not_searched_error(found.path.name))
    return answered


@click.command()
@click.argument("flight")
@click.argument("out", type=FILE_PATH, metavar="OUT.pdf|OUT.html")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--revision", type=click.IntRange(min=1), help="Default: the one on show.")
@click.option("--layer", type=click.Choice([layer.value for layer in Layer]), help="Default: the main one.")
@wrap_command
def report_command(
    *, data_dir: str | None, flight: str, out: Path, language: str, revision: int | None, layer: str | None
) -> Output:
    """The quality report of a finished flight: how far it can be trusted, and what was left out."""
    from flycam.reports.quality_report import write_report

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        wanted = None if layer is None else Layer(layer)
        written = write_report(workspace, flight, out, language, revision, wanted)
        answer = {
            "path": str(written.path),
            "flight_id": written.flight.flight_id,
            "revision": written.revision,
            "language": written.language,
            "bytes": written.bytes,
        }
        line = _(
            "{path}: quality report of {name}, revision {revision}",
            path=written.path,
            name=written.flight.name,
            revision=written.revision,
        )
        return answer, [line]


@click.command()
@click.argument("flights", nargs=-1, required=True, metavar="FLIGHT...")
@click.option("--out", type=FILE_PATH, required=True, metavar="DIR", help="A new folder, or an older pack.")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--paper", type=click.Choice(("a4", "a3")), default="a4", show_default=True)
@click.option("--letterhead", type=FILE_PATH, help="JSON or YAML (default: FLYCAM_LETTERHEAD, else dots).")
@click.option("--approved-by", default="", metavar="NAME", help="The leader who approved it (else a draft).")
@click.option("--asked-by", default="", metavar="NAME", help="Who asked for it (default: the operator).")
@click.option("--of-draft", default="", metavar="SHA256", help="Its content_sha256, where a draft was read.")
@click.option("--as", "seen_by", default="", metavar="ACCOUNT", help="Only what that account may see.")
@wrap_command
def pack_command(
    *,
    data_dir: str | None,
    flights: tuple[str, ...],
    out: Path,
    language: str,
    paper: str,
    letterhead: Path | None,
    approved_by: str,
    asked_by: str,
    of_draft: str,
    seen_by: str,
) -> Output:
    """The meeting pack: quick report, maps and data in a folder that opens from a USB stick."""
    from flycam.reports.briefing.figures import Letterhead
    from flycam.reports.briefing.workflow import PackRequest, read_letterhead, write_briefing_pack

    with open_workspace(data_dir, serves_originals=True) as (workspace, settings):
        letterhead_path = letterhead or settings.letterhead
        request = PackRequest(
            flights=flights,
            language=language,
            paper=paper,
            letterhead=Letterhead() if letterhead_path is None else read_letterhead(letterhead_path),
            approved_by=approved_by,
            requested_by=asked_by,
            of_draft=of_draft,
            seen_by=seen_by,
        )
        made = write_briefing_pack(workspace, request, out, ProgressBar())
        answer = {
            "files": [str(path) for path in made.files],
            "out": str(made.out),
            "flights": list(made.flights),
            "flights_seen": list(made.flights_seen),
            "communes": list(made.communes),
            "drill": made.is_drill,
            "draft": made.is_draft,
            "classification": made.classification.value,
            "manifest_sha256": made.manifest_sha256,
            "content_sha256": made.content_sha256,
            "seconds": round(made.seconds, 3),
            **format_warnings(made.notes),
        }
        sentences = [
            _(
                "{folder}: files: {file_count}, communes: {commune_count}; open {page}",
                folder=made.out,
                file_count=len(made.files),
                commune_count=len(made.communes),
                page=made.out / "index.html",
            )
        ]
        if made.is_draft:
            sentences.append(
                _("  a draft: once a leader has approved it, run again with --approved-by 'NAME'")
            )
        notes = [join(("  !", describe_warning(one))) for one in made.notes]
        return answer, [*sentences, *notes]


# -- Answer of `export` ----------------------------------------------------------------------------


# -- Answers of `finish` and `report` --------------------------------------------------------------


def format_finish(report: FinishReport) -> Output:
    """Return revision, tie_points, reprojection_px, sigmas, shift_m and more.

    Keys also are sigma_xy_m, sigma_z_m and seconds. All figures are of the layer by which the flight is
    shown; the other layers are in `layers`.
    """
    main = report.main
    stats: Mapping[str, Any] = main.stats if main else {}
    # what people should look into: doubts of control, and contradictions between the block and its metadata
    warnings = [*list_control_doubts(stats), *list_notes(stats), *_warnings(report)]
    besides = [describe_warning(one) for one in report.notes]
    # why a layer was skipped, or its photos kept their recorded poses
    answer = {
        "flight_id": report.flight.flight_id,
        "name": report.flight.name,
        "revision": main.revision if main else None,
        "new": report.layers[0].new,
        **put_in_words({key: stats.get(key) for key in _FINISH_FIGURES}),
        "warnings": [str(one) for one in warnings],
        "warnings_vi": [one.in_language("vi") for one in warnings],
        "done_besides": [str(one) for one in besides],
        "done_besides_vi": [one.in_language("vi") for one in besides],
        "layers": [
            {
                "layer": one.layer,
                "revision": one.record.revision if one.record else None,
                "new": one.new,
                "mended": one.repaired,
                "instead_of": one.instead_of,
                "accepted": one.record.stats.get("accepted") if one.record else None,
                "why": str((one.why or (get_refusal(one.record.stats) if one.record else None)) or ""),
            }
            for one in report.layers
        ],
        "stage_seconds": stats.get("seconds"),
        "seconds": round(report.seconds, 3),
    }
    return answer, [*_lines(report, stats), *(join(["  * ", one], "") for one in besides)]


_FINISH_FIGURES = (
    "accepted",
    "why",
    "notes",
    "frames",
    "tie_points",
    "observations",
    "reprojection_px",
    "held_out_px",
    "sigma_xy_m",
    "sigma_z_m",
    "shift_m",
    "shift_sigma_m",
    "check_m",
    "map_error_m",
    "windows",
    "control",
    "surface",
    "rolling_shutter",
)


def _lines(report: FinishReport, stats: Mapping[str, Any]) -> list[Message]:
    """Describe the result for people: the revision, then what is not in it."""
    name, main = report.flight.name, report.main
    skipped = [
        _("  [left out] {layer}: {why}", layer=one.layer, why=one.why)
        for one in report.layers
        if one.record is None
    ]
    if main is None:
        return [_("{name}: nothing was finished", name=name), *skipped]
    if not report.layers[0].new:
        return [_describe_standing(report, main.revision), *skipped]
    frames = stats["frames"]
    made = _(
        "{name}: revision {revision} from {used} frames, {seconds:.0f} s",
        name=name,
        revision=main.revision,
        used=frames["used"],
        seconds=report.seconds,
    )
    left_out = [
        _("  [left out] {name}: {why}", name=one["name"], why=decode_message(one["sentence"]))
        for one in frames["left_out"]
    ]
    return [
        made,
        *_placed(stats),
        *_map_error(stats),
        *_surface(stats),
        *_shutter(stats),
        *(join(["  ! ", one], "") for one in _warnings(report)),
        *(join(["  ", one], "") for one in (*list_control_notes(stats), *list_notes(stats))),
        *left_out,
        *skipped,
    ]


def _describe_standing(report: FinishReport, revision: int) -> Message:
    """Describe a revision that stands, and how many of its tiles were made again."""
    name, before = report.flight.name, report.layers[0].instead_of
    stands = (
        _(
            "{name}: revision {revision} is current; nothing has changed since it was made",
            name=name,
            revision=revision,
        )
        if before is None
        else _(
            "{name}: revision {revision} is current, and is on show again instead of revision {before}",
            name=name,
            revision=revision,
            before=before,
        )
    )
    if not (mended := sum(one.repaired for one in report.layers)):
        return stands
    return _(
        "{stands}; {count} of its tiles were lost or damaged and were made again", stands=stands, count=mended
    )


def _placed(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield how the frames were placed: by the adjustment, or as recorded."""
    if not stats["accepted"]:
        yield _("  poses as recorded were kept: {why}", why=get_refusal(stats) or "")
        return
    yield _(
        "  {ties} tie points, reprojection {error} (held out {held_out}); the cameras within the block "
        "± {plan} in plan, ± {height} in height",
        ties=stats["tie_points"],
        error=_metric(stats["reprojection_px"], "px"),
        held_out=_metric(stats["held_out_px"], "px"),
        plan=_metric(stats["sigma_xy_m"], "m"),
        height=_metric(stats["sigma_z_m"], "m"),
    )
    yield _(
        "  the cameras moved by {shift} m (east, north, up) on the whole; what stays unknown of the block's "
        "place: ± {unknown} m",
        shift=_triple(stats["shift_m"]),
        unknown=_triple(stats["shift_sigma_m"]),
    )


def _map_error(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield the error of places, if the report measured it over the map."""
    error = stats.get("map_error_m")
    if error and error["median"] is not None:
        yield _(
            "  expected error of a place on the map (1 sigma, the common shift apart): up to {median} on "
            "half of it, {p95} on 95 %",
            median=_metric(error["median"], "m"),
            p95=_metric(error["p95"], "m"),
        )


def _surface(stats: Mapping[str, Any]) -> Iterator[Message]:
    if surface := stats["surface"]:
        yield _(
            "  surface of its own under {share} % of the ground, posts every {spacing} m",
            share=format_number(surface["supported_pct"], 0),
            spacing=format_number(surface["spacing_m"], 2),
        )


def _shutter(stats: Mapping[str, Any]) -> Iterator[Message]:
    if (rows := stats.get("rolling_shutter")) and rows["frames"]:
        yield ngettext(
            "  rolling shutter taken into account in {count} frame: without it its outermost rows would "
            "be off by up to {most}",
            "  rolling shutter taken into account in {count} frames: without it their outermost rows would "
            "be off by up to {most}",
            rows["frames"],
            most=_metric(rows["most_px"], "px"),
        )


def _warnings(report: FinishReport) -> list[Message]:
    """List what the revision could not determine.

    That is ground outside its DSM, the shutter's readout, the place of photos that nothing ties; and photos
    whose recorded poses were wrong.
    """
    from flycam.mosaic.finish.revisions import list_readout_warnings

    ground = [one for one in report.flight.warnings if parse_warning_code(one) == NO_TERRAIN]
    readout = list_readout_warnings(report.main.stats) if report.main else ()
    return [
        *(describe_warning_briefly(one, finished=True) for one in ground),
        *(describe_warning(one) for one in readout),
        *(_misplaced(report.main.stats) if report.main else ()),
    ]


def _misplaced(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield photos that were recorded at wrong or unknown places."""
    frames: Mapping[str, Any] = stats.get("frames") or {}
    if found := frames.get("resected"):
        yield _(
            "{names}: neighbours contradict the recorded position or heading (off by up to {moved}, "
            "{turned}°); both were found again from the pictures",
            names=format_list([one["name"] for one in found]),
            moved=_metric(max(one["moved_m"] for one in found), "m"),
            turned=format_number(max(one["turned_deg"] for one in found), 0),
        )
    if carried := frames.get("carried_names"):
        yield _(
            "{names}: could not be tied to any photo; placed as recorded, only where no "
            "other photo sees the ground: do not measure there, fly it again",
            names=format_list(carried),
        )


def _metric(value: float | None, unit: str) -> Message:
    number = format_number(value, 2)
    return number if value is None else join([number, unit])


def _triple(values: Sequence[float | None]) -> Message:
    """Format east, north, up; a decimal comma is not used as separator too."""
    east, north, up = (format_number(value, 2) for value in values)
    return _("{east}, {north}, {up}", east=east, north=north, up=up)


# -- Answer of `pack` ------------------------------------------------------------------------------
