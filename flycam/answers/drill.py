"""Answers about exercises: what was written, and what a demonstration showed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.frame.pluralization import correct_singular
from flycam.report.number_format import format_number

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.drill.photo_drill import DrillReport
    from flycam.drill.video_drill import VideoDrillReport
    from flycam.drill.video_stream import StreamReport
    from flycam.pipeline.demo import DemoReport


def format_drill(report: DrillReport, language: str = "en") -> Output:
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
    vi = language == "vi"
    lines = [f"{report.frames} {'ảnh trong' if vi else 'photos in'} {report.photos}"]
    if report.camera:
        why = (
            "màn trập cuốn, ảnh không ghi thời gian đọc: hãy nạp với --camera"
            if vi
            else "rolling shutter, whose readout no photo states: ingest with --camera"
        )
        lines.append(f"  {why} {report.camera}")
    return answer, lines


def format_video_drill(report: VideoDrillReport, language: str = "en") -> Output:
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
    pictures = "khung hình trong" if language == "vi" else "pictures in"
    return answer, [f"{report.frames} {pictures} {report.video}"]


def format_stream(report: StreamReport, language: str = "en") -> Output:
    """Return sent: packets, video_s, whole (false if it was stopped)."""
    answer = {
        "sent": {"packets": report.packets, "video_s": round(report.video_s, 1), "whole": report.complete}
    }
    seconds = format_number(report.video_s, 0, language)
    if language == "vi":
        said = f"đã phát {seconds} giây video và {report.packets} gói MAVLink"
        return answer, [said if report.complete else f"{said}, rồi dừng theo yêu cầu"]
    said = f"sent {seconds} s of video and {report.packets} MAVLink packets"
    return answer, [said if report.complete else f"{said}, then stopped as asked"]


def format_demo(report: DemoReport, url: str, language: str = "en") -> Output:
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
    vi = language == "vi"
    frames, finished, seconds = ("ảnh", "hoàn thiện trong", "giây") if vi else ("frames", "finished in", "s")
    found = len(report.compared.changes)
    review = f"{found} thay đổi chờ soát xét" if vi else correct_singular(f"{found} changes wait for review")
    lines = [
        f"{one.ingested.flight.name}: {one.ingested.used} {frames}, "
        f"{format_number(one.ingested.seconds, 1, language)} {seconds}; "
        f"{finished} {format_number(one.finished.seconds, 1, language)} {seconds}"
        for one in flown
    ]
    return answer, [*lines, review]
