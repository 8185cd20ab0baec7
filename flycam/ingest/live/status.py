"""Status reports and thumbnails of a live flight, each by a thread.

Status is reported to the catalogue more than twice a second, and at once when a link is lost or comes back.
The reporter reads the state of the flight's own threads and holds none of them up. A report that cannot be
written is dropped and the next one tried: the map goes on, and its readers see that reports are missing.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.live_flights import AircraftState, LinkState, LiveFlightPhase, LiveFlightReport, LonLat
from flycam.errors import FlycamError, StorageFailed
from flycam.ingest.live.clock import LiveClock
from flycam.ingest.live.existing_frames import list_turn_doubts
from flycam.ingest.live.frame_pipeline import FramePipeline
from flycam.ingest.live.orthorectifier import LiveOrthorectifier
from flycam.ingest.live.recording import StreamRecording
from flycam.ingest.live.telemetry import LinkStatus, Telemetry, compute_log_time, interpolate_pose
from flycam.ingest.video.video_frames import VideoIdentity
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.messages import Message, _
from flycam.model.flight import Layer
from flycam.model.frame import FrameHeader, Provenance
from flycam.model.telemetry import TelemetrySample
from flycam.model.warning import describe_warning
from flycam.mosaic.orthorectify.flight_session import FlightLabels, find_flight, resolve_flight_event
from flycam.mosaic.orthorectify.rectification import project_frame
from flycam.mosaic.terrain import TerrainSource
from flycam.storage import keys
from flycam.workspace import Workspace

# -- Thumbnail of a live flight's newest frame, one a second ---------------------------------------
#
# It is no original: each replaces the one before. A store that is slow or full leaves an old image, whose age
# is shown with it, and holds nothing up.


_THUMBNAIL_EVERY_S = 1.0
_SIDE_PX = 640
_QUALITY = 72
# A reader that was just given an older key still finds it.
_MAX_KEPT = 4


class ThumbnailPublisher:
    """Publisher of thumbnails of the frame that `newest` returns, inside the context.

    key  store key of the current thumbnail; None: none yet
    """

    def __init__(self, workspace: Workspace, flight_id: str, newest: Callable[[], VideoFrame | None]) -> None:
        self._workspace, self._flight_id, self._newest = workspace, flight_id, newest
        self._shown: deque[str] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show_on, name="picture", daemon=True)
        self.key: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop; the last thumbnail stays, as what was seen last."""
        self._over.set()
        self._thread.join()

    def _show_on(self) -> None:
        self._forget_old()
        before: VideoFrame | None = None
        while not self._over.wait(_THUMBNAIL_EVERY_S):
            picture = self._newest()
            if picture is not None and picture is not before:
                before = picture
                self._show(picture)

    def _show(self, picture: VideoFrame) -> None:
        key = keys.format_latest_image_key(self._flight_id, picture.t_utc_ns)
        try:
            self._workspace.store.put(key, encode_thumbnail(picture.pixels))
            self._shown.append(key)
            self.key = key
            while len(self._shown) > _MAX_KEPT:
                self._workspace.store.delete(self._shown.popleft())
        except StorageFailed:
            return

    def _forget_old(self) -> None:
        """Delete thumbnails of flights that are no longer reported."""
        try:
            flight_ids = {one.flight_id for one in self._workspace.catalog.airborne.list_since(0)}
            for key in list(self._workspace.store.list(keys.format_latest_image_prefix())):
                if keys.parse_latest_image_flight(key) not in {*flight_ids, self._flight_id}:
                    self._workspace.store.delete(key)
        except StorageFailed:
            return


def encode_thumbnail(rgb: NDArray[np.uint8]) -> bytes:
    """Encode H×W×3 RGB as a JPEG of at most 640 pixels on its long side."""
    scale = min(1.0, _SIDE_PX / max(rgb.shape[:2]))
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if scale < 1.0:
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    __, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()


# -- Status reporter, and the path of the aircraft -------------------------------------------------


LINK_LOST_TIMEOUT_S = 1.25
"""Silence after which a link is lost: the screen has the rest of two seconds to show it."""

# So often that a lost link is on the screen within two seconds (decision 0018).
_EVERY_S, _LOOK_S = 0.4, 0.1
# of a stream of few frames a second
_PICTURES_MISSED, _MAX_WAIT_S = 3.0, 10.0
_REPORT_TTL_NS = 86_400 * 10**9
# Most of a report is its track: 5.6 kB with so many points (decision 0018).
_MAX_PATH_POINTS, _TRACK_STEP_M = 600, 2.0
_COURSE_M = 4.0
_REMARKS = 8
_METRES_PER_DEGREE = 111_320.0
_OUTLINE_M = 0.5


class StatusReporter:
    """Reporter of a live flight's status: inside the context, more after `follow`.

    On leaving it reports the end. The caller holds the flight's lock, so that no two runs report on one
    flight.
    """

    def __init__(
        self,
        workspace: Workspace,
        flight_id: str,
        video: VideoIdentity,
        labels: FlightLabels,
        source: VideoSource,
        telemetry: Telemetry,
        clock: LiveClock,
        ground: TerrainSource,
        recording: StreamRecording,
    ) -> None:
        before = find_flight(workspace, flight_id)
        self._workspace, self._flight_id, self._film = workspace, flight_id, video
        self._event_id = (
            before.event_id
            if before is not None
            else resolve_flight_event(
                workspace,
                labels.event,
                is_drill=video.is_drill,
                flown_ns=telemetry.utc_ns(telemetry.poses.track.samples[0].t_utc_ns),
            ).event_id
        )
        self._name = labels.name or (before.name if before else video.title)
        self._source, self._telemetry, self._clock, self._ground = source, telemetry, clock, ground
        self._recording = recording
        self._flow: FramePipeline | None = None
        self._laying: LiveOrthorectifier | None = None
        self._remarks: tuple[Message, ...] = ()
        self._run, self._beat = secrets.token_hex(8), 0
        self._began_s = time.monotonic()
        self._phase = LiveFlightPhase.FLYING
        self._failure: Message | None = None
        self._track = FlightPath()
        self._footprint: tuple[LonLat, ...] = ()
        self._outlined: VideoFrame | None = None
        self._over = threading.Event()
        self._picture = ThumbnailPublisher(workspace, flight_id, self._newest)
        self._thread = threading.Thread(target=self._tell, name="news", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._picture.__enter__()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            self._picture.__exit__(None, None, None)
        finally:
            self._thread.join()
        self._phase = LiveFlightPhase.ENDED
        if error is not None:
            self._failure = _describe_error(error)
        self._report()

    def follow(self, flow: FramePipeline, laying: LiveOrthorectifier, notes: tuple[str, ...]) -> None:
        """Report on these from now on; notes: of the frames on the map before.

        Notes are encoded as warnings.
        """
        self._laying, self._flow = laying, flow
        self._remarks = _sentences(notes)

    def close(self) -> None:
        """Report as closing: the rest is processed, and a silent link is not lost."""
        self._phase = LiveFlightPhase.CLOSING

    def _tell(self) -> None:
        told_s, reported_lost = float("-inf"), (False, False)
        self._forget_old()
        while not self._over.is_set():
            video, telemetry = self._links(self._read_link_status())
            lost = (video.is_lost, telemetry.is_lost)
            if lost != reported_lost or time.monotonic() - told_s >= _EVERY_S:
                told_s, reported_lost = time.monotonic(), lost
                self._report()
            self._over.wait(_LOOK_S)

    def _forget_old(self) -> None:
        try:
            self._workspace.catalog.airborne.delete_before(self._workspace.clock_ns() - _REPORT_TTL_NS)
        except StorageFailed:
            return

    def _report(self) -> None:
        """Write the current state; a report that storage rejects is dropped."""
        self._beat += 1
        try:
            self._workspace.catalog.airborne.put(self._airborne())
        except StorageFailed:
            return

    def _airborne(self) -> LiveFlightReport:
        if self._phase is LiveFlightPhase.FLYING:
            self._telemetry.refresh()
        flow, laying = self._flow, self._laying
        link_status = self._read_link_status()
        if link_status.sample is not None:
            self._track.add(link_status.sample)
        video, telemetry = self._links(link_status)
        newest = flow.newest if flow else None
        left_out = self._source.health.dropped.counts() + self._telemetry.count_rejected_samples()
        return LiveFlightReport(
            flight_id=self._flight_id,
            event_id=self._event_id,
            name=self._name,
            is_drill=self._film.is_drill,
            is_recording=not self._source.is_stream,
            run=self._run,
            beat=self._beat,
            told_ns=self._workspace.clock_ns(),
            phase=self._phase,
            aircraft=self._aircraft(link_status),
            track=self._track.positions,
            footprint=self._outline(flow.covered if flow else None),
            picture_ns=None if newest is None else self._taken_ns(newest),
            picture_age_s=None
            if newest is None
            else compute_frame_age(newest, self._clock, is_stream=self._source.is_stream),
            laid_ns=laying.published.taken_ns if laying else None,
            video=video,
            telemetry=telemetry,
            left_out=dict(sorted(left_out.items())),
            remarks=self._all_remarks(),
            failure=self._failure,
            recorded_s=round(self._recording.kept.seconds, 1) if self._recording.is_on else None,
            picture_key=self._picture.key,
            is_matching=self._phase is LiveFlightPhase.FLYING and is_matching_clock(newest, self._clock),
        )

    def _newest(self) -> VideoFrame | None:
        return self._flow.newest if self._flow else None

    def _read_link_status(self) -> LinkStatus:
        newest = self._flow.newest if self._flow else None
        return self._telemetry.status_at(None if newest is None else self._clock.to_log_s(newest.pts_ns))

    def _links(self, status: LinkStatus) -> tuple[LinkState, LinkState]:
        """Return the link states of the video and of the telemetry."""
        health, since_s = self._source.health, time.monotonic() - self._began_s
        arrived_ns = health.arrived_ns
        video_s = None if arrived_ns is None else (time.monotonic_ns() - arrived_ns) / 1e9
        patience_s = LINK_LOST_TIMEOUT_S
        if self._source.fps > 0.0:
            patience_s = min(_MAX_WAIT_S, max(LINK_LOST_TIMEOUT_S, _PICTURES_MISSED / self._source.fps))
        flies = self._phase is LiveFlightPhase.FLYING and self._flow is not None
        video_lost = flies and (since_s if video_s is None else video_s) > patience_s
        telemetry_s = status.silent_s
        told_lost = flies and (since_s if telemetry_s is None else telemetry_s) > LINK_LOST_TIMEOUT_S
        return (
            LinkState(silent_s=video_s, is_lost=video_lost, connections=health.connections),
            LinkState(silent_s=telemetry_s, is_lost=told_lost, connections=status.connections),
        )

    def _aircraft(self, status: LinkStatus) -> AircraftState | None:
        sample = status.sample
        if sample is None:
            return None
        heading = sample.yaw_deg if math.isfinite(sample.yaw_deg) else self._track.course_deg
        return AircraftState(
            lonlat_deg=_rounded(sample.lon_deg, sample.lat_deg),
            heading_deg=None if heading is None else round(heading % 360.0, 1),
            above_m=round(sample.relative_height_m, 1) if math.isfinite(sample.relative_height_m) else None,
            age_s=status.age_s,
        )

    def _outline(self, covered: VideoFrame | None) -> tuple[LonLat, ...]:
        """Return the footprint of the newest frame; empty if it cannot be computed yet."""
        if covered is None or covered is self._outlined or not self._clock.is_settled:
            return self._footprint
        self._outlined = covered
        try:
            pose = interpolate_pose(self._telemetry, self._clock.offset, covered.pts_ns)
            header = FrameHeader(
                frame_id="",
                captured_ns=covered.t_utc_ns,
                layer=Layer.COLOUR,
                interior=self._film.interior,
                exterior_prior=pose,
                provenance=Provenance(source_name=self._film.name, source_sha256="", camera=""),
            )
            seen = project_frame(header, self._ground.terrain_at(pose.projection_centre_m))
        # The error is reported where the frame is orthorectified.
        except FlycamError:
            self._footprint = ()
        else:
            outline = shapely.simplify(seen.outline_lonlat, _OUTLINE_M / _METRES_PER_DEGREE)
            self._footprint = tuple(_rounded(lon, lat) for lon, lat in outline.exterior.coords)
        return self._footprint

    def _taken_ns(self, newest: VideoFrame) -> int:
        """Return the UTC of a frame, also of a video without a creation time."""
        if not self._source.is_undated:
            return newest.t_utc_ns
        return self._telemetry.utc_ns(compute_log_time(self._telemetry, self._clock.offset, newest.pts_ns))

    def _all_remarks(self) -> tuple[Message, ...]:
        opened = _sentences(self._laying.notes) if self._laying else ()
        all_messages = (
            *self._remarks,
            *opened,
            *(self._laying.patience.messages if self._laying else ()),
            *_log_doubted(self._clock),
            *self._telemetry.remarks(),
            *self._source.remarks,
            *self._recording.remarks,
            *_sentences(self._workspace.disk_space.notes),
        )
        return tuple({str(one): one for one in all_messages}.values())[-_REMARKS:]


def compute_frame_age(newest: VideoFrame, clock: LiveClock, *, is_stream: bool) -> float:
    """Return the seconds since a frame was taken.

    Since it arrived and, of a stream, its latency as far as known: its time is that of arrival, the log's
    that of the position.
    """
    since_s = (time.monotonic_ns() - newest.arrived_ns) / 1e9
    if not is_stream or not clock.offset.is_known:
        return since_s
    return since_s + max(0.0, newest.pts_ns / 1e9 - clock.to_log_s(newest.pts_ns))


def is_matching_clock(newest: VideoFrame | None, clock: LiveClock) -> bool:
    """Return True if frames wait for the clock; False before the first frame."""
    return newest is not None and not clock.is_settled


class FlightPath:
    """Positions of an aircraft: bounded, thinned from the old end, full extent."""

    def __init__(self, most: int = _MAX_PATH_POINTS, step_m: float = _TRACK_STEP_M) -> None:
        self._places: list[LonLat] = []
        self._most, self._step_m = most, step_m
        self._recent: deque[LonLat] = deque(maxlen=16)

    @property
    def positions(self) -> tuple[LonLat, ...]:
        """Oldest first, WGS 84 degrees."""
        return tuple(self._places)

    @property
    def course_deg(self) -> float | None:
        """Latest course, degrees clockwise from true north; None before it moved."""
        for before in reversed(self._recent):
            east, north = _metres(before, self._recent[-1])
            if math.hypot(east, north) >= _COURSE_M:
                return math.degrees(math.atan2(east, north))
        return None

    def add(self, sample: TelemetrySample) -> None:
        """Add a position, unless it is nearer than `step_m` to the last one."""
        place = _rounded(sample.lon_deg, sample.lat_deg)
        if self._places and math.hypot(*_metres(self._places[-1], place)) < self._step_m:
            return
        self._places.append(place)
        self._recent.append(place)
        if len(self._places) > self._most:
            half = self._most // 2
            self._places = self._places[:half:2] + self._places[half:]


def _metres(one: LonLat, other: LonLat) -> tuple[float, float]:
    """Return east and north, metres, from one position to another near by."""
    east = (other[0] - one[0]) * _METRES_PER_DEGREE * math.cos(math.radians(one[1]))
    return east, (other[1] - one[1]) * _METRES_PER_DEGREE


def _rounded(lon_deg: float, lat_deg: float) -> LonLat:
    return round(float(lon_deg), 6), round(float(lat_deg), 6)


def _log_doubted(clock: LiveClock) -> tuple[Message, ...]:
    return tuple(
        _("the telemetry may be of another aircraft: {why}", why=one) for one in list_turn_doubts(clock)
    )


def _sentences(notes: tuple[str, ...]) -> tuple[Message, ...]:
    return tuple(describe_warning(one) for one in notes)


def _describe_error(error: BaseException) -> Message:
    if isinstance(error, FlycamError):
        return error.message
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return _("stopped by the operator")
    return _("stopped by a fault of the program")
