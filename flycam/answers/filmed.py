"""What became of a video."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flycam.answers.answered import Answered, warnings_of
from flycam.frame.left_out import left_out_said, unfitted_said
from flycam.frame.warning import sentence

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.pipeline.live.recipe import LiveReport


def of_live(report: LiveReport, language: str = "en") -> Answered:
    """flight_id, frames, latency_ms{p50,p95}, first_tile_s, first_ground_s, dropped{reason:n},
    clock_offset_s, clock_sigma_s, and more.

    clock_offset_s is null where it is not known: its sigma says how little.
    """
    flight, clock = report.flight, report.clock
    half, most = (None if math.isnan(ms) else round(ms, 1) for ms in report.latency_ms)
    answer = {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "frames": report.used,
        "new": report.new,
        "relaid": report.relaid,
        "decoded": report.decoded,
        "chosen": report.chosen,
        "fitted": report.fitted,
        "by_log": dict(report.by_log),
        "latency_ms": {"p50": half, "p95": most},
        "first_tile_s": _seconds(report.first_tile_s),
        "first_ground_s": _seconds(report.first_ground_s),
        "dropped": report.dropped,
        "clock_offset_s": round(clock.offset_s, 4) if clock.is_known else None,
        "clock_sigma_s": round(clock.sigma_s, 4),
        "clock_drift": clock.drift,
        "gsd_m": round(flight.gsd_m, 4),
        **warnings_of(flight.warnings),
        "remarks": [english for english, _ in report.remarks],
        "remarks_vi": [vietnamese for _, vietnamese in report.remarks],
        "recorded": report.recorded
        and {
            "pieces": report.recorded.pieces,
            "seconds": round(report.recorded.seconds, 2),
            "bytes": report.recorded.size_bytes,
            "let_go": report.recorded.let_go,
        },
        "outages": report.outages
        and {
            "count": report.outages.count,
            "seconds": round(report.outages.seconds, 1),
            "last_s": round(report.outages.last_s, 1),
        },
        "seconds": round(report.seconds, 3),
    }
    return answer, _lines(report, language)


def _lines(report: LiveReport, language: str) -> list[str]:
    vi, clock, flight = language == "vi", report.clock, report.flight
    counts = (
        f"{report.used} khung hình trên bản đồ, {report.new} mới, trong {report.decoded}"
        if vi
        else f"{report.used} frames on the map, {report.new} new, of {report.decoded} pictures"
    )
    if report.relaid:
        counts += f", {report.relaid} trải lại" if vi else f", {report.relaid} laid again"
    lines = [f"{flight.name} ({flight.flight_id}): {counts}, {report.seconds:.1f} s"]
    if clock.is_known:
        said = "đồng hồ nhật ký trừ đồng hồ video" if vi else "log's clock minus video's"
        lines.append(f"  {said}: {clock.offset_s:+.3f} ± {clock.sigma_s:.3f} s")
    if report.recorded is not None:
        kept, many = report.recorded, round(report.recorded.size_bytes / 1e6, 1)
        lines.append(
            f"  video đã ghi: {kept.seconds:.0f} s, {many} MB"
            if vi
            else f"  video recorded: {kept.seconds:.0f} s, {many} MB"
        )
    if report.new:
        lines.append(f"  {_fitted(report, language)}")
    lost = left_out_said(report.dropped, language)
    if lost:
        lines.append(f"  {'bỏ qua' if vi else 'left out'}: {lost}")
    lines += [f"  * {vietnamese if vi else english}" for english, vietnamese in report.remarks]
    lines += [f"  ! {sentence(one, language)}" for one in flight.warnings]
    return lines


def _fitted(report: LiveReport, language: str) -> str:
    """How many frames were fitted to those before, and why the others were not."""
    count = sum(report.by_log.values())
    why = unfitted_said(report.by_log, language)
    if language == "vi":
        said = f"{report.fitted} khung hình khớp với các khung hình trước"
        return f"{said}, {count} đặt theo nhật ký: {why}" if count else said
    said = f"{report.fitted} frames fitted to those before"
    return f"{said}, {count} laid by the log: {why}" if count else said


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
