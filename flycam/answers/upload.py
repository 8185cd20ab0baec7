"""Answers about uploads: the preview of a card, and the result of its ingest, as the page shows them."""

from __future__ import annotations

from pathlib import PurePosixPath
from statistics import median
from typing import TYPE_CHECKING, Any

import shapely

from flycam.answers.flights import describe_problems, format_ingest, format_inspection
from flycam.answers.output import Answer, Output
from flycam.errors import UploadIncomplete
from flycam.frame.warning import format_warning
from flycam.messages import _
from flycam.outcomes import format_error
from flycam.report.number_format import format_area, format_centimetres, format_number

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.frame.flight import Flight
    from flycam.pipeline.upload.upload_client import UploadReport
    from flycam.pipeline.upload.upload_processing import PhotosResult, UploadPreview
    from flycam.pipeline.upload.upload_videos import VideoResult, VideosResult


_NO_PHOTOS: Answer = {"frames": 0, "usable": 0, "problems": [], "rejections": [], "gaps": []}


def format_upload_preview(looked: UploadPreview, smeared_px: float) -> Answer:
    """Return what `flycam inspect` answers, and more.

    No more than that for a card without photos.

    films[] with the log that each will probably be placed by, or the sentence that it has none; photos[] with
    outline (lon, lat ring), gsd_m, smear_px; ground_m2 that they see together; smeared: how many lose small
    features to motion blur.
    """
    answer: Answer = _NO_PHOTOS
    if looked.inspection is not None:
        answer, _ = format_inspection(looked.inspection)
    photos: list[dict[str, Any]] = []
    for one in looked.planned:
        ring = shapely.get_coordinates(one.view.outline_lonlat).round(6).tolist()
        smear = looked.motion_blur_px.get(one.header.frame_id)
        photos.append(
            {
                "name": one.header.provenance.source_name,
                "outline": ring,
                "gsd_m": round(one.view.footprint.gsd_m, 4),
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
    from flycam.pipeline.upload.upload_videos import make_missing_log_error  # noqa: PLC0415  the look has no need of what lays films

    missing = None if log else make_missing_log_error(film)
    return {
        "name": film,
        "log": log,
        "sentence": format_error(missing) if missing else "",
        "sentence_vi": format_error(missing, "vi") if missing else "",
    }


def format_photos_result(ingested: PhotosResult, catalog: Catalog) -> Answer:
    """Return what `flycam ingest` answers, with the event's name as event.

    doctor  findings in whole photos, as `problems` of `flycam inspect`: they settle what the preview of the
            heads alone could not
    """
    answer, _ = format_ingest(ingested.report, catalog)
    return {
        **answer,
        "doctor": describe_problems(ingested.report.preflight.diagnosis),
        **_describe_event(ingested.report.flight, catalog),
        "warnings": [*answer["warnings"], *(format_error(one) for one in ingested.unreadable)],
        "warnings_vi": [*answer["warnings_vi"], *(format_error(one, "vi") for one in ingested.unreadable)],
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
            "warnings": [format_warning(one) for one in flight.warnings],
            "warnings_vi": [format_warning(one, "vi") for one in flight.warnings],
        }
    first = next(one.error for one in ingested.videos if one.error is not None)
    return {**answer, **format_failure(first)} if photos is None else {**answer, **answer["photos"]}


def _describe_video(one: VideoResult) -> Answer:
    if one.error is not None or one.report is None:
        said, said_vi = (format_error(one.error), format_error(one.error, "vi")) if one.error else ("", "")
        if one.frames:  # frames on the map did not fail
            cut, cut_vi = ("cut short, ", "bị cụt, ") if one.is_cut else ("", "")
            said = f"{one.video}: {cut}{one.frames} pictures on the map; {said}"
            said_vi = f"{one.video}: {cut_vi}{one.frames} khung hình trên bản đồ; {said_vi}"
        return {
            "name": one.video,
            "log": one.log,
            "frames": one.frames,
            "new": 0,
            "clock_sigma_s": None,
            "sentence": said,
            "sentence_vi": said_vi,
        }
    report = one.report
    named = f"{PurePosixPath(one.video).name}: "  # already in the sentence
    remarks, remarks_vi = (
        [said.in_language(language).removeprefix(named).removesuffix(".") for said in report.remarks]
        for language in ("en", "vi")
    )
    return {
        "name": one.video,
        "log": one.log,
        "frames": one.frames,
        "new": report.new,
        "clock_sigma_s": round(report.clock.sigma_s, 4),
        "sentence": "; ".join([f"{one.video}: {one.frames} pictures on the map", *remarks]),
        "sentence_vi": "; ".join([f"{one.video}: {one.frames} khung hình trên bản đồ", *remarks_vi]),
    }


def format_failure(error: BaseException) -> Answer:
    """Return an error's sentence in both languages."""
    return {
        "error": type(error).__name__,
        "sentence": format_error(error),
        "sentence_vi": format_error(error, "vi"),
    }


_MAX_SENTENCES = 8


def format_upload_preview_lines(look: Answer, language: str = "en") -> list[str]:
    """List what the heads show while the rest is on its way, for people.

    As on the upload's page; says so where there are no gaps or no motion blur.
    """
    vi = language == "vi"
    key = "sentence_vi" if vi else "sentence"
    if "error" in look:
        return [look[key]]
    lines = _format_facts(look, language) if look["frames"] else []
    said = [
        *(one[key] for one in look["problems"] if one["severity"] != "info"),
        *(one[key] for one in (*look["gaps"], *look["rejections"])),
    ]
    lines += [f"  {one}" for one in said[:_MAX_SENTENCES]]
    if more := len(said) - _MAX_SENTENCES:
        lines += [f"  và {more} điều nữa" if vi else f"  and {more} more"] if more > 0 else []
    return lines + [f"  {one[key]}" for one in look.get("films", ()) if one[key]]


def _format_facts(look: Answer, language: str) -> list[str]:
    """List photos placed, ground, gaps and motion blur."""
    vi = language == "vi"
    usable, frames, gaps = look["usable"], look["frames"], look["gaps"]
    lines = [
        f"Xem trước từ đầu ảnh: {usable} / {frames} ảnh định vị được"
        if vi
        else f"First look, from the heads: {usable} of {frames} photos can be placed"
    ]
    if look["ground_m2"] and look["photos"]:
        seen = format_area(look["ground_m2"], language)
        gsd = format_centimetres(median(one["gsd_m"] for one in look["photos"]), language)
        lines.append(
            f"  phạm vi chụp khoảng {seen}, GSD khoảng {gsd}"
            if vi
            else f"  ground: about {seen}, GSD about {gsd}"
        )
    if gaps:
        missed = format_area(sum(one["area_m2"] for one in gaps), language)
        lines.append(
            f"  {len(gaps)} chỗ bị sót, tổng {missed}" if vi else f"  {len(gaps)} gaps, {missed} in all"
        )
    elif usable:
        lines.append("  không có chỗ sót" if vi else "  no gaps")
    lines.append(_format_smear(look, language))
    return lines


def _format_smear(look: Answer, language: str) -> str:
    vi = language == "vi"
    if not look["smear_known"]:
        return (
            "  ảnh không ghi đủ số liệu để tính nhoè"
            if vi
            else "  the photos do not say enough to tell smear"
        )
    if not look["smeared"]:
        return "  không ảnh nào nhoè vì bay nhanh" if vi else "  no photo is smeared by the speed"
    px = format_number(look["worst_smear_px"], 1, language)
    return (
        f"  {look['smeared']} ảnh nhoè vì bay nhanh (tới {px} điểm ảnh); hãy bay chậm hơn"
        if vi
        else f"  {look['smeared']} photos are smeared by the speed (up to {px} pixels); fly slower"
    )


_PER_PHOTO_KEYS = ("photos", "relief", "seconds")


def build_left_on_card_error(sent: UploadReport) -> UploadIncomplete:
    """Build the error of a card that is not wholly on the server.

    People who wipe cards go by the exit code.
    """
    count = sent.skipped_count
    return UploadIncomplete(
        _(
            "{count} files are on the card alone and named above: mend them and run the same "
            "command again, or copy them elsewhere, before the card is wiped",
            count=count,
        )
    )


def format_upload(sent: UploadReport, language: str = "en") -> Output:
    """Return the result of an upload.

    Keys: flight_id, name, event, upload_id, frames, films, files, bytes, sent_bytes, skipped; passed_over
    with passed_over_said[]: sentence, sentence_vi; look: the preview without its part about single photos
    (None: the server sent none).
    """
    laid, vi = sent.result, language == "vi"
    answer = {
        "flight_id": laid.get("flight_id"),
        "name": laid.get("name"),
        "event": laid.get("event"),
        "upload_id": sent.upload_id,
        "frames": laid.get("frames"),
        "files": sent.files,
        "bytes": sent.bytes,
        "sent_bytes": sent.sent_bytes,
        "films": laid.get("films", []),
        "skipped": [{"path": str(path), "reason": reason} for path, reason in sent.skipped],
        "passed_over": sent.skipped_count,
        "passed_over_said": [{"sentence": en, "sentence_vi": vn} for en, vn in sent.skipped_reasons],
        **{key: laid.get(key, []) for key in ("notes", "notes_vi", "warnings", "warnings_vi")},
        "look": None
        if sent.preview is None
        else {key: value for key, value in sent.preview.items() if key not in _PER_PHOTO_KEYS},
        "seconds": round(sent.seconds, 3),
    }
    used = (laid.get("frames") or {}).get("used", 0)
    lines = [
        f"{sent.files} tệp đã lưu trên máy chủ; {used} ảnh lên bản đồ: {laid.get('name')} "
        f"({laid.get('flight_id')})"
        if vi
        else f"{sent.files} files saved on the server; {used} photos on the map: {laid.get('name')} "
        f"({laid.get('flight_id')})"
    ]
    if event := laid.get("event"):
        lines.append(f"  sự kiện: {event}" if vi else f"  event: {event}")
    if sent.skipped_count:
        lines.append(
            f"CHƯA LƯU, chỉ có trên thẻ nhớ ({sent.skipped_count} tệp):"
            if vi
            else f"NOT taken, on the card alone ({sent.skipped_count}):"
        )
        lines += [f"  {one[vi]}" for one in sent.skipped_reasons]
    told = [*filter(None, [laid.get("photos")]), *laid.get("films", [])]
    lines += [one["sentence_vi" if vi else "sentence"] for one in told]
    lines += laid.get("notes_vi" if vi else "notes", [])
    return answer, [*lines, *laid.get("warnings_vi" if vi else "warnings", [])]
