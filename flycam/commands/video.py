"""Video to the map: `live`, and videos given to `inspect` or `ingest`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.commands.resumable_jobs import register_resumable_job
from flycam.commands.workspace import (
    DATUM_CHOICE,
    FILE_OR_URL,
    FILE_PATH,
    SECRET_FILE,
    CommandOutput,
    open_workspace,
)
from flycam.console import ProgressBar, print_notice, watch_stop_requests, wrap_command
from flycam.errors import OptionUnusable
from flycam.frame.safe_url import strip_url_credentials
from flycam.messages import _

if TYPE_CHECKING:
    from flycam.ingest.photo.photo_search import PhotoSearchResult
    from flycam.pipeline.live.live_inputs import LiveRequest
    from flycam.pipeline.orthorectification.flight_session import FlightLabels

_MAX_OFFSET_S = 1e10
"""A video without a creation time counts from 1970."""


@click.command()
@click.option(
    "--video",
    required=True,
    type=FILE_OR_URL,
    metavar="FILE|URL",
    help="Video, or stream: rtsp://, udp://, rtmp:// (udp://@:5600 and rtmp://:1935/live/KEY are waited at).",
)
@click.option(
    "--telemetry",
    type=FILE_OR_URL,
    metavar="FILE|URL",
    help="Log or subtitles (default: what the film itself holds); of a stream udp://, tcp://, serial:/dev/…",
)
@click.option("--dem", type=FILE_PATH, help="Terrain to register first.")
@click.option("--datum", type=DATUM_CHOICE, help="Height datum of --dem.")
@click.option("--camera", type=FILE_PATH, help="Camera file (JSON or YAML) of the video's mode.")
@click.option("--hfov", "hfov_deg", type=float, help="Horizontal field of view, degrees.")
@click.option(
    "--clock-offset",
    "clock_offset_s",
    type=float,
    help="Log's stamp minus video time, seconds (default: found from the pictures).",
)
@click.option("--mavlink-key", type=SECRET_FILE, help="File with the key that the link is signed with.")
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
@click.option(
    "--reprocess",
    "--relay",
    "reprocess",
    is_flag=True,
    help="Lay a film that is on the map again, by this log.",
)
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the video's name).")
@wrap_command
def live_command(
    *, data_dir: str | None, dem: Path | None, datum: str | None, **options: Any
) -> CommandOutput:
    """A video and its log to a flight on the map, picture by picture."""
    from flycam.ingest.video.video_source import is_stream
    from flycam.pipeline.live.live_inputs import LiveRequest
    from flycam.pipeline.orthorectification.flight_session import FlightLabels

    if options["camera"] is not None and options["hfov_deg"] is not None:
        raise OptionUnusable(_("--camera --hfov: both say what the lens is: give one of them"))
    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _MAX_OFFSET_S:
        raise OptionUnusable(_("--clock-offset {offset_s:g}: give seconds", offset_s=offset_s))
    if options["reprocess"] and (options["is_realtime"] or is_stream(options["video"])):
        raise OptionUnusable(
            _("--relay: only a film that is read whole is laid again: give the file, without --realtime")
        )
    if options["telemetry"] is None and is_stream(options["video"]):
        raise OptionUnusable(
            _(
                "{options}: is live: give --telemetry, a link that tells its place",
                options=strip_url_credentials(options["video"]),
            )
        )
    options["telemetry"] = options["telemetry"] or options["video"]
    labels = FlightLabels(**{key: options.pop(key) for key in ("name", "event", "gsd_m")})
    return _ingest(data_dir, LiveRequest(**options), labels, dem, datum)


def find_single_video(paths: Sequence[Path]) -> Path | None:
    """Return the video at `paths`, None if they are not one video alone.

    Raises OptionUnusable for several.
    """
    from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind

    films = [path for path in paths if path.is_file() and detect_file_kind(path.name) is FileKind.FILM]
    if len(films) < len(paths):
        return None
    if len(films) > 1:
        names = ", ".join(path.name for path in films)
        raise OptionUnusable(_("{names}: are several films: give one at a time", names=names))
    return films[0]


def find_recordings(found: PhotoSearchResult, paths: Sequence[Path]) -> list[Path]:
    """Return videos and flight logs if no photo was found at `paths`.

    A path that names a file is taken for a log whatever its name; a file in a folder by its name alone.
    """
    from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind

    if found.photos:
        return []
    return [
        path
        for path, __ in found.skipped
        if path.is_file() and (path in paths or detect_file_kind(path.name) in (FileKind.FILM, FileKind.LOG))
    ]


def inspect_recordings(recordings: Sequence[Path], telemetry: Path | None) -> CommandOutput:
    """Inspect videos and logs: one answer, or "recordings", a list of them.

    Raises SourceUnreadable for an unreadable log that is given alone.
    """
    from flycam.answers.video import format_flight_log, format_video
    from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind
    from flycam.pipeline.video_summary import inspect_log, inspect_video

    said = []
    for path in recordings:
        if detect_file_kind(path.name) is FileKind.FILM:
            said.append(format_video(inspect_video(path, telemetry)))
            continue
        log = inspect_log(path)
        if log.error is not None and len(recordings) == 1:
            raise log.error
        said.append(format_flight_log(log))
    if len(said) == 1:
        return said[0]
    return {"recordings": [answer for answer, __ in said]}, [line for __, lines in said for line in lines]


def ingest_video(data_dir: str | None, film: Path, options: dict[str, Any]) -> CommandOutput:
    """Ingest a video as a flight on the map, as `live` does from the file."""
    from flycam.pipeline.live.live_inputs import LiveRequest
    from flycam.pipeline.orthorectification.flight_session import FlightLabels

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
        reprocess=options["reprocess"],
    )
    labels = FlightLabels(**{key: options[key] for key in ("name", "event", "gsd_m")})
    return _ingest(data_dir, request, labels, options["dem"], options["datum"], options["communes"])


def _ingest(
    data_dir: str | None,
    request: LiveRequest,
    labels: FlightLabels,
    dem: Path | None,
    datum: str | None,
    communes: Path | None = None,
) -> CommandOutput:
    from flycam.answers.video import format_live
    from flycam.ingest.video.video_source import is_stream
    from flycam.pipeline.live.workflow import orthorectify_video
    from flycam.pipeline.terrain import register_dem

    is_film = not is_stream(request.video)  # a stream cannot be read again
    with (
        open_workspace(data_dir, creates=True) as (workspace, settings),
        watch_stop_requests() as stopped,
        register_resumable_job(settings, stopped) if is_film else nullcontext(ProgressBar()) as progress,
    ):
        if dem is not None:
            register_dem(workspace, dem, datum)
        if communes is not None:
            from flycam.pipeline.commune_boundaries import register_communes

            register_communes(workspace, communes)
        return format_live(orthorectify_video(workspace, request, labels, progress, stopped, print_notice))
