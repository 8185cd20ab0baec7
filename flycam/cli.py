"""The commands. Each opens the house, calls one recipe, and says what came of it."""

from __future__ import annotations

import math
import os
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import cv2

from flycam import __version__, answers
from flycam.catalog.catalog import open_catalog
from flycam.catalog.records import Role
from flycam.console import Answer, ProgressBar, command, stop_requests
from flycam.drill.drill import write_drill
from flycam.drill.terrain_model import typical_error
from flycam.errors import InputUnusable, StorageTrouble
from flycam.frame.frame import Layer
from flycam.pipeline.batch import ingest as ingest_flight
from flycam.pipeline.boundaries import register_communes
from flycam.pipeline.collect import DAY_S, GRACE_S
from flycam.pipeline.collect import collect as collect_old
from flycam.pipeline.demo import run_demo
from flycam.pipeline.doctor import examine
from flycam.pipeline.export import export_contours, export_flight, export_surface
from flycam.pipeline.finish import FinishRequest
from flycam.pipeline.finish import finish as finish_flight
from flycam.pipeline.inspection import inspect_flight
from flycam.pipeline.opening import Labels
from flycam.pipeline.people import add_user
from flycam.pipeline.report import write_report
from flycam.pipeline.survey import SurveyRequest
from flycam.pipeline.terrain import register_dem, registered_dems, remove_dem
from flycam.pipeline.withdraw import withdraw as withdraw_frames
from flycam.pipeline.workspace import Workspace
from flycam.report.words import LANGUAGES
from flycam.serve.running import serve as serve_map
from flycam.serve.services import Services, is_loopback
from flycam.serve.sessions import read_key
from flycam.settings import Settings, read_settings
from flycam.store.opening import open_store

Result = tuple[Answer, Sequence[str]]

FILE = click.Path(path_type=Path)
_LONGEST_OFFSET_S = 10 * 365.25 * 86_400
DATUM = click.Choice(["EGM96", "EGM2008", "ELLIPSOID", "LOCAL"])


def main() -> None:
    """Entry point. Frames are worked on in threads of our own, so OpenCV keeps to one each.

    What OpenCV's codecs remark about odd tags is no news to an operator; what fails raises.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    flycam()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def flycam() -> None:
    """Drone flights over mountains into a map that a disaster command room can trust."""


@contextmanager
def _opened(data_dir: str | None) -> Iterator[tuple[Workspace, Settings]]:
    settings = read_settings(os.environ, data_dir)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageTrouble(
            f"{settings.data_dir}: cannot be made or used as data folder ({error.strerror}); choose another "
            "with --data"
        ) from error
    with open_catalog(settings.database_url) as catalog:
        workspace = Workspace(
            store=open_store(settings.store_url),
            catalog=catalog,
            box=settings.box,
            cache_dir=settings.data_dir / "cache",
            operator=settings.operator,
        )
        yield workspace, settings


def _survey_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how a flight is to be read, for `inspect` and `ingest` alike."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, required=True, type=FILE),
            click.option("--telemetry", type=FILE, help="Flight log, or poses (CSV, OpenSfM, ODM)."),
            click.option(
                "--layer",
                type=click.Choice([layer.value for layer in Layer]),
                help="What the pixels show, where tags are silent or wrong.",
            ),
            click.option("--camera", type=FILE, help="Camera file (JSON or YAML) that beats the photos."),
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
            click.option("--dem", type=FILE, help="Terrain to register first."),
            click.option("--datum", type=DATUM, help="Height datum of --dem."),
        ]
    ):
        function = option(function)
    return function


def _takeoff(text: str | None) -> float | tuple[float, float] | None:
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
            raise InputUnusable(
                f"--takeoff {text}: no latitude is {numbers[1]:g}°; longitude comes first: "
                f"--takeoff {numbers[1]:g},{numbers[0]:g}"
            )
    raise InputUnusable(f"--takeoff {text}: give LON,LAT in degrees or a height in metres")


def _request(options: dict[str, Any]) -> SurveyRequest:
    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _LONGEST_OFFSET_S:
        raise InputUnusable(f"--clock-offset {offset_s:g}: give seconds, at most ten years of them")
    return SurveyRequest(
        paths=tuple(options["paths"]),
        telemetry=options["telemetry"],
        camera=options["camera"],
        height_mode=options["height_mode"],
        takeoff=_takeoff(options["takeoff"]),
        clock_offset_s=options["clock_offset_s"],
        layer=options["layer"],
    )


@flycam.command()
@_survey_options
@click.option("--aoi", type=FILE, help="Area of interest: gaps are looked for inside it.")
@click.option("--refly", type=FILE, help="Write the missing ground as KML, to fly it.")
@click.option("--pixels/--no-pixels", default=True, help="Also look for blur and a covered lens.")
@command
def inspect(
    *, data_dir: str | None, aoi: Path | None, refly: Path | None, pixels: bool, **options: Any
) -> Result:
    """What is this flight, and what is wrong with it? Writes nothing but the KML asked for."""
    settings = read_settings(os.environ, data_dir)
    dems = []
    if (settings.data_dir / "catalog.sqlite").exists() or "FLYCAM_DATABASE" in os.environ:
        with _opened(data_dir) as (workspace, _):
            dems = registered_dems(workspace)
    report = inspect_flight(
        _request(options),
        dems,
        extra_dem=options["dem"],
        datum=options["datum"],
        aoi=aoi,
        refly=refly,
        check_pixels=pixels,
        progress=ProgressBar(),
    )
    return answers.of_inspection(report)


@flycam.command()
@_survey_options
@click.option("--communes", type=FILE, help="Commune boundaries to register first.")
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance in metres (default: the flight's).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option("--relay", is_flag=True, help="Lay a flight on the map again on the terrain known now.")
@command
def ingest(*, data_dir: str | None, **options: Any) -> Result:
    """Photos to a mosaic in the store, on terrain, clipped to communes."""
    with _opened(data_dir) as (workspace, _):
        if options["dem"] is not None:
            register_dem(workspace, options["dem"], options["datum"])
        if options["communes"] is not None:
            register_communes(workspace, options["communes"])
        report = ingest_flight(
            workspace,
            _request(options),
            Labels(name=options["name"], event=options["event"], gsd_m=options["gsd_m"]),
            ProgressBar(),
            relay=options["relay"],
        )
        return answers.of_ingest(report, workspace.catalog)


@flycam.command()
@click.argument("ref", metavar="FLIGHT|FRAME")
@click.option("--reason", required=True, help="Why; kept for ever.")
@click.option("--authority", help="Who decided (default: FLYCAM_OPERATOR or this box).")
@command
def withdraw(*, data_dir: str | None, ref: str, reason: str, authority: str | None) -> Result:
    """Take a flight, or one frame, out of every mosaic, with a trace."""
    with _opened(data_dir) as (workspace, _):
        who = authority or workspace.operator or workspace.box
        return answers.of_withdrawal(withdraw_frames(workspace, ref, reason, who, ProgressBar()))


@flycam.command()
@click.argument("flight")
@click.option("--surface/--no-surface", default=True, help="Measure the ground from the flight itself.")
@click.option("--dsm-spacing", "dsm_spacing_m", type=float, help="Distance of its posts, m (default: 4 GSD).")
@click.option("--rolling-shutter/--no-rolling-shutter", default=True, help="Use cameras' readout times.")
@click.option(
    "--held-out",
    "held_out_share",
    type=float,
    default=FinishRequest().held_out_share,
    show_default=True,
    help="Share of tie points kept out of the adjustment, to report.",
)
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance, m (default: the flight's).")
@click.option("--reference", type=FILE, help="A map of the same ground (GeoTIFF) to tie the flight to.")
@click.option("--gcp", type=FILE, help="Ground control points, OpenDroneMap's gcp_list.txt.")
@click.option("--report/--no-report", default=True, help="Make the quality report, HTML and PDF.")
@click.option("--redo", is_flag=True, help="A further revision, even if one of the same inputs stands.")
@command
def finish(*, data_dir: str | None, flight: str, **options: Any) -> Result:
    """A new revision to measure on: adjusted, even, without seams. Stopped or killed, run it again."""
    with _opened(data_dir) as (workspace, _), stop_requests() as asked_to_stop:
        report = finish_flight(workspace, flight, FinishRequest(**options), ProgressBar(), asked_to_stop)
        return answers.of_finish(report)


@flycam.command()
@click.argument("flight")
@click.argument("out", type=FILE)
@click.option("--revision", type=click.Choice(["live", "final"]), help="Default: final if there is one.")
@click.option("--commune", metavar="CODE", help="Clip to this commune.")
@click.option("--crs", metavar="EPSG:n", help="Default: the flight's work CRS (UTM).")
@click.option("--gsd", "gsd_m", type=float, help="Default: the flight's.")
@click.option(
    "--dsm", is_flag=True, help="The ground it was finished on instead: heights, own surface or not."
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
    if dsm and any(options[name] is not None for name in ("commune", "crs", "gsd_m")):
        raise click.UsageError("--dsm is written whole, on its own posts: leave --commune, --crs, --gsd")
    with _opened(data_dir) as (workspace, _):
        if contours is not None:
            export_contours(workspace, flight, contours, interval_m, revision=options["revision"])
        if dsm:
            return answers.of_export(export_surface(workspace, flight, out, revision=options["revision"]))
        return answers.of_export(export_flight(workspace, flight, out, **options))


@flycam.command()
@click.argument("flight")
@click.argument("out", type=FILE, metavar="OUT.pdf|OUT.html")
@click.option("--language", type=click.Choice(LANGUAGES), default="vi", show_default=True)
@click.option("--revision", type=click.IntRange(min=1), help="Default: the one on show.")
@click.option("--layer", type=click.Choice([layer.value for layer in Layer]), help="Default: the main one.")
@command
def report(
    *, data_dir: str | None, flight: str, out: Path, language: str, revision: int | None, layer: str | None
) -> Result:
    """The quality report of a finished flight: how far it can be trusted, and what was left out."""
    with _opened(data_dir) as (workspace, _):
        wanted = None if layer is None else Layer(layer)
        return answers.of_report(write_report(workspace, flight, out, language, revision, wanted))


@flycam.group()
def dem() -> None:
    """Terrain."""


@dem.command("add")
@click.argument("file", type=FILE)
@click.option("--datum", type=DATUM, help="Height datum, if the file does not say.")
@command
def dem_add(*, data_dir: str | None, file: Path, datum: str | None) -> Result:
    """Register terrain: GeoTIFF, HGT or VRT."""
    with _opened(data_dir) as (workspace, _):
        record, info = register_dem(workspace, file, datum)
        return answers.of_dem(record, info)


@dem.command("list")
@command
def dem_list(*, data_dir: str | None) -> Result:
    """What terrain is registered."""
    with _opened(data_dir) as (workspace, _):
        return answers.of_dems(workspace.catalog.terrain.dems())


@dem.command("remove")
@click.argument("ref", metavar="DEM")
@command
def dem_remove(*, data_dir: str | None, ref: str) -> Result:
    """Take terrain (id or file name) off the list; flights stay on what was recorded for them."""
    with _opened(data_dir) as (workspace, _):
        return answers.of_removed_dem(remove_dem(workspace, ref))


@flycam.command()
@click.option(
    "--grace-days", type=float, default=GRACE_S / DAY_S, show_default=True, help="Keep what is younger."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@command
def collect(*, data_dir: str | None, grace_days: float, dry_run: bool) -> Result:
    """Delete old tile states and old clips that nothing refers to; never photos or terrain."""
    with _opened(data_dir) as (workspace, _):
        report = collect_old(workspace, grace_s=grace_days * DAY_S, dry_run=dry_run, progress=ProgressBar())
        return answers.of_collect(report, dry_run=dry_run)


@flycam.group()
def communes() -> None:
    """Commune boundaries."""


@communes.command("add")
@click.argument("file", type=FILE)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d", "%d/%m/%Y"]), help="Default: 2025-07-01.")
@command
def communes_add(*, data_dir: str | None, file: Path, valid_from: datetime | None) -> Result:
    """Register commune boundaries: GeoJSON, GeoPackage, Shapefile or KML, in any CRS."""
    with _opened(data_dir) as (workspace, _):
        found = register_communes(workspace, file, valid_from.date() if valid_from else None)
        return answers.of_communes(found)


@flycam.command()
@command
def doctor(*, data_dir: str | None) -> Result:
    """Is this machine ready for a flight?"""
    with _opened(data_dir) as (workspace, settings):
        return answers.of_checks(examine(workspace, settings.data_dir))


@flycam.command()
@click.option("--out", required=True, type=FILE, help="Folder to write.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--after", is_flag=True, help="After the storm.")
@click.option("--relief", "relief_m", type=float, default=180.0, show_default=True, help="Metres.")
@click.option("--noise", type=float, default=1.0, show_default=True, help="0 writes exact poses.")
@click.option("--gsd", "gsd_m", type=float, default=0.2, show_default=True, help="Metres.")
@click.option("--photos", nargs=2, type=int, default=(5, 7), show_default=True, help="Strips, photos each.")
@click.option("--pitch", "pitch_deg", type=float, default=-90.0, show_default=True, help="Gimbal, degrees.")
@click.option(
    "--yaw-step", "yaw_step_deg", type=float, default=0.0, help="Gimbal yaw error per strip, degrees."
)
@click.option("--dem-error", type=float, default=0.0, help="Metres the terrain is shifted; a third as sigma.")
@command
def drill(*, data_dir: str | None, out: Path, dem_error: float, **options: Any) -> Result:
    """Write a rehearsal flight with known truth."""
    del data_dir
    bar = ProgressBar()
    if dem_error:
        wrong = typical_error(options["seed"], dem_error)
        options |= {"dem_shift_m": wrong.shift_m, "dem_error_m": wrong.sigma_m}
    return answers.of_drill(write_drill(out, progress=lambda n, m: bar("render", n, m), **options))


@flycam.command()
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--no-serve", is_flag=True, help="Only run the job.")
@command
def demo(*, data_dir: str | None, port: int, no_serve: bool) -> Result:
    """The whole main job on a drill flight before and after a storm, then the map."""
    with _opened(data_dir) as (workspace, settings):
        answer, lines = answers.of_demo(run_demo(workspace, ProgressBar()), f"http://127.0.0.1:{port}/")
        if not no_serve:
            for line in lines:
                click.echo(line, err=True)
            webbrowser.open(answer["url"])
            _serve(workspace, settings, "127.0.0.1", port)
        return answer, lines


@flycam.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8000, show_default=True)
@command
def serve(*, data_dir: str | None, host: str, port: int) -> Result:
    """The map and the API."""
    with _opened(data_dir) as (workspace, settings):
        _serve(workspace, settings, host, port)
        return {}, []


def _serve(workspace: Workspace, settings: Settings, host: str, port: int) -> None:
    click.echo(f"map: http://{host}:{port}/   (Ctrl-C stops)", err=True)
    key = read_key(settings.data_dir / "session.key")
    services = Services(workspace=workspace, bound_to_loopback=is_loopback(host), session_key=key)
    serve_map(services, host, port)


@flycam.group()
def user() -> None:
    """Accounts."""


@user.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="viewer", show_default=True)
@command
def user_add(*, data_dir: str | None, name: str, role: str) -> Result:
    """Make an account; its token is shown once."""
    with _opened(data_dir) as (workspace, _):
        token = add_user(workspace, name, role)
        return {"name": name, "role": role, "token": token}, [f"{name} ({role}): {token}"]


if __name__ == "__main__":
    main()
