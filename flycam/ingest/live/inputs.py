"""Inputs of a live flight: video and its recording, telemetry, camera, terrain."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from flycam.catalog.flights import VideoSegment
from flycam.errors import (
    CalibrationMissing,
    Cancelled,
    FlycamError,
    OptionUnusable,
    PositionMissing,
    SourceUnreadable,
)
from flycam.geodata.cameras import load_camera_file, parse_interior
from flycam.geodata.dem import DemInfo
from flycam.geometry.camera import InteriorOrientation, scale_interior
from flycam.ingest.live.telemetry import LinkedTelemetry, RecordedTelemetry, Telemetry
from flycam.ingest.telemetry.mavlink_link import MavlinkLink, SteadyClock, is_link, parse_signing_key
from flycam.ingest.video.decoder_process import FINISHED, UNFINISHED, RecordingOptions
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
from flycam.media.mp4 import (
    TICKS_PER_S,
    FragmentedContent,
    format_codec_name,
    parse_codec_configuration,
    scan_content,
    set_duration,
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
from flycam.storage import keys
from flycam.storage.files import compute_sha256, lock_folder, move_into_place, probe_folder_lock
from flycam.storage.keys import DAMAGED_RECORDINGS_DIR, LIVE_DIR_PREFIX, RECORDINGS_DIR
from flycam.workspace import NoticeListener, Workspace, announce_wait, describe_telemetry_wait, ignore_notice

# -- Recording of a stream, and the scratch folder of a live flight --------------------------------
#
# Segments come from the receiver and are stored by hash, by flight.
#
# A thread takes each segment when it is complete: hashed, synced into the store, in the catalogue, and then
# removed from the receiver's folder. What it cannot store now (a full store, a slow one) waits there, with a
# remark; what a killed program left there is stored by the next `flycam live`. When more is kept than
# configured, the oldest video is deleted; its hash and its times stay known.


KEEP_GB = 40.0
"""About eleven hours of an aircraft's 8 Mbit/s."""

_FLIGHT = "flight"
_LOOK_S, _RETRY_INTERVAL_S = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """Stored segments, seconds and bytes of a stream, and segments deleted for it."""

    pieces: int = 0
    seconds: float = 0.0
    size_bytes: int = 0
    deleted_pieces: int = 0


class StreamRecording:
    """Recording of a stream, entered before the stream is opened with `order`.

    Then `assign_flight`; left after the stream is closed. Raises OptionUnusable for an amount that is none.

    keep_gb  how much recorded video is kept, of all flights together; 0: nothing is recorded
    """

    def __init__(
        self, workspace: Workspace, keep_gb: float = KEEP_GB, order: RecordingOptions | None = None
    ) -> None:
        if not 0.0 <= keep_gb < float("inf"):
            raise OptionUnusable(_("--keep-video {keep_gb:g}: give gigabytes, 0 or more", keep_gb=keep_gb))
        self._workspace, self._most_bytes = workspace, round(keep_gb * 1e9)
        folder = workspace.cache_dir / RECORDINGS_DIR / secrets.token_hex(8)
        planned = replace(order, folder=folder) if order is not None else RecordingOptions(folder=folder)
        self.order = planned if self._most_bytes else None
        self._folder = folder
        self._flight_id: str | None = None
        self._lock_fd = -1
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_on, name="recording", daemon=True)
        self._trouble: Message | None = None
        self._damaged: list[Message] = []
        self.kept = RecordingSummary()

    def __enter__(self) -> Self:
        """Make the folder; if that fails nothing is recorded, with a remark."""
        if self.order is None:
            return self
        try:
            self._folder.mkdir(parents=True)
            self._lock_fd = lock_folder(self._folder)
        except OSError as error:
            self.order = None
            self._trouble = _describe_error(error, self._folder)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_on(self) -> bool:
        """True if the stream is recorded."""
        return self.order is not None

    @property
    def remarks(self) -> tuple[Message, ...]:
        """Damaged segments, and what prevents storing the rest now."""
        return (*self._damaged, *([] if self._trouble is None else [self._trouble]))

    def assign_flight(self, flight_id: str) -> None:
        """Store segments from now on, as this flight's."""
        if self.order is None:
            return
        self._flight_id = flight_id
        # Without it, the flight would not be known after a kill.
        with suppress(OSError):
            flight = self._folder / _FLIGHT
            part = flight.with_name(f".{_FLIGHT}.part")
            part.write_text(flight_id, encoding="utf-8")
            # The flight's id must survive a power cut, as the segments do.
            move_into_place(part, flight)
        self._thread.start()

    def close(self) -> RecordingSummary:
        """Store the rest of a closed stream. Idempotent."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._lock_fd >= 0:
            with suppress(OSError):
                close_unfinished_segments(self._folder)
            self._keep_all()
            os.close(self._lock_fd)
            self._lock_fd = -1
        return self.kept

    def _keep_on(self) -> None:
        recover_recordings(self._workspace, self._damaged)
        while not self._over.wait(_LOOK_S):
            if not self._keep_all():
                self._over.wait(_RETRY_INTERVAL_S)

    def _keep_all(self) -> bool:
        """Store every complete segment, then delete the excess; False if impossible now.

        Then with a remark.
        """
        try:
            if self._flight_id is not None:
                for piece in _kept(self._workspace, self._folder, self._flight_id, self._damaged):
                    self.kept = RecordingSummary(
                        self.kept.pieces + 1,
                        self.kept.seconds + piece.seconds,
                        self.kept.size_bytes + piece.size_bytes,
                        self.kept.deleted_pieces + self._delete_oldest(),
                    )
            if self._over.is_set():
                _cleared(self._folder)
        except (OSError, FlycamError) as error:
            self._trouble = _describe_error(error, self._folder)
            return False
        self._trouble = None
        return True

    def _delete_oldest(self) -> int:
        """Delete the oldest segments to make room; return their number."""
        on_hold = self._workspace.catalog.retention.held_flights()
        too_much = self._workspace.catalog.recordings.list_excess(self._most_bytes, exclude=on_hold)
        for piece in too_much:
            # The record first, so that readers learn of it before an object is missing.
            self._workspace.catalog.recordings.mark_deleted(piece.sha256, self._workspace.clock_ns())
            self._workspace.store.delete(keys.format_recording_key(piece.sha256))
        return len(too_much)


def recover_recordings(workspace: Workspace, damaged: list[Message] | None = None) -> int:
    """Store segments of killed programs; return their number. Failures wait.

    damaged  gets a sentence on each damaged segment, which is set aside
    """
    count, damage_notes = 0, [] if damaged is None else damaged
    root = workspace.cache_dir / RECORDINGS_DIR
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        with suppress(OSError, FlycamError), probe_folder_lock(folder) as free:
            if not free:
                continue
            flight = folder / _FLIGHT
            if flight.is_file():
                close_unfinished_segments(folder)
                flight_id = flight.read_text(encoding="utf-8").strip("\x00 \n")
                if not flight_id:
                    _set_aside(workspace, folder, damage_notes)
                    continue
                count += sum(1 for __ in _kept(workspace, folder, flight_id, damage_notes))
            _cleared(folder)
    return count


def _kept(
    workspace: Workspace, folder: Path, flight_id: str, damaged: list[Message]
) -> Iterator[VideoSegment]:
    for path in list_finished_segments(folder):
        try:
            piece = read_segment(path)
        except SourceUnreadable as error:
            aside = workspace.cache_dir / DAMAGED_RECORDINGS_DIR / f"{flight_id}-{path.name}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
            damaged.append(replace(error.message, values={**error.message.values, "path": str(aside)}))
            continue
        if piece is not None:
            recorded = VideoSegment(
                sha256=store_original(workspace, path, key_of=keys.format_recording_key),
                flight_id=flight_id,
                began_ns=piece.began_ns,
                seconds=piece.seconds,
                pictures=piece.pictures,
                size_bytes=path.stat().st_size,
                codec=piece.codec,
            )
            workspace.catalog.recordings.put(recorded)
            yield recorded
        path.unlink()


def _set_aside(workspace: Workspace, folder: Path, damaged: list[Message]) -> None:
    """Set segments aside whose flight is unknown after a power cut, with a remark.

    They go beside the damaged ones.
    """
    for path in list_finished_segments(folder):
        aside = workspace.cache_dir / DAMAGED_RECORDINGS_DIR / f"{folder.name}-{path.name}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside)
        damaged.append(
            _(
                "{path}: nobody knows any more of which flight this video is; play it, and keep it if it is "
                "of use",
                path=aside,
            )
        )
    _cleared(folder)


def _cleared(folder: Path) -> None:
    """Remove a folder whose segments are stored, or belong to no flight."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _describe_error(error: Exception, folder: Path) -> Message:
    return _(
        "the recorded video waits in {folder} and is not kept yet: {why}",
        folder=folder,
        why=error.message if isinstance(error, FlycamError) else error,
    )


# -- Recorded segments, also those whose recorder died while writing -------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFile:
    """Complete segment of a recording.

    began_ns  UTC of its first frame
    codec     name as browsers use it
    """

    path: Path
    began_ns: int
    seconds: float
    pictures: int
    codec: str


def list_finished_segments(folder: Path) -> list[Path]:
    """List the segments that their recorder has closed, oldest first. Raises OSError."""
    return sorted(folder.glob(f"*{FINISHED}"), key=lambda path: int(path.stem))


def close_unfinished_segments(folder: Path) -> None:
    """Close segments left open by a recorder that is gone. Raises OSError.

    They are complete up to their last whole fragment.
    """
    for path in folder.glob(f"*{UNFINISHED}"):
        path.rename(path.with_suffix(FINISHED))


def read_segment(path: Path) -> SegmentFile | None:
    """Cut a closed segment to its complete part, set its duration and describe it.

    None if it holds no frame. Idempotent. Raises OSError; SourceUnreadable for a damaged segment, which is
    left as it is.
    """
    with path.open("r+b") as file:
        try:
            content = _content(file)
            file.seek(0)
            head = file.read(content.head_bytes)
            found = parse_codec_configuration(head)
            if not content.pictures or found is None:
                return None
            codec, head = format_codec_name(*found), set_duration(head, content.ticks)
        except (ValueError, IndexError, struct.error) as error:
            raise SourceUnreadable(
                _(
                    "{path}: this recorded video is damaged, as by a power cut ({error}): a "
                    "program that repairs MP4 may save pictures of it",
                    path=path,
                    error=error,
                )
            ) from error
        file.truncate(content.complete_bytes)
        file.seek(0)
        file.write(head)
    return SegmentFile(
        path=path,
        began_ns=int(path.stem),
        seconds=content.ticks / TICKS_PER_S,
        pictures=content.pictures,
        codec=codec,
    )


def _content(file: BinaryIO) -> FragmentedContent:
    def read_at(at: int, count: int) -> bytes:
        file.seek(at)
        return file.read(count)

    return scan_content(read_at, os.fstat(file.fileno()).st_size)


# -- Scratch folder and link log of a live flight --------------------------------------------------
#
# A flight that ends, also by an error, stores its link log itself once its link is closed; one that a killed
# program left, or that the store did not accept, is stored by the next program.


LINK_LOG_FILE = "heard.tlog"


@contextmanager
def open_scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """Yield a folder that is removed after the flight. Enter it before the link.

    Raises StorageFailed if the link's log cannot be stored and nothing else failed; it stays there.
    """
    folder, fd = _new(workspace)
    try:
        yield folder
    except BaseException:
        # The next flight tries again; the original error is the one to report.
        with suppress(OSError, FlycamError):
            _emptied(workspace, folder)
        raise
    else:
        _emptied(workspace, folder)
    finally:
        os.close(fd)


def recover_link_logs(workspace: Workspace) -> int:
    """Store link logs of killed programs; return their number. Failures wait."""
    count = 0
    for folder in sorted(workspace.cache_dir.glob(f"{LIVE_DIR_PREFIX}*")):
        with suppress(OSError, FlycamError), probe_folder_lock(folder) as free:
            if free:
                count += _emptied(workspace, folder)
    return count


def _new(workspace: Workspace) -> tuple[Path, int]:
    """Create a folder and lock it."""
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=LIVE_DIR_PREFIX, dir=workspace.cache_dir))
        with suppress(FileNotFoundError):
            fd = lock_folder(folder)
            if folder.is_dir():
                return folder, fd
            # Another program that recovers folders came between.
            os.close(fd)


def _emptied(workspace: Workspace, folder: Path) -> bool:
    """Store the link's log and remove the folder; return True if there was a log."""
    log_path = folder / LINK_LOG_FILE
    there = log_path.is_file() and log_path.stat().st_size > 0
    if there:
        store_original(workspace, log_path)
    shutil.rmtree(folder, ignore_errors=True)
    return there


# -- Inputs of a live flight: video, telemetry, camera, terrain ------------------------------------


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
    stated = [s.hfov_deg for s in poses.track.samples if np.isfinite(s.hfov_deg)]
    hfov_deg = request.hfov_deg if request.hfov_deg is not None else float(np.median(stated or [np.nan]))
    if not np.isfinite(hfov_deg):
        raise CalibrationMissing(
            _(
                "{video}: nothing says what lens filmed it: give --camera or --hfov",
                video=make_video_name(request.video),
            )
        )
    source = "operator:--hfov" if request.hfov_deg is not None else "telemetry:hfov"
    try:
        return parse_interior({"hfov_deg": hfov_deg}, size_px, source)
    except ValueError as error:
        raise OptionUnusable(
            _("--hfov {hfov_deg:g}: {error}: give degrees between 1 and 179", hfov_deg=hfov_deg, error=error)
        ) from error
