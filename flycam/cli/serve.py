"""The map server, and its demonstration: `serve`, `demo`."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.cli.output import (
    FILE_PATH,
    SECRET_FILE,
    Output,
    ProgressBar,
    open_workspace,
    print_line,
    wrap_command,
)
from flycam.cli.upload import UPLOADS_FOLDER
from flycam.config import AUTHORITY_PATH, Settings, TlsSettings, is_loopback
from flycam.errors import AccessDenied, OptionUnusable, StorageFailed
from flycam.messages import Message, _

if TYPE_CHECKING:
    from flycam.http.services import SignInService
    from flycam.model.flight import Flight
    from flycam.serve.server import TlsCertificate
    from flycam.workspace import Workspace


_ALL_NETWORKS = ("0.0.0.0", "::")  # noqa: S104  compared with, not listened on
_NOT_ENCRYPTED = _("not encrypted: who listens on this network reads tokens and pictures; --tls encrypts")
PORT = click.IntRange(1, 65_535)
_PACKS_FOLDER = "packs"
_UPLOADS_FOLDER = "arriving"
_TLS_FOLDER = "tls"


@click.command()
@click.option("--port", type=PORT, default=8000, show_default=True)
@click.option("--no-serve", is_flag=True, help="Only run the job.")
@wrap_command
def demo_command(*, data_dir: str | None, port: int, no_serve: bool) -> Output:
    """The whole main job on a drill flight before and after a storm, then the map."""
    from flycam.cli.demo import run_demo
    from flycam.cli.drill import format_demo

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        url = f"http://127.0.0.1:{port}/"
        answer, lines = format_demo(run_demo(workspace, ProgressBar()), url)
        if not no_serve:
            for line in lines:
                print_line(line)
            webbrowser.open(answer["url"])
            _serve(workspace, settings, "127.0.0.1", port)
        return answer, lines


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8000, show_default=True)
@click.option("--tls", is_flag=True, help="Over HTTPS, by an authority of this box's own (FLYCAM_TLS=on).")
@click.option("--certificate", type=FILE_PATH, help="Over HTTPS by this certificate instead (PEM).")
@click.option("--key", type=SECRET_FILE, help="Its key, if not in the same file (PEM).")
@click.option("--request-log", metavar="FILE|-", help="A line of JSON for each request (FLYCAM_REQUEST_LOG).")
@wrap_command
def serve_command(
    *,
    data_dir: str | None,
    host: str,
    port: int,
    tls: bool,
    certificate: Path | None,
    key: Path | None,
    request_log: str | None,
) -> Output:
    """The map and the API."""
    with open_workspace(data_dir, creates=True, waits=True) as (workspace, read):
        settings = replace(read, request_log=request_log or read.request_log)
        tls_settings = settings.tls
        if certificate is not None or key is not None:
            tls_settings = replace(tls_settings, certificate=certificate, key=key)
        elif tls:
            tls_settings = replace(tls_settings, is_on=True, certificate=None, key=None)
        _serve(workspace, settings, host, port, _load_certificate(tls_settings, settings.data_dir, host))
        return {}, []


def _load_certificate(tls: TlsSettings, data_dir: Path, host: str) -> TlsCertificate | None:
    """Return the TLS certificate to serve with, None for plain HTTP.

    Its libraries are imported only if needed. Raises OptionUnusable, StorageFailed.
    """
    if tls.certificate is not None:
        from flycam.serve.server import ExternalTlsCertificate

        return ExternalTlsCertificate(tls.certificate, tls.key)
    if tls.key is not None:
        raise OptionUnusable(_("{key}: is a key without a certificate; give --certificate too", key=tls.key))
    if not tls.is_on:
        return None
    from flycam.serve.server import OwnTlsCertificate

    return OwnTlsCertificate(data_dir / _TLS_FOLDER, host, tls.names)


def _list_addresses(host: str, port: int, encryption: TlsCertificate | None) -> list[Message]:
    """List the map's addresses, and what proves to others that it is this node."""
    scheme = "https" if encryption else "http"
    urls = [
        f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}" for name in _list_reachable_hosts(host)
    ]
    lines = [_("map: {url}/   (Ctrl-C stops)", url=urls[0])]
    lines += [_("map: {url}/", url=one) for one in urls[1:]]
    if encryption is None:
        return lines if is_loopback(host) else [*lines, _NOT_ENCRYPTED]
    lines.append(_("fingerprint SHA-256: {fingerprint}", fingerprint=encryption.fingerprint))
    if encryption.authority is not None:
        url = f"{urls[0]}{AUTHORITY_PATH}"
        lines.append(_("certificate by which others believe this node: {url}", url=url))
        lines.append(_("good for: {names}", names=", ".join(sorted(encryption.names))))
    return lines


def _list_reachable_hosts(host: str) -> list[str]:
    """List the hosts to type on other machines.

    If all networks are listened on, these are the machine's addresses in them.
    """
    if host not in _ALL_NETWORKS:
        return [host]
    from flycam.operations.certificate_authority import list_network_addresses

    # "::" listens on IPv6 alone, so that an address is written in one way
    here = sorted(
        one for one in list_network_addresses() if not is_loopback(one) and (":" in one) == (":" in host)
    )
    return here or ["::1" if ":" in host else "127.0.0.1"]


def _serve(
    workspace: Workspace, settings: Settings, host: str, port: int, encryption: TlsCertificate | None = None
) -> None:
    from flycam.http.authenticator import read_key
    from flycam.http.commands import FLYCAM
    from flycam.http.metrics import RequestLog
    from flycam.http.services import LOOPBACK_ADDRESSES, Services
    from flycam.ingest.live.interrupted_streams import complete_interrupted_in_background
    from flycam.operations.jobs import resume_jobs
    from flycam.serve.server import open_listener, serve_until_stopped

    request_log = RequestLog(settings.request_log) if settings.request_log else None
    listener = open_listener(host, port)
    for sentence in _list_addresses(host, port, encryption):
        print_line(sentence)
    key = read_key(settings.data_dir / "session.key")
    services = Services(
        workspace=workspace,
        bound_to_loopback=is_loopback(host),
        session_key=key,
        uploads_dir=settings.data_dir / UPLOADS_FOLDER,
        openid=load_sign_in_service(settings),
        origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies or LOOPBACK_ADDRESSES,
        upload_work=(*FLYCAM, "upload-work", "--data", str(settings.data_dir)),
        sync_dir=settings.data_dir / _UPLOADS_FOLDER,
        packs_dir=settings.data_dir / _PACKS_FOLDER,
        authority=None if encryption is None else encryption.authority,
        request_log=request_log,
        pack_command=(*FLYCAM, "pack", "--data", str(settings.data_dir)),
        drill_command=(*FLYCAM, "demo", "--no-serve", "--json", "--data", str(settings.data_dir)),
    )
    _print_admission(workspace, is_loopback(host))
    try:
        with (
            complete_interrupted_in_background(workspace, _print_completed),
            resume_jobs(settings.data_dir, workspace.power, print_line, lambda: _print_unfinished(workspace)),
        ):
            serve_until_stopped(services, listener, encryption)
    # Ctrl-C is how a server is stopped: nothing of it has to go on
    except KeyboardInterrupt:
        return
    finally:
        if request_log is not None:
            request_log.close()


def _print_unfinished(workspace: Workspace) -> None:
    """Print the commands that complete what a kill or a power cut left.

    Only what nothing resumes by itself. A store that is unavailable does not keep the map from being served:
    then nothing is printed.
    """
    from flycam.operations.health import list_interrupted_flights

    with suppress(StorageFailed):
        for one in list_interrupted_flights(workspace):
            print_line(one.sentence)


def _print_admission(workspace: Workspace, is_on_loopback: bool) -> None:
    """Print who can sign in.

    Those are the accounts; without any, the person at the machine, or if others reach the map how to make the
    first account: the set-up code of an earlier start is no longer valid.
    """
    from flycam.access.accounts import make_setup_code
    from flycam.cli.node import format_admission, format_setup_code

    accounts = len(workspace.catalog.accounts.all())
    if accounts or is_on_loopback:
        print_line(format_admission(accounts))
        return
    try:
        print_line(format_setup_code(make_setup_code(workspace)))
    except StorageFailed as error:
        # the map is served all the same
        print_line(error.message)
    except AccessDenied:
        return  # another process made an account meanwhile


def _print_completed(flight: Flight) -> None:
    """Print that the flight of an interrupted stream is complete now."""
    print_line(
        _(
            "{name}: the program that received its stream had died; completed as far as it was seen",
            name=flight.name,
        )
    )


def load_sign_in_service(settings: Settings) -> SignInService | None:
    """Return the client of the configured sign-in service, None without one.

    Its libraries are imported only where one is configured.
    """
    if settings.openid is None:
        return None
    from flycam.access.openid import OpenIdProvider

    return OpenIdProvider(settings.openid)
