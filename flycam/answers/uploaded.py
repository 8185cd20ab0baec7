"""What the heads of an upload say, and what came of laying it, as the page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import shapely

from flycam.answers.answered import Answer, Answered
from flycam.answers.flights import of_ingest, of_inspection
from flycam.frame.spelling import decimal_comma
from flycam.outcomes import sentence

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.catalog.catalog import Catalog
    from flycam.pipeline.batch import IngestReport
    from flycam.pipeline.upload_sending import Sent
    from flycam.pipeline.upload_work import Looked


def of_look(looked: Looked, smeared_px: float) -> Answer:
    """As `flycam inspect` answers, and more.

    photos[] with outline (lon, lat ring), gsd_m, smear_px; preview: bounds of its picture, photos shown in
    it; smeared: how many lose small things to the aircraft's own motion.
    """
    answer, _ = of_inspection(looked.inspection)
    photos: list[dict[str, Any]] = []
    for one in looked.planned:
        ring = shapely.get_coordinates(one.view.outline_lonlat).round(6).tolist()
        smear = looked.smear_px.get(one.header.frame_id)
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
        "preview": None
        if looked.preview is None
        else {"bounds": looked.preview.bounds, "shown": looked.preview.shown},
        "smeared": sum(smear > smeared_px for smear in smears),
        "smear_known": len(smears),
        "worst_smear_px": max(smears, default=None),
    }


def of_laying(report: IngestReport, catalog: Catalog) -> Answer:
    """As `flycam ingest` answers, and the event the flight lies in."""
    answer, _ = of_ingest(report, catalog)
    return {**answer, "event_id": report.flight.event_id}


def of_failure(error: BaseException) -> Answer:
    """Why something could not be done, in both languages."""
    return {"error": type(error).__name__, "sentence": sentence(error), "sentence_vi": sentence(error, "vi")}


def look_lines(look: Answer, language: str = "en") -> list[str]:
    """What the heads say, for people, while the rest is on its way."""
    vi = language == "vi"
    key = "sentence_vi" if vi else "sentence"
    if "error" in look:
        return [look[key]]
    usable, frames = look["usable"], look["frames"]
    lines = [
        f"{usable} trong {frames} ảnh định vị được" if vi else f"{usable} of {frames} photos can be placed"
    ]
    lines += [f"  {one[key]}" for one in look["problems"] if one["severity"] != "info"]
    lines += [f"  {one[key]}" for one in (*look["rejections"], *look["gaps"])]
    if look["smeared"]:
        px = f"{look['worst_smear_px']:.1f}"
        lines.append(
            f"  {look['smeared']} ảnh nhoè vì bay nhanh (tới {decimal_comma(px)} điểm ảnh); hãy bay chậm"
            if vi
            else f"  {look['smeared']} photos are smeared by the speed (up to {px} pixels); fly slower"
        )
    return lines


def of_upload(sent: Sent, language: str = "en") -> Answered:
    """flight_id, upload_id, frames, files, bytes, sent_bytes, skipped."""
    laid, vi = sent.laid, language == "vi"
    answer = {
        "flight_id": laid.get("flight_id"),
        "name": laid.get("name"),
        "upload_id": sent.upload_id,
        "frames": laid.get("frames"),
        "files": sent.files,
        "bytes": sent.bytes,
        "sent_bytes": sent.sent_bytes,
        "skipped": [{"path": str(path), "reason": reason} for path, reason in sent.skipped],
        "warnings": laid.get("warnings", []),
        "warnings_vi": laid.get("warnings_vi", []),
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
    return answer, [*lines, *laid.get("warnings_vi" if vi else "warnings", [])]
