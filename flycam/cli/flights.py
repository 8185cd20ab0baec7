"""Flights from photos and videos: `inspect`, `ingest`, `live`, `withdraw`, `worker`."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    DATUM_CHOICE,
    FILE_OR_URL,
    FILE_PATH,
    SECRET_FILE,
    Answer,
    Output,
    ProgressBar,
    format_warnings,
    open_workspace,
    print_line,
    register_resumable_job,
    watch_stop_requests,
    wrap_command,
)
from flycam.config import read_settings
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext, verbatim
from flycam.model.flight import FlightState, Layer
from flycam.model.rejection_reasons import format_rejection_counts, format_unregistered_counts
from flycam.model.text import format_area, format_shell_command, strip_url_credentials
from flycam.model.time import format_iso, format_minute, set_local_zone
from flycam.model.warning import describe_warning

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.config import Settings
    from flycam.ingest.batch import IngestReport
    from flycam.ingest.live.inputs import LiveRequest
    from flycam.ingest.live.workflow import VideoReport
    from flycam.ingest.photos.photo_search import PhotoSearchResult
    from flycam.ingest.preflight_check import PreflightReport, PreflightRequest
    from flycam.ingest.video.video_poses import FlightLogSummary, VideoSummary
    from flycam.model.diagnosis import Diagnosis, Problem, Rejection, ReliefZone
    from flycam.model.records import Coverage
    from flycam.mosaic.orthorectify.flight_session import FlightLabels
    from flycam.workspace import Workspace


# -- Clusters: `worker`, and the cluster that `ingest` and `finish` run on -------------------------


_AUTHORITY = "cluster"  # folder under DATA


@contextmanager
def open_cluster(workspace: Workspace, settings: Settings) -> Iterator[Workspace]:
    """Yield the workspace with the cluster of FLYCAM_CLUSTER, if any.

    Raises ClusterUnavailable, WorkerIncompatible.
    """
    if settings.cluster is None:
        yield workspace
        return
    from flycam.mosaic.cluster.dask_cluster import connect_cluster

    with connect_cluster(settings.cluster, workspace) as cluster:
        yield replace(workspace, cluster=cluster)


@click.command()
@click.option("--threads", type=click.IntRange(min=0), help="Photos worked on at once (default: processors).")
@click.option("--scheduler", "is_scheduler", is_flag=True, help="Also be the scheduler; on one machine only.")
@click.option(
    "--make-certificate",
    "file",
    type=FILE_PATH,
    help="Write the file that lets machines into a cluster, and end.",
)
@wrap_command
def worker_command(
    *, data_dir: str | None, threads: int | None, is_scheduler: bool, file: Path | None
) -> Output:
    """Work for the ingests and finishes of other machines (FLYCAM_CLUSTER) until stopped."""
    from flycam.concurrency import count_workers
    from flycam.memory import limit_to_one_arena

    if file is not None:
        # Write the file that lets machines into the cluster.
        # The authority stays here, under DATA; the file goes to every machine.
        from flycam.operations.certificate_authority import make_member_certificate
        from flycam.operations.node import create_private_folder

        folder = read_settings(os.environ, data_dir).data_dir
        create_private_folder(folder)
        fingerprint = make_member_certificate(folder / _AUTHORITY, file)
        line = _(
            "{path}: copy it to every machine of the cluster and name it in "
            "FLYCAM_CLUSTER_CERTIFICATE; anyone who has it can run any program on all of them",
            path=file,
        )
        return {"certificate": str(file), "authority": fingerprint}, [line]
    limit_to_one_arena()
    count = count_workers() if threads is None else threads
    address = read_settings(os.environ, data_dir).cluster
    if address is None:
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: give the scheduler's address such as tls://10.0.0.5:8786, or "
                "on one machine tcp://127.0.0.1:8786"
            )
        )
    from flycam.mosaic.cluster.dask_cluster import serve_worker

    with ExitStack() as stack:
        # a scheduler alone needs no data folder, nor its keys
        workspace = None
        # a worker may start before the commands that it works for
        if count > 0:
            workspace, __ = stack.enter_context(open_workspace(data_dir, creates=True))
        serve_worker(
            workspace,
            address,
            threads=count,
            is_scheduler=is_scheduler,
            ready=lambda: print_line(_describe_worker(str(address), count, is_scheduler)),
        )
    return {"cluster": str(address), "threads": count}, []


def _describe_worker(address: str, threads: int, is_scheduler: bool) -> Message:
    if is_scheduler:
        return ngettext(
            "{address}: scheduler, working in {count} thread; Ctrl-C ends it",
            "{address}: scheduler, working in {count} threads; Ctrl-C ends it",
            threads,
            address=address,
        )
    return ngettext(
        "{address}: working in {count} thread; Ctrl-C ends it",
        "{address}: working in {count} threads; Ctrl-C ends it",
        threads,
        address=address,
    )


# -- Video to the map: `live`, and videos given to `inspect` or `ingest` ---------------------------


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
    is_above_sea = any(one.height_datum in ("EGM96", "ELLIPSOID") for one in seen.samples)
    if is_above_sea and all(math.isnan(seen.median(of)) for of in ("relative_height_m", "centre_height_m")):
        places.append(_("its heights are above sea: placing it needs terrain of that place, --dem"))
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

    Keys: log, first, last (null if its clock has no date; without "Z" if it states no zone), exposures, those
    of `_describe_log`.
    """
    log = seen.log
    times = [one.t_utc_ns for one in seen.samples[:1] + seen.samples[-1:] if one.t_utc_ns > _DATED_NS]
    has_zone = log is None or log.has_zone
    first, last = (_format_log_time(ns, has_zone) for ns in times) if len(times) == 2 else (None, None)
    exposures = len(log.camera_events) if log is not None else 0
    answer = {"log": seen.name, "first": first, "last": last, "exposures": exposures, **_describe_log(seen)}
    if seen.error is not None:
        return answer, [_("{name}: flight log", name=seen.name), *_log_lines(seen, [])]
    parts = [_("{name}: flight log, {positions}", name=seen.name, positions=_format_positions(seen))]
    if first and last:
        span = " – ".join(_format_log_time(ns, has_zone, "seconds") for ns in times)
        parts.append(verbatim(f", {span}"))
        if not has_zone:
            parts.append(_(" (the aircraft's clock, its time zone is not stated)"))
    if exposures:
        parts.append(ngettext("; {count} exposure", "; {count} exposures", exposures))
    return answer, [join(parts, ""), *_log_lines(seen, [])]


def _format_log_time(ns: int, has_zone: bool, timespec: str = "milliseconds") -> str:
    iso = format_iso(ns, timespec)
    return iso if has_zone else iso.removesuffix("Z")


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
    return ngettext(
        "{count} position, around latitude {lat}, longitude {lon}",
        "{count} positions, around latitude {lat}, longitude {lon}",
        len(seen.samples),
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
    else:
        yield _("; nothing says how wide: its motion may tell, or give --camera")


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


_MAX_VIDEO_OFFSET_S = 1e10
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
    if offset_s is not None and not abs(offset_s) < _MAX_VIDEO_OFFSET_S:
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
    from flycam.ingest.video.video_poses import inspect_log, inspect_video

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


# -- Flights from photos and videos: `inspect`, `ingest`, `withdraw` -------------------------------


_STATES = {
    FlightState.INGESTING: _("not all processed yet"),
    FlightState.READY: _("on the map"),
    FlightState.WITHDRAWN: pgettext("flight", "withdrawn"),
}


def format_flights(catalog: Catalog, event_id: str | None = None) -> Output:
    """Return flights[], newest first.

    Keys: flight_id, name, event, is_drill, state, first_ns, last_ns, frames (that are on the map), gsd_m,
    revision (finished and shown; 0 is the live mosaic, null without one).
    """
    events, frames = {one.event_id: one for one in catalog.flights.events()}, catalog.frames.count_used()
    mosaics = sorted(catalog.tiles.mosaics(), key=lambda one: one.revision)
    shown = {one.flight_id: one.revision for one in mosaics if one.published}
    flights, lines = [], []
    for one in sorted(catalog.flights.flights(event_id), key=lambda one: one.first_ns, reverse=True):
        event, count, revision = events[one.event_id], frames.get(one.flight_id, 0), shown.get(one.flight_id)
        flights.append(
            {
                "flight_id": one.flight_id,
                "name": one.name,
                "event": event.name,
                "is_drill": event.is_drill,
                "state": one.state.value,
                "first_ns": one.first_ns,
                "last_ns": one.last_ns,
                "frames": count,
                "gsd_m": one.gsd_m,
                "revision": revision,
            }
        )
        pictures, state = ngettext("{count} picture", "{count} pictures", count), _STATES[one.state]
        if revision:
            state = _("{state}, finished, revision {revision}", state=state, revision=revision)
        lines.append(
            join(
                [
                    f"{one.flight_id}  {format_minute(one.first_ns)}  {event.name}: {one.name} (",
                    pictures,
                    ", ",
                    state,
                    ")",
                ],
                "",
            )
        )
    return {"flights": flights}, lines or [_("no flights yet")]


def format_inspection(report: PreflightReport) -> Output:
    """Return frames, usable, camera, problems[] and more."""
    import shapely

    seen, diagnosis = report.preflight, report.preflight.diagnosis
    rejected = [*seen.unreadable, *diagnosis.rejected]
    answer = {
        "frames": seen.photo_count,
        "usable": len(diagnosis.headers),
        "rejected": dict(sorted(Counter(one.reason for one in rejected).items())),
        "camera": diagnosis.camera,
        "calibration": sorted({header.interior.calibration_id for header in diagnosis.headers}),
        "work_crs": diagnosis.work_crs,
        "vertical_datum": diagnosis.vertical_datum,
        "is_drill": diagnosis.is_drill,
        "takeoff": _takeoff(diagnosis),
        "problems": describe_problems(diagnosis),
        "rejections": [_rejection(one) for one in rejected],
        "gaps": [
            {
                "kind": gap.kind.value,
                "area_m2": round(gap.area_m2, 1),
                "missing": gap.missing,
                "between": list(gap.between),
                "seen_by": gap.seen_by,
                **gap.sentence.to_fields(),
                "polygon": shapely.geometry.mapping(gap.polygon_lonlat),
            }
            for gap in diagnosis.gaps
        ],
        "relief": _relief(diagnosis),
        "missing_names": list(diagnosis.missing_names),
        "refly": str(report.refly) if report.refly else None,
        "seconds": round(report.seconds, 3),
    }
    usable = ngettext(
        "{usable} of {count} photo usable",
        "{usable} of {count} photos usable",
        seen.photo_count,
        usable=len(diagnosis.headers),
    )
    lines = [join([usable, diagnosis.camera], " · ")]
    lines += map(_describe_problem, diagnosis.problems)
    lines += map(_describe_rejection, (*seen.unreadable, *diagnosis.rejected))
    lines += [_("  [gap] {sentence}", sentence=gap.sentence) for gap in diagnosis.gaps]
    lines += [_describe_zone(zone, diagnosis) for zone in diagnosis.relief]
    if report.refly:
        lines.append(_("ground to refly: {path}", path=report.refly))
    return answer, lines


def _relief(diagnosis: Diagnosis) -> list[Answer]:
    return [
        {
            "zone": zone.zone,
            "ground_m": zone.ground_m,
            "photos": zone.photos,
            "height_above_ground_m": zone.height_above_ground_m,
            "gsd_m": zone.gsd_m,
            "views": zone.views,
            "side_overlap": zone.side_overlap,
        }
        for zone in diagnosis.relief
    ]


def describe_problems(diagnosis: Diagnosis) -> list[Answer]:
    """Return the findings of the preflight check.

    Keys: code, severity, the sentence in both languages, frames.
    """
    return [
        {
            "code": problem.code,
            "severity": problem.severity.value,
            **problem.sentence.to_fields(),
            "frames": list(problem.frames),
        }
        for problem in diagnosis.problems
    ]


def _rejection(one: Rejection) -> Answer:
    return {"name": one.name, "reason": one.reason, **one.message.to_fields()}


def _name_first_photo(problem: Problem) -> Message:
    """Return the sentence of a finding, after the name of its first photo."""
    if not problem.frames:
        return problem.sentence
    first, *others = problem.frames
    if not others:
        return join([first, problem.sentence], ": ")
    return pgettext(
        "photos",
        "{first} and {count} more: {sentence}",
        first=first,
        count=len(others),
        sentence=problem.sentence,
    )


def _describe_rejection(one: Rejection) -> Message:
    return _("  [left out] {message}", message=one.message)


_SEVERITIES = {
    "info": pgettext("severity", "info"),
    "warning": pgettext("severity", "warning"),
    "error": pgettext("severity", "error"),
}


def _describe_problem(one: Problem) -> Message:
    return join(["  [", _SEVERITIES[one.severity.value], "] ", _name_first_photo(one)], "")


def _takeoff(diagnosis: Diagnosis) -> Answer | None:
    takeoff = diagnosis.takeoff
    if takeoff is None:
        return None
    return {
        "height_m": round(takeoff.height_m, 2),
        "sigma_m": round(takeoff.sigma_m, 2),
        "datum": takeoff.datum,
        "how": takeoff.how,
    }


_ZONES = {
    "valley": pgettext("relief", "valley"),
    "slope": pgettext("relief", "slope"),
    "summit": pgettext("relief", "summit"),
    "flat": pgettext("relief", "flat"),
}


def _describe_zone(zone: ReliefZone, diagnosis: Diagnosis) -> Message:
    overlap = zone.side_overlap
    values: dict[str, object] = {
        "above_m": zone.height_above_ground_m[1],
        "gsd_cm": zone.gsd_m[1] * 100,
        "overlap": "" if overlap is None else _(", side overlap {overlap:.0%}", overlap=overlap),
    }
    # without terrain, height 0 and "flat" are what was assumed
    if diagnosis.vertical_datum == "LOCAL":
        return _(
            "  {above_m:.0f} m above ground, GSD {gsd_cm:.1f} cm straight below{overlap}",
            **values,
        )
    return _(
        "  [{zone}] ground {lowest_m:.0f} to {highest_m:.0f} m: {above_m:.0f} m above ground, GSD "
        "{gsd_cm:.1f} cm straight below{overlap}",
        zone=_ZONES.get(zone.zone, zone.zone),
        lowest_m=zone.ground_m[0],
        highest_m=zone.ground_m[1],
        **values,
    )


def format_ingest(report: IngestReport, catalog: Catalog) -> Output:
    """Return flight_id, frames, gsd_m, communes and seconds of an ingest.

    frames  `used` of those read; `in_flight`: all of its flight
    gsd_m   of the map: where none is asked for, the median at the centres of the photos
    relief  as of `flycam inspect`, its gsd_m straight below the aircraft
    """
    from flycam.mosaic.coverage import get_flight_date

    boundaries = catalog.boundaries
    names = {**boundaries.names(), **boundaries.names(get_flight_date(report.flight))}
    flight, diagnosis = report.flight, report.preflight.diagnosis
    answer = {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "frames": {
            "read": report.preflight.photo_count,
            "used": report.used,
            "in_flight": report.in_flight,
            "rejected": report.rejected,
        },
        "new": report.new,
        "relaid": report.reprocessed,
        "mended": report.repaired,
        **format_warnings(report.notes, "notes"),
        "gsd_m": round(flight.gsd_m, 4),
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        **format_warnings(flight.warnings),
        "rejections": [_rejection(one) for one in report.rejections],
        "problems": [str(_name_first_photo(problem)) for problem in diagnosis.problems],
        "relief": _relief(diagnosis),
        "communes": [_commune(one, names) for one in report.communes],
        "seconds": round(report.seconds, 3),
    }
    problems = [p for p in diagnosis.problems if p.code not in _IN_FLIGHT_WARNINGS]
    lines = [
        ngettext(
            "{name} ({flight_id}): {count} frame, {new} new, {gsd_cm:,.1f} cm, {seconds:,.1f} s",
            "{name} ({flight_id}): {count} frames, {new} new, {gsd_cm:,.1f} cm, {seconds:,.1f} s",
            report.in_flight,
            name=report.flight.name,
            flight_id=report.flight.flight_id,
            new=report.new,
            gsd_cm=report.flight.gsd_m * 100,
            seconds=report.seconds,
        )
    ]
    lines += map(_describe_problem, problems)
    lines += map(_describe_rejection, report.rejections)
    lines += [_describe_zone(zone, diagnosis) for zone in diagnosis.relief]
    lines += [_describe_warning("  *", one) for one in report.notes]
    lines += [_describe_warning("  !", one) for one in flight.warnings]
    lines += [
        _(
            "  {name} ({code}): {area}, {covered_pct:.1f} %",
            name=names[one.commune_code],
            code=one.commune_code,
            area=format_area(one.covered_m2),
            covered_pct=one.covered_pct,
        )
        for one in report.communes
    ]
    return answer, lines


def _describe_warning(mark: str, warning: str) -> Message:
    return join([mark, describe_warning(warning)])


_IN_FLIGHT_WARNINGS = frozenset({"no_terrain", "terrain_elsewhere", "maybe_infrared"})
"""Findings that are warnings of the flight too, printed once."""


def _commune(one: Coverage, names: Mapping[str, str]) -> Answer:
    return {
        "code": one.commune_code,
        "name": names[one.commune_code],
        "covered_pct": round(one.covered_pct, 3),
        "area_m2": round(one.covered_m2, 1),
        "gsd_m": round(one.gsd_m, 4),
    }


# -- Options common to `inspect` and `ingest` ------------------------------------------------------


LAYER_CHOICE = click.Choice([layer.value for layer in Layer])
_MAX_OFFSET_S = 10 * 365.25 * 86_400


def add_ingest_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `inspect` and `ingest` share."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, required=True, type=FILE_PATH),
            click.option(
                "--telemetry",
                type=FILE_PATH,
                help="Flight log; or what places photos: poses (CSV, OpenSfM, ODM), control points, a map.",
            ),
            click.option(
                "--layer",
                type=LAYER_CHOICE,
                help="What the pixels show, where tags are silent or wrong.",
            ),
            click.option(
                "--camera", type=FILE_PATH, help="Camera file (JSON or YAML) that beats the photos."
            ),
            click.option(
                "--height",
                "height_mode",
                type=click.Choice(["auto", "relative", "absolute", "exif"]),
                default="auto",
                show_default=True,
                help="Which altitude to believe.",
            ),
            click.option("--takeoff", metavar="LON,LAT|H", help="Take-off point, or its height in metres."),
            click.option(
                "--clock-offset", "clock_offset_s", type=float, help="Log time minus photo time, s."
            ),
            click.option("--dem", type=FILE_PATH, help="Terrain to register first."),
            click.option("--datum", type=DATUM_CHOICE, help="Height datum of --dem."),
        ]
    ):
        function = option(function)
    return function


def _parse_takeoff(text: str | None) -> float | tuple[float, float] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if all(map(math.isfinite, numbers)):
        if len(numbers) == 1:
            return numbers[0]
        if len(numbers) == 2 and abs(numbers[0]) <= 180.0 and abs(numbers[1]) <= 90.0:
            return numbers[0], numbers[1]
        if len(numbers) == 2 and abs(numbers[1]) <= 180.0 and abs(numbers[0]) <= 90.0:
            raise OptionUnusable(
                _(
                    "--takeoff {text}: no latitude is {second:g}°; longitude comes first: "
                    "--takeoff {second:g},{first:g}",
                    text=text,
                    second=numbers[1],
                    first=numbers[0],
                )
            )
    raise OptionUnusable(_("--takeoff {text}: give LON,LAT in degrees or a height in metres", text=text))


def parse_ingest_options(options: dict[str, Any]) -> PreflightRequest:
    """Return the preflight request of these options.

    Raises OptionUnusable for an impossible value.
    """
    from flycam.ingest.preflight_check import PreflightRequest

    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _MAX_OFFSET_S:
        raise OptionUnusable(
            _("--clock-offset {offset_s:g}: give seconds, at most ten years of them", offset_s=offset_s)
        )
    return PreflightRequest(
        paths=tuple(options["paths"]),
        telemetry=options["telemetry"],
        camera=options["camera"],
        height_mode=options["height_mode"],
        takeoff=_parse_takeoff(options["takeoff"]),
        clock_offset_s=options["clock_offset_s"],
        layer=options["layer"],
    )


# -- Commands `inspect`, `ingest` and `withdraw` ---------------------------------------------------


@click.command()
@add_ingest_options
@click.option("--aoi", type=FILE_PATH, help="Area of interest: gaps are looked for inside it.")
@click.option("--refly", type=FILE_PATH, help="Write the missing ground as KML, to fly it.")
@click.option("--pixels/--no-pixels", default=True, help="Also look for blur and a covered lens.")
@wrap_command
def inspect_command(
    *, data_dir: str | None, aoi: Path | None, refly: Path | None, pixels: bool, **options: Any
) -> Output:
    """Check a flight, video or log and name its problems; writes only the KML files requested."""
    from flycam.ingest.photos.photo_search import search_photos

    found = search_photos(options["paths"])
    if recordings := find_recordings(found, options["paths"]):
        return inspect_recordings(recordings, options["telemetry"])
    from flycam.ingest.preflight_check import check_flight
    from flycam.mosaic.terrain import load_registered_dems

    settings = read_settings(os.environ, data_dir)
    set_local_zone(settings.time_zone)
    dems = []
    if (settings.data_dir / "catalog.sqlite").exists() or "FLYCAM_DATABASE" in os.environ:
        with open_workspace(data_dir, creates=True) as (workspace, __):
            dems = load_registered_dems(workspace)
    report = check_flight(
        parse_ingest_options(options),
        dems,
        extra_dem=options["dem"],
        datum=options["datum"],
        aoi=aoi,
        refly=refly,
        check_pixels=pixels,
        found=found,
        progress=ProgressBar(),
    )
    return format_inspection(report)


@click.command()
@add_ingest_options
@click.option("--communes", type=FILE_PATH, help="Commune boundaries to register first.")
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance in metres (default: the flight's).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option(
    "--flight", "into", metavar="ID|NAME|auto", help="Flight that the photos join, such as one filmed live."
)
@click.option(
    "--reprocess",
    "--relay",
    "reprocess",
    is_flag=True,
    help="Lay a flight on the map again on the terrain known now.",
)
@wrap_command
def ingest_command(*, data_dir: str | None, **options: Any) -> Output:
    """Photos, or a film, to a mosaic in the store, on terrain, clipped to communes."""
    if (film := find_single_video(options["paths"])) is not None:
        return ingest_video(data_dir, film, options)
    from flycam.ingest.photos.photo_reader import prefetch_photos
    from flycam.ingest.photos.photo_search import search_photos
    from flycam.memory import limit_to_one_arena

    limit_to_one_arena()
    with prefetch_photos(search_photos(options["paths"]).photos) as early:  # while the libraries are loaded
        from flycam.ingest.batch import ingest as ingest_flight
        from flycam.mosaic.orthorectify.flight_session import FlightLabels
        from flycam.mosaic.terrain import register_dem
        from flycam.retry import retry_on_outage

        with (
            open_workspace(data_dir, creates=True) as (opened, settings),
            open_cluster(opened, settings) as workspace,
            register_resumable_job(settings) as begun,
        ):
            if options["dem"] is not None:
                register_dem(workspace, options["dem"], options["datum"])
            if options["communes"] is not None:
                from flycam.board.layers import register_communes

                register_communes(workspace, options["communes"])
            request = replace(parse_ingest_options(options), own_dem=options["dem"])
            labels = FlightLabels(name=options["name"], event=options["event"], gsd_m=options["gsd_m"])
            how = {"reprocess": options["reprocess"], "into": options["into"], "prefetch": early}
            report = retry_on_outage(
                workspace,
                lambda progress: ingest_flight(workspace, request, labels, progress, **how),
                begun,
                print_line,
            )
            return format_ingest(report, workspace.catalog)


@click.command()
@click.argument("ref", metavar="FLIGHT|FRAME")
@click.option("--reason", required=True, help="Why; kept for ever.")
@click.option("--authority", help="Who decided (default: FLYCAM_OPERATOR or this node).")
@wrap_command
def withdraw_command(*, data_dir: str | None, ref: str, reason: str, authority: str | None) -> Output:
    """Take a flight, or one frame, out of every mosaic, with a trace."""
    from flycam.mosaic.amendments import withdraw_by_reference

    with open_workspace(data_dir) as (workspace, __):
        who = authority or workspace.operator or workspace.box
        report = withdraw_by_reference(workspace, ref, reason, who, ProgressBar())
        name = report.flight.name
        answer = {
            "flight_id": report.flight.flight_id,
            "frames": report.frames,
            "tiles": report.tiles,
            "retired": list(report.retired),
        }
        lines = [
            ngettext(
                "{count} frame withdrawn from {name}, {tiles} written",
                "{count} frames withdrawn from {name}, {tiles} written",
                report.frames,
                name=name,
                tiles=ngettext("{count} tile", "{count} tiles", report.tiles),
            )
        ]
        if report.retired:
            lines.append(
                _(
                    "finished revision {revisions} held them and is no longer shown; run again: {command}",
                    revisions=", ".join(map(str, report.retired)),
                    command=format_shell_command("finish", name),
                )
            )
        return answer, lines
