"""Video to the map: `live`, and videos given to `inspect` or `ingest`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    DATUM_CHOICE,
    FILE_OR_URL,
    FILE_PATH,
    SECRET_FILE,
    Output,
    ProgressBar,
    format_warnings,
    open_workspace,
    print_line,
    register_resumable_job,
    watch_stop_requests,
    wrap_command,
)
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext, verbatim
from flycam.model.rejection_reasons import format_rejection_counts, format_unregistered_counts
from flycam.model.text import strip_url_credentials
from flycam.model.time import format_iso
from flycam.model.warning import describe_warning

if TYPE_CHECKING:
    from flycam.ingest.live.inputs import LiveRequest
    from flycam.ingest.live.workflow import VideoReport
    from flycam.ingest.photos.photo_search import PhotoSearchResult
    from flycam.ingest.video.video_log import FlightLogSummary, VideoSummary
    from flycam.mosaic.orthorectify.flight_session import FlightLabels

_DATED_NS = 10**18
"""2001: an earlier time stamp counts from the start of the log."""


def format_video(seen: VideoSummary) -> Output:
    """Return the facts of a video and its telemetry.

    Keys: film, width, height, fps, seconds of video, began, those of `_describe_log`, gimbal_pitch_deg,
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
    width, height = seen.size_px
    parts = [_("{name}: video {width}×{height}", name=seen.name, width=width, height=height)]
    if seen.fps > 0.0:
        parts.append(_("{fps:.0f} pictures a second", fps=seen.fps))
    if seen.duration_s > 0.0:
        parts.append(verbatim(f"{seen.duration_s:.0f} s"))
    if seen.began_ns is not None:
        parts.append(_("begun {time}", time=format_iso(seen.began_ns, "seconds")))
    return answer, [join(parts, ", "), *_log_lines(seen, places)]


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
    parts = [_("{name}: flight log, {positions}", name=seen.name, positions=_format_positions(seen))]
    if first and last:
        parts.append(verbatim(f", {format_iso(times[0], 'seconds')} – {format_iso(times[1], 'seconds')}"))
    if exposures:
        parts.append(_("; {count} exposures", count=exposures))
    return answer, [join(parts, ""), *_log_lines(seen, [])]


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
    return [*(join(["  ", text], "") for text in places), *(join(["  *", text]) for text in seen.remarks)]


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
    if not math.isfinite(pitch):
        yield _("; nothing gives the direction of the camera")
    elif pitch > 0.0:
        yield _("; the camera looks {pitch_deg:.0f}° above the horizon", pitch_deg=pitch)
    else:
        yield _("; the camera looks {pitch_deg:.0f}° below the horizon", pitch_deg=abs(pitch))
    if math.isfinite(hfov):
        yield _(", {hfov_deg:.0f}° wide", hfov_deg=hfov)


def _format_timing(seen: VideoSummary, zero_sigma_s: float) -> Message:
    """Describe the clock offset between video and telemetry in one line."""
    if seen.video_log is not None and seen.video_log.is_shared:
        return _("in time with the video")
    if math.isfinite(zero_sigma_s):
        return _(
            "in time with the video to {sigma_s:.1f} s; its motion will tell more",
            sigma_s=zero_sigma_s,
        )
    return _("its time in the video is found from the motion")


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
        counts.append(_("{count} reprocessed", count=report.reprocessed))
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
    lines += [join(["  !", describe_warning(one)]) for one in flight.warnings]
    return answer, lines


def _format_fitted(report: VideoReport) -> Message:
    """Describe how many frames were fitted to earlier ones, and why others were not."""
    text = ngettext(
        "{count} frame fitted to those before", "{count} frames fitted to those before", report.fitted
    )
    if (why := format_unregistered_counts(report.by_log)) is None:
        return text
    return _(
        "{fitted}, {count} placed by the log: {why}", fitted=text, count=sum(report.by_log.values()), why=why
    )


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


# -- Command `live`, and videos given to `inspect` or `ingest` -------------------------------------


_MAX_OFFSET_S = 1e10
"""A video without a creation time counts from 1970."""


@click.command()
@click.option(
    "--video",
    required=True,
    type=FILE_OR_URL,
    metavar="FILE|URL",
    help="Video, or stream: rtsp://, udp://, rtmp:// (udp://@:5600 and rtmp://:1935/live/KEY are waited at).",
)
@click.option(
    "--telemetry",
    type=FILE_OR_URL,
    metavar="FILE|URL",
    help="Log or subtitles (default: what the film itself holds); of a stream udp://, tcp://, serial:/dev/…",
)
@click.option("--dem", type=FILE_PATH, help="Terrain to register first.")
@click.option("--datum", type=DATUM_CHOICE, help="Height datum of --dem.")
@click.option("--camera", type=FILE_PATH, help="Camera file (JSON or YAML) of the video's mode.")
@click.option("--hfov", "hfov_deg", type=float, help="Horizontal field of view, degrees.")
@click.option(
    "--clock-offset",
    "clock_offset_s",
    type=float,
    help="Log's stamp minus video time, seconds (default: found from the pictures).",
)
@click.option("--mavlink-key", type=SECRET_FILE, help="File with the key that the link is signed with.")
@click.option("--drill", "is_drill", is_flag=True, help="This stream is a rehearsal.")
@click.option(
    "--record/--no-record", "is_recorded", default=True, help="Keep a stream as it comes (default: yes)."
)
@click.option(
    "--keep-video",
    "keep_gb",
    type=float,
    default=40.0,
    help="Recorded video kept in all, gigabytes (default: 40).",
)
@click.option("--realtime", "is_realtime", is_flag=True, help="Play the file at its own speed.")
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance in metres (default: the video's).")
@click.option("--flight", "into", help="Flight that the film joins, by id or name (default: one of its own).")
@click.option(
    "--reprocess",
    "--relay",
    "reprocess",
    is_flag=True,
    help="Lay a film that is on the map again, by this log.",
)
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the video's name).")
@wrap_command
def live_command(*, data_dir: str | None, dem: Path | None, datum: str | None, **options: Any) -> Output:
    """A video and its log to a flight on the map, picture by picture."""
    from flycam.ingest.live.inputs import LiveRequest
    from flycam.ingest.video.video_source import is_stream
    from flycam.mosaic.orthorectify.flight_session import FlightLabels

    if options["camera"] is not None and options["hfov_deg"] is not None:
        raise OptionUnusable(_("--camera --hfov: both say what the lens is: give one of them"))
    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _MAX_OFFSET_S:
        raise OptionUnusable(_("--clock-offset {offset_s:g}: give seconds", offset_s=offset_s))
    if options["reprocess"] and (options["is_realtime"] or is_stream(options["video"])):
        raise OptionUnusable(
            _("--relay: only a video that is read whole is reprocessed: give the file, without --realtime")
        )
    if options["telemetry"] is None and is_stream(options["video"]):
        raise OptionUnusable(
            _(
                "{options}: is live: give --telemetry, a link that gives its position",
                options=strip_url_credentials(options["video"]),
            )
        )
    options["telemetry"] = options["telemetry"] or options["video"]
    labels = FlightLabels(**{key: options.pop(key) for key in ("name", "event", "gsd_m")})
    return _ingest(data_dir, LiveRequest(**options), labels, dem, datum)


def find_single_video(paths: Sequence[Path]) -> Path | None:
    """Return the video at `paths`, None if they are not one video alone.

    Raises OptionUnusable for several.
    """
    from flycam.ingest.photos.photo_search import FileKind, detect_file_kind

    films = [path for path in paths if path.is_file() and detect_file_kind(path.name) is FileKind.FILM]
    if len(films) < len(paths):
        return None
    if len(films) > 1:
        names = ", ".join(path.name for path in films)
        raise OptionUnusable(_("{names}: are several videos: give one at a time", names=names))
    return films[0]


def find_recordings(found: PhotoSearchResult, paths: Sequence[Path]) -> list[Path]:
    """Return videos and flight logs if no photo was found at `paths`.

    A path that names a file is taken for a log whatever its name; a file in a folder by its name alone.
    """
    from flycam.ingest.photos.photo_search import FileKind, detect_file_kind

    if found.photos:
        return []
    return [
        path
        for path, __ in found.skipped
        if path.is_file() and (path in paths or detect_file_kind(path.name) in (FileKind.FILM, FileKind.LOG))
    ]


def inspect_recordings(recordings: Sequence[Path], telemetry: Path | None) -> Output:
    """Inspect videos and logs: one answer, or "recordings", a list of them.

    Raises SourceUnreadable for an unreadable log that is given alone.
    """
    from flycam.ingest.photos.photo_search import FileKind, detect_file_kind
    from flycam.ingest.video.video_log import inspect_log, inspect_video

    seen = []
    for path in recordings:
        if detect_file_kind(path.name) is FileKind.FILM:
            seen.append(format_video(inspect_video(path, telemetry)))
            continue
        log = inspect_log(path)
        if log.error is not None and len(recordings) == 1:
            raise log.error
        seen.append(format_flight_log(log))
    if len(seen) == 1:
        return seen[0]
    return {"recordings": [answer for answer, __ in seen]}, [line for __, lines in seen for line in lines]


def ingest_video(data_dir: str | None, film: Path, options: dict[str, Any]) -> Output:
    """Ingest a video as a flight on the map, as `live` does from the file."""
    from flycam.ingest.live.inputs import LiveRequest
    from flycam.mosaic.orthorectify.flight_session import FlightLabels

    unfit = {
        "--height": options["height_mode"] != "auto",
        "--takeoff": options["takeoff"],
        "--layer": options["layer"],
    }
    unfit_names = [name for name, value in unfit.items() if value]
    if unfit_names:
        names = " ".join(unfit_names)
        raise OptionUnusable(
            _("{names}: is for photos, {name} is a video: leave it out", names=names, name=film.name)
        )
    request = LiveRequest(
        video=str(film),
        telemetry=str(options["telemetry"] or film),
        camera=options["camera"],
        clock_offset_s=options["clock_offset_s"],
        into=options["into"],
        reprocess=options["reprocess"],
    )
    labels = FlightLabels(**{key: options[key] for key in ("name", "event", "gsd_m")})
    return _ingest(data_dir, request, labels, options["dem"], options["datum"], options["communes"])


def _ingest(
    data_dir: str | None,
    request: LiveRequest,
    labels: FlightLabels,
    dem: Path | None,
    datum: str | None,
    communes: Path | None = None,
) -> Output:
    from flycam.ingest.live.workflow import orthorectify_video
    from flycam.ingest.video.video_source import is_stream
    from flycam.mosaic.terrain import register_dem

    is_film = not is_stream(request.video)  # a stream cannot be read again
    with (
        open_workspace(data_dir, creates=True) as (workspace, settings),
        watch_stop_requests() as stopped,
        register_resumable_job(settings, stopped) if is_film else nullcontext(ProgressBar()) as progress,
    ):
        if dem is not None:
            register_dem(workspace, dem, datum)
        if communes is not None:
            from flycam.board.layers import register_communes

            register_communes(workspace, communes)
        return format_live(orthorectify_video(workspace, request, labels, progress, stopped, print_line))
