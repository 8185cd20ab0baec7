"""Answers about videos and flight logs, and about a video's ingest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from flycam.answers.output import Output, format_warnings
from flycam.frame.rejection_reasons import format_rejection_counts, format_unregistered_counts
from flycam.frame.timestamp import format_iso
from flycam.frame.warning import format_warning
from flycam.messages import Bilingual, Message, _, join, ngettext, pgettext, verbatim

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.live.workflow import VideoReport
    from flycam.pipeline.video_summary import FlightLogSummary, VideoSummary

_DATED_NS = 10**18
"""2001: an earlier time stamp counts from the start of the log."""


def format_video(seen: VideoSummary) -> Output:
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
    places = [
        join([_format_positions(seen), *_format_view_direction(seen)], ""),
        _format_timing(seen, zero_sigma_s),
    ]
    return answer, [_format_video_line(seen), *_log_lines(seen, places)]


def format_flight_log(seen: FlightLogSummary) -> Output:
    """Return the facts of a flight log.

    Keys: log, first, last (null if its clock has no date), exposures, those of `_describe_log`.
    """
    log = seen.log
    times = [one.t_utc_ns for one in seen.samples[:1] + seen.samples[-1:] if one.t_utc_ns > _DATED_NS]
    first, last = (format_iso(ns) for ns in times) if len(times) == 2 else (None, None)
    exposures = len(log.camera_events) if log is not None else 0
    answer = {"log": seen.name, "first": first, "last": last, "exposures": exposures, **_describe_log(seen)}
    if seen.error is not None:
        return answer, [_("{name}: flight log", name=seen.name), *_log_lines(seen, [])]
    said = [_("{name}: flight log, {positions}", name=seen.name, positions=_format_positions(seen))]
    if first and last:
        said.append(verbatim(f", {format_iso(times[0], 'seconds')} – {format_iso(times[1], 'seconds')}"))
    if exposures:
        said.append(_("; {count} exposures", count=exposures))
    return answer, [join(said, ""), *_log_lines(seen, [])]


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
        "remarks": [str(one) for one in seen.remarks],
        "remarks_vi": [one.in_language("vi") for one in seen.remarks],
        "untold": None if seen.error is None else str(seen.error),
        "untold_vi": None if seen.error is None else seen.error.message.in_language("vi"),
        "seconds": round(seen.seconds, 3),
    }


def _log_lines(seen: FlightLogSummary, places: list[Message]) -> list[Message]:
    """List what a log contains, or why nothing; then the remarks."""
    if seen.error is not None:
        places = [join(["!", seen.error.message])]
    return [*(join(["  ", said], "") for said in places), *(join(["  *", said]) for said in seen.remarks)]


def _format_video_line(seen: VideoSummary) -> Message:
    """Describe a video in one line."""
    width, height = seen.size_px
    said = [_("{name}: film {width}×{height}", name=seen.name, width=width, height=height)]
    if seen.fps > 0.0:
        said.append(_("{fps:.0f} pictures a second", fps=seen.fps))
    if seen.duration_s > 0.0:
        said.append(verbatim(f"{seen.duration_s:.0f} s"))
    if seen.began_ns is not None:
        said.append(_("begun {time}", time=format_iso(seen.began_ns, "seconds")))
    return join(said, ", ")


def _format_positions(seen: FlightLogSummary) -> Message:
    """Describe the place of a flight in one line."""
    if not seen.samples:
        return pgettext("of a log", "no position")
    lat, lon = (f"{seen.median(of):.4f}" for of in ("lat_deg", "lon_deg"))
    return _(
        "{count} positions, around latitude {lat}, longitude {lon}",
        count=len(seen.samples),
        lat=lat,
        lon=lon,
    )


def _format_view_direction(seen: VideoSummary) -> Iterator[Message]:
    """Describe the camera's viewing direction."""
    pitch, hfov = seen.median("gimbal_pitch_deg"), seen.median("hfov_deg")
    if not np.isfinite(pitch):
        yield _("; nothing tells which way the camera looks")
    elif pitch > 0.0:
        yield _("; the camera looks {pitch_deg:.0f}° above the horizon", pitch_deg=pitch)
    else:
        yield _("; the camera looks {pitch_deg:.0f}° below the horizon", pitch_deg=abs(pitch))
    if np.isfinite(hfov):
        yield _(", {hfov_deg:.0f}° wide", hfov_deg=hfov)


def _format_timing(seen: VideoSummary, zero_sigma_s: float) -> Message:
    """Describe the clock offset between video and telemetry in one line."""
    if seen.video_log is not None and seen.video_log.is_shared:
        return _("in time with the film")
    if math.isfinite(zero_sigma_s):
        return _(
            "in time with the film to {sigma_s:.1f} s; its motion will tell more",
            sigma_s=zero_sigma_s,
        )
    return _("its time in the film is found from the motion")


def _round_or_none(value: float, decimals: int) -> float | None:
    return round(value, decimals) if math.isfinite(value) else None


def format_live(report: VideoReport) -> Output:
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
        "remarks": [str(one) for one in report.remarks],
        "remarks_vi": [one.in_language("vi") for one in report.remarks],
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
    return answer, _lines(report)


def _lines(report: VideoReport) -> list[Message]:
    clock, flight = report.clock, report.flight
    counts = [
        ngettext(
            "{count} frame on the map, {new} new, of {decoded} pictures",
            "{count} frames on the map, {new} new, of {decoded} pictures",
            report.used,
            new=report.new,
            decoded=report.decoded,
        )
    ]
    if report.reprocessed:
        counts.append(_("{count} laid again", count=report.reprocessed))
    lines = [
        _(
            "{name} ({flight_id}): {counts}, {seconds:.1f} s",
            name=flight.name,
            flight_id=flight.flight_id,
            counts=join(counts, ", "),
            seconds=report.seconds,
        )
    ]
    if clock.is_known:
        lines.append(
            _(
                "  log's clock minus video's: {offset_s:+.3f} ± {sigma_s:.3f} s",
                offset_s=clock.offset_s,
                sigma_s=clock.sigma_s,
            )
        )
    if report.recorded is not None:
        lines.append(
            _(
                "  video recorded: {seconds:.0f} s, {size_mb:.1f} MB",
                seconds=report.recorded.seconds,
                size_mb=report.recorded.size_bytes / 1e6,
            )
        )
    if report.new:
        lines.append(join(["  ", _format_fitted(report)], ""))
    if lost := format_rejection_counts(report.dropped):
        lines.append(_("  left out: {reasons}", reasons=lost))
    lines += [join(["  *", one]) for one in report.remarks]
    lines += [
        join(["  !", Bilingual(format_warning(one), format_warning(one, "vi"))]) for one in flight.warnings
    ]
    return lines


def _format_fitted(report: VideoReport) -> Message:
    """Describe how many frames were fitted to earlier ones, and why others were not."""
    said = ngettext(
        "{count} frame fitted to those before", "{count} frames fitted to those before", report.fitted
    )
    if (why := format_unregistered_counts(report.by_log)) is None:
        return said
    return _(
        "{fitted}, {count} laid by the log: {why}", fitted=said, count=sum(report.by_log.values()), why=why
    )


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
