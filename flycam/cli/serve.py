"""The map server, and synthetic flights for exercises: `serve`, `demo`, `drill`."""

from __future__ import annotations

import math
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from flycam.cli.output import (
    FILE_PATH,
    SECRET_FILE,
    Output,
    ProgressBar,
    open_workspace,
    print_line,
    watch_stop_requests,
    wrap_command,
)
from flycam.cli.sync import UPLOADS_FOLDER
from flycam.config import AUTHORITY_PATH, Settings, TlsSettings, is_loopback
from flycam.errors import AccessDenied, OptionUnusable, StorageFailed
from flycam.messages import Message, _, ngettext

if TYPE_CHECKING:
    from flycam.cli.demo import DemoReport
    from flycam.drill.photo_drill import DrillReport
    from flycam.drill.video_drill import StreamReport, VideoDrillReport
    from flycam.http.guards import SignInService
    from flycam.model.flight import Flight
    from flycam.operations.certificate_authority import TlsCertificate
    from flycam.workspace import Workspace


# -- Synthetic flights for exercises, and their results: `drill` -----------------------------------


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
    sent = ngettext(
        "sent {seconds:,.0f} s of video and {count} MAVLink packet",
        "sent {seconds:,.0f} s of video and {count} MAVLink packets",
        report.packets,
        seconds=report.video_s,
    )
    return answer, [sent if report.complete else _("{sent}, then stopped as asked", sent=sent)]


def format_demo(report: DemoReport, url: str) -> Output:
    """Return flights, changes[{kind, score, area_m2, area_at_least, commune}] and url.

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
                "area_at_least": one.is_cut,
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
@click.option("--seed", type=int, default=1, show_default=True, help="0 to 999999.")
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


# -- The map server, and its demonstration: `serve`, `demo` ----------------------------------------


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
        from flycam.operations.certificate_authority import ExternalTlsCertificate

        return ExternalTlsCertificate(tls.certificate, tls.key)
    if tls.key is not None:
        raise OptionUnusable(_("{key}: is a key without a certificate; give --certificate too", key=tls.key))
    if not tls.is_on:
        return None
    from flycam.operations.certificate_authority import OwnTlsCertificate

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
    from flycam.http.commands import FLYCAM
    from flycam.http.guards import LOOPBACK_ADDRESSES, Services, read_key
    from flycam.http.protocol import RequestLog
    from flycam.ingest.live.recording import complete_interrupted_in_background
    from flycam.operations.jobs import resume_jobs
    from flycam.serve.app import open_listener, serve_until_stopped

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
