"""Synthetic flights for exercises, and their results: `drill`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from flycam.cli.output import FILE_PATH, Output, ProgressBar, watch_stop_requests, wrap_command
from flycam.errors import OptionUnusable
from flycam.messages import _, ngettext

if TYPE_CHECKING:
    from flycam.cli.demo import DemoReport
    from flycam.drill.photo_drill import DrillReport
    from flycam.drill.video_drill import StreamReport, VideoDrillReport


def format_drill(report: DrillReport) -> Output:
    """Return frames, dem, communes, truth and camera of a written exercise.

    camera  file for --camera where the shutter rolls, else null
    """
    answer = {
        "frames": report.frames,
        "photos": str(report.photos),
        "dem": str(report.dem),
        "communes": str(report.communes),
        "truth": str(report.truth),
        "camera": str(report.camera) if report.camera else None,
    }
    frames, folder = report.frames, report.photos
    lines = [ngettext("{count} photo in {folder}", "{count} photos in {folder}", frames, folder=folder)]
    if report.camera:
        lines.append(
            _(
                "  rolling shutter, whose readout no photo states: ingest with --camera {camera}",
                camera=report.camera,
            )
        )
    return answer, lines


def format_video_drill(report: VideoDrillReport) -> Output:
    """Return frames, dem, communes, truth, video, subtitles, telemetry, camera."""
    answer = {
        "frames": report.frames,
        "video": str(report.video),
        "subtitles": str(report.subtitles),
        "telemetry": str(report.telemetry),
        "camera": str(report.camera),
        "dem": str(report.dem),
        "communes": str(report.communes),
        "truth": str(report.truth),
    }
    video = report.video
    return answer, [
        ngettext("{count} picture in {video}", "{count} pictures in {video}", report.frames, video=video)
    ]


def format_stream(report: StreamReport) -> Output:
    """Return sent: packets, video_s, whole (false if it was stopped)."""
    answer = {
        "sent": {"packets": report.packets, "video_s": round(report.video_s, 1), "whole": report.complete}
    }
    sent = _(
        "sent {seconds:,.0f} s of video and {packets} MAVLink packets",
        seconds=report.video_s,
        packets=report.packets,
    )
    return answer, [sent if report.complete else _("{sent}, then stopped as asked", sent=sent)]


def format_demo(report: DemoReport, url: str) -> Output:
    """Return flights, changes[{kind, score, area_m2, commune}] and url.

    score is null where the terrain is unknown.
    """
    flown = (report.before, report.after)
    answer = {
        "flights": [one.ingested.flight.flight_id for one in flown],
        "changes": [
            {
                "kind": one.kind,
                "score": None if math.isnan(one.probability) else round(one.probability, 3),
                "area_m2": round(one.area_m2, 1),
                "commune": one.commune_name or None,
            }
            for one in report.compared.changes
        ],
        "url": url,
    }
    lines = [
        ngettext(
            "{name}: {count} frame, {seconds:,.1f} s; finished in {finish_seconds:,.1f} s",
            "{name}: {count} frames, {seconds:,.1f} s; finished in {finish_seconds:,.1f} s",
            one.ingested.used,
            name=one.ingested.flight.name,
            seconds=one.ingested.seconds,
            finish_seconds=one.finished.seconds,
        )
        for one in flown
    ]
    found = len(report.compared.changes)
    review = ngettext("{count} change waits for review", "{count} changes wait for review", found)
    return answer, [*lines, review]


# -- Command `drill` -------------------------------------------------------------------------------


_FROM_COMMAND_LINE = ParameterSource.COMMANDLINE
_PHOTO_ONLY = {
    "pitch_deg": "--pitch",
    "yaw_step_deg": "--yaw-step",
    "dem_error": "--dem-error",
    "readout_ms": "--readout-ms",
}
_VIDEO_ONLY = {
    "seconds": "--seconds",
    "strips": "--strips",
    "size": "--size",
    "clock_offset_s": "--clock-offset",
    "stream": "--stream",
    "link": "--link",
    "resend": "--resend",
}


@click.command()
@click.option("--out", required=True, type=FILE_PATH, help="Folder to write.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--after", is_flag=True, help="After the storm.")
@click.option("--relief", "relief_m", type=float, default=180.0, show_default=True, help="Metres.")
@click.option("--noise", type=float, default=1.0, show_default=True, help="0 writes exact poses.")
@click.option("--gsd", "gsd_m", type=float, default=0.2, show_default=True, help="Metres.")
@click.option(
    "--photos",
    nargs=2,
    type=int,
    default=(5, 7),
    show_default=True,
    help="Strips, photos each. Of a video after the storm: the photos that it goes with.",
)
@click.option("--pitch", "pitch_deg", type=float, default=-90.0, show_default=True, help="Gimbal, degrees.")
@click.option(
    "--yaw-step", "yaw_step_deg", type=float, default=0.0, help="Gimbal yaw error per strip, degrees."
)
@click.option(
    "--readout-ms", type=float, default=0.0, help="Rolling shutter: milliseconds from first to last row."
)
@click.option("--speed", "speed_mps", type=float, default=9.0, show_default=True, help="Metres a second.")
@click.option("--dem-error", type=float, default=0.0, help="Metres the terrain is shifted; a third as sigma.")
@click.option("--video", is_flag=True, help="A video with subtitles and a tlog in place of photos.")
@click.option("--seconds", type=float, default=60.0, show_default=True, help="Of the video.")
@click.option("--strips", type=click.IntRange(1, 100), help="Of the video (default: as many as fit well).")
@click.option("--size", nargs=2, type=int, default=(1280, 720), show_default=True, help="Of the video.")
@click.option(
    "--clock-offset", "clock_offset_s", type=float, help="Of the tlog, seconds (default: by the seed, ±2)."
)
@click.option("--stream", metavar="HOST:PORT", help="Then send the video there as an aircraft does (UDP).")
@click.option("--link", metavar="HOST:PORT", help="Then send its telemetry there as MAVLink (UDP).")
@click.option("--resend", is_flag=True, help="Only send the film that is in the folder already.")
@wrap_command
def drill_command(
    *, data_dir: str | None, out: Path, dem_error: float, video: bool, **options: Any
) -> Output:
    """Write a rehearsal flight with known truth."""
    from flycam.drill.photo_drill import write_drill
    from flycam.drill.scene_objects import draw_typical_error

    del data_dir
    bar = ProgressBar()
    _refuse_foreign(_PHOTO_ONLY if video else _VIDEO_ONLY, video=video)
    filmed = {name: options.pop(name) for name in _VIDEO_ONLY}
    if video:
        return _write_video_drill(out, filmed, options, bar)
    if dem_error:
        wrong = draw_typical_error(options["seed"], dem_error)
        options |= {"dem_shift_m": wrong.shift_m, "dem_error_m": wrong.sigma_m}
    report = write_drill(out, progress=lambda n, m: bar("render", n, m), **options)
    return format_drill(report)


def _refuse_foreign(names: Mapping[str, str], *, video: bool) -> None:
    """Raise OptionUnusable for a given option that this kind of exercise lacks."""
    context = click.get_current_context()
    used = [text for name, text in names.items() if context.get_parameter_source(name) is _FROM_COMMAND_LINE]
    if used:
        options = " ".join(used)
        raise OptionUnusable(
            _("{options}: belongs to a drill of photos: leave it, or leave --video", options=options)
            if video
            else _("{options}: belongs to a drill of a video: leave it, or add --video", options=options)
        )


def _write_video_drill(
    out: Path, filmed: dict[str, Any], options: dict[str, Any], bar: ProgressBar
) -> Output:
    """Write an exercise as a video; stream it if requested."""
    from flycam.drill.flight import VideoPlan
    from flycam.drill.video_drill import parse_address, stream_drill, write_video_drill

    stream, link, resend = (filmed.pop(name) for name in ("stream", "link", "resend"))
    video_to = parse_address("--stream", stream) if stream else None
    telemetry_to = parse_address("--link", link) if link else None
    if resend and not (video_to or telemetry_to):
        raise OptionUnusable(_("--resend: say where to: add --stream HOST:PORT, --link HOST:PORT or both"))
    answers = []
    if not resend:
        report = write_video_drill(
            out,
            progress=lambda n, m: bar("render", n, m),
            plan=VideoPlan(
                seconds=filmed["seconds"],
                strips=filmed["strips"],
                gsd_m=options["gsd_m"],
                speed_mps=options["speed_mps"],
            ),
            size_px=filmed["size"],
            clock_offset_s=filmed["clock_offset_s"],
            **{name: options[name] for name in ("seed", "after", "relief_m", "noise", "photos")},
        )
        answers.append(format_video_drill(report))
    if video_to or telemetry_to:
        with watch_stop_requests() as stopped:
            sent = stream_drill(
                out, video_to, telemetry_to, progress=lambda n, m: bar("stream", n, m), stopped=stopped
            )
        answers.append(format_stream(sent))
    combined = {name: value for answer, __ in answers for name, value in answer.items()}
    return combined, [line for __, lines in answers for line in lines]
