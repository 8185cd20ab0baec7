"""Upload of a memory card: `upload`, and the server's worker `upload-work`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.flights import describe_problems, format_ingest, format_inspection
from flycam.cli.output import (
    FILE_PATH,
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
from flycam.cli.sync import add_tls_options, parse_trust, read_token_option
from flycam.errors import FlycamError, StorageFailed, UploadIncomplete, format_error
from flycam.messages import Message, _, from_fields, join, ngettext, verbatim
from flycam.model.text import format_area, format_centimetres

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.ingest.upload.processing import PhotosResult, UploadPreview, VideoResult, VideosResult
    from flycam.model.flight import Flight
    from flycam.workspace import Workspace


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
