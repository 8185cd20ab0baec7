"""Inputs of a live flight: video, telemetry, camera, terrain."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import CalibrationMissing, Cancelled, OptionUnusable, PositionMissing, SourceUnreadable
from flycam.geodata.cameras import load_camera_file, parse_interior
from flycam.geodata.dem import DemInfo
from flycam.geometry.camera import InteriorOrientation, scale_interior
from flycam.ingest.live.recording import KEEP_GB, LINK_LOG_FILE
from flycam.ingest.live.telemetry import (
    STATED_FIELD_OF_VIEW,
    LinkedTelemetry,
    RecordedTelemetry,
    Telemetry,
)
from flycam.ingest.telemetry.mavlink_link import MavlinkLink, SteadyClock, is_link, parse_signing_key
from flycam.ingest.video.decoder_process import RecordingOptions
from flycam.ingest.video.stream import is_listen_address, make_waiting_remark
from flycam.ingest.video.video_frames import VideoIdentity, format_stream_name
from flycam.ingest.video.video_poses import VideoPoses, read_video_log
from flycam.ingest.video.video_source import (
    STREAM_SCHEMES,
    VideoSource,
    is_exercise_video,
    is_stream,
    make_video_name,
)
from flycam.messages import Message, _
from flycam.model.flight import Flight
from flycam.model.text import strip_url_credentials
from flycam.mosaic.terrain import (
    FixedTerrain,
    MovingTerrain,
    TerrainLookup,
    TerrainSource,
    extend_terrain,
    format_dem_names,
    load_terrain_around,
)
from flycam.originals import store_original
from flycam.storage.files import compute_sha256
from flycam.workspace import NoticeListener, Workspace, announce_wait, describe_telemetry_wait, ignore_notice

# -- Validation of the addresses of a video and its telemetry --------------------------------------


_LINKS = ("udp://", "tcp://", "serial:")
_STREAMS = tuple(f"{scheme}://" for scheme in STREAM_SCHEMES)
_MACHINE = re.compile(r"(?:[a-z]+:)?(?:[^/\s]*@)?[\w.-]*:\d{1,5}(?:[/?].*)?", re.IGNORECASE)
_LINE = re.compile(r"/dev/(?:tty|serial/).*")


def check_addresses(video: str, telemetry: str) -> None:
    """Raise OptionUnusable unless each is a file or an address of a known scheme."""
    _check("--video", video, _STREAMS, "rtsp://" if "/" in video else "udp://")
    _check("--telemetry", telemetry, _LINKS, "udp://")


def _check(option: str, address: str, known: tuple[str, ...], likely: str) -> None:
    if address.lower().startswith(known):
        return
    if "://" in address:
        raise _make_address_error(option, strip_url_credentials(address), _("unknown scheme"), known)
    if Path(address).is_file() or not (_MACHINE.fullmatch(address) or _LINE.fullmatch(address)):
        return
    bare = re.sub(r"^[a-z]+:(?=[^/]*:)", "", address.rpartition("@")[2], flags=re.IGNORECASE).partition("?")[
        0
    ]
    meant = f"serial:{address}" if _LINE.fullmatch(address) else likely + bare
    raise _make_address_error(
        option,
        bare,
        _("no such file, and as an address its scheme is missing"),
        known,
        meant,
    )


def _make_address_error(
    option: str, address: str, why: Message, known: tuple[str, ...], meant: str | None = None
) -> OptionUnusable:
    return OptionUnusable(
        _(
            "{option} {given}: {why}: give a file, or an address that begins with one of {listed}{cure}",
            option=option,
            given=address,
            why=why,
            listed=", ".join(known),
            cure=_(", such as {address}", address=meant) if meant else "",
        )
    )


# -- Live request, and its inputs opened -----------------------------------------------------------


_SAME_SHAPE = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRequest:
    """The operator's request.

    video, telemetry  files of one flight, the same one if it holds both, or a stream and a MAVLink link
    mavlink_key       file with the key that the link's packets are signed with
    is_drill          a stream that is a drill; files state it themselves
    camera            a camera file; hfov_deg in its place the horizontal field of view; neither: from the log
    clock_offset_s    telemetry stamp minus video time (container's creation + PTS; without creation: since
        the first frame); None: estimated from the frames
    is_realtime       play the file at its own speed
    is_recorded       a stream is recorded as it comes; keep_gb: how much recorded video is kept in all
    into              the flight (id or name) that the video joins; None: it is a flight of its own
    video_name        name of the video, if not its file's; card: name of the memory card it lies on
    reprocess         frames on the map are reprocessed, by this log and on today's terrain
    """

    video: str
    telemetry: str
    camera: Path | None = None
    hfov_deg: float | None = None
    clock_offset_s: float | None = None
    is_realtime: bool = False
    mavlink_key: Path | None = None
    is_drill: bool = False
    is_recorded: bool = True
    keep_gb: float = KEEP_GB
    into: str | None = None
    video_name: str | None = None
    card: str | None = None
    reprocess: bool = False


def format_log_name(telemetry: str) -> str:
    """Return the telemetry's name: a file's, or a link without secrets."""
    return strip_url_credentials(telemetry) if is_link(telemetry) else Path(telemetry).name


def open_live_inputs(
    request: LiveRequest,
    dems: Sequence[DemInfo],
    scratch: Path,
    stack: ExitStack,
    stopped: Callable[[], bool],
    recording: RecordingOptions | None = None,
    say: NoticeListener = ignore_notice,
) -> tuple[VideoSource, Telemetry]:
    """Open the video and its telemetry: both recorded, or both live.

    Raises Cancelled where it is `stopped` before both are here; say: gets notices on what is waited for.
    """
    check_addresses(request.video, request.telemetry)
    has_link = is_link(request.telemetry)
    if has_link != is_stream(request.video):
        arguments = (
            f"--video {strip_url_credentials(request.video)} --telemetry "
            f"{strip_url_credentials(request.telemetry)}"
        )
        raise OptionUnusable(
            _(
                "{given}: one is live, the other recorded: give a stream with a link, or two files",
                given=arguments,
            )
        )
    terrain_at = TerrainLookup(dems) if dems else None
    if not has_link:
        source = VideoSource(request.video, is_realtime=request.is_realtime)
        log = read_video_log(Path(request.telemetry), source.created_ns, Path(request.video))
        # A camera's clock may be local time, or never set.
        if log.is_own:
            source.created_ns = log.zero_ns
        stack.enter_context(source)
        return source, RecordedTelemetry(log, terrain_at)
    key = None if request.mavlink_key is None else parse_signing_key(_secret(request.mavlink_key))
    clock = SteadyClock()
    receiver = MavlinkLink(request.telemetry, key=key, record=scratch / LINK_LOG_FILE, clock_s=clock.now_s)
    link = stack.enter_context(receiver)
    source = VideoSource(request.video, recording=recording, clock=clock, is_stopped=stopped)
    remark = make_waiting_remark(request.video) if is_listen_address(request.video) else None
    with announce_wait(remark, say):
        stack.enter_context(source)
    linked = LinkedTelemetry(link, terrain_at, source.began_ns, clock)
    with announce_wait(describe_telemetry_wait(request.telemetry), say):
        _wait(linked, strip_url_credentials(request.telemetry), stopped)
    return source, linked


def _wait(linked: LinkedTelemetry, name: str, stopped: Callable[[], bool]) -> None:
    try:
        linked.wait(stopped)
    except PositionMissing as error:
        if not stopped():
            raise
        raise Cancelled(
            _(
                "{name}: stopped before the aircraft gave its position; the same command begins again",
                name=name,
            )
        ) from error


def build_video_identity(
    request: LiveRequest, source: VideoSource, interior: InteriorOrientation, work_crs: str
) -> VideoIdentity:
    """Return what all frames share; a stream's id is its address and beginning."""
    if source.is_stream:
        stream_id = hashlib.sha256(f"{source.name}|{source.began_ns}".encode()).hexdigest()
        name = format_stream_name(source.began_ns)
    else:
        stream_id, name = compute_sha256(Path(request.video)), request.video_name or Path(request.video).name
    return VideoIdentity(
        stream_id=stream_id,
        name=name,
        interior=interior,
        is_drill=request.is_drill or (not source.is_stream and is_exercise_video(Path(request.video))),
        work_crs=work_crs,
        card=request.card,
    )


def create_terrain_source(
    workspace: Workspace,
    dems: Sequence[DemInfo],
    telemetry: Telemetry,
    joins: Flight | None,
    *,
    is_stream: bool,
) -> TerrainSource:
    """Return terrain under a recorded flight in full; under a live one around it.

    joins  the flight that a video joins, whose ground is then included; None: it is one of its own
    """
    poses = telemetry.poses
    work_crs, datum = poses.work_crs, poses.vertical_datum
    home_m = float(np.nan_to_num(poses.home_m))
    if is_stream:
        return MovingTerrain(workspace, dems, work_crs, datum=datum, plane_height_m=home_m)
    terrain = load_terrain_around(
        workspace, dems, telemetry.log_poses.centre_m, work_crs, datum=datum, plane_height_m=home_m
    )
    terrain = extend_terrain(workspace, dems, terrain, joins)
    return FixedTerrain(terrain, format_dem_names(dems, terrain.bounds_m, terrain.work_crs))


def store_live_inputs(workspace: Workspace, request: LiveRequest) -> None:
    """Store the given files as originals."""
    for source in dict.fromkeys((request.video, request.telemetry)):
        if not is_link(source):
            store_original(workspace, Path(source))


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnreadable(
            _(
                "{path}: the signing key cannot be read: give a text file with 64 hex digits or a passphrase",
                path=path,
            )
        ) from error


def resolve_interior_orientation(
    request: LiveRequest, poses: VideoPoses, size_px: tuple[int, int]
) -> InteriorOrientation:
    """Return the interior orientation for frames of this size.

    The operator's, else by the field of view that the log states.
    """
    if request.camera is not None:
        interior = load_camera_file(request.camera, size_px)
        if interior.image_size_px == size_px:
            return interior
        (width, height), (own_width, own_height) = size_px, interior.image_size_px
        if abs((width / height) / (own_width / own_height) - 1.0) > _SAME_SHAPE:
            raise CalibrationMissing(
                _(
                    "{name}: is of pictures of {own_width}×{own_height}, the video's are "
                    "{width}×{height}, of another shape: give the camera of the video's mode",
                    name=request.camera.name,
                    own_width=own_width,
                    own_height=own_height,
                    width=width,
                    height=height,
                )
            )
        return scale_interior(interior, size_px)
    hfov_deg = request.hfov_deg if request.hfov_deg is not None else poses.hfov_deg
    if not np.isfinite(hfov_deg):
        raise CalibrationMissing(
            _(
                "{video}: nothing says what lens filmed it: give --camera, or --hfov to flycam live",
                video=make_video_name(request.video),
            )
        )
    source = "operator:--hfov" if request.hfov_deg is not None else STATED_FIELD_OF_VIEW
    try:
        return parse_interior({"hfov_deg": hfov_deg}, size_px, source)
    except ValueError as error:
        raise OptionUnusable(
            _("--hfov {hfov_deg:g}: {error}: give degrees between 1 and 179", hfov_deg=hfov_deg, error=error)
        ) from error
