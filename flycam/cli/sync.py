"""Synchronisation between nodes, and uploads: `bundle`, `sync`, `upload`.

`bundle` also writes an installer of flycam itself.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.flights import describe_problems, format_ingest, format_inspection
from flycam.cli.output import (
    FILE_PATH,
    SECRET_FILE,
    Answer,
    Output,
    PartialFailure,
    ProgressBar,
    format_warnings,
    get_terminal_language,
    open_workspace,
    print_line,
    wrap_command,
)
from flycam.config import ServerTrust, is_token_exposed, parse_fingerprint, read_settings
from flycam.errors import FlycamError, StorageFailed, UploadIncomplete, format_error
from flycam.messages import Message, _, from_fields, join, ngettext, verbatim
from flycam.model.text import format_area, format_centimetres

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.ingest.upload.processing import PhotosResult, UploadPreview, VideoResult, VideosResult
    from flycam.model.flight import Flight
    from flycam.sync.client import SyncReport
    from flycam.sync.reference_client import FetchReport
    from flycam.workspace import Progress, Workspace


def format_skipped(skipped: Collection[str]) -> list[Message]:
    """List what is lost or damaged here and was not sent, with the cure.

    Empty if everything was whole.
    """
    if not skipped:
        return []
    return [
        _(
            "{first}: lost or damaged on this node and passed over ({count} in all); run "
            "flycam verify: what it mends goes with the next sync or bundle",
            first=next(iter(skipped)),
            count=len(skipped),
        )
    ]


def format_sync(sent: SyncReport, got: FetchReport, url: str) -> Output:
    """Return what was sent to and received from a server.

    Sent: sent, left (bytes of tiles and photos that are not there), box (the receiving node), steps, tiles,
    views, originals, tile_bytes, ended_by ("", "budget", "metered"), apart[] as `bundle read` has it,
    passed[] as `bundle write` has it.

    Received: got (number of items, by kind), got_bytes, left_there (bytes), kept[] (name, sentence,
    sentence_vi of what this node did not take in).
    """
    answer = {
        "sent": sent.sent_bytes,
        "left": sent.left_bytes,
        "box": sent.peer,
        "steps": sent.steps,
        "tiles": sent.tiles,
        "views": sent.views,
        "originals": sent.originals,
        "tile_bytes": sent.tile_bytes,
        "ended_by": sent.ended_by,
        "apart": list(sent.conflicts.values()),
        "passed": list(sent.skipped),
        "got": dict(sorted(got.item_counts.items())),
        "got_bytes": sent.received_bytes,
        "left_there": got.left_bytes,
        "kept": [{"name": one.name, **one.sentence.to_fields()} for one in got.conflicts],
    }
    left_mb = sent.left_bytes / 1e6
    lines = []
    if got.item_counts:
        items = join((_count_received(*one) for one in sorted(got.item_counts.items())), ", ")
        lines.append(_("got from there: {items}", items=items))
    if comes := got.left_bytes - got.metered_bytes:
        lines.append(_("{size} there are still to come; the same command resumes", size=_format_size(comes)))
    if got.metered_bytes:
        lines.append(
            _(
                "metered line: {size} of terrain there wait; the same command without --metered gets them",
                size=_format_size(got.metered_bytes),
            )
        )
    lines = [
        _(
            "{url}: {size_mb:.2f} MB sent, {tiles}, {views}, {originals}",
            url=url,
            size_mb=sent.sent_bytes / 1e6,
            tiles=_count_tiles(sent.tiles),
            views=ngettext("{count} early view", "{count} early views", sent.views),
            originals=_count_originals(sent.originals),
        ),
        *(lines + [one.sentence for one in got.conflicts]),
    ]
    if sent.ended_by == "budget" and not sent.step_bytes:
        lines.append(
            _(
                "stopped: asking what is lacking there used the budget up; {left_mb:.1f} MB are left: give a "
                "larger --budget",
                left_mb=left_mb,
            )
        )
    elif sent.ended_by == "budget":
        lines.append(
            _(
                "stopped: the budget is used up; {left_mb:.1f} MB are left, the same command resumes",
                left_mb=left_mb,
            )
        )
    elif sent.ended_by == "metered":
        lines.append(
            _(
                "metered line: {left_mb:.1f} MB of tiles wait for another line, or a stick",
                left_mb=left_mb,
            )
        )
    lines += map(from_fields, sent.conflicts.values())
    return answer, lines + format_skipped(sent.skipped)


def _count_received(kind: str, count: int) -> Message:
    return {
        "area": ngettext("{count} restricted area", "{count} restricted areas", count),
        "mask": ngettext("{count} photo with masks", "{count} photos with masks", count),
        "withdrawn": ngettext(
            "{count} flight with withdrawn pictures", "{count} flights with withdrawn pictures", count
        ),
        "changes": ngettext(
            "{count} group of confirmed changes", "{count} groups of confirmed changes", count
        ),
        "layer": ngettext("{count} layer", "{count} layers", count),
        "communes": ngettext("{count} group of communes", "{count} groups of communes", count),
        "terrain": ngettext("{count} terrain file", "{count} terrain files", count),
    }[kind]


def _count_flights(count: int) -> Message:
    return ngettext("{count} flight", "{count} flights", count)


def _count_tiles(count: int) -> Message:
    return ngettext("{count} tile", "{count} tiles", count)


def _count_originals(count: int) -> Message:
    return ngettext("{count} original", "{count} originals", count)


def _format_size(size_bytes: int) -> Message:
    """Format a size in MB, below a tenth of one in kB."""
    if size_bytes >= 1e5:
        return _("{size_mb:.1f} MB", size_mb=size_bytes / 1e6)
    return _("{size_kb:.1f} kB", size_kb=size_bytes / 1e3)


# -- Options of every command that connects to a server: trust and token ---------------------------


TOKEN_VARIABLE = "FLYCAM_TOKEN"  # noqa: S105  the name of a variable


def add_tls_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that speaks to a server over HTTPS.

    One of them is its token.
    """
    for option in (
        click.option("--fingerprint", help="SHA-256 that the server prints at its start: believe it alone."),
        click.option("--ca", type=FILE_PATH, help="File of authorities to believe (default: the system's)."),
        click.option(
            "--token-file", type=SECRET_FILE, help=f"File with the access token (default: {TOKEN_VARIABLE})."
        ),
    ):
        run = option(run)
    return run


def parse_trust(ca: Path | None, fingerprint: str | None) -> ServerTrust:
    """Return the trusted certificates.

    Options take precedence over FLYCAM_CA and FLYCAM_FINGERPRINT. Raises OptionUnusable.
    """
    if fingerprint is not None:
        return ServerTrust(fingerprint=parse_fingerprint(fingerprint, "--fingerprint"))
    return ServerTrust(ca=ca) if ca is not None else read_settings(os.environ).trust


def read_token_option(url: str, token_file: Path | None) -> str | None:
    """Return the token to send; warn once if it goes unencrypted.

    Raises OptionUnusable.
    """
    from flycam.ingest.upload.client import read_token

    token = read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "").strip() or None
    if is_token_exposed(url, token):
        warning = {
            "en": f"{url}: the token goes over this network for all to read; start that server with "
            "'flycam serve --tls' and write https://",
            "vi": f"{url}: mã truy cập đi qua mạng mà ai cũng đọc được; hãy chạy máy chủ bằng "
            "'flycam serve --tls' rồi ghi https://",
        }
        print_line(warning[get_terminal_language()])
    return token


# -- Commands `bundle` and `sync` ------------------------------------------------------------------


_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


_POLL_S = 5.0
_ASK_S, _ASK_METERED_S = 60.0, 600.0
"""Interval at which the server is polled for news on a flat and on a metered line while there are none here.
"""
_INCOMING_FOLDER = "common"


class _Size(click.ParamType[int]):
    """Bytes, as 650m or 2g."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no size; write 650m or 2g", param, ctx)
        return int(found[1]) * _UNITS[found[2].lower()]


class _Rate(_Size):
    """Bits per second, as 64k or 2m; units of a thousand, as lines are sold."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is no rate; write 64k or 2m (bits a second)", param, ctx)
        return int(found[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[found[2].lower()]


@click.group()
def bundle_group() -> None:
    """Records and tiles of this node on a stick for another node, and from one."""


@bundle_group.command("write")
@click.argument("path", metavar="FILE", type=FILE_PATH)
@click.option("--receipt", type=FILE_PATH, help="Receipt of the other node (default: all beside FILE).")
@click.option("--all", "whole", is_flag=True, help="Everything, whatever receipts say.")
@click.option("--originals", is_flag=True, help="Photos too: they are most of the bytes.")
@click.option("--part-size", type=_Size(), default="4g", show_default=True, help="Largest file.")
@wrap_command
def write_bundle_command(
    *, data_dir: str | None, path: Path, receipt: Path | None, whole: bool, originals: bool, part_size: int
) -> Output:
    """Write what the other node lacks. Stopped, the same command goes on."""
    from flycam.sync.bundle import FAT32_BYTES, write_bundle

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        written = write_bundle(
            workspace,
            path,
            receipt=receipt,
            full=whole,
            includes_originals=originals,
            part_bytes=min(part_size, FAT32_BYTES),
        )
        # sent: bytes; left 0: everything requested is on the stick; readers: nodes that have the rest by
        # their receipts; passed: keys of what is lost or damaged here and left out
        answer = {
            "sent": written.size_bytes,
            "left": 0,
            "bundle_id": written.bundle_id,
            "key": written.key,
            "path": str(path),
            "flights": written.flights,
            "tiles": written.tiles,
            "originals": written.originals,
            "parts": written.parts,
            "written": written.written,
            "readers": list(written.readers),
            "passed": list(written.skipped),
        }
        lines = [
            _(
                "{path}: {flights}, {tiles}, {originals}; {size_mb:.1f} MB in {parts}",
                path=path,
                flights=_count_flights(written.flights),
                tiles=_count_tiles(written.tiles),
                originals=_count_originals(written.originals),
                size_mb=written.size_bytes / 1e6,
                parts=ngettext("{count} file", "{count} files", written.parts),
            )
        ]
        if written.readers:
            lines.append(
                _(
                    "left out: what these have by their receipts: {names}; for a node that has read none: "
                    "--all",
                    names=", ".join(written.readers),
                )
            )
        return answer, lines + format_skipped(written.skipped)


@bundle_group.command("read")
@click.argument("path", metavar="FILE", type=FILE_PATH)
@wrap_command
def read_bundle_command(*, data_dir: str | None, path: Path) -> Output:
    """Import what another node wrote: all of it, or nothing."""
    from flycam.sync.bundle import read_bundle
    from flycam.sync.exchange_import import SyncApplyHooks

    progress = ProgressBar()
    with open_workspace(data_dir, creates=True) as (workspace, __):
        read = read_bundle(workspace, path, SyncApplyHooks(workspace, progress), progress)
        # key, is_new: public key of box, believed from this bundle on; known: tiles left out, because more of
        # the same logs came before; apart: flights that could not be merged with those here; unnamed: SHA-256
        # of photos that no flight here names, which were skipped
        answer = {
            "sent": 0,
            "left": 0,
            "box": read.box,
            "bundle_id": read.bundle_id,
            "key": read.key,
            "is_new": read.is_new,
            "flights": list(read.applied.flights),
            "tiles": read.tiles,
            "known": read.known,
            "lines": read.applied.lines,
            "receipt": None if read.receipt is None else str(read.receipt),
            "apart": [one.summary for one in read.applied.conflicts],
            "unnamed": list(read.applied.unreferenced),
        }
        lines = [
            _(
                "imported from {box}: {flights}, {tiles}",
                box=read.box,
                flights=_count_flights(len(read.applied.flights)),
                tiles=_count_tiles(read.tiles - read.known),
            )
        ]
        if read.is_new:
            lines.append(
                _(
                    "first bundle of {box}: its key {key} is believed from now on; compare it with the one "
                    "that 'flycam audit verify' prints there",
                    box=read.box,
                    key=read.key,
                )
            )
        if read.known:
            lines.append(
                ngettext(
                    "{count} tile was left out, because more arrived from {box} before: this is an older "
                    "bundle, or two nodes carry this name (a copied disk): then give one a name of its "
                    "own with FLYCAM_BOX and write its bundle again with --all",
                    "{count} tiles were left out, because more arrived from {box} before: this is an "
                    "older bundle, or two nodes carry this name (a copied disk): then give one a name of "
                    "its own with FLYCAM_BOX and write its bundle again with --all",
                    read.known,
                    box=read.box,
                )
            )
        lines += [one.sentence for one in read.applied.conflicts]
        if count := len(read.applied.unreferenced):
            lines.append(
                _(
                    "photos that no flight here names, passed over: {count}; bring both nodes to one version",
                    count=count,
                )
            )
        if read.receipt is None:
            lines.append(
                _("no receipt could be written on the stick: the other node will write everything again")
            )
        else:
            lines.append(
                _(
                    "receipt: {path} (carry it back: the next bundle holds only what is new)",
                    path=read.receipt,
                )
            )
        return answer, lines


@bundle_group.command("wheels")
@click.argument("path", metavar="DIR", type=FILE_PATH)
@click.option(
    "--from", "found_in", type=FILE_PATH, help="Folder of wheels, or another stick: no network is asked."
)
@wrap_command
def write_wheels_command(*, data_dir: str | None, path: Path, found_in: Path | None) -> Output:
    """Write flycam itself on a stick: a machine of this kind installs it there without a network."""
    from flycam.operations.installer import write_installer

    del data_dir  # an installer needs no data folder
    written = write_installer(path, found_in, ProgressBar())
    answer = {
        "path": str(written.path),
        "wheels": written.wheels,
        "bytes": written.size_bytes,
        "manifest_sha256": written.manifest_sha256,
    }
    return answer, [
        _(
            "{path}: {wheels} wheels, {size_mb:.0f} MB; install: sh {path}/install.sh FOLDER",
            path=written.path,
            wheels=written.wheels,
            size_mb=written.size_bytes / 1e6,
        ),
        _("manifest SHA-256 {sha256}", sha256=written.manifest_sha256),
    ]


@click.command()
@click.argument("url")
@add_tls_options
@click.option("--rate", type=_Rate(), help="At most so many bits a second, as 64k.")
@click.option("--budget", type=_Size(), help="Stop after so many bytes, as 20m; the next run goes on.")
@click.option("--metered", is_flag=True, help="A line that costs: overview and records, no full tiles.")
@click.option("--photos", is_flag=True, help="Original photos too, after all else.")
@click.option("--once", is_flag=True, help="End when all is there; else go on with what is new.")
@click.option(
    "--patience", "patience_s", type=float, default=3600.0, help="With --once: give up after so long, s."
)
@wrap_command
def sync_command(
    *,
    data_dir: str | None,
    url: str,
    token_file: Path | None,
    ca: Path | None,
    fingerprint: str | None,
    rate: int | None,
    budget: int | None,
    metered: bool,
    photos: bool,
    once: bool,
    patience_s: float,
) -> Output:
    """Send the records and tiles of this node to a server, over any line, and get communes, terrain, layers,
    restricted areas and confirmed changes from there. Cut off or stopped, it goes on."""
    from flycam.http.client import ServerConnection
    from flycam.retry import retry_on_outage
    from flycam.sync.client import Sender, TransferLimits
    from flycam.sync.exchange_import import SyncApplyHooks
    from flycam.sync.reference_client import ReferenceFetcher

    token, trust = read_token_option(url, token_file), parse_trust(ca, fingerprint)
    patient_s = patience_s if once else float("inf")

    def note(why: Message) -> None:
        print_line(_("waiting: {why}", why=why))

    def passed_over(key: str) -> None:
        print_line(format_skipped([key])[0])

    line = ServerConnection(url, token, patient_s, get_terminal_language(), note, is_thin=True, trust=trust)
    limits = TransferLimits(
        rate_bytes_s=None if rate is None else rate / 8,
        budget_bytes=budget,
        metered=metered,
        originals=photos,
    )
    with open_workspace(data_dir, creates=True) as (workspace, __):
        back = ReferenceFetcher(
            workspace, line, SyncApplyHooks(workspace), workspace.cache_dir / _INCOMING_FOLDER, limits
        )
        bar = ProgressBar()
        reporters: list[Progress] = []

        def report(stage: str, done: int, total: int) -> None:
            reporters[-1](stage, done, total)

        def shown(stage: str, done: int, total: int) -> None:
            if stage:
                bar(stage, done, total)

        sender = Sender(workspace, line, limits, report, goes_on=not once, back=back, passed_over=passed_over)

        def rounds(progress: Progress) -> None:
            """Send all that the server lacks, then what is new, until stopped."""
            reporters.append(progress)
            sender.run_round()
            # show that it has begun, even if there is nothing to send
            progress("", 0, 0)
            requested_s = time.monotonic()
            while not once and sender.sent.ended_by != "budget":
                time.sleep(_POLL_S)
                if sender.has_local_changes() or time.monotonic() - requested_s > (
                    _ASK_METERED_S if metered else _ASK_S
                ):
                    sender.run_round()
                    requested_s = time.monotonic()

        retry_on_outage(workspace, rounds, shown, print_line)
        return format_sync(sender.sent, back.got, url)


# -- Upload of a memory card: `upload`, and the server's worker `upload-work` ----------------------


_NO_PHOTOS: Answer = {"frames": 0, "usable": 0, "problems": [], "rejections": [], "gaps": []}


def format_upload_preview(looked: UploadPreview, smeared_px: float) -> Answer:
    """Return what `flycam inspect` answers, and more.

    No more than that for a card without photos.

    films[] with the log that each will probably be placed by, or the sentence that it has none; photos[] with
    outline (lon, lat ring), gsd_m, smear_px; ground_m2 that they see together; smeared: how many lose small
    features to motion blur.
    """
    import shapely

    answer: Answer = _NO_PHOTOS
    if looked.inspection is not None:
        answer, __ = format_inspection(looked.inspection)
    photos: list[dict[str, Any]] = []
    for one in looked.planned:
        ring = shapely.get_coordinates(one.outline_lonlat).round(6).tolist()
        smear = looked.motion_blur_px.get(one.header.frame_id)
        photos.append(
            {
                "name": one.header.provenance.source_name,
                "outline": ring,
                "gsd_m": round(one.footprint.gsd_m, 4),
                "smear_px": None if smear is None else round(smear, 2),
            }
        )
    smears = [one["smear_px"] for one in photos if one["smear_px"] is not None]
    return {
        **{key: value for key, value in answer.items() if key != "refly"},
        "photos": photos,
        "ground_m2": round(looked.ground_m2, 1),
        "films": [_describe_expected_video(film, log) for film, log in looked.video_logs.items()],
        "smeared": sum(smear > smeared_px for smear in smears),
        "smear_known": len(smears),
        "worst_smear_px": max(smears, default=None),
    }


def _describe_expected_video(film: str, log: str | None) -> Answer:
    from flycam.ingest.upload.processing import make_missing_log_error

    sentence = verbatim("") if log else format_error(make_missing_log_error(film))
    return {"name": film, "log": log, **sentence.to_fields()}


def format_photos_result(ingested: PhotosResult, catalog: Catalog) -> Answer:
    """Return what `flycam ingest` answers, with the event's name as event.

    doctor  findings in whole photos, as `problems` of `flycam inspect`: they settle what the preview of the
            heads alone could not
    """
    answer, __ = format_ingest(ingested.report, catalog)
    return {
        **answer,
        "doctor": describe_problems(ingested.report.preflight.diagnosis),
        **_describe_event(ingested.report.flight, catalog),
        "warnings": [*answer["warnings"], *(str(format_error(one)) for one in ingested.unreadable)],
        "warnings_vi": [
            *answer["warnings_vi"],
            *(format_error(one).in_language("vi") for one in ingested.unreadable),
        ],
    }


def _describe_event(flight: Flight, catalog: Catalog) -> Answer:
    return {"event_id": flight.event_id, "event": catalog.flights.event(flight.event_id).name}


def format_videos_result(ingested: VideosResult, photos: Answer | None, catalog: Catalog) -> Answer:
    """Return the result of a card's videos.

    films[]: name, log, frames, new, clock_sigma_s, sentence, sentence_vi. If no photo of the card is on the
    map, also the videos' flight_id, name, event_id and event, or the error of the first of them.

    photos  result of the card's photos; None: it has none
    """
    films = [_describe_video(one) for one in ingested.videos]
    answer: dict[str, Any] = {"films": films}
    if photos is not None and "flight_id" in photos:
        return answer
    if photos is not None:
        answer["photos"] = {key: photos[key] for key in ("error", "sentence", "sentence_vi")}
    if ingested.flight is not None:
        flight = ingested.flight
        return {
            **answer,
            "flight_id": flight.flight_id,
            "name": flight.name,
            **_describe_event(flight, catalog),
            **format_warnings(flight.warnings),
        }
    first = next(one.error for one in ingested.videos if one.error is not None)
    return {**answer, **format_failure(first)} if photos is None else {**answer, **answer["photos"]}


def _describe_video(one: VideoResult) -> Answer:
    count, video = one.frames, one.video
    on_map = ngettext(
        "{video}: {count} picture on the map", "{video}: {count} pictures on the map", count, video=video
    )
    answer = {"name": video, "log": one.log, "frames": count}
    if one.error is not None or one.report is None:
        sentence = verbatim("") if one.error is None else format_error(one.error)
        if count:  # frames on the map did not fail
            if one.is_cut:
                on_map = ngettext(
                    "{video}: cut short, {count} picture on the map",
                    "{video}: cut short, {count} pictures on the map",
                    count,
                    video=video,
                )
            sentence = join((on_map, sentence), "; ")
        return {**answer, "new": 0, "clock_sigma_s": None, **sentence.to_fields()}
    report = one.report
    named = f"{PurePosixPath(video).name}: "  # already in the sentence
    remarks = (
        from_fields(
            {key: text.removeprefix(named).removesuffix(".") for key, text in remark.to_fields().items()}
        )
        for remark in report.remarks
    )
    return {
        **answer,
        "new": report.new,
        "clock_sigma_s": round(report.clock.sigma_s, 4),
        **join((on_map, *remarks), "; ").to_fields(),
    }


def format_failure(error: BaseException) -> Answer:
    """Return an error's sentence in both languages."""
    return {"error": type(error).__name__, **format_error(error).to_fields()}


_MAX_SENTENCES = 8


def format_upload_preview_lines(look: Answer) -> list[Message]:
    """List what the heads show while the rest is on its way, for people.

    As on the upload's page; says so where there are no gaps or no motion blur.
    """
    if "error" in look:
        return [from_fields(look)]
    lines = _format_facts(look) if look["frames"] else []
    sentences = [
        *(one for one in look["problems"] if one["severity"] != "info"),
        *look["gaps"],
        *look["rejections"],
    ]
    lines += map(_indent, sentences[:_MAX_SENTENCES])
    if (more := len(sentences) - _MAX_SENTENCES) > 0:
        lines.append(_("  and {more} more", more=more))
    return lines + [_indent(one) for one in look["films"] if one["sentence"]]


def _indent(sentence: Answer) -> Message:
    return join(("", from_fields(sentence)), "  ")


def _format_facts(look: Answer) -> list[Message]:
    """List photos placed, ground, gaps and motion blur."""
    usable, gaps = look["usable"], look["gaps"]
    lines = [
        ngettext(
            "First look, from the heads: {usable} of {count} photo can be placed",
            "First look, from the heads: {usable} of {count} photos can be placed",
            look["frames"],
            usable=usable,
        )
    ]
    if look["ground_m2"] and look["photos"]:
        # here: 10 ms that other commands need not wait
        from statistics import median

        gsd_m = median(one["gsd_m"] for one in look["photos"])
        lines.append(
            _(
                "  ground: about {ground}, GSD about {gsd}",
                ground=format_area(look["ground_m2"]),
                gsd=format_centimetres(gsd_m),
            )
        )
    if gaps:
        missed = format_area(sum(one["area_m2"] for one in gaps))
        lines.append(
            ngettext(
                "  {count} gap, {missed} in all", "  {count} gaps, {missed} in all", len(gaps), missed=missed
            )
        )
    elif usable:
        lines.append(_("  no gaps"))
    lines.append(_format_smear(look))
    return lines


def _format_smear(look: Answer) -> Message:
    if not look["smear_known"]:
        return _("  the photos do not say enough to tell smear")
    if not look["smeared"]:
        return _("  no photo is smeared by the speed")
    return ngettext(
        "  {count} photo is smeared by the speed (up to {smear_px:,.1f} pixels); fly slower",
        "  {count} photos are smeared by the speed (up to {smear_px:,.1f} pixels); fly slower",
        look["smeared"],
        smear_px=look["worst_smear_px"],
    )


_PER_PHOTO_KEYS = ("photos", "relief", "seconds")


# -- Commands `upload` and `upload-work` -----------------------------------------------------------


UPLOADS_FOLDER = "uploads"


@click.command()
@click.argument("url")
@click.argument("paths", nargs=-1, required=True, type=FILE_PATH)
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--telemetry", type=FILE_PATH, help="Flight log, or poses, of these photos.")
@add_tls_options
@click.option(
    "--patience", "patience_s", type=float, default=3600.0, help="Give up after so long without a line, s."
)
@wrap_command
def upload_command(
    *,
    data_dir: str | None,
    url: str,
    paths: tuple[Path, ...],
    name: str | None,
    event: str | None,
    telemetry: Path | None,
    token_file: Path | None,
    ca: Path | None,
    fingerprint: str | None,
    patience_s: float,
) -> Output:
    """Photos, films and flight logs to a server over any line. Cut off, the same command goes on.

    Exit code 6: sent, but for files that are on the card alone.
    """
    from flycam.ingest.upload.client import send_card
    from flycam.ingest.upload.memory_card import UploadRequest

    del data_dir  # an upload keeps nothing on this side
    sending = UploadRequest(
        url=url,
        paths=paths,
        token=read_token_option(url, token_file),
        name=name,
        event=event,
        telemetry=telemetry,
        retry_timeout_s=patience_s,
        language=get_terminal_language(),
        trust=parse_trust(ca, fingerprint),
    )

    def tell(look: Answer) -> None:
        for sentence in format_upload_preview_lines(look):
            print_line(sentence)

    def note(why: Message) -> None:
        print_line(_("waiting: {why}", why=why))

    sent = send_card(sending, ProgressBar(), tell, note)
    # look: the preview without its part about single photos
    result = sent.result
    answer = {
        "flight_id": result["flight_id"],
        "name": result["name"],
        "event": result["event"],
        "upload_id": sent.upload_id,
        "frames": result.get("frames"),
        "files": sent.files,
        "bytes": sent.bytes,
        "sent_bytes": sent.sent_bytes,
        "films": result.get("films", []),
        "skipped": [{"path": str(path), "reason": reason} for path, reason in sent.skipped],
        "passed_over": sent.skipped_count,
        "passed_over_said": [one.to_fields() for one in sent.skipped_reasons],
        **{key: result.get(key, []) for key in ("notes", "notes_vi", "warnings", "warnings_vi")},
        "look": None
        if sent.preview is None
        else {key: value for key, value in sent.preview.items() if key not in _PER_PHOTO_KEYS},
        "seconds": round(sent.seconds, 3),
    }
    photos = (result.get("frames") or {}).get("used", 0)
    lines = [
        _(
            "{files} saved on the server; {photos} on the map: {name} ({flight_id})",
            files=ngettext("{count} file", "{count} files", sent.files),
            photos=ngettext("{count} photo", "{count} photos", photos),
            name=result["name"],
            flight_id=result["flight_id"],
        ),
        _("  event: {event}", event=result["event"]),
    ]
    if sent.skipped_count:
        lines.append(_("NOT taken, on the card alone ({count}):", count=sent.skipped_count))
        lines += (join(("", one), "  ") for one in sent.skipped_reasons)
    lines += map(from_fields, (*filter(None, [result.get("photos")]), *result.get("films", [])))
    for key in ("notes", "warnings"):
        pairs = zip(result.get(key, []), result.get(f"{key}_vi", []), strict=False)
        lines += (from_fields({"sentence": en, "sentence_vi": vi}) for en, vi in pairs)
    answered = answer, lines
    if sent.skipped_count:
        # people who wipe cards go by the exit code
        raise PartialFailure(
            *answered,
            UploadIncomplete(
                ngettext(
                    "{count} file is on the card alone and named above: mend them and run the same "
                    "command again, or copy them elsewhere, before the card is wiped",
                    "{count} files are on the card alone and named above: mend them and run the same "
                    "command again, or copy them elsewhere, before the card is wiped",
                    sent.skipped_count,
                )
            ),
        )
    return answered


@click.command("upload-work", hidden=True)
@click.argument("upload_id")
@click.argument("what", type=click.Choice(["look", "lay", "film"]))
@wrap_command
def work_on_upload_command(*, data_dir: str | None, upload_id: str, what: str) -> Output:
    """Look at an upload's heads, or process its photos or its films; what came of it goes into a file
    beside it."""
    from flycam.ingest.upload.upload import (
        PHOTOS_RESULT_FILE,
        PREVIEW_FILE,
        VIDEOS_RESULT_FILE,
        lock_upload,
        write_result_file,
    )

    with open_workspace(data_dir) as (workspace, settings):
        folder = settings.data_dir / UPLOADS_FOLDER / upload_id
        with lock_upload(folder):
            work, name = {
                "look": (_preview_heads, PREVIEW_FILE),
                "lay": (_ingest_photos, PHOTOS_RESULT_FILE),
                "film": (_ingest_videos, VIDEOS_RESULT_FILE),
            }[what]
            if (folder / name).exists():
                return {}, []
            try:
                answer = work(workspace, folder)
            except StorageFailed:
                raise  # the server tries again
            except FlycamError as error:
                answer = format_failure(error)
            write_result_file(folder / name, answer)
            return {}, []


def _preview_heads(workspace: Workspace, folder: Path) -> Answer:
    from flycam.ingest.upload.processing import MAX_MOTION_BLUR_PX, is_awaiting_logs, preview_upload

    # read before the work begins: logs that come meanwhile are not seen by it
    awaits = is_awaiting_logs(folder)
    try:
        looked = preview_upload(workspace, folder)
    except StorageFailed:
        raise
    except FlycamError as error:
        return {**format_failure(error), "awaits_logs": awaits}
    return format_upload_preview(looked, MAX_MOTION_BLUR_PX)


def _ingest_photos(workspace: Workspace, folder: Path) -> Answer:
    from flycam.ingest.upload.processing import orthorectify_photos

    return format_photos_result(orthorectify_photos(workspace, folder), workspace.catalog)


def _ingest_videos(workspace: Workspace, folder: Path) -> Answer:
    from flycam.ingest.upload.processing import orthorectify_videos
    from flycam.ingest.upload.upload import PHOTOS_RESULT_FILE, read_json_file

    photos = read_json_file(folder, PHOTOS_RESULT_FILE)
    flight_id = None if photos is None else photos.get("flight_id")
    return format_videos_result(orthorectify_videos(workspace, folder, flight_id), photos, workspace.catalog)
