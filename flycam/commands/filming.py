"""Video to the map: `live`, and a film given to `inspect` or `ingest`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.commands.going_on import gone_on_with
from flycam.commands.house import ADDRESS, DATUM, FILE, SECRET, Result, opened
from flycam.console import ProgressBar, command, language, say_aside, stop_requests
from flycam.errors import OptionUnusable
from flycam.frame.address import shown
from flycam.messages import _

if TYPE_CHECKING:
    from flycam.ingest.photo.search import Findings
    from flycam.pipeline.laying.opening import Labels
    from flycam.pipeline.live.given import LiveRequest

_LARGEST_OFFSET_S = 1e10
"""Of a film that states no time of creation it counts from 1970."""


@click.command()
@click.option(
    "--video",
    required=True,
    type=ADDRESS,
    metavar="FILE|URL",
    help="Video, or stream: rtsp://, udp://, rtmp:// (udp://@:5600 and rtmp://:1935/live/KEY are waited at).",
)
@click.option(
    "--telemetry",
    type=ADDRESS,
    metavar="FILE|URL",
    help="Log or subtitles (default: what the film itself holds); of a stream udp://, tcp://, serial:/dev/…",
)
@click.option("--dem", type=FILE, help="Terrain to register first.")
@click.option("--datum", type=DATUM, help="Height datum of --dem.")
@click.option("--camera", type=FILE, help="Camera file (JSON or YAML) of the video's mode.")
@click.option("--hfov", "hfov_deg", type=float, help="Horizontal field of view, degrees.")
@click.option(
    "--clock-offset",
    "clock_offset_s",
    type=float,
    help="Log's stamp minus video time, seconds (default: found from the pictures).",
)
@click.option("--mavlink-key", type=SECRET, help="File with the key that the link is signed with.")
@click.option("--drill", "is_drill", is_flag=True, help="This stream is a rehearsal.")
@click.option(
    "--record/--no-record", "is_recorded", default=True, help="Keep a stream as it comes (default: yes)."
)
@click.option(
    "--keep-video",
    "keep_gb",
    type=float,
    default=40.0,
    help="Recorded video kept in all, gigabytes (default: 40).",
)
@click.option("--realtime", "is_realtime", is_flag=True, help="Play the file at its own speed.")
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance in metres (default: the video's).")
@click.option("--flight", "into", help="Flight that the film joins, by id or name (default: one of its own).")
@click.option("--relay", is_flag=True, help="Lay a film that is on the map again, by this log.")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the video's name).")
@command
def live(*, data_dir: str | None, dem: Path | None, datum: str | None, **options: Any) -> Result:
    """A video and its log to a flight on the map, picture by picture."""
    from flycam.ingest.video.pictures import is_stream
    from flycam.pipeline.laying.opening import Labels
    from flycam.pipeline.live.given import LiveRequest

    if options["camera"] is not None and options["hfov_deg"] is not None:
        raise OptionUnusable(_("--camera --hfov: both say what the lens is: give one of them"))
    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _LARGEST_OFFSET_S:
        raise OptionUnusable(_("--clock-offset {offset_s:g}: give seconds", offset_s=offset_s))
    if options["relay"] and (options["is_realtime"] or is_stream(options["video"])):
        raise OptionUnusable(
            _("--relay: only a film that is read whole is laid again: give the file, without --realtime")
        )
    if options["telemetry"] is None and is_stream(options["video"]):
        raise OptionUnusable(
            _(
                "{options}: is live: give --telemetry, a link that tells its place",
                options=shown(options["video"]),
            )
        )
    options["telemetry"] = options["telemetry"] or options["video"]
    labels = Labels(**{key: options.pop(key) for key in ("name", "event", "gsd_m")})
    return _laid(data_dir, LiveRequest(**options), labels, dem, datum)


def film_among(paths: Sequence[Path]) -> Path | None:
    """The film that was given; None: what was given is no film alone. Raises OptionUnusable of several."""
    from flycam.ingest.photo.card_files import FileKind, kind_of

    films = [path for path in paths if path.is_file() and kind_of(path.name) is FileKind.FILM]
    if len(films) < len(paths):
        return None
    if len(films) > 1:
        names = ", ".join(path.name for path in films)
        raise OptionUnusable(_("{names}: are several films: give one at a time", names=names))
    return films[0]


def recordings_among(found: Findings, paths: Sequence[Path]) -> list[Path]:
    """Return films and flight logs where no photo was found at `paths`, files or folders: a file that is
    named is taken for a log whatever its name, one in a folder by its name alone."""
    from flycam.ingest.photo.card_files import FileKind, kind_of

    if found.photos:
        return []
    return [
        path
        for path, _ in found.skipped
        if path.is_file() and (path in paths or kind_of(path.name) in (FileKind.FILM, FileKind.LOG))
    ]


def inspected_recordings(recordings: Sequence[Path], telemetry: Path | None) -> Result:
    """What `inspect` says of films and logs: one answer, or "recordings", a list of them.

    Raises SourceUnreadable of a log that is given alone and does not read.
    """
    from flycam.answers.filmed import of_film, of_log
    from flycam.ingest.photo.card_files import FileKind, kind_of
    from flycam.pipeline.film_inspection import inspect_film, inspect_log

    said = []
    for path in recordings:
        if kind_of(path.name) is FileKind.FILM:
            said.append(of_film(inspect_film(path, telemetry), language()))
            continue
        log = inspect_log(path)
        if log.untold is not None and len(recordings) == 1:
            raise log.untold
        said.append(of_log(log, language()))
    if len(said) == 1:
        return said[0]
    return {"recordings": [answer for answer, _ in said]}, [line for _, lines in said for line in lines]


def ingested_film(data_dir: str | None, film: Path, options: dict[str, Any]) -> Result:
    """What `ingest` makes of a film: a flight on the map, as `live` makes it of the file."""
    from flycam.pipeline.laying.opening import Labels
    from flycam.pipeline.live.given import LiveRequest

    unfit = {
        "--height": options["height_mode"] != "auto",
        "--takeoff": options["takeoff"],
        "--layer": options["layer"],
    }
    given = [name for name, value in unfit.items() if value]
    if given:
        names = " ".join(given)
        raise OptionUnusable(
            _("{names}: is for photos, {name} is a film: leave it out", names=names, name=film.name)
        )
    request = LiveRequest(
        video=str(film),
        telemetry=str(options["telemetry"] or film),
        camera=options["camera"],
        clock_offset_s=options["clock_offset_s"],
        into=options["into"],
        relay=options["relay"],
    )
    labels = Labels(**{key: options[key] for key in ("name", "event", "gsd_m")})
    return _laid(data_dir, request, labels, options["dem"], options["datum"], options["communes"])


def _laid(
    data_dir: str | None,
    request: LiveRequest,
    labels: Labels,
    dem: Path | None,
    datum: str | None,
    communes: Path | None = None,
) -> Result:
    from flycam.answers.filmed import of_live
    from flycam.ingest.video.pictures import is_stream
    from flycam.pipeline.live.recipe import live as run_live
    from flycam.pipeline.terrain import register_dem

    is_film = not is_stream(request.video)  # a stream does not come again
    with (
        opened(data_dir, begins=True) as (workspace, settings),
        stop_requests() as stopped,
        gone_on_with(settings, stopped) if is_film else nullcontext(ProgressBar()) as progress,
    ):
        if dem is not None:
            register_dem(workspace, dem, datum)
        if communes is not None:
            from flycam.pipeline.boundaries import register_communes

            register_communes(workspace, communes)
        return of_live(run_live(workspace, request, labels, progress, stopped, say_aside), language())
