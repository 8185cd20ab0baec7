"""Products of a flight: `finish`, `export`, `compare`, `report`, `pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flycam.commands.cluster import open_cluster
from flycam.commands.resumable_jobs import register_resumable_job
from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import (
    PartialFailure,
    ProgressBar,
    print_notice,
    watch_stop_requests,
    wrap_command,
)
from flycam.errors import OptionUnusable
from flycam.frame.frame import Layer
from flycam.messages import LANGUAGES, _
from flycam.report.pack_figures import PAPERS, Letterhead


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
def finish_command(
    *, data_dir: str | None, flight: str, reference: str | None, **options: Any
) -> CommandOutput:
    """A new revision to measure on: adjusted, even, without seams. Stopped or killed, run it again."""
    from flycam.answers.finish import format_finish
    from flycam.pipeline.finish.quality_report import make_reports
    from flycam.pipeline.finish.reference_source import read_reference_sigma, resolve_reference_map
    from flycam.pipeline.finish.workflow import FinishRequest, finish_flight
    from flycam.pipeline.retry import retry_on_outage

    with (
        open_workspace(data_dir) as (house, settings),
        open_cluster(house, settings) as workspace,
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
            print_notice,
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
) -> CommandOutput:
    """A flight as a Cloud-Optimized GeoTIFF with mask."""
    from flycam.answers.export import format_export
    from flycam.pipeline.mosaic_export import export_contours, export_flight, export_surface
    from flycam.pipeline.operations.audit_check import record_audit_entry

    whole = not options["with_figures"] and all(options[name] is None for name in ("commune", "crs", "gsd_m"))
    if dsm and not whole:
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
        return format_export(exported)


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
def compare_command(
    *, data_dir: str | None, before: str, after: str, out: Path, **options: Any
) -> CommandOutput:
    """What changed from BEFORE to AFTER, each a flight or a GeoTIFF; code 5 where no change can be told."""
    from flycam.analysis.change_detection import prepare_detection
    from flycam.answers.comparison import build_not_searched_error, format_comparison
    from flycam.pipeline.change.comparison import compare_sources
    from flycam.pipeline.retry import retry_on_outage

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
            print_notice,
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
) -> CommandOutput:
    """The quality report of a finished flight: how far it can be trusted, and what was left out."""
    from flycam.answers.finish import format_report_file
    from flycam.pipeline.finish.quality_report import write_report

    with open_workspace(data_dir, serves_originals=True) as (workspace, _):
        wanted = None if layer is None else Layer(layer)
        return format_report_file(write_report(workspace, flight, out, language, revision, wanted))


@click.command()
@click.argument("flights", nargs=-1, required=True, metavar="FLIGHT...")
@click.option("--out", type=FILE_PATH, required=True, metavar="DIR", help="A new folder, or an older pack.")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--paper", type=click.Choice(PAPERS), default=PAPERS[0], show_default=True)
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
) -> CommandOutput:
    """The meeting pack: quick report, maps and data in a folder that opens from a USB stick."""
    from flycam.answers.pack import format_pack
    from flycam.pipeline.briefing_pack.letterhead import read_letterhead
    from flycam.pipeline.briefing_pack.workflow import PackRequest, write_briefing_pack

    with open_workspace(data_dir, serves_originals=True) as (workspace, settings):
        given = letterhead or settings.letterhead
        request = PackRequest(
            flights=flights,
            language=language,
            paper=paper,
            letterhead=Letterhead() if given is None else read_letterhead(given),
            approved_by=approved_by,
            requested_by=asked_by,
            of_draft=of_draft,
            seen_by=seen_by,
        )
        return format_pack(write_briefing_pack(workspace, request, out, ProgressBar()))
