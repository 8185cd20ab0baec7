"""Answers about exercises: what was written, and what a demonstration showed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.messages import _, ngettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.drill.photo_drill import DrillReport
    from flycam.drill.video_drill import VideoDrillReport
    from flycam.drill.video_stream import StreamReport
    from flycam.pipeline.demo import DemoReport


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
    sent = _(
        "sent {seconds:,.0f} s of video and {packets} MAVLink packets",
        seconds=report.video_s,
        packets=report.packets,
    )
    return answer, [sent if report.complete else _("{sent}, then stopped as asked", sent=sent)]


def format_demo(report: DemoReport, url: str) -> Output:
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
