"""What became of a video."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from flycam.answers.answered import Answered, warnings_of
from flycam.frame.left_out import left_out_said, unfitted_said
from flycam.frame.moment import iso
from flycam.frame.warning import sentence

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.pipeline.film_inspection import FilmInspection
    from flycam.pipeline.live.recipe import LiveReport


def of_film(seen: FilmInspection, language: str = "en") -> Answered:
    """film, width, height, fps, seconds of film, began, positions, first, last, lat, lon, height_m,
    height_datum, gimbal_pitch_deg, hfov_deg, clock_sigma_s, remarks, untold."""
    samples, log = seen.samples, seen.log
    zero_sigma_s = log.log.film_zero_sigma_s if log is not None and log.is_own else math.nan
    remarks = log.log.remarks if log is not None else ()
    answer = {
        "film": seen.name,
        "width": seen.size_px[0],
        "height": seen.size_px[1],
        "fps": round(seen.fps, 3),
        "film_s": round(seen.duration_s, 3),
        "began": None if seen.began_ns is None else iso(seen.began_ns),
        "positions": len(samples),
        "lat": _known(seen.median("lat_deg"), 6),
        "lon": _known(seen.median("lon_deg"), 6),
        "height_m": _known(seen.median("height_m"), 1),
        "height_datum": samples[0].height_datum if samples else None,
        "gimbal_pitch_deg": _known(seen.median("gimbal_pitch_deg"), 1),
        "hfov_deg": _known(seen.median("hfov_deg"), 2),
        "clock_sigma_s": _known(zero_sigma_s, 3),
        "remarks": [english for english, _ in remarks],
        "remarks_vi": [vietnamese for _, vietnamese in remarks],
        "untold": None if seen.untold is None else str(seen.untold),
        "untold_vi": None if seen.untold is None else seen.untold.vi,
        "seconds": round(seen.seconds, 3),
    }
    vi = language == "vi"
    lines = [_film(seen, vi=vi)]
    if seen.untold is not None:
        lines.append(f"  ! {(vi and seen.untold.vi) or seen.untold}")
    else:
        lines.append(f"  {_placed(seen, vi=vi)}")
        lines.append(f"  {_timed(seen, zero_sigma_s, vi=vi)}")
    return answer, [*lines, *(f"  * {said[vi]}" for said in remarks)]


def _film(seen: FilmInspection, *, vi: bool) -> str:
    """What a film is in a line."""
    width, height = seen.size_px
    said = f"{seen.name}: {'video' if vi else 'film'} {width}×{height}"
    if seen.fps > 0.0:
        said += f", {seen.fps:.0f} {'hình/giây' if vi else 'pictures a second'}"
    if seen.duration_s > 0.0:
        said += f", {seen.duration_s:.0f} s"
    if seen.began_ns is not None:
        said += f", {'bắt đầu' if vi else 'begun'} {iso(seen.began_ns, 'seconds')}"
    return said


def _placed(seen: FilmInspection, *, vi: bool) -> str:
    """Where a film was filmed, and which way its camera looked, in a line."""
    count, lat, lon = len(seen.samples), seen.median("lat_deg"), seen.median("lon_deg")
    pitch, hfov = seen.median("gimbal_pitch_deg"), seen.median("hfov_deg")
    said = (
        f"{count} vị trí, quanh vĩ độ {lat:.4f}, kinh độ {lon:.4f}"
        if vi
        else f"{count} positions, around latitude {lat:.4f}, longitude {lon:.4f}"
    )
    if np.isfinite(pitch):
        way = ("ngẩng" if vi else "above") if pitch > 0.0 else ("chúi" if vi else "below")
        said += (
            f"; máy ảnh {way} {abs(pitch):.0f}° so với chân trời"
            if vi
            else f"; the camera looks {abs(pitch):.0f}° {way} the horizon"
        )
    else:
        said += "; không ghi hướng máy ảnh" if vi else "; nothing tells which way the camera looks"
    if np.isfinite(hfov):
        said += f", góc nhìn ngang {hfov:.0f}°" if vi else f", {hfov:.0f}° wide"
    return said


def _timed(seen: FilmInspection, zero_sigma_s: float, *, vi: bool) -> str:
    """How film and telemetry are in time, in a line."""
    if seen.log is not None and seen.log.is_shared:
        return "đã khớp giờ với video" if vi else "in time with the film"
    if math.isfinite(zero_sigma_s):
        return (
            f"khớp giờ với video trong khoảng {zero_sigma_s:.1f} s; chuyển động trong video cho biết rõ hơn"
            if vi
            else f"in time with the film to {zero_sigma_s:.1f} s; its motion will tell more"
        )
    return "giờ của video sẽ tìm từ chuyển động" if vi else "its time in the film is found from the motion"


def _known(value: float, decimals: int) -> float | None:
    return round(value, decimals) if math.isfinite(value) else None


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
