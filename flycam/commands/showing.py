"""The map, and what it can do: `serve`, `demo`."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.commands.house import FILE, SECRET, Result, opened
from flycam.commands.uploading import UPLOADS
from flycam.console import ProgressBar, command, language, say, say_aside
from flycam.errors import AccessDenied, OptionUnusable, StorageTrouble
from flycam.frame.loopback import is_loopback
from flycam.messages import _
from flycam.pipeline.trust import AUTHORITY_PATH
from flycam.settings import Settings, TlsSettings

if TYPE_CHECKING:
    from flycam.frame.flight import Flight
    from flycam.pipeline.workspace import Workspace
    from flycam.serve.encrypting import Encryption
    from flycam.serve.services import SignInService


_ALL_NETWORKS = ("0.0.0.0", "::")  # noqa: S104  compared with, not listened on
_IN_CLEAR = "not encrypted: who listens on this network reads tokens and pictures; --tls encrypts"
_IN_CLEAR_VI = "không mã hoá: ai nghe trên mạng này đọc được mã truy cập và ảnh; thêm --tls để mã hoá"
PORT = click.IntRange(1, 65_535)
_PACKS = "packs"
_ARRIVING = "arriving"
_TLS = "tls"


@click.command()
@click.option("--port", type=PORT, default=8000, show_default=True)
@click.option("--no-serve", is_flag=True, help="Only run the job.")
@command
def demo(*, data_dir: str | None, port: int, no_serve: bool) -> Result:
    """The whole main job on a drill flight before and after a storm, then the map."""
    from flycam.answers.rehearsal import of_demo
    from flycam.pipeline.demo import run_demo

    with opened(data_dir, begins=True) as (workspace, settings):
        url = f"http://127.0.0.1:{port}/"
        answer, lines = of_demo(run_demo(workspace, ProgressBar()), url, language())
        if not no_serve:
            for line in lines:
                say(line)
            webbrowser.open(answer["url"])
            _serve(workspace, settings, "127.0.0.1", port)
        return answer, lines


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8000, show_default=True)
@click.option("--tls", is_flag=True, help="Over HTTPS, by an authority of this box's own (FLYCAM_TLS=on).")
@click.option("--certificate", type=FILE, help="Over HTTPS by this certificate instead (PEM).")
@click.option("--key", type=SECRET, help="Its key, if not in the same file (PEM).")
@click.option("--request-log", metavar="FILE|-", help="A line of JSON for each request (FLYCAM_REQUEST_LOG).")
@command
def serve(
    *,
    data_dir: str | None,
    host: str,
    port: int,
    tls: bool,
    certificate: Path | None,
    key: Path | None,
    request_log: str | None,
) -> Result:
    """The map and the API."""
    with opened(data_dir, begins=True, waits=True) as (workspace, read):
        settings = replace(read, request_log=request_log or read.request_log)
        asked = settings.tls
        if certificate is not None or key is not None:
            asked = replace(asked, certificate=certificate, key=key)
        elif tls:
            asked = replace(asked, is_on=True, certificate=None, key=None)
        _serve(workspace, settings, host, port, _encryption(asked, settings.data_dir, host))
        return {}, []


def _encryption(tls: TlsSettings, data_dir: Path, host: str) -> Encryption | None:
    """What is loaded for it is loaded where it is asked for. Raises OptionUnusable, StorageTrouble."""
    if tls.certificate is not None:
        from flycam.serve.encrypting import Given

        return Given(tls.certificate, tls.key)
    if tls.key is not None:
        raise OptionUnusable(_("{key}: is a key without a certificate; give --certificate too", key=tls.key))
    if not tls.is_on:
        return None
    from flycam.serve.encrypting import Own

    return Own(data_dir / _TLS, host, tls.names)


def _addresses(host: str, port: int, encryption: Encryption | None) -> list[str]:
    """Where others reach the map, and by what they believe that it is this one."""

    vi = language() == "vi"
    scheme = "https" if encryption else "http"
    urls = [f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}" for name in _reached_at(host)]
    url, word = urls[0], "bản đồ" if vi else "map"
    said = [f"{word}: {url}/   ({'bấm Ctrl-C để dừng' if vi else 'Ctrl-C stops'})"]
    said += [f"{word}: {one}/" for one in urls[1:]]
    if encryption is None:
        return said if is_loopback(host) else [*said, _IN_CLEAR_VI if vi else _IN_CLEAR]
    said.append(f"{'dấu vân tay' if vi else 'fingerprint'} SHA-256: {encryption.fingerprint}")
    if encryption.authority is not None:
        word = "chứng chỉ để máy khác tin máy này" if vi else "certificate by which others believe this box"
        said.append(f"{word}: {url}{AUTHORITY_PATH}")
        said.append(f"{'dùng được dưới tên' if vi else 'good for'}: {', '.join(sorted(encryption.names))}")
    return said


def _reached_at(host: str) -> list[str]:
    """What may be typed elsewhere to come here: addresses of the networks where all are listened on."""
    if host not in _ALL_NETWORKS:
        return [host]
    from flycam.pipeline.authority import network_addresses

    here = sorted((one for one in network_addresses() if not is_loopback(one)), key=lambda one: ":" in one)
    return here or ["127.0.0.1"]


def _serve(
    workspace: Workspace, settings: Settings, host: str, port: int, encryption: Encryption | None = None
) -> None:
    from flycam.pipeline.live.abandoned import ending_abandoned
    from flycam.serve.answering.request_log import RequestLog
    from flycam.serve.command_process import FLYCAM
    from flycam.serve.door.sessions import read_key
    from flycam.serve.resuming import resuming
    from flycam.serve.running import listen
    from flycam.serve.running import serve as serve_map
    from flycam.serve.services import THIS_MACHINE, Services

    request_log = RequestLog(settings.request_log) if settings.request_log else None
    listener = listen(host, port)
    for said in _addresses(host, port, encryption):
        say(said)
    key = read_key(settings.data_dir / "session.key")
    services = Services(
        workspace=workspace,
        bound_to_loopback=is_loopback(host),
        session_key=key,
        uploads_dir=settings.data_dir / UPLOADS,
        openid=sign_in_service(settings),
        origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies or THIS_MACHINE,
        upload_work=(*FLYCAM, "upload-work", "--data", str(settings.data_dir)),
        sync_dir=settings.data_dir / _ARRIVING,
        packs_dir=settings.data_dir / _PACKS,
        authority=None if encryption is None else encryption.authority,
        request_log=request_log,
        pack_command=(*FLYCAM, "pack", "--data", str(settings.data_dir)),
        drill_command=(*FLYCAM, "demo", "--no-serve", "--json", "--data", str(settings.data_dir)),
    )
    _say_who_comes_in(workspace, is_loopback(host))
    try:
        with (
            ending_abandoned(workspace, _say_completed),
            resuming(settings.data_dir, workspace.power, say_aside, lambda: _say_unfinished(workspace)),
        ):
            serve_map(services, listener, encryption)
    finally:
        if request_log is not None:
            request_log.close()


def _say_unfinished(workspace: Workspace) -> None:
    """What a kill or a power cut left and nobody goes on with by itself, with the commands that complete it.
    A store that is away keeps no map from being served: then nothing is said."""
    from flycam.pipeline.upkeep.unfinished import unfinished

    vi = language() == "vi"
    with suppress(StorageTrouble):
        for one in unfinished(workspace):
            say(one.sentence_vi if vi else one.sentence_en)


def _say_who_comes_in(workspace: Workspace, is_on_loopback: bool) -> None:
    """Whoever has an account; without any, whoever sits at the machine, or where others reach the map how the
    first is made: a code of a start before is good no more."""
    from flycam.answers.access import setup_words, who_comes_in
    from flycam.pipeline.people.codes import make_setup_code

    accounts = len(workspace.catalog.accounts.all())
    if accounts or is_on_loopback:
        say(who_comes_in(accounts, language()))
        return
    try:
        say(setup_words(make_setup_code(workspace), language()))
    except StorageTrouble as error:  # the map is served all the same
        say((language() == "vi" and error.vi) or str(error))
    except AccessDenied:
        return  # somebody made an account meanwhile


def _say_completed(flight: Flight) -> None:
    """That the flight of a stream whose program died is whole now."""
    said = (
        f"{flight.name}: chương trình nhận luồng video đã bị ngắt; nay đã hoàn tất tới chỗ ghi được"
        if language() == "vi"
        else f"{flight.name}: the program that received its stream had died; completed as far as it was seen"
    )
    say(said)


def sign_in_service(settings: Settings) -> SignInService | None:
    """What speaks to it is loaded where one is configured."""
    if settings.openid is None:
        return None
    from flycam.pipeline.people.openid import Provider

    return Provider(settings.openid)
