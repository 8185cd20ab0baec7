"""The map, and flights to rehearse on: `serve`, `demo`, `drill`."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from flycam.commands.house import FILE, Result, opened
from flycam.console import ProgressBar, command, language
from flycam.errors import OptionUnusable
from flycam.settings import Settings

if TYPE_CHECKING:
    from flycam.pipeline.workspace import Workspace


PORT = click.IntRange(1, 65_535)
_GIVEN = ParameterSource.COMMANDLINE
_PHOTO_ONLY = {
    "photos": "--photos",
    "pitch_deg": "--pitch",
    "yaw_step_deg": "--yaw-step",
    "dem_error": "--dem-error",
}
_VIDEO_ONLY = {
    "seconds": "--seconds",
    "strips": "--strips",
    "size": "--size",
    "clock_offset_s": "--clock-offset",
}


@click.command()
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
@command
def drill(*, data_dir: str | None, out: Path, dem_error: float, video: bool, **options: Any) -> Result:
    """Write a rehearsal flight with known truth."""
    from flycam.answers.rehearsal import of_drill
    from flycam.drill.drill import write_drill
    from flycam.drill.terrain_model import typical_error

    del data_dir
    bar = ProgressBar()
    _refuse_foreign(_PHOTO_ONLY if video else _VIDEO_ONLY, video=video)
    filmed = {name: options.pop(name) for name in _VIDEO_ONLY}
    if video:
        return _film(out, filmed, options, bar)
    if dem_error:
        wrong = typical_error(options["seed"], dem_error)
        options |= {"dem_shift_m": wrong.shift_m, "dem_error_m": wrong.sigma_m}
    report = write_drill(out, progress=lambda n, m: bar("render", n, m), **options)
    return of_drill(report, language())


def _refuse_foreign(names: Mapping[str, str], *, video: bool) -> None:
    """Raise OptionUnusable for an option that was given and that this kind of drill has not."""
    context = click.get_current_context()
    given = [text for name, text in names.items() if context.get_parameter_source(name) is _GIVEN]
    if given:
        kind, kind_vi = ("photos", "ảnh chụp") if video else ("a video", "video")
        change = "leave" if video else "add"
        raise OptionUnusable(
            f"{' '.join(given)}: belongs to a drill of {kind}: leave it, or {change} --video",
            vi=f"{' '.join(given)}: chỉ dùng cho diễn tập bằng {kind_vi}; hãy bỏ đi, hoặc "
            f"{'bỏ' if video else 'thêm'} --video",
        )


def _film(out: Path, filmed: dict[str, Any], options: dict[str, Any], bar: ProgressBar) -> Result:
    """A drill as a video."""
    from flycam.answers.rehearsal import of_video_drill
    from flycam.drill.video import write_video_drill
    from flycam.drill.video_course import VideoPlan

    report = write_video_drill(
        out,
        progress=lambda n, m: bar("render", n, m),
        plan=VideoPlan(seconds=filmed["seconds"], strips=filmed["strips"], gsd_m=options["gsd_m"]),
        size_px=filmed["size"],
        clock_offset_s=filmed["clock_offset_s"],
        **{name: options[name] for name in ("seed", "after", "relief_m", "noise")},
    )
    return of_video_drill(report, language())


@click.command()
@click.option("--port", type=PORT, default=8000, show_default=True)
@click.option("--no-serve", is_flag=True, help="Only run the job.")
@command
def demo(*, data_dir: str | None, port: int, no_serve: bool) -> Result:
    """The whole main job on a drill flight before and after a storm, then the map."""
    from flycam.answers.rehearsal import of_demo
    from flycam.pipeline.demo import run_demo

    with opened(data_dir) as (workspace, settings):
        url = f"http://127.0.0.1:{port}/"
        answer, lines = of_demo(run_demo(workspace, ProgressBar()), url, language())
        if not no_serve:
            for line in lines:
                click.echo(line, err=True)
            webbrowser.open(answer["url"])
            _serve(workspace, settings, "127.0.0.1", port)
        return answer, lines


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8000, show_default=True)
@command
def serve(*, data_dir: str | None, host: str, port: int) -> Result:
    """The map and the API."""
    with opened(data_dir) as (workspace, settings):
        _serve(workspace, settings, host, port)
        return {}, []


def _serve(workspace: Workspace, settings: Settings, host: str, port: int) -> None:
    from flycam.serve.running import listen
    from flycam.serve.running import serve as serve_map
    from flycam.serve.services import Services, is_loopback
    from flycam.serve.sessions import read_key

    listener = listen(host, port)
    vi = language() == "vi"
    stops = "bấm Ctrl-C để dừng" if vi else "Ctrl-C stops"
    click.echo(f"{'bản đồ' if vi else 'map'}: http://{host}:{port}/   ({stops})", err=True)
    key = read_key(settings.data_dir / "session.key")
    services = Services(workspace=workspace, bound_to_loopback=is_loopback(host), session_key=key)
    serve_map(services, listener)
