"""State of a live flight: frames on the map, status reports and thumbnails.

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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.flights import AircraftState, LinkState, LiveFlightPhase, LiveFlightReport, LonLat
from flycam.errors import (
    Cancelled,
    FlightLogMismatch,
    FlycamError,
    FrameRejected,
    SourceUnreadable,
    StorageFailed,
)
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.live.frame_pipeline import FramePipeline, count_frames
from flycam.ingest.live.inputs import LiveRequest, format_log_name
from flycam.ingest.live.orthorectifier import LiveOrthorectifier
from flycam.ingest.live.recording import StreamRecording
from flycam.ingest.live.telemetry import (
    ESTIMATE_INTERVAL_S,
    LinkStatus,
    LiveClock,
    OrientationAt,
    Telemetry,
    compute_log_time,
    interpolate_orientation,
)
from flycam.ingest.video.clock_offset import TurnComparison
from flycam.ingest.video.video_frames import VideoIdentity
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.messages import Message, _, join, ngettext
from flycam.model.flight import Flight, FlightState, Layer, is_flat_datum
from flycam.model.frame import FrameHeader, Provenance, parse_video_frame_pts_ns
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.telemetry import TelemetrySample
from flycam.model.warning import COMPLETED, describe_warning, encode_warning, format_log_warning
from flycam.mosaic.amendments import apply_reprocess_plan, plan_reprocess
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.orthorectify.flight_session import (
    NO_REPROCESS,
    FlightLabels,
    ReprocessPlan,
    close_flight,
    find_flight,
    open_flight,
    resolve_flight_event,
    resolve_flight_state,
)
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    project_frame,
    project_frames,
)
from flycam.mosaic.terrain import FixedTerrain, TerrainSource
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.storage import keys
from flycam.workspace import Progress, Workspace

# -- Frames of a video that are on the map, and its consistency with the log -----------------------
#
# A video is read again in full, but frames on the map keep their place: they are replayed from their recorded
# pose and terrain, and reprocessed by the rules of any flight (`mosaic.amendments`).
# Besides, a video with an unknown clock offset is reprocessed in full by a run that knows it; by a log with
# other positions it is reprocessed only at the operator's request.


# -- Consistency of a video and its log: length, clock, turns, recorded poses ----------------------
#
# A video is read before any of it is orthorectified: in full to estimate its clock; if that is known, until
# its turns are enough to judge the log. A log contradicted by the video's turns is rejected, for the map
# would show the wrong ground. It is only doubted, and the flight keeps a warning, where the operator vouches
# for it with a clock offset, where the log has the aircraft's attitude alone (a gimbal may turn by itself),
# and for a live stream: what is in the air is shown, for no other log can be given now.


_MAX_SIGMAS = 3.0


def measure_video_motion(
    request: LiveRequest,
    clock: LiveClock,
    telemetry: Telemetry,
    progress: Progress,
    stopped: Callable[[], bool],
) -> None:
    """Measure a video's motion before any of it is orthorectified.

    No later time knows its clock better. Raises FlightLogMismatch where it is of another flight than its log;
    Cancelled where it is `stopped`.
    """
    video = Path(request.video)
    needs_all = not clock.is_settled
    looked_s = 0.0
    # A video that breaks off gives its motion so far; the error is reported where it is orthorectified.
    with VideoSource(str(video)) as source, suppress(SourceUnreadable):
        for done, picture in enumerate(source.frames(), start=1):
            clock.add(picture)
            progress("clock", done, count_frames(source, done))
            if stopped():
                raise Cancelled(
                    _(
                        "{name}: stopped before anything was processed; the same command begins again",
                        name=video.name,
                    )
                )
            if not needs_all and picture.pts_ns / 1e9 - looked_s >= ESTIMATE_INTERVAL_S:
                looked_s = picture.pts_ns / 1e9
                if clock.is_judged:
                    break
    clock.settle()
    if request.clock_offset_s is None and telemetry.poses.tells_camera and clock.turns.is_contradiction:
        raise _contradicted(video.name, format_log_name(request.telemetry), clock.turns)


def list_log_doubts(
    request: LiveRequest, video: VideoIdentity, source: VideoSource, telemetry: Telemetry, clock: LiveClock
) -> list[str]:
    """Return the warning that a flight keeps on a video whose log may be of another."""
    why = (*telemetry.doubts(source.duration_s, source.created_ns), *list_turn_doubts(clock))
    if not why:
        return []
    reasons, log, of = join(why, "; "), format_log_name(request.telemetry), video.stream_id
    return [format_log_warning(video.name, of, log, reasons, is_stream=source.is_stream)]


def list_turn_doubts(clock: LiveClock) -> tuple[Message, ...]:
    """Return the doubt that frames turn otherwise than the log, if so."""
    turns = clock.turns
    return (_counted(turns),) if turns.is_contradiction else ()


def require_same_poses(
    video: str, log: str, on_map: Sequence[FrameRecord], now: Sequence[ExteriorOrientation]
) -> None:
    """Raise FlightLogMismatch if a log contradicts the poses of frames on the map.

    If most of them are farther off, or turned more, than three sigmas of both allow. A log of a similar
    flight passes the check of turns, and two logs in one map are worse than either.

    now  the poses by this log, of the same frames
    """
    before = [record.header.exterior_prior for record in on_map]
    if not before:
        return
    apart_m = np.linalg.norm(_centres(before) - _centres(now), axis=1)
    within_m = np.hypot(_sigmas(before, "sigma_position_m"), _sigmas(now, "sigma_position_m"))
    turned_rad = _turned(before, now)
    within_rad = np.hypot(_sigmas(before, "sigma_attitude_rad"), _sigmas(now, "sigma_attitude_rad"))
    is_apart = (apart_m > _MAX_SIGMAS * within_m) | (turned_rad > _MAX_SIGMAS * within_rad)
    if 2 * is_apart.sum() <= len(before):
        return
    metres, degrees = float(np.median(apart_m)), float(np.degrees(np.median(turned_rad)))
    raise FlightLogMismatch(
        ngettext(
            "{log}: gives positions other than those of {count} picture of {film} on the map "
            "({is_apart} of them clearly, by {metres:.0f} m and {degrees:.0f}° on the whole); nothing "
            "was changed: give the log it was placed by, or add --relay if this one is right",
            "{log}: gives positions other than those of {count} pictures of {film} on the map "
            "({is_apart} of them clearly, by {metres:.0f} m and {degrees:.0f}° on the whole); nothing "
            "was changed: give the log they were placed by, or add --relay if this one is right",
            len(before),
            log=log,
            film=video,
            is_apart=is_apart.sum(),
            metres=metres,
            degrees=degrees,
        )
    )


def _centres(poses: Sequence[ExteriorOrientation]) -> NDArray[np.float64]:
    return np.array([pose.projection_centre_m[:2] for pose in poses])


def _sigmas(poses: Sequence[ExteriorOrientation], of: str) -> NDArray[np.float64]:
    """Return the larger of each pose's first two sigmas."""
    return np.array([max(getattr(pose, of)[:2]) for pose in poses])


def _turned(before: Sequence[ExteriorOrientation], now: Sequence[ExteriorOrientation]) -> NDArray[np.float64]:
    """Return the angles (rad) between the poses' axes of view."""
    axes, others = (np.array([pose.rotation[2] for pose in poses]) for poses in (before, now))
    turned: NDArray[np.float64] = np.arccos(np.clip((axes * others).sum(axis=1), -1.0, 1.0))
    return turned


def _counted(turns: TurnComparison) -> Message:
    return _(
        "in {differing} of {count} turns the pictures turn otherwise than it says",
        differing=turns.differing,
        count=turns.count,
    )


def _contradicted(video: str, log: str, turns: TurnComparison) -> FlightLogMismatch:
    return FlightLogMismatch(
        _(
            "{log}: is not the log of {video}: {why}; nothing was processed: give this "
            "video's own log or subtitles; if you are sure of it, add --clock-offset, and "
            "the map shows a warning",
            log=log,
            video=video,
            why=_counted(turns),
        )
    )


# -- Frames on the map: completed after a kill, or reprocessed -------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingFramesReport:
    """Result for frames that were on the map.

    reprocessed  number of frames; notes: encoded by `flycam.model.warning`
    """

    reprocessed: int = 0
    notes: tuple[str, ...] = ()


def reconcile_existing_frames(
    workspace: Workspace,
    flight_id: str,
    video: VideoIdentity,
    request: LiveRequest,
    orientation_at: OrientationAt,
    ground: FixedTerrain | None,
    clock_warnings: Sequence[str],
    progress: Progress,
) -> ExistingFramesReport:
    """Complete and reprocess a video's frames, on this run's terrain and log.

    orientation_at  pose and interior at a PTS (ns) of the video; raises FrameRejected where there is none
    ground          under the video; None: nothing is reprocessed, for the clock is not known yet
    clock_warnings  this run's warnings on the clock; empty where it is known

    Raises FlightLogMismatch where the log gives other positions than the record, and reprocessing was not
    requested; InputUnusable if a stored original does not read, StorageFailed (run again: it completes).
    """
    before = find_flight(workspace, flight_id)
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    if before is None or not used:
        return ExistingFramesReport()
    at_ns = workspace.clock_ns()
    was_cut = before.state is FlightState.INGESTING
    # Photos of the card, and its other videos, may belong to the flight too.
    filmed = video.select_frames(used)
    if not filmed and not was_cut:
        return ExistingFramesReport()
    seen = _Seen() if ground is None else _seen(filmed, orientation_at, ground.terrain)
    again = NO_REPROCESS
    if ground is not None:
        was_unknown = any(video.is_doubt_warning(one) for one in before.warnings)
        if not (request.reprocess or was_unknown):
            now = {one.header.frame_id: one.header.exterior_prior for one in seen.planned}
            here = [one for one in filmed if one.frame_id in now]
            log = format_log_name(request.telemetry)
            require_same_poses(video.name, log, here, [now[one.frame_id] for one in here])
        again = _plan_reprocess(
            workspace,
            before,
            filmed,
            seen,
            ground,
            clock_warnings,
            was_unknown=was_unknown,
            is_requested=request.reprocess,
        )
    if not again.is_due and not was_cut:
        return ExistingFramesReport(notes=again.notes)
    flight = before
    if again.is_due and ground is not None:
        flight = _opened(workspace, flight_id, video, seen.planned, ground, again)
        others = [one for one in flight.warnings if not video.is_doubt_warning(one)]
        flight = replace(flight, warnings=tuple(dict.fromkeys((*others, *clock_warnings))))
        apply_reprocess_plan(workspace, flight_id, again, at_ns)
    _fold(workspace, flight_id, again, was_cut=was_cut, progress=progress)
    measure_coverage(workspace, flight, progress, changed=True)
    close_flight(workspace, flight, resolve_flight_state(workspace, flight_id))
    completed = (encode_warning(COMPLETED, frames=len(used)),) if was_cut else ()
    return ExistingFramesReport(reprocessed=len(again.frames), notes=(*again.notes, *completed))


@dataclass(frozen=True, slots=True)
class _Seen:
    """Frames on the map as this run would place them; rejected ones with their error."""

    planned: list[FrameFootprint] = field(default_factory=list)
    refused: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)


def _plan_reprocess(
    workspace: Workspace,
    before: Flight,
    used: Sequence[FrameRecord],
    seen: _Seen,
    ground: FixedTerrain,
    clock_warnings: Sequence[str],
    *,
    was_unknown: bool,
    is_requested: bool,
) -> ReprocessPlan:
    """Plan which frames to reprocess.

    Poses of a known clock are not replaced by those of an unknown one unless the operator requests it; the
    notes state what is missing.
    """
    terrain = ground.terrain
    if clock_warnings and not was_unknown and not is_requested:
        is_other = {parse_source_dem_id(str(record.dem_id)) for record in used} != {terrain.dem_id}
        return ReprocessPlan(notes=tuple(clock_warnings) if is_other else ())
    onto_plane = is_flat_datum(terrain.vertical_datum) and not is_flat_datum(before.vertical_datum)
    is_requested = is_requested or (was_unknown and not clock_warnings and not onto_plane)
    return plan_reprocess(
        workspace,
        before.flight_id,
        (),
        seen.planned,
        seen.refused,
        terrain,
        ground.names,
        is_requested=is_requested,
    )


def _seen(used: Iterable[FrameRecord], orientation_at: OrientationAt, terrain: TerrainGrid) -> _Seen:
    headers: list[FrameHeader] = []
    unposed: list[tuple[FrameHeader, FrameRejected]] = []
    for record in used:
        try:
            pose, interior = orientation_at(parse_video_frame_pts_ns(record.header.provenance.source_name))
        except FrameRejected as error:
            unposed.append((record.header, error))
            continue
        headers.append(replace(record.header, interior=interior, exterior_prior=pose))
    planned, refused = project_frames(headers, terrain)
    return _Seen(planned, [*unposed, *refused])


def _opened(
    workspace: Workspace,
    flight_id: str,
    video: VideoIdentity,
    planned: Sequence[FrameFootprint],
    ground: FixedTerrain,
    reprocess: ReprocessPlan,
) -> Flight:
    opened = open_flight(
        workspace,
        flight_id,
        planned,
        ground.terrain,
        FlightLabels(),
        ground.names,
        reprocess,
        default_name=video.title,
        work_crs=video.work_crs,
        is_drill=video.is_drill,
    )
    return opened.flight


def _fold(
    workspace: Workspace, flight_id: str, reprocess: ReprocessPlan, *, was_cut: bool, progress: Progress
) -> None:
    """Rebuild tiles from the recorded frames; after a kill all: none is certain."""
    everywhere = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED) if was_cut else []
    for mosaic in list_live_mosaics(workspace, flight_id):
        also = [r.tiles for r in everywhere if r.tiles is not None and r.header.layer == mosaic.layer]
        rebuild_mosaic(workspace, mosaic, progress, also=[*also, *reprocess.tiles(mosaic.layer)], check=True)


# -- Status reports and thumbnails of a live flight, each by a thread ------------------------------


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

    taken_ns  of a frame: UTC as frames on the map are dated, by which a withdrawal finds its thumbnail
    key       store key of the current thumbnail; None: none yet
    """

    def __init__(
        self,
        workspace: Workspace,
        flight_id: str,
        newest: Callable[[], VideoFrame | None],
        taken_ns: Callable[[VideoFrame], int],
    ) -> None:
        self._workspace, self._flight_id = workspace, flight_id
        self._newest, self._taken_ns = newest, taken_ns
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
        key = keys.format_latest_image_key(self._flight_id, self._taken_ns(picture))
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
        self._picture = ThumbnailPublisher(workspace, flight_id, self._newest, self._taken_ns)
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
            pose, interior = interpolate_orientation(
                self._telemetry, self._clock.offset, self._film.interior, covered.pts_ns
            )
            header = FrameHeader(
                frame_id="",
                captured_ns=covered.t_utc_ns,
                layer=Layer.COLOUR,
                interior=interior,
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

    def __init__(self) -> None:
        self._places: list[LonLat] = []
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
        """Add a position, unless it is nearer than `_TRACK_STEP_M` to the last one."""
        place = _rounded(sample.lon_deg, sample.lat_deg)
        if self._places and math.hypot(*_metres(self._places[-1], place)) < _TRACK_STEP_M:
            return
        self._places.append(place)
        self._recent.append(place)
        if len(self._places) > _MAX_PATH_POINTS:
            half = _MAX_PATH_POINTS // 2
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
