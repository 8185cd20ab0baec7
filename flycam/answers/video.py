"""Answers about videos and flight logs, and about a video's ingest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from flycam.answers.output import Output, format_warnings
from flycam.frame.rejection_reasons import format_rejection_counts, format_unregistered_counts
from flycam.frame.timestamp import format_iso
from flycam.frame.warning import format_warning

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.live.workflow import VideoReport
    from flycam.pipeline.video_summary import FlightLogSummary, VideoSummary

_DATED_NS = 10**18
"""2001: an earlier time stamp counts from the start of the log."""


def format_video(seen: VideoSummary, language: str = "en") -> Output:
    """Return the facts of a video and its telemetry.

    Keys: film, width, height, fps, seconds of film, began, those of `_describe_log`, gimbal_pitch_deg,
    hfov_deg, clock_sigma_s.
    """
    log = seen.video_log
    zero_sigma_s = log.log.video_zero_sigma_s if log is not None and log.is_own else math.nan
    answer = {
        "film": seen.name,
        "width": seen.size_px[0],
        "height": seen.size_px[1],
        "fps": round(seen.fps, 3),
        "film_s": round(seen.duration_s, 3),
        "began": None if seen.began_ns is None else format_iso(seen.began_ns),
        **_describe_log(seen),
        "gimbal_pitch_deg": _round_or_none(seen.median("gimbal_pitch_deg"), 1),
        "hfov_deg": _round_or_none(seen.median("hfov_deg"), 2),
        "clock_sigma_s": _round_or_none(zero_sigma_s, 3),
    }
    vi = language == "vi"
    places = [
        _format_positions(seen, vi=vi) + _format_view_direction(seen, vi=vi),
        _format_timing(seen, zero_sigma_s, vi=vi),
    ]
    return answer, [_format_video_line(seen, vi=vi), *_log_lines(seen, places, vi=vi)]


def format_flight_log(seen: FlightLogSummary, language: str = "en") -> Output:
    """Return the facts of a flight log.

    Keys: log, first, last (null if its clock has no date), exposures, those of `_describe_log`.
    """
    vi, log = language == "vi", seen.log
    times = [one.t_utc_ns for one in seen.samples[:1] + seen.samples[-1:] if one.t_utc_ns > _DATED_NS]
    first, last = (format_iso(ns) for ns in times) if len(times) == 2 else (None, None)
    exposures = len(log.camera_events) if log is not None else 0
    answer = {"log": seen.name, "first": first, "last": last, "exposures": exposures, **_describe_log(seen)}
    kind = "nhật ký bay" if vi else "flight log"
    if seen.error is not None:
        return answer, [f"{seen.name}: {kind}", *_log_lines(seen, [], vi=vi)]
    said = f"{seen.name}: {kind}, {_format_positions(seen, vi=vi)}"
    if first and last:
        said += f", {format_iso(times[0], 'seconds')} – {format_iso(times[1], 'seconds')}"
    if exposures:
        said += f"; {exposures} {'lần chụp' if vi else 'exposures'}"
    return answer, [said, *_log_lines(seen, [], vi=vi)]


def _describe_log(seen: FlightLogSummary) -> dict[str, Any]:
    """Return positions, lat, lon, height_m, height_datum, remarks, seconds, untold.

    untold  why there is no telemetry
    """
    return {
        "positions": len(seen.samples),
        "lat": _round_or_none(seen.median("lat_deg"), 6),
        "lon": _round_or_none(seen.median("lon_deg"), 6),
        "height_m": _round_or_none(seen.median("height_m"), 1),
        "height_datum": seen.samples[0].height_datum if seen.samples else None,
        "remarks": [english for english, _ in seen.remarks],
        "remarks_vi": [vietnamese for _, vietnamese in seen.remarks],
        "untold": None if seen.error is None else str(seen.error),
        "untold_vi": None if seen.error is None else seen.error.vi,
        "seconds": round(seen.seconds, 3),
    }


def _log_lines(seen: FlightLogSummary, places: list[str], *, vi: bool) -> list[str]:
    """List what a log contains, or why nothing; then the remarks."""
    if seen.error is not None:
        places = [f"! {(vi and seen.error.vi) or seen.error}"]
    return [*(f"  {said}" for said in places), *(f"  * {said[vi]}" for said in seen.remarks)]


def _format_video_line(seen: VideoSummary, *, vi: bool) -> str:
    """Describe a video in one line."""
    width, height = seen.size_px
    said = f"{seen.name}: {'video' if vi else 'film'} {width}×{height}"
    if seen.fps > 0.0:
        said += f", {seen.fps:.0f} {'hình/giây' if vi else 'pictures a second'}"
    if seen.duration_s > 0.0:
        said += f", {seen.duration_s:.0f} s"
    if seen.began_ns is not None:
        said += f", {'bắt đầu' if vi else 'begun'} {format_iso(seen.began_ns, 'seconds')}"
    return said


def _format_positions(seen: FlightLogSummary, *, vi: bool) -> str:
    """Describe the place of a flight in one line."""
    count, lat, lon = len(seen.samples), seen.median("lat_deg"), seen.median("lon_deg")
    if not count:
        return "không có vị trí nào" if vi else "no position"
    return (
        f"{count} vị trí, quanh vĩ độ {lat:.4f}, kinh độ {lon:.4f}"
        if vi
        else f"{count} positions, around latitude {lat:.4f}, longitude {lon:.4f}"
    )


def _format_view_direction(seen: VideoSummary, *, vi: bool) -> str:
    """Describe the camera's viewing direction."""
    pitch, hfov = seen.median("gimbal_pitch_deg"), seen.median("hfov_deg")
    if np.isfinite(pitch):
        way = ("ngẩng" if vi else "above") if pitch > 0.0 else ("chúi" if vi else "below")
        said = (
            f"; máy ảnh {way} {abs(pitch):.0f}° so với chân trời"
            if vi
            else f"; the camera looks {abs(pitch):.0f}° {way} the horizon"
        )
    else:
        said = "; không ghi hướng máy ảnh" if vi else "; nothing tells which way the camera looks"
    if np.isfinite(hfov):
        said += f", góc nhìn ngang {hfov:.0f}°" if vi else f", {hfov:.0f}° wide"
    return said


def _format_timing(seen: VideoSummary, zero_sigma_s: float, *, vi: bool) -> str:
    """Describe the clock offset between video and telemetry in one line."""
    if seen.video_log is not None and seen.video_log.is_shared:
        return "đã khớp giờ với video" if vi else "in time with the film"
    if math.isfinite(zero_sigma_s):
        return (
            f"khớp giờ với video trong khoảng {zero_sigma_s:.1f} s; chuyển động trong video cho biết rõ hơn"
            if vi
            else f"in time with the film to {zero_sigma_s:.1f} s; its motion will tell more"
        )
    return "giờ của video sẽ tìm từ chuyển động" if vi else "its time in the film is found from the motion"


def _round_or_none(value: float, decimals: int) -> float | None:
    return round(value, decimals) if math.isfinite(value) else None


def format_live(report: VideoReport, language: str = "en") -> Output:
    """Return the result of a live video.

    Keys: flight_id, frames, latency_ms{p50,p95}, first_tile_s, first_ground_s, dropped{reason:n},
    clock_offset_s, clock_sigma_s, and more. clock_offset_s is null where it is unknown: its sigma then says
    how little is known.
    """
    flight, clock = report.flight, report.clock
    half, most = (None if math.isnan(ms) else round(ms, 1) for ms in report.latency_ms)
    answer = {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "frames": report.used,
        "new": report.new,
        "relaid": report.reprocessed,
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
        **format_warnings(flight.warnings),
        "remarks": [english for english, _ in report.remarks],
        "remarks_vi": [vietnamese for _, vietnamese in report.remarks],
        "recorded": report.recorded
        and {
            "pieces": report.recorded.pieces,
            "seconds": round(report.recorded.seconds, 2),
            "bytes": report.recorded.size_bytes,
            "let_go": report.recorded.deleted_pieces,
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


def _lines(report: VideoReport, language: str) -> list[str]:
    vi, clock, flight = language == "vi", report.clock, report.flight
    counts = (
        f"{report.used} khung hình trên bản đồ, {report.new} mới, trong {report.decoded}"
        if vi
        else f"{report.used} frames on the map, {report.new} new, of {report.decoded} pictures"
    )
    if report.reprocessed:
        counts += f", {report.reprocessed} trải lại" if vi else f", {report.reprocessed} laid again"
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
        lines.append(f"  {_format_fitted(report, language)}")
    lost = format_rejection_counts(report.dropped, language)
    if lost:
        lines.append(f"  {'bỏ qua' if vi else 'left out'}: {lost}")
    lines += [f"  * {vietnamese if vi else english}" for english, vietnamese in report.remarks]
    lines += [f"  ! {format_warning(one, language)}" for one in flight.warnings]
    return lines


def _format_fitted(report: VideoReport, language: str) -> str:
    """Describe how many frames were fitted to earlier ones, and why others were not."""
    count = sum(report.by_log.values())
    why = format_unregistered_counts(report.by_log, language)
    if language == "vi":
        said = f"{report.fitted} khung hình khớp với các khung hình trước"
        return f"{said}, {count} đặt theo nhật ký: {why}" if count else said
    said = f"{report.fitted} frames fitted to those before"
    return f"{said}, {count} laid by the log: {why}" if count else said


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
