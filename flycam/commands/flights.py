"""Flights from photos and videos: `inspect`, `ingest` and `withdraw`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from flycam.commands.cluster import open_cluster
from flycam.commands.ingest_options import add_ingest_options, parse_ingest_options
from flycam.commands.resumable_jobs import register_resumable_job
from flycam.commands.video import find_recordings, find_single_video, ingest_video, inspect_recordings
from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import ProgressBar, print_notice, wrap_command
from flycam.frame.timestamp import set_local_zone
from flycam.settings import read_settings


@click.command()
@add_ingest_options
@click.option("--aoi", type=FILE_PATH, help="Area of interest: gaps are looked for inside it.")
@click.option("--refly", type=FILE_PATH, help="Write the missing ground as KML, to fly it.")
@click.option("--pixels/--no-pixels", default=True, help="Also look for blur and a covered lens.")
@wrap_command
def inspect_command(
    *, data_dir: str | None, aoi: Path | None, refly: Path | None, pixels: bool, **options: Any
) -> CommandOutput:
    """What is this flight, film or log, and what is wrong with it? Writes nothing but the KML asked for."""
    from flycam.ingest.photo.photo_search import search_photos

    found = search_photos(options["paths"])
    if recordings := find_recordings(found, options["paths"]):
        return inspect_recordings(recordings, options["telemetry"])
    from flycam.answers.flights import format_inspection
    from flycam.pipeline.preflight_report import check_flight
    from flycam.pipeline.terrain import load_registered_dems

    settings = read_settings(os.environ, data_dir)
    set_local_zone(settings.time_zone)
    dems = []
    if (settings.data_dir / "catalog.sqlite").exists() or "FLYCAM_DATABASE" in os.environ:
        with open_workspace(data_dir, creates=True) as (workspace, _):
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
def ingest_command(*, data_dir: str | None, **options: Any) -> CommandOutput:
    """Photos, or a film, to a mosaic in the store, on terrain, clipped to communes."""
    if (film := find_single_video(options["paths"])) is not None:
        return ingest_video(data_dir, film, options)
    from flycam.commands.memory_allocation import limit_to_one_arena
    from flycam.ingest.photo.photo_search import search_photos
    from flycam.pipeline.photo_checks import prefetch_pixel_checks

    limit_to_one_arena()
    with prefetch_pixel_checks(
        search_photos(options["paths"]).photos
    ) as early:  # while the libraries are loaded
        from flycam.answers.flights import format_ingest
        from flycam.pipeline.batch import ingest as ingest_flight
        from flycam.pipeline.orthorectification.flight_session import FlightLabels
        from flycam.pipeline.retry import retry_on_outage
        from flycam.pipeline.terrain import register_dem

        with (
            open_workspace(data_dir, creates=True) as (house, settings),
            open_cluster(house, settings) as workspace,
            register_resumable_job(settings) as begun,
        ):
            if options["dem"] is not None:
                register_dem(workspace, options["dem"], options["datum"])
            if options["communes"] is not None:
                from flycam.pipeline.commune_boundaries import register_communes

                register_communes(workspace, options["communes"])
            request = replace(parse_ingest_options(options), own_dem=options["dem"])
            labels = FlightLabels(name=options["name"], event=options["event"], gsd_m=options["gsd_m"])
            how = {"reprocess": options["reprocess"], "into": options["into"], "prefetch": early}
            report = retry_on_outage(
                workspace,
                lambda progress: ingest_flight(workspace, request, labels, progress, **how),
                begun,
                print_notice,
            )
            return format_ingest(report, workspace.catalog)


@click.command()
@click.argument("ref", metavar="FLIGHT|FRAME")
@click.option("--reason", required=True, help="Why; kept for ever.")
@click.option("--authority", help="Who decided (default: FLYCAM_OPERATOR or this box).")
@wrap_command
def withdraw_command(*, data_dir: str | None, ref: str, reason: str, authority: str | None) -> CommandOutput:
    """Take a flight, or one frame, out of every mosaic, with a trace."""
    from flycam.answers.flights import format_withdrawal
    from flycam.pipeline.withdrawal import withdraw_by_reference

    with open_workspace(data_dir) as (workspace, _):
        who = authority or workspace.operator or workspace.box
        report = withdraw_by_reference(workspace, ref, reason, who, ProgressBar())
        return format_withdrawal(report)
