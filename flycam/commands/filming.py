"""Video to the map: `live`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from flycam.commands.going_on import gone_on_with
from flycam.commands.house import ADDRESS, DATUM, FILE, SECRET, Result, opened
from flycam.console import ProgressBar, command, language, say_aside, stop_requests
from flycam.errors import OptionUnusable

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
    required=True,
    type=ADDRESS,
    metavar="FILE|URL",
    help="Log or subtitles; of a stream udp://, tcp://, serial:/dev/…",
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
    from flycam.answers.filmed import of_live
    from flycam.ingest.video.pictures import is_stream
    from flycam.pipeline.laying.opening import Labels
    from flycam.pipeline.live.given import LiveRequest
    from flycam.pipeline.live.recipe import live as run_live
    from flycam.pipeline.terrain import register_dem

    if options["camera"] is not None and options["hfov_deg"] is not None:
        raise OptionUnusable(
            "--camera --hfov: both say what the lens is: give one of them",
            vi="--camera --hfov: cùng nói về ống kính; hãy chỉ dùng một trong hai",
        )
    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _LARGEST_OFFSET_S:
        raise OptionUnusable(
            f"--clock-offset {offset_s:g}: give seconds",
            vi=f"--clock-offset {offset_s:g}: hãy ghi số giây",
        )
    if options["relay"] and (options["is_realtime"] or is_stream(options["video"])):
        raise OptionUnusable(
            "--relay: only a film that is read whole is laid again: give the file, without --realtime",
            vi="--relay: chỉ trải lại được video đọc trọn từ tệp; hãy đưa tệp, không dùng --realtime",
        )
    labels = Labels(**{key: options.pop(key) for key in ("name", "event", "gsd_m")})
    is_film = not is_stream(options["video"])  # a stream does not come again
    with (
        opened(data_dir, begins=True) as (workspace, settings),
        stop_requests() as stopped,
        gone_on_with(settings, stopped) if is_film else nullcontext(ProgressBar()) as progress,
    ):
        if dem is not None:
            register_dem(workspace, dem, datum)
        report = run_live(workspace, LiveRequest(**options), labels, progress, stopped, say_aside)
        return of_live(report, language())
