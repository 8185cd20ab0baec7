"""Photos and films in: `inspect`, `ingest`, and out again: `withdraw`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from flycam.commands.clustering import clustered
from flycam.commands.filming import film_among, ingested_film, inspected_recordings, recordings_among
from flycam.commands.going_on import gone_on_with
from flycam.commands.house import FILE, Result, opened
from flycam.commands.survey_options import survey_options, survey_request
from flycam.console import ProgressBar, command, language, say_aside
from flycam.frame.moment import use_zone
from flycam.settings import read_settings


@click.command()
@survey_options
@click.option("--aoi", type=FILE, help="Area of interest: gaps are looked for inside it.")
@click.option("--refly", type=FILE, help="Write the missing ground as KML, to fly it.")
@click.option("--pixels/--no-pixels", default=True, help="Also look for blur and a covered lens.")
@command
def inspect(
    *, data_dir: str | None, aoi: Path | None, refly: Path | None, pixels: bool, **options: Any
) -> Result:
    """What is this flight, film or log, and what is wrong with it? Writes nothing but the KML asked for."""
    from flycam.ingest.photo.search import search

    found = search(options["paths"])
    if recordings := recordings_among(found, options["paths"]):
        return inspected_recordings(recordings, options["telemetry"])
    from flycam.answers.flights import of_inspection
    from flycam.pipeline.inspection import inspect_flight
    from flycam.pipeline.terrain import registered_dems

    settings = read_settings(os.environ, data_dir)
    use_zone(settings.time_zone)
    dems = []
    if (settings.data_dir / "catalog.sqlite").exists() or "FLYCAM_DATABASE" in os.environ:
        with opened(data_dir, begins=True) as (workspace, _):
            dems = registered_dems(workspace)
    report = inspect_flight(
        survey_request(options),
        dems,
        extra_dem=options["dem"],
        datum=options["datum"],
        aoi=aoi,
        refly=refly,
        check_pixels=pixels,
        found=found,
        progress=ProgressBar(),
    )
    return of_inspection(report, language())


@click.command()
@survey_options
@click.option("--communes", type=FILE, help="Commune boundaries to register first.")
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance in metres (default: the flight's).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option(
    "--flight", "into", metavar="ID|NAME|auto", help="Flight that the photos join, such as one filmed live."
)
@click.option("--relay", is_flag=True, help="Lay a flight on the map again on the terrain known now.")
@command
def ingest(*, data_dir: str | None, **options: Any) -> Result:
    """Photos, or a film, to a mosaic in the store, on terrain, clipped to communes."""
    if (film := film_among(options["paths"])) is not None:
        return ingested_film(data_dir, film, options)
    from flycam.commands.heap import keep_one_heap
    from flycam.ingest.photo.search import search
    from flycam.pipeline.pictures import looking_early

    keep_one_heap()
    with looking_early(search(options["paths"]).photos) as early:  # while all the rest is loaded
        from flycam.answers.flights import of_ingest
        from flycam.pipeline.batch import ingest as ingest_flight
        from flycam.pipeline.laying.opening import Labels
        from flycam.pipeline.outlasting import outlasting
        from flycam.pipeline.terrain import register_dem

        with (
            opened(data_dir, begins=True) as (house, settings),
            clustered(house, settings) as workspace,
            gone_on_with(settings) as begun,
        ):
            if options["dem"] is not None:
                register_dem(workspace, options["dem"], options["datum"])
            if options["communes"] is not None:
                from flycam.pipeline.boundaries import register_communes

                register_communes(workspace, options["communes"])
            request = replace(survey_request(options), own_dem=options["dem"])
            labels = Labels(name=options["name"], event=options["event"], gsd_m=options["gsd_m"])
            how = {"relay": options["relay"], "into": options["into"], "early": early}
            report = outlasting(
                workspace,
                lambda progress: ingest_flight(workspace, request, labels, progress, **how),
                begun,
                say_aside,
            )
            return of_ingest(report, workspace.catalog, language())


@click.command()
@click.argument("ref", metavar="FLIGHT|FRAME")
@click.option("--reason", required=True, help="Why; kept for ever.")
@click.option("--authority", help="Who decided (default: FLYCAM_OPERATOR or this box).")
@command
def withdraw(*, data_dir: str | None, ref: str, reason: str, authority: str | None) -> Result:
    """Take a flight, or one frame, out of every mosaic, with a trace."""
    from flycam.answers.flights import of_withdrawal
    from flycam.pipeline.withdraw import withdraw as withdraw_frames

    with opened(data_dir) as (workspace, _):
        who = authority or workspace.operator or workspace.box
        report = withdraw_frames(workspace, ref, reason, who, ProgressBar())
        return of_withdrawal(report, language())
