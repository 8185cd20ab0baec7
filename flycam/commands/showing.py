"""The map, and what it can do: `serve`, `demo`."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from flycam.commands.house import Result, opened
from flycam.commands.uploading import UPLOADS
from flycam.console import ProgressBar, command, language
from flycam.errors import StorageTrouble
from flycam.settings import Settings

if TYPE_CHECKING:
    from flycam.frame.flight import Flight
    from flycam.pipeline.workspace import Workspace
    from flycam.serve.services import SignInService


PORT = click.IntRange(1, 65_535)
_PACKS = "packs"
_ARRIVING = "arriving"


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
    from flycam.pipeline.live_abandoned import ending_abandoned
    from flycam.serve.running import listen
    from flycam.serve.running import serve as serve_map
    from flycam.serve.services import THIS_MACHINE, Services, is_loopback
    from flycam.serve.sessions import read_key

    listener = listen(host, port)
    vi = language() == "vi"
    stops = "bấm Ctrl-C để dừng" if vi else "Ctrl-C stops"
    click.echo(f"{'bản đồ' if vi else 'map'}: http://{host}:{port}/   ({stops})", err=True)
    key = read_key(settings.data_dir / "session.key")
    services = Services(
        workspace=workspace,
        bound_to_loopback=is_loopback(host),
        session_key=key,
        uploads_dir=settings.data_dir / UPLOADS,
        openid=sign_in_service(settings),
        origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies or THIS_MACHINE,
        upload_work=(sys.executable, "-m", "flycam", "upload-work", "--data", str(settings.data_dir)),
        sync_dir=settings.data_dir / _ARRIVING,
        packs_dir=settings.data_dir / _PACKS,
        pack_command=(sys.executable, "-m", "flycam", "pack", "--data", str(settings.data_dir)),
    )
    _say_unfinished(workspace)
    with ending_abandoned(workspace, _say_completed):
        serve_map(services, listener)


def _say_unfinished(workspace: Workspace) -> None:
    """What a kill or a power cut left, with the commands that complete it. A store that is away keeps no map
    from being served: then nothing is said."""
    from flycam.pipeline.unfinished import unfinished

    vi = language() == "vi"
    with suppress(StorageTrouble):
        for one in unfinished(workspace):
            click.echo(one.sentence_vi if vi else one.sentence_en, err=True)


def _say_completed(flight: Flight) -> None:
    """That the flight of a stream whose program died is whole now."""
    said = (
        f"{flight.name}: chương trình nhận luồng video đã bị ngắt; nay đã hoàn tất tới chỗ ghi được"
        if language() == "vi"
        else f"{flight.name}: the program that received its stream had died; completed as far as it was seen"
    )
    click.echo(said, err=True)


def sign_in_service(settings: Settings) -> SignInService | None:
    """What speaks to it is loaded where one is configured."""
    if settings.openid is None:
        return None
    from flycam.pipeline.openid import Provider

    return Provider(settings.openid)
