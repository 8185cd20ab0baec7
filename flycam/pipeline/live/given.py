"""What an operator gives to a live flight: opened, its lens and ground settled, kept as evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import CalibrationMissing, Cancelled, OptionUnusable, PositionMissing, SourceUnreadable
from flycam.frame.address import shown
from flycam.frame.flight import Flight
from flycam.geodata.camera_file import interior_from_mapping, load_camera_file
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.camera import scaled
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.photo.photos import sha256_of
from flycam.ingest.telemetry.mavlink_link import MavlinkLink, is_link, key_of
from flycam.ingest.telemetry.steady_clock import SteadyClock
from flycam.ingest.video.address import is_waited_at, waited_for
from flycam.ingest.video.log import read_video_log
from flycam.ingest.video.pictures import VideoSource, is_stream, name_of, says_drill
from flycam.ingest.video.poses import VideoPoses
from flycam.ingest.video.recording import RecordingOrder
from flycam.messages import _
from flycam.pipeline.evidence import keep
from flycam.pipeline.film_frames import Film, stream_name
from flycam.pipeline.live.addresses import check_addresses
from flycam.pipeline.live.ground import FixedGround, MovingGround
from flycam.pipeline.live.laying import Ground
from flycam.pipeline.live.recording import KEEP_GB
from flycam.pipeline.live.scratch import HEARD
from flycam.pipeline.live.stopping import stopping
from flycam.pipeline.live.telemetry import Linked, Telemetry, WholeLog
from flycam.pipeline.live.waiting import Say, telemetry_waited_for, unsaid, waiting
from flycam.pipeline.terrain import TerrainLookup, names_here, terrain_around, terrain_beside
from flycam.pipeline.workspace import Workspace

_SAME_SHAPE = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRequest:
    """What the operator gave.

    video, telemetry  files of one flight, the same one where it tells both, or a stream and a MAVLink link
    mavlink_key       file with the key that the link's packets are signed with
    is_drill          a stream that is a rehearsal; files say it themselves
    camera            a camera file; hfov_deg in its place the horizontal field of view; neither: the log says
    clock_offset_s    telemetry stamp minus video time (container's creation + PTS; without creation: since
                      the first picture); None: found from the pictures
    is_realtime       play the file at its own speed
    is_recorded       a stream is recorded as it comes; keep_gb: how much recorded video is kept in all
    into              the flight (id or name) that the film joins; None: it is a flight of its own
    called            what the film is called, if not as its file; card: what the card is called it lies on
    relay             pictures that are on the map are laid again, by this log and on the terrain of today
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
    called: str | None = None
    card: str | None = None
    relay: bool = False


def shown_log(telemetry: str) -> str:
    """What tells where a video was filmed, as sentences name it: a file's name, a link without secrets."""
    return shown(telemetry) if is_link(telemetry) else Path(telemetry).name


def open_given(
    request: LiveRequest,
    dems: Sequence[DemInfo],
    scratch: Path,
    stack: ExitStack,
    stopped: Callable[[], bool],
    recording: RecordingOrder | None = None,
    say: Say = unsaid,
) -> tuple[VideoSource, Telemetry]:
    """The video and what tells where it was filmed: both recorded, or both live.

    Raises Cancelled where it is `stopped` before both are here; say: told what is waited for.
    """
    check_addresses(request.video, request.telemetry)
    has_link = is_link(request.telemetry)
    if has_link != is_stream(request.video):
        given = f"--video {shown(request.video)} --telemetry {shown(request.telemetry)}"
        raise OptionUnusable(
            _(
                "{given}: one is live, the other recorded: give a stream with a link, or two files",
                given=given,
            )
        )
    terrain_at = TerrainLookup(dems) if dems else None
    if not has_link:
        source = VideoSource(request.video, is_realtime=request.is_realtime)
        log = read_video_log(Path(request.telemetry), source.created_ns, Path(request.video))
        if log.is_own:  # a camera's clock may be local time, or never set
            source.created_ns = log.zero_ns
        stack.enter_context(source)
        return source, WholeLog(log, terrain_at)
    key = None if request.mavlink_key is None else key_of(_secret(request.mavlink_key))
    clock = SteadyClock()
    heard = MavlinkLink(request.telemetry, key=key, record=scratch / HEARD, clock_s=clock.now_s)
    link = stack.enter_context(heard)
    source = VideoSource(request.video, recording=recording, clock=clock)
    said = waited_for(request.video) if is_waited_at(request.video) else None
    with stopping(source, stopped), waiting(said, say):
        stack.enter_context(source)
    linked = Linked(link, terrain_at, source.began_ns, clock)
    with waiting(telemetry_waited_for(request.telemetry), say):
        _wait(linked, shown(request.telemetry), stopped)
    return source, linked


def _wait(linked: Linked, name: str, stopped: Callable[[], bool]) -> None:
    try:
        linked.wait(stopped)
    except PositionMissing as error:
        if not stopped():
            raise
        raise Cancelled(
            _(
                "{name}: stopped before the aircraft told its position; the same command begins again",
                name=name,
            )
        ) from error


def film_of(request: LiveRequest, source: VideoSource, interior: InteriorOrientation, work_crs: str) -> Film:
    """What is the same for every picture; a stream has its address and beginning for an id."""
    if source.is_stream:
        stream_id = hashlib.sha256(f"{source.name}|{source.began_ns}".encode()).hexdigest()
        name = stream_name(source.began_ns)
    else:
        stream_id, name = sha256_of(Path(request.video)), request.called or Path(request.video).name
    return Film(
        stream_id=stream_id,
        name=name,
        interior=interior,
        is_drill=request.is_drill or (not source.is_stream and says_drill(Path(request.video))),
        work_crs=work_crs,
        card=request.card,
    )


def ground_of(
    workspace: Workspace,
    dems: Sequence[DemInfo],
    telemetry: Telemetry,
    joins: Flight | None,
    *,
    is_stream: bool,
) -> Ground:
    """Terrain under a recorded flight, all of it at once; under a live one around where it is.

    joins  the flight that a film joins, whose ground it then holds as well; None: it is one of its own
    """
    if is_stream:
        return MovingGround(workspace, dems, telemetry.poses)
    poses = telemetry.poses
    terrain = terrain_around(
        workspace,
        dems,
        telemetry.told.centre_m,
        poses.work_crs,
        datum=poses.vertical_datum,
        plane_height_m=float(np.nan_to_num(poses.home_m)),
    )
    terrain = terrain_beside(workspace, dems, terrain, joins)
    return FixedGround(terrain, names_here(dems, terrain.bounds_m, terrain.work_crs))


def keep_given(workspace: Workspace, request: LiveRequest) -> None:
    """The files given, as evidence."""
    for given in dict.fromkeys((request.video, request.telemetry)):
        if not is_link(given):
            keep(workspace, Path(given))


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


def camera_of(request: LiveRequest, poses: VideoPoses, size_px: tuple[int, int]) -> InteriorOrientation:
    """The lens for pictures of this size: the operator's, else the field of view the log states."""
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
        return scaled(interior, size_px)
    stated = [s.hfov_deg for s in poses.track.samples if np.isfinite(s.hfov_deg)]
    hfov_deg = request.hfov_deg if request.hfov_deg is not None else float(np.median(stated or [np.nan]))
    if not np.isfinite(hfov_deg):
        raise CalibrationMissing(
            _(
                "{video}: nothing says what lens filmed it: give --camera or --hfov",
                video=name_of(request.video),
            )
        )
    source = "operator:--hfov" if request.hfov_deg is not None else "telemetry:hfov"
    try:
        return interior_from_mapping({"hfov_deg": hfov_deg}, size_px, source)
    except ValueError as error:
        raise OptionUnusable(
            _("--hfov {hfov_deg:g}: {error}: give degrees between 1 and 179", hfov_deg=hfov_deg, error=error)
        ) from error
