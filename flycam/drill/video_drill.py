"""A synthetic video flight with telemetry and known truth.

It is planned, rendered and written; its telemetry is written twice, as DJI subtitles and as a MAVLink log.
It is also sent as from an aircraft, in real time, so that a command room can rehearse with the same command
as for a real flight: the telemetry begins before the first frame, as on an aircraft that stands ready; a
packet is sent at its tlog time: the streams are offset as the drill's clocks are.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.drill.flight import (
    VideoCourse,
    VideoPlan,
    make_drill_camera,
    make_takeoff_time,
    make_video_course,
)
from flycam.drill.land import (
    WORK_CRS,
    Floats,
    Valley,
    generate_temporal_noise,
)
from flycam.drill.photo_drill import (
    CELLS_PER_PIXEL,
    DEM_MARGIN_M,
    MAX_NOISE,
    MAX_RELIEF_M,
    MAX_SEED,
    USUAL_PHOTOS,
    DrillScene,
    compute_flights_bounds,
    compute_world_bounds,
    find_takeoff_place,
    read_truth,
    require_in_range,
    stage_folder,
)
from flycam.drill.rendering import VideoRenderer, Weather, prepare_video_renderer
from flycam.drill.scene_objects import make_terrain_model
from flycam.drill.video_encoder import VideoEncoder, find_encoder_program
from flycam.drill.world import build_drill_world
from flycam.errors import NotFound, OptionUnusable, SourceUnreadable
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import InteriorOrientation
from flycam.messages import _
from flycam.model.flight import DRILL_MARK
from flycam.model.frame import format_video_frame_name
from flycam.model.time import VIETNAM

# -- Telemetry of the video flight: DJI subtitles and a tlog ---------------------------------------
#
# Both carry the same measurements, 10 a second: a GNSS bias with slow drift, slow errors of the attitude (a
# filter's output drifts, it does not jump). The subtitles follow the video's clock; the tlog's stamps differ
# by the clock offset and, packet by packet, by the delay of the link. Sources: MAVLink common message
# definitions; DJI's per-frame subtitle dialect (docs/formats/srt.md).


RATE_HZ = 10
_BOOT_BEFORE_S = 90.0
_LEAD_S = 4.0
_LINK_S = 0.012
_SYSTEM, _COMPONENT, _GIMBAL = 1, 1, 154
# 1-sigma at noise 1: metres and degrees; bias for the flight, drift and attitude with a correlation time
_BIAS_M = (1.0, 1.0, 1.0)
_DRIFT_M, _DRIFT_S = (0.4, 0.4, 0.4), 60.0
_ATTITUDE_DEG, _ATTITUDE_S = (0.6, 0.4, 0.4), 30.0
_FINE_DEG = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTelemetry:
    """Measurements at N times (video seconds).

    height_m    in the take-off's vertical datum
    gimbal_deg  yaw, pitch, roll
    """

    time_s: Floats
    lonlat_deg: Floats
    height_m: Floats
    relative_m: Floats
    gimbal_deg: Floats
    velocity_mps: Floats


def simulate_telemetry(
    course: VideoCourse, seconds: float, takeoff_height_m: float, number: int, noise: float
) -> VideoTelemetry:
    """Simulate measurements from shortly before the first frame to after the last."""
    time_s = np.arange(-_LEAD_S, seconds + _LEAD_S, 1.0 / RATE_HZ)
    exposures = course.exposures(time_s)
    random = np.random.default_rng([number, 41])
    off = noise * (
        random.normal(size=3) * _BIAS_M
        + generate_temporal_noise(time_s, _DRIFT_S, _DRIFT_M, number, "gnss drift")
    )
    turn = noise * generate_temporal_noise(time_s, _ATTITUDE_S, _ATTITUDE_DEG, number, "attitude drift")
    turn += noise * random.normal(size=turn.shape) * _FINE_DEG
    centre = np.array([e.exterior.projection_centre_m for e in exposures]) + off
    gimbal = np.degrees([e.gimbal_rad for e in exposures]) + turn
    return VideoTelemetry(
        time_s=time_s,
        lonlat_deg=to_lonlat(centre[:, :2], WORK_CRS),
        height_m=centre[:, 2],
        relative_m=centre[:, 2] - takeoff_height_m,
        gimbal_deg=gimbal,
        velocity_mps=course.velocity_mps(time_s),
    )


def write_subtitles(path: Path, telemetry: VideoTelemetry, frame_s: Floats, start: datetime) -> None:
    """Write one cue a frame, with the camera's clock.

    frame_s  times of the frames, seconds
    start    of the first frame
    """
    columns = [
        telemetry.lonlat_deg[:, 0],
        telemetry.lonlat_deg[:, 1],
        telemetry.relative_m,
        telemetry.height_m,
    ]
    columns += list(np.unwrap(telemetry.gimbal_deg, period=360.0, axis=0).T)
    at = np.stack([np.interp(frame_s, telemetry.time_s, column) for column in columns], axis=1)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for k, (seconds, row) in enumerate(zip(frame_s, at, strict=True)):
            lon, lat, relative, height, yaw, pitch, roll = row
            until = frame_s[k + 1] if k + 1 < len(frame_s) else seconds + (frame_s[1] - frame_s[0])
            clock = (start + timedelta(seconds=float(seconds))).astimezone(VIETNAM)
            file.write(
                f"{k + 1}\n{_cue_time(seconds)} --> {_cue_time(until)}\n"
                f'<font size="28">SrtCnt : {k + 1}, {DRILL_MARK}\n'
                f"{clock:%Y-%m-%d %H:%M:%S}.{clock.microsecond // 1000:03d}\n"
                f"[latitude: {lat:.7f}] [longitude: {lon:.7f}] "
                f"[rel_alt: {relative:.3f} abs_alt: {height:.3f}] "
                f"[gb_yaw: {(yaw + 180.0) % 360.0 - 180.0:.2f} gb_pitch: {pitch:.2f} gb_roll: {roll:.2f}] "
                "</font>\n\n"
            )


def write_tlog(
    path: Path,
    telemetry: VideoTelemetry,
    start: datetime,
    clock_offset_s: float,
    home_m: tuple[float, float, float],
    number: int,
) -> None:
    """Write a MAVLink 2 log whose clock is ahead of the camera's by `clock_offset_s`.

    home_m  (longitude, latitude, height) of the take-off
    """
    link = mavlink.MAVLink(None, srcSystem=_SYSTEM, srcComponent=_COMPONENT)
    late_s = np.random.default_rng([number, 43]).exponential(_LINK_S, size=len(telemetry.time_s))
    late_s[::4] = 0.0
    start_us = round(start.timestamp() * 1e6)
    with path.open("wb") as file:
        for k, seconds in enumerate(telemetry.time_s):
            stamp = start_us + round((float(seconds) + clock_offset_s + float(late_s[k])) * 1e6)
            boot_ms = round((float(seconds) + _BOOT_BEFORE_S) * 1e3)
            if k % RATE_HZ == 0:
                lon, lat, height = home_m
                heartbeat = mavlink.MAVLink_heartbeat_message(
                    mavlink.MAV_TYPE_QUADROTOR,
                    mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA,
                    0,
                    0,
                    mavlink.MAV_STATE_ACTIVE,
                    3,
                )
                home = mavlink.MAVLink_home_position_message(
                    *(round(lat * 1e7), round(lon * 1e7), round(height * 1e3)),
                    *(0.0, 0.0, 0.0, (1.0, 0.0, 0.0, 0.0), 0.0, 0.0, 0.0),
                )
                for message in [heartbeat, home]:
                    file.write(struct.pack(">Q", stamp) + message.pack(link))
            for message in _fast_messages(telemetry, k, boot_ms):
                link.srcComponent = _GIMBAL if "GIMBAL" in message.get_type() else _COMPONENT
                file.write(struct.pack(">Q", stamp) + message.pack(link))
            link.srcComponent = _COMPONENT


def _fast_messages(telemetry: VideoTelemetry, k: int, boot_ms: int) -> list[mavlink.MAVLink_message]:
    (lon, lat), (east, north, up) = telemetry.lonlat_deg[k], telemetry.velocity_mps[k]
    yaw, pitch, roll = np.radians(telemetry.gimbal_deg[k])
    lat_e7, lon_e7, height_mm = round(lat * 1e7), round(lon * 1e7), round(telemetry.height_m[k] * 1e3)
    heading = math.atan2(math.sin(yaw), math.cos(yaw))
    # (w, x, y, z), body to north-east-down, of Rz(yaw) Ry(pitch) Rx(roll) (Diebel 2006, section 8)
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a / 2.0), math.sin(a / 2.0)) for a in (yaw, pitch, roll))
    return [
        mavlink.MAVLink_global_position_int_message(
            *(boot_ms, lat_e7, lon_e7, height_mm, round(telemetry.relative_m[k] * 1e3)),
            *(round(north * 100), round(east * 100), round(-up * 100)),
            round(math.degrees(heading) % 360.0 * 100) % 36_000,
        ),
        mavlink.MAVLink_attitude_message(boot_ms, 0.0, -0.1, heading, 0.0, 0.0, 0.0),
        mavlink.MAVLink_gimbal_device_attitude_status_message(
            *(_SYSTEM, _COMPONENT, boot_ms, mavlink.GIMBAL_DEVICE_FLAGS_YAW_IN_EARTH_FRAME),
            (
                cr * cp * cy + sr * sp * sy,
                sr * cp * cy - cr * sp * sy,
                cr * sp * cy + sr * cp * sy,
                cr * cp * sy - sr * sp * cy,
            ),
            *(0.0, 0.0, 0.0, 0),
        ),
        mavlink.MAVLink_gps_raw_int_message(
            *(boot_ms * 1000, mavlink.GPS_FIX_TYPE_3D_FIX, lat_e7, lon_e7, height_mm, 80, 110),
            *(round(math.hypot(east, north) * 100), 65_535, 17),
        ),
    ]


def _cue_time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"


# -- Video drill: world, flight, and files ---------------------------------------------------------


VIDEO_NAME = "flight.mp4"
TELEMETRY_NAME = "flight.tlog"
_FIRST_PICTURE_S = 60.0  # after take-off
_MAX_OFFSET_S = 2.0
_MAX_SIDE_PX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoDrill(DrillScene):
    """A flight with video, in memory.

    clock_offset_s  tlog time minus video time
    start           UTC of the first frame
    photos          of the drill whose storm it shows: strips, photos per strip
    """

    clock_offset_s: float
    start: datetime
    photos: tuple[int, int]
    plan: VideoPlan
    course: VideoCourse
    telemetry: VideoTelemetry
    renderer: VideoRenderer

    @property
    def names(self) -> list[str]:
        """Names of the frames, as of one extracted from the video."""
        return [format_video_frame_name(VIDEO_NAME, round(t * 1e9)) for t in self.plan.frame_s]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoDrillReport:
    """Result of write_video_drill: the number of frames, and paths."""

    frames: int
    video: Path
    subtitles: Path
    telemetry: Path
    camera: Path
    dem: Path
    communes: Path
    truth: Path


def make_video_drill(
    *,
    seed: int = 1,
    after: bool = False,
    relief_m: float = 180.0,
    noise: float = 1.0,
    plan: VideoPlan | None = None,
    size_px: tuple[int, int] = (1280, 720),
    clock_offset_s: float | None = None,
    dem_post_m: float = 10.0,
    weather: Weather | None = None,
    plain: bool = False,
    photos: tuple[int, int] = USUAL_PHOTOS,
) -> VideoDrill:
    """Build the world and the video flight over it.

    The same arguments give the same frames and telemetry.

    photos          (strips, photos per strip) of the drill whose storm it shows, of the same seed, relief and
                    GSD: both may be merged into one mosaic
    clock_offset_s  None: between -2 and 2 s, by the seed
    plain           the ground's colours alone, eight times faster: for speed tests, where nobody looks

    Raises OptionUnusable for an invalid value.
    """
    require_in_range("relief", relief_m, 0.0, MAX_RELIEF_M, " m")
    require_in_range("noise", noise, 0.0, MAX_NOISE, "")
    require_in_range("seed", seed, 0, MAX_SEED, "")
    if any(side % 2 or not 64 <= side <= _MAX_SIDE_PX for side in size_px):
        raise OptionUnusable(
            _(
                "--size {width_px} {height_px}: a video's sides are even numbers from 64 to {largest_px}",
                width_px=size_px[0],
                height_px=size_px[1],
                largest_px=_MAX_SIDE_PX,
            )
        )
    plan = plan or VideoPlan()
    valley, camera = Valley(seed=seed, relief_m=relief_m), make_drill_camera(size_px)
    courses = [make_video_course(valley, plan, camera, seed, storm) for storm in (False, True)]
    seconds = np.arange(0.0, plan.seconds + 1.0)
    bounds = compute_flights_bounds(valley, [course.exposures(seconds) for course in courses], camera)
    west, south, east, north = bounds
    dem_bounds = (west - DEM_MARGIN_M, south - DEM_MARGIN_M, east + DEM_MARGIN_M, north + DEM_MARGIN_M)
    dem = make_terrain_model(valley, dem_bounds, dem_post_m)
    world = build_drill_world(
        bounds,
        CELLS_PER_PIXEL * plan.gsd_m,
        seed=seed,
        relief_m=relief_m,
        after=after,
        storm_over=compute_world_bounds(valley, plan.gsd_m, photos) if after else None,
    )
    takeoff, number = find_takeoff_place(valley, dem), 100 * seed + after
    if clock_offset_s is None:
        clock_offset_s = round(float(np.random.default_rng([number, 47]).uniform(-1, 1)) * _MAX_OFFSET_S, 3)
    return VideoDrill(
        seed=seed,
        after=after,
        noise=noise,
        clock_offset_s=clock_offset_s,
        start=(make_takeoff_time(after) + timedelta(seconds=_FIRST_PICTURE_S)).astimezone(UTC),
        photos=photos,
        plan=plan,
        valley=valley,
        camera=camera,
        course=courses[after],
        exposures=courses[after].exposures(plan.frame_s),
        telemetry=simulate_telemetry(courses[after], plan.seconds, takeoff[2], number, noise),
        takeoff_m=takeoff,
        dem=dem,
        renderer=prepare_video_renderer(world, camera, seed + 100 * after, weather, plain=plain),
    )


def write_video_drill(
    out: Path,
    *,
    truth_rasters: bool = True,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> VideoDrillReport:
    """Write a video drill into the folder `out`, which appears whole or not at all.

    flight.mp4 (H.264, dated), flight.srt, flight.tlog, camera.json, dem.tif, communes.geojson, truth/ as
    of a drill with photos.

    options               see make_video_drill
    progress(done, all)   called as frames are rendered

    Raises InputUnusable without the encoder, and what `stage_folder` raises.
    """
    out = Path(out)
    with stage_folder(out) as staging:
        drill = make_video_drill(**options)
        _write_video(drill, staging / VIDEO_NAME, workers or os.cpu_count() or 1, progress)
        video = staging / VIDEO_NAME
        write_subtitles(video.with_suffix(".srt"), drill.telemetry, drill.plan.frame_s, drill.start)
        write_tlog(
            staging / TELEMETRY_NAME,
            drill.telemetry,
            drill.start,
            drill.clock_offset_s,
            (*drill.takeoff_lonlat_deg, drill.takeoff_m[2]),
            100 * drill.seed + drill.after,
        )
        write_video_camera(drill.camera, staging / "camera.json")
        facts = {
            "clock_offset_s": drill.clock_offset_s,
            **({"storm_of_photos": drill.photos} if drill.after else {}),
            "video": {
                "fps": drill.plan.fps,
                "start_utc": drill.start.isoformat(),
                "strips": int(drill.course.strip.max()) + 1,
            },
        }
        world = drill.renderer.coarse.world
        drill.write(staging, drill.names, drill.plan.gsd_m, world, facts, rasters=truth_rasters)
    return VideoDrillReport(
        frames=drill.plan.frames,
        video=out / VIDEO_NAME,
        subtitles=(out / VIDEO_NAME).with_suffix(".srt"),
        telemetry=out / TELEMETRY_NAME,
        camera=out / "camera.json",
        dem=out / "dem.tif",
        communes=out / "communes.geojson",
        truth=out / "truth",
    )


def _write_video(
    drill: VideoDrill, path: Path, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    created_s, count = round(drill.start.timestamp()), drill.plan.frames
    with VideoEncoder(path, drill.camera.image_size_px, drill.plan.fps, created_s) as encoder:
        for done, picture in enumerate(_pictures(drill, workers), start=1):
            encoder.write(picture)
            if progress is not None:
                progress(done, count)


def _pictures(drill: VideoDrill, workers: int) -> Iterator[NDArray[np.uint8]]:
    """Yield all frames in order; a few are in memory at once."""
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(drill.exposures), 4 * workers):
            yield from pool.map(drill.renderer.picture, drill.exposures[start : start + 4 * workers])


def write_video_camera(camera: InteriorOrientation, path: Path) -> None:
    """Write the exact camera as an operator's camera file."""
    (width, height), (fx, fy), (cx, cy) = (
        camera.image_size_px,
        camera.focal_length_px,
        camera.principal_point_px,
    )
    lens = dict(zip(("k1", "k2", "p1", "p2", "k3"), camera.distortion, strict=True))
    values = {"model": "brown", "width": width, "height": height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
    path.write_text(json.dumps({**values, **lens, "readout_s": 0.0}, indent=1), encoding="utf-8")


# -- Live stream as from an aircraft: MPEG-TS and MAVLink over UDP ---------------------------------


Address = tuple[str, int]

_STAMP_BYTES = 8
_MAVLINK_2, _SIGNED = 0xFD, 0x01
# bytes of a packet besides its payload, by its first byte
_FRAME_BYTES = {0xFE: 8, _MAVLINK_2: 12}
_SIGNATURE_BYTES = 13
# the longest wait before a stop is noticed
_LOOK_S = 0.5
_END_S = 20.0
_MAX_STDERR_BYTES = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamReport:
    """Result of streaming.

    packets   of telemetry that were sent
    video_s   seconds of video that were sent; 0 without an address for it
    complete  whether everything was sent
    """

    packets: int
    video_s: float
    complete: bool


def parse_address(option: str, text: str) -> Address:
    """Parse "HOST:PORT" as a socket address; OptionUnusable."""
    host, __, port = text.removeprefix("udp://").rpartition(":")
    try:
        number = int(port)
        if not host or not 0 < number < 65_536:
            raise ValueError
        socket.getaddrinfo(host, number, socket.AF_INET, socket.SOCK_DGRAM)
    except (ValueError, OSError) as error:
        raise OptionUnusable(
            _(
                "{option} {text}: give where to send as HOST:PORT, such as 127.0.0.1:5600",
                option=option,
                text=text,
            )
        ) from error
    return host, number


def stream_drill(
    folder: Path,
    video_to: Address | None,
    telemetry_to: Address | None,
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> StreamReport:
    """Send the video of a drill and its telemetry in real time.

    folder  as `write_video_drill` wrote it
    progress(elapsed, all)  called about every second, in seconds of the flight

    Raises NotFound without a video drill there, InputUnusable without the sending program,
    SourceUnreadable where nothing can be sent to the address.
    """
    truth = read_truth(folder)
    facts = truth.facts
    if "video" not in facts:
        raise NotFound(_("{folder}: holds a drill of photos: write one with --video", folder=folder))
    start_s = datetime.fromisoformat(facts["video"]["start_utc"]).timestamp() + facts["clock_offset_s"]
    seconds = len(truth.exteriors) / facts["video"]["fps"]
    packets = list(_packets((folder / TELEMETRY_NAME).read_bytes()))
    lead_s = max(0.0, start_s - packets[0][0]) if packets else 0.0
    begun_s = time.monotonic() + lead_s
    sent = 0
    with _Film(folder / VIDEO_NAME, video_to) as film, _Link(telemetry_to) as link:
        moments = [*((stamp_s - start_s, packet) for stamp_s, packet in packets), (seconds, b"")]
        for at_s, packet in sorted(moments, key=lambda one: one[0]):
            while (wait_s := begun_s + at_s - time.monotonic()) > 0.0 and not stopped():
                film.start_once(begun_s)
                time.sleep(min(wait_s, _LOOK_S, max(begun_s - time.monotonic(), 0.0) or _LOOK_S))
                if progress is not None:
                    progress(round(lead_s + min(at_s, seconds)), round(lead_s + seconds))
            if stopped():
                return StreamReport(packets=sent, video_s=film.shown_s(begun_s, seconds), complete=False)
            film.start_once(begun_s)
            if packet:
                link.send(packet)
                sent += 1
        film.finish()
    return StreamReport(packets=sent, video_s=film.shown_s(begun_s, seconds), complete=True)


def _packets(data: bytes) -> Iterator[tuple[float, bytes]]:
    """Yield (stamp in UTC seconds, packet) of a tlog.

    8 bytes of microseconds, big-endian, then the packet.
    """
    at = 0
    while at + _STAMP_BYTES + 2 < len(data):
        (stamp,) = struct.unpack_from(">Q", data, at)
        at += _STAMP_BYTES
        length = _FRAME_BYTES[data[at]] + data[at + 1]
        if data[at] == _MAVLINK_2 and data[at + 2] & _SIGNED:
            length += _SIGNATURE_BYTES
        yield stamp / 1e6, data[at : at + length]
        at += length


class _Link:
    """UDP socket for packets; sends nothing without an address."""

    def __init__(self, to: Address | None) -> None:
        self._to = to
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> _Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packet: bytes) -> None:
        """Send one packet; a receiver that is not listening yet loses it, as by radio."""
        if self._to is None:
            return
        try:
            self._socket.sendto(packet, self._to)
        except OSError as error:
            host, port = self._to
            raise SourceUnreadable(
                _(
                    "{host}:{port}: nothing can be sent there ({strerror}): check address and network",
                    host=host,
                    port=port,
                    strerror=error.strerror,
                )
            ) from error


class _Film:
    """Subprocess that sends the video as MPEG-TS from the moment it is started."""

    def __init__(self, path: Path, to: Address | None) -> None:
        self._path, self._to = path, to
        self._program = find_encoder_program("--stream") if to is not None else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def start_once(self, at_s: float) -> None:
        """Start it once at `at_s` (monotonic); later calls raise if it has failed."""
        if self._to is None or time.monotonic() < at_s:
            return
        if self._process is None:
            host, port = self._to
            self._process = subprocess.Popen(  # noqa: S603  the program found on the path, no shell
                [
                    *(self._program, "-q", "filesrc", f"location={self._path}", "!", "qtdemux", "!"),
                    *("h264parse", "config-interval=-1", "!", "mpegtsmux", "alignment=7", "!"),
                    *("udpsink", f"host={host}", f"port={port}", "sync=true"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
            )
        elif self._process.poll() not in (None, 0):
            raise self._failed()

    def finish(self) -> None:
        """Wait until the last frame was sent."""
        if self._process is None:
            return
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise self._failed() from error
        if code != 0:
            raise self._failed()

    def shown_s(self, begun_s: float, seconds: float) -> float:
        """Return the seconds of video that were sent."""
        return 0.0 if self._process is None else min(max(time.monotonic() - begun_s, 0.0), seconds)

    def _failed(self) -> SourceUnreadable:
        self._stderr.seek(0)
        stderr_text = " ".join(self._stderr.read(_MAX_STDERR_BYTES).decode(errors="replace").split())
        return SourceUnreadable(
            _(
                "{name}: sending it stopped ({reason}): check --stream and the network",
                name=self._path.name,
                reason=stderr_text or _("no message"),
            )
        )
