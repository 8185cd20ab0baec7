"""From an aircraft's video and its log to a flight on the map, picture by picture.

    open video and log -> camera -> poses -> terrain -> clock -> select -> lay -> communes -> ready

A file is looked through for its clock first, then worked through as fast as it goes, and nothing of it is
dropped. Played at its own speed (`--realtime`) it is what a stream would be: who is late loses the oldest,
counted by reason, and pictures chosen before the clocks' difference is known wait for it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import CalibrationMissing, Cancelled, OptionUnusable, OutsideTerrain
from flycam.frame.flight import Flight
from flycam.frame.frame import flight_id_of, frame_id_of
from flycam.frame.warning import CLOCK_UNKNOWN, warning
from flycam.geodata.camera_file import interior_from_mapping, load_camera_file
from flycam.geometry.camera import scaled
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.photos import sha256_of
from flycam.ingest.video import VideoSource, is_stream, says_drill
from flycam.ingest.video_clock import ClockOffset
from flycam.ingest.video_log import VideoLog, read_video_log
from flycam.ingest.video_motion import ToldPoses
from flycam.ingest.video_poses import VideoPoses, settle
from flycam.pipeline.evidence import keep
from flycam.pipeline.live_clock import LiveClock
from flycam.pipeline.live_flow import LiveFlow, pictures_in
from flycam.pipeline.live_laying import Film, LiveLaying
from flycam.pipeline.opening import Labels
from flycam.pipeline.terrain import TerrainLookup, names_here, registered_dems, terrain_around
from flycam.pipeline.workspace import Progress, Workspace, silent

_SAME_SHAPE = 0.02


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRequest:
    """What the operator gave.

    video, telemetry  files of one flight
    camera            a camera file; hfov_deg in its place the horizontal field of view; neither: the log says
    clock_offset_s    telemetry stamp minus video time (container's creation + PTS; without creation: since
                      the first picture); None: found from the pictures
    is_realtime       play the file at its own speed
    """

    video: str
    telemetry: str
    camera: Path | None = None
    hfov_deg: float | None = None
    clock_offset_s: float | None = None
    is_realtime: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveReport:
    """What became of a video.

    decoded, used, new  pictures decoded; frames on the map; those of them laid by this run
    latency_ms          (p50, p95) from a picture's arrival to its tiles in the log; NaN if nothing was laid
    dropped             pictures and samples left out, by reason
    clock               the offset as reported: against the video's own time
    remarks             what was noticed on the way, (English, Vietnamese)
    """

    flight: Flight
    decoded: int
    used: int
    new: int
    latency_ms: tuple[float, float]
    dropped: dict[str, int]
    clock: ClockOffset
    remarks: tuple[tuple[str, str], ...]
    seconds: float


def live(
    workspace: Workspace,
    request: LiveRequest,
    labels: Labels,
    progress: Progress = silent,
    stopped: Callable[[], bool] = _never,
) -> LiveReport:
    """A video and its log to a published flight; see the recipe above. Run again, it changes nothing.

    stopped  asked with every picture: when it says so, the flight ends there and is shown as it is

    Raises SourceUnreadable, PositionMissing, CalibrationMissing for what was given; OutsideTerrain where no
    picture could be laid; FlightBusy, StorageTrouble.
    """
    started_ns = workspace.clock_ns()
    video = _file_of(request)
    dems = registered_dems(workspace)
    with VideoSource(request.video, is_realtime=request.is_realtime) as source:
        log = read_video_log(Path(request.telemetry), source.created_ns)
        poses = settle(log.log, TerrainLookup(dems) if dems else None)
        told = poses.told(log.zero_ns)
        interior = _camera(request, poses, source.size_px)
        terrain = terrain_around(
            workspace,
            dems,
            told.centre_m,
            poses.work_crs,
            datum=poses.vertical_datum,
            plane_height_m=float(np.nan_to_num(poses.home_m)),
        )
        stream_id = sha256_of(video)
        flight_id = flight_id_of([frame_id_of(stream_id, "stream")])
        film = Film(
            stream_id=stream_id,
            name=video.name,
            interior=interior,
            is_drill=says_drill(video),
            work_crs=poses.work_crs,
        )
        clock = _clock(request, log, told, interior, source)
        if not (clock.is_settled or request.is_realtime):
            _look_through(video, clock, progress, stopped)
        with (
            workspace.catalog.flights.lock(flight_id),
            tempfile.TemporaryDirectory(prefix="live-", dir=_made(workspace.cache_dir)) as scratch,
        ):
            folder = _made(Path(scratch) / video.stem)
            names = names_here(dems, terrain.bounds_m, terrain.work_crs)
            laying = LiveLaying(workspace, flight_id, film, terrain, names, labels, folder)
            keep(workspace, video, stream_id)
            keep(workspace, Path(request.telemetry))
            flow = LiveFlow(
                source, poses, told, clock, log.zero_ns, interior, laying, drops=request.is_realtime
            )
            flow.run(progress, stopped)
            flight = laying.close(_warnings(clock, poses), progress)
        if flight is None:
            raise _nothing_laid(request, laying, flow.dropped)
        workspace.catalog.audit.append(
            workspace.operator or workspace.box, "live", flight_id, f"{laying.new} frames", at_ns=started_ns
        )
    return LiveReport(
        flight=flight,
        decoded=flow.decoded,
        used=laying.used,
        new=laying.new,
        latency_ms=flow.latency_ms,
        dropped=dict(sorted((flow.dropped + poses.left_out).items())),
        clock=log.as_reported(clock.offset),
        remarks=(*source.health.remarks, *log.log.remarks),
        seconds=(workspace.clock_ns() - started_ns) / 1e9,
    )


def _file_of(request: LiveRequest) -> Path:
    for option, value in (("--video", request.video), ("--telemetry", request.telemetry)):
        if is_stream(value) or "://" in value:
            raise OptionUnusable(
                f"{option} {value}: links are not followed yet: record the flight, and give the files",
                vi=f"{option} {value}: chưa theo được đường truyền; hãy ghi lại chuyến bay rồi đưa tệp",
            )
    return Path(request.video)


def _camera(request: LiveRequest, poses: VideoPoses, size_px: tuple[int, int]) -> InteriorOrientation:
    """The lens for pictures of this size: the operator's, else the field of view the log states."""
    if request.camera is not None:
        interior = load_camera_file(request.camera, size_px)
        if interior.image_size_px == size_px:
            return interior
        (width, height), (own_width, own_height) = size_px, interior.image_size_px
        if abs((width / height) / (own_width / own_height) - 1.0) > _SAME_SHAPE:
            raise CalibrationMissing(
                f"{request.camera.name}: is of pictures of {own_width}×{own_height}, the video's are "
                f"{width}×{height}, of another shape: give the camera of the video's mode",
                vi=f"{request.camera.name}: thông số cho ảnh {own_width}×{own_height}, video là "
                f"{width}×{height} khác tỷ lệ; hãy đưa thông số máy ảnh đúng chế độ quay",
            )
        return scaled(interior, size_px)
    stated = [s.hfov_deg for s in poses.track.samples if np.isfinite(s.hfov_deg)]
    hfov_deg = request.hfov_deg if request.hfov_deg is not None else float(np.median(stated or [np.nan]))
    if not np.isfinite(hfov_deg):
        raise CalibrationMissing(
            f"{Path(request.video).name}: nothing says what lens filmed it: give --camera or --hfov",
            vi=f"{Path(request.video).name}: chưa biết ống kính; hãy đưa --camera hoặc --hfov",
        )
    source = "operator:--hfov" if request.hfov_deg is not None else "telemetry:hfov"
    try:
        return interior_from_mapping({"hfov_deg": hfov_deg}, size_px, source)
    except ValueError as error:
        raise OptionUnusable(
            f"--hfov {hfov_deg:g}: {error}: give degrees between 1 and 179",
            vi=f"--hfov {hfov_deg:g}: hãy ghi số độ từ 1 đến 179",
        ) from error


def _clock(
    request: LiveRequest,
    log: VideoLog,
    told: ToldPoses,
    interior: InteriorOrientation,
    source: VideoSource,
) -> LiveClock:
    given = None if request.clock_offset_s is None else log.from_reported(request.clock_offset_s)
    around_s, reach_s = log.search(source.duration_s)
    return LiveClock(
        told, interior, given_s=given, is_shared=log.is_shared, around_s=around_s, reach_s=reach_s
    )


def _look_through(video: Path, clock: LiveClock, progress: Progress, stopped: Callable[[], bool]) -> None:
    """All of a file's motion measured before any of it is laid: no later time knows its clock better."""
    with VideoSource(str(video)) as source:
        for done, picture in enumerate(source.pictures(), start=1):
            clock.add(picture)
            progress("clock", done, max(done, pictures_in(source)))
            if stopped():
                raise Cancelled(
                    f"{video.name}: stopped before anything was laid; the same command begins again",
                    vi=f"{video.name}: đã dừng khi chưa trải ảnh nào; chạy lại lệnh này để làm lại",
                )
    clock.settle()


def _warnings(clock: LiveClock, poses: VideoPoses) -> list[str]:
    """What the flight says for ever where its clocks' difference stayed unknown."""
    if clock.offset.is_known:
        return []
    sigma_s = clock.offset.sigma_s
    speed = np.nanmedian([s.speed_mps for s in poses.track.samples]) if poses.track.samples else 0.0
    metres = round(float(np.nan_to_num(speed)) * sigma_s)
    return [warning(CLOCK_UNKNOWN, sigma=f"{sigma_s:.1f}", metres=metres)]


def _nothing_laid(request: LiveRequest, laying: LiveLaying, dropped: Counter[str]) -> OutsideTerrain:
    said = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()) if count)
    first = next((error for _, error in laying.rejections.errors), None)
    why = f"; the first: {first}" if first else ""
    name = Path(request.video).name
    return OutsideTerrain(
        f"{name}: none of its pictures can be laid ({said or 'none was chosen'}){why}: check that the log is "
        "of this flight, and --clock-offset",
        vi=f"{name}: không khung hình nào trải được lên bản đồ ({said}); hãy kiểm tra nhật ký có đúng "
        "chuyến bay này không, và --clock-offset",
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
