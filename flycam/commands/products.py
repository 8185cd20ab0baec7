"""What is made of a flight: `finish`, `export`, `compare`, `report`, `pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flycam.commands.clustering import clustered
from flycam.commands.going_on import gone_on_with
from flycam.commands.house import FILE, Result, opened
from flycam.console import AnsweredWithTrouble, ProgressBar, command, say_aside, stop_requests
from flycam.console import language as spoken
from flycam.errors import OptionUnusable
from flycam.frame.frame import Layer
from flycam.messages import _
from flycam.report.pack_figures import PAPERS, Letterhead
from flycam.report.words import LANGUAGES


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
@click.option("--gcp", type=FILE, help="Ground control points, OpenDroneMap's gcp_list.txt.")
@click.option("--report/--no-report", default=True, help="Make the quality report, HTML and PDF.")
@click.option("--redo", is_flag=True, help="A further revision, even if one of the same inputs stands.")
@command
def finish(*, data_dir: str | None, flight: str, reference: str | None, **options: Any) -> Result:
    """A new revision to measure on: adjusted, even, without seams. Stopped or killed, run it again."""
    from flycam.answers.finished import of_finish
    from flycam.pipeline.finish.recipe import FinishRequest
    from flycam.pipeline.finish.recipe import finish as finish_flight
    from flycam.pipeline.finish.reference_flight import reference_map, reference_sigma_m
    from flycam.pipeline.outlasting import outlasting

    with (
        opened(data_dir) as (house, settings),
        clustered(house, settings) as workspace,
        stop_requests() as asked_to_stop,
        gone_on_with(settings, asked_to_stop) as begun,
    ):
        tied_to = None if reference is None else reference_map(workspace, flight, reference)
        if reference is not None and options["reference_sigma_m"] is None:
            options["reference_sigma_m"] = reference_sigma_m(workspace, reference)
        request = FinishRequest(reference=tied_to, **options)
        report = outlasting(
            workspace,
            lambda progress: finish_flight(workspace, flight, request, progress, asked_to_stop),
            begun,
            say_aside,
            asked_to_stop,
        )
        return of_finish(report, spoken())


@click.command()
@click.argument("flight")
@click.argument("out", type=FILE)
@click.option("--revision", type=click.Choice(["live", "final"]), help="Default: final if there is one.")
@click.option("--commune", metavar="CODE", help="Clip to this commune.")
@click.option("--crs", metavar="EPSG:n", help="Default: the flight's work CRS (UTM).")
@click.option("--gsd", "gsd_m", type=float, help="Default: the flight's.")
@click.option(
    "--dsm", is_flag=True, help="The ground it was finished on instead: heights, own surface or not."
)
@click.option(
    "--figures", is_flag=True, help="Each pixel's expected error (m) and age (h) instead of its colour."
)
@click.option("--contours", type=FILE, help="Also its contour lines: .gpkg or .geojson.")
@click.option("--contour-interval", "interval_m", type=float, default=5.0, show_default=True, help="Metres.")
@command
def export(
    *,
    data_dir: str | None,
    flight: str,
    out: Path,
    dsm: bool,
    contours: Path | None,
    interval_m: float,
    **options: Any,
) -> Result:
    """A flight as a Cloud-Optimized GeoTIFF with mask."""
    from flycam.answers.exported import of_export
    from flycam.pipeline.export import export_contours, export_flight, export_surface
    from flycam.pipeline.upkeep.audit import on_record

    whole = not options["figures"] and all(options[name] is None for name in ("commune", "crs", "gsd_m"))
    if dsm and not whole:
        raise OptionUnusable(
            _("--dsm is written whole, on its own posts: leave --commune, --crs, --gsd, --figures")
        )
    with opened(data_dir, hands_out=True) as (workspace, __):
        if contours is not None:
            export_contours(workspace, flight, contours, interval_m, revision=options["revision"])
        if dsm:
            exported = export_surface(workspace, flight, out, revision=options["revision"])
        else:
            exported = export_flight(workspace, flight, out, **options)
        files = [one.name for one in (out, contours) if one is not None]
        on_record(workspace, "export", workspace.catalog.flights.flight(flight).flight_id, ", ".join(files))
        return of_export(exported, spoken())


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--out", type=FILE, required=True, help="What changed: .gpkg (layer changes) or .geojson.")
@click.option("--dem", type=FILE, help="Terrain to judge by (default: a flight's, else what is registered).")
@click.option("--aoi", type=FILE, help="Polygons to stay inside, any CRS.")
@click.option("--event", help="Whose analyst decides (default: both flights'); two pictures may begin one.")
@click.option("--review/--no-review", "for_review", default=True, help="Put them up for review on the map.")
@command
def compare(*, data_dir: str | None, before: str, after: str, out: Path, **options: Any) -> Result:
    """What changed from BEFORE to AFTER, each a flight or a GeoTIFF; code 5 where no change can be told."""
    from flycam.analysis.change import detecting
    from flycam.answers.compared import nothing_looked_for, of_compare
    from flycam.pipeline.change.compare import compare as compare_sides
    from flycam.pipeline.outlasting import outlasting

    with (
        opened(data_dir, begins=True, hands_out=True) as (workspace, settings),
        gone_on_with(settings) as begun,
    ):
        found = outlasting(
            workspace,
            lambda progress: compare_sides(
                workspace, before, after, out, detecting, progress=progress, **options
            ),
            begun,
            say_aside,
        )
        answered = of_compare(found, spoken())
    if not found.looked_for:
        raise AnsweredWithTrouble(*answered, nothing_looked_for(found.path.name))
    return answered


@click.command()
@click.argument("flight")
@click.argument("out", type=FILE, metavar="OUT.pdf|OUT.html")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--revision", type=click.IntRange(min=1), help="Default: the one on show.")
@click.option("--layer", type=click.Choice([layer.value for layer in Layer]), help="Default: the main one.")
@command
def report(
    *, data_dir: str | None, flight: str, out: Path, language: str, revision: int | None, layer: str | None
) -> Result:
    """The quality report of a finished flight: how far it can be trusted, and what was left out."""
    from flycam.answers.finished import of_report
    from flycam.pipeline.finish.quality_report import write_report

    with opened(data_dir, hands_out=True) as (workspace, _):
        wanted = None if layer is None else Layer(layer)
        return of_report(write_report(workspace, flight, out, language, revision, wanted), spoken())


@click.command()
@click.argument("flights", nargs=-1, required=True, metavar="FLIGHT...")
@click.option("--out", type=FILE, required=True, metavar="DIR", help="A new folder, or an older pack.")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--paper", type=click.Choice(PAPERS), default=PAPERS[0], show_default=True)
@click.option("--letterhead", type=FILE, help="JSON or YAML (default: FLYCAM_LETTERHEAD, else dots).")
@click.option("--approved-by", default="", metavar="NAME", help="The leader who approved it (else a draft).")
@click.option("--asked-by", default="", metavar="NAME", help="Who asked for it (default: the operator).")
@click.option("--of-draft", default="", metavar="SHA256", help="Its content_sha256, where a draft was read.")
@click.option("--as", "seen_by", default="", metavar="ACCOUNT", help="Only what that account may see.")
@command
def pack(
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
) -> Result:
    """The meeting pack: quick report, maps and data in a folder that opens from a USB stick."""
    from flycam.answers.packed import of_pack
    from flycam.pipeline.pack.letterhead import read_letterhead
    from flycam.pipeline.pack.recipe import PackRequest
    from flycam.pipeline.pack.recipe import pack as pack_flights

    with opened(data_dir, hands_out=True) as (workspace, settings):
        given = letterhead or settings.letterhead
        request = PackRequest(
            flights=flights,
            language=language,
            paper=paper,
            letterhead=Letterhead() if given is None else read_letterhead(given),
            approved_by=approved_by,
            asked_by=asked_by,
            of_draft=of_draft,
            seen_by=seen_by,
        )
        return of_pack(pack_flights(workspace, request, out, ProgressBar()), spoken())
