"""`flycam live`: from an aircraft's video and its log to a flight on the map.

 open video and log -> camera -> poses -> terrain -> clock -> complete, reprocess -> select -> orthorectify
 -> communes -> ready

A file is first read for its clock, then processed as fast as possible, and nothing of it is dropped. Played
at its own speed (`--realtime`) it is treated as a stream: if late, frames are dropped, counted by reason, and
frames chosen before the clock offset is known are placed in doubt and reprocessed once it is.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import DropCounter
from flycam.errors import CalibrationMissing, OutsideTerrain
from flycam.geodata.dem import DemInfo
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.ingest.batch import list_withdrawal_warnings, resolve_flight_for_video
from flycam.ingest.live.frame_pipeline import FramePipeline, count_frames
from flycam.ingest.live.inputs import (
    LiveRequest,
    build_video_identity,
    create_terrain_source,
    format_log_name,
    open_live_inputs,
    resolve_interior_orientation,
    store_live_inputs,
)
from flycam.ingest.live.orthorectifier import MAX_QUEUED, MAX_QUEUED_BYTES, LiveOrthorectifier
from flycam.ingest.live.recording import (
    RecordingSummary,
    StreamRecording,
    complete_interrupted_in_background,
    open_scratch_folder,
)
from flycam.ingest.live.status import (
    ExistingFramesReport,
    StatusReporter,
    list_log_doubts,
    measure_video_motion,
    reconcile_existing_frames,
)
from flycam.ingest.live.telemetry import (
    ESTIMATE_INTERVAL_S,
    FIRST_ESTIMATE_S,
    MAX_MOTIONS,
    MAX_WAIT_S,
    SHARED_SIGMA_S,
    STATED_SIGMA_S,
    LiveClock,
    Telemetry,
    interpolate_orientation,
)
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.ingest.video.clock_offset import (
    ClockOffset,
    ImageMotion,
    ImageMotionEstimator,
    LoggedPoses,
    estimate_offset,
    predict_rates,
)
from flycam.ingest.video.video_frames import VideoIdentity
from flycam.ingest.video.video_poses import VideoPoses
from flycam.ingest.video.video_source import (
    Outages,
    VideoFrame,
    VideoSource,
    count_fitting_frames,
    is_stream,
    make_video_name,
)
from flycam.messages import Message, _
from flycam.model.flight import Flight
from flycam.model.records import FrameStatus
from flycam.model.rejection_reasons import format_rejection_counts
from flycam.model.warning import describe_warning, format_clock_warning
from flycam.mosaic.eviction import enable_eviction
from flycam.mosaic.orthorectify.flight_session import FlightLabels, require_free_name
from flycam.mosaic.terrain import FixedTerrain, TerrainSource, load_registered_dems
from flycam.retry import RetryPolicy
from flycam.workspace import NoticeListener, Progress, Workspace, ignore_notice, ignore_progress

# -- Interior orientation of a video: given, logged, or estimated from motion ----------------------


# -- Focal length from image motion against track and terrain --------------------------------------
#
# The image of a level camera moves by focal length × (speed / height + turn): the prediction for a camera of
# known focal length, times the ratio of the two. That ratio is estimated in intervals of a few seconds; their
# spread gives its uncertainty, to which the uncertainty of the height above ground is added, because it
# scales the ratio in all intervals alike.


Floats = NDArray[np.float64]

CALIBRATION_ID = "estimated:motion"
MAX_SIGMA = 0.08
"""Largest relative sigma of a focal length with which frames can be orthorectified."""

_GUESS_DEG, _GUESS_SIGMA = 60.0, 0.5
_STRETCHES, _MIN_STRETCHES = 12, 4
_MIN_MOTIONS = 6  # per interval
_MIN_EXPLAINED, _MIN_POWER = 0.6, 0.02
_OUTLIER = 4.0
_MIN_FIELD_OF_VIEW_DEG, _MAX_FIELD_OF_VIEW_DEG = 8.0, 140.0
_DISTORTION_SIGMA = 0.01  # the lens is modelled without distortion
# Assumed height of trees and houses, which are seen instead of the ground.
_CROWNS_M = 4.0


@dataclass(frozen=True, slots=True)
class FocalEstimate:
    """Estimated focal length.

    focal_px, and its relative 1-sigma.
    """

    focal_px: float
    sigma_rel: float

    def hfov_deg(self, width_px: int) -> float:
        """Return the horizontal field of view, degrees."""
        return float(np.degrees(2.0 * np.arctan(width_px / (2.0 * self.focal_px))))


def make_pinhole(size_px: tuple[int, int], focal_px: float, sigma_rel: float = 0.0) -> InteriorOrientation:
    """Return a camera without distortion for frames of a size (width, height)."""
    width, height = size_px
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=size_px,
        focal_length_px=(focal_px, focal_px),
        principal_point_px=((width - 1) / 2.0, (height - 1) / 2.0),
        calibration_id=CALIBRATION_ID,
        sigma_focal_rel=sigma_rel,
    )


def guess_pinhole(size_px: tuple[int, int]) -> InteriorOrientation:
    """Return a provisional camera for the clock search and for measuring ratios."""
    focal_px = size_px[0] / (2.0 * np.tan(np.radians(_GUESS_DEG) / 2.0))
    return make_pinhole(size_px, focal_px, _GUESS_SIGMA)


def estimate_focal_length(
    motions: Sequence[ImageMotion],
    poses: LoggedPoses,
    size_px: tuple[int, int],
    clock: ClockOffset,
    sigma_height_m: float,
) -> FocalEstimate | None:
    """Estimate the focal length of frames of a size (width, height).

    None where the motion does not determine it.

    motions         in order of time, video time; poses in the log's time, `clock` between them
    sigma_height_m  of the poses' heights above ground
    """
    guess = guess_pinhole(size_px)
    first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
    predicted = predict_rates(poses, guess, clock.to_log_s(first), clock.to_log_s(second))[:, :2]
    seen = np.array([m.rate for m in motions]).reshape(-1, 3)[:, :2]
    known = np.isfinite(predicted).all(axis=1) & np.isfinite(seen).all(axis=1)
    seen, predicted, first = seen[known], predicted[known], first[known]
    if len(seen) < _MIN_MOTIONS * _MIN_STRETCHES:
        return None
    ratios, weights = _ratios(seen, predicted, first)
    if len(ratios) < _MIN_STRETCHES:
        return None
    middle = float(np.median(ratios))
    spread = 1.4826 * float(np.median(np.abs(ratios - middle)))
    inlier = np.abs(ratios - middle) <= _OUTLIER * max(spread, 1e-6)
    ratio = float(np.average(ratios[inlier], weights=weights[inlier]))
    explained = 1.0 - float(((seen - ratio * predicted) ** 2).sum() / (seen**2).sum())
    if ratio <= 0.0 or explained < _MIN_EXPLAINED:
        return None
    above = float(np.nanmedian(poses.above_m))
    scatter = float(ratios[inlier].std(ddof=1)) / ratio / np.sqrt(inlier.sum())
    height = float(np.hypot(sigma_height_m, _CROWNS_M)) / above
    sigma = float(np.sqrt(scatter**2 + height**2 + _DISTORTION_SIGMA**2))
    found = FocalEstimate(float(ratio * guess.focal_length_px[0]), sigma)
    return found if _MIN_FIELD_OF_VIEW_DEG < found.hfov_deg(size_px[0]) < _MAX_FIELD_OF_VIEW_DEG else None


def _ratios(seen: Floats, logged: Floats, at_s: Floats) -> tuple[Floats, Floats]:
    """Return measured over logged motion of each interval, with weights.

    Least squares; a weight is the power of the logged motion.
    """
    edges = np.linspace(at_s[0], at_s[-1] + 1e-6, _STRETCHES + 1)
    stretch = np.searchsorted(edges, at_s, side="right") - 1
    both = np.bincount(stretch, (seen * logged).sum(axis=1), _STRETCHES)
    power = np.bincount(stretch, (logged**2).sum(axis=1), _STRETCHES)
    enough = np.bincount(stretch, minlength=_STRETCHES) >= _MIN_MOTIONS
    used = enough & (power > _MIN_POWER * power.max())  # a hover carries no information
    weights: Floats = power[used].astype(np.float64)
    return both[used] / weights, weights


# -- Interior orientation of a video ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EstimatedInterior:
    """Interior orientation of a source, with remarks.

    motions: of a stream that was watched to estimate it, for its clock too.
    """

    interior: InteriorOrientation
    remarks: tuple[Message, ...] = ()
    motions: Sequence[ImageMotion] = ()


def estimate_interior_orientation(
    request: LiveRequest,
    source: VideoSource,
    telemetry: Telemetry,
    progress: Progress,
    stopped: Callable[[], bool],
) -> EstimatedInterior:
    """Return the interior orientation as given or logged, else estimate it.

    A file is read once beforehand for it. Of a stream nothing is orthorectified until it is known: some of
    the frames of that time, evenly spaced, are put back to be processed then. Raises what
    `resolve_interior_orientation` raises, also where the motion does not give the focal length.
    """
    try:
        return EstimatedInterior(resolve_interior_orientation(request, telemetry.poses, source.size_px))
    except CalibrationMissing as error:
        if request.camera is not None:
            raise
        search = _Search(request, source, telemetry)
        seen = _watched(search, progress) if source.is_stream else _looked_through(search, progress, stopped)
        if seen is None:
            raise _make_calibration_error(request) from error
    interior = make_pinhole(source.size_px, seen.focal_px, seen.sigma_rel)
    return EstimatedInterior(
        interior, (_describe_estimate(source, seen),), search.motions if source.is_stream else ()
    )


def _make_calibration_error(request: LiveRequest) -> CalibrationMissing:
    video, log = make_video_name(request.video), format_log_name(request.telemetry)
    if request.telemetry == request.video:
        return CalibrationMissing(
            _(
                "{video}: nothing says what lens filmed it, nor does its motion: give --camera, or --hfov to "
                "flycam live",
                video=video,
            )
        )
    return CalibrationMissing(
        _(
            "{video}: nothing says what lens filmed it, and its motion fits no lens by "
            "{log}: give --camera, or --hfov to flycam live, or the video's own log if this is another "
            "flight's",
            video=video,
            log=log,
        )
    )


class _Search:
    """Motions so far, and the estimate from them."""

    def __init__(self, request: LiveRequest, source: VideoSource, telemetry: Telemetry) -> None:
        self.video, self.source, self.telemetry = Path(request.video), source, telemetry
        self._given_s = request.clock_offset_s
        self._meter = ImageMotionEstimator()
        self.motions: deque[ImageMotion] = deque(maxlen=MAX_MOTIONS)

    def add(self, picture: VideoFrame) -> None:
        """Measure a frame's motion."""
        motion = self._meter.add(picture.pts_ns / 1e9, picture.pixels)
        if motion is not None:
            self.motions.append(motion)

    def seen(self) -> FocalEstimate | None:
        """Estimate the focal length; None unless good enough to orthorectify with."""
        motions, logged, poses = list(self.motions), self.telemetry.log_poses, self.telemetry.poses
        clock = self._clock(motions)
        if not clock.is_known:
            return None
        sigma_m = poses.sigma_home_m if np.isfinite(poses.home_m) else SIGMA_GNSS_HEIGHT_M
        found = estimate_focal_length(motions, logged, self.source.size_px, clock, sigma_m)
        return found if found is not None and found.sigma_rel <= MAX_SIGMA else None

    def _clock(self, motions: Sequence[ImageMotion]) -> ClockOffset:
        telemetry = self.telemetry
        if self._given_s is not None:
            return ClockOffset(telemetry.from_reported(self._given_s), STATED_SIGMA_S)
        if telemetry.is_shared:
            return ClockOffset(0.0, SHARED_SIGMA_S)
        before, reach_s = telemetry.estimate_initial_offset(self.source.duration_s)
        guess = guess_pinhole(self.source.size_px)
        return estimate_offset(motions, telemetry.log_poses, guess, before, reach_s)


def _looked_through(search: _Search, progress: Progress, stopped: Callable[[], bool]) -> FocalEstimate | None:
    """Estimate from the beginning of a file, which is opened a second time for it."""
    with VideoSource(str(search.video)) as source:
        for done, picture in enumerate(source.frames(), start=1):
            search.add(picture)
            progress("clock", done, count_frames(source, done))
            if stopped() or len(search.motions) >= MAX_MOTIONS:
                break
    return search.seen()


def _watched(search: _Search, progress: Progress) -> FocalEstimate | None:
    """Estimate from a stream's frames as they come, for at most `MAX_WAIT_S`."""
    sample = TimeSample(count_fitting_frames(MAX_QUEUED, MAX_QUEUED_BYTES, search.source.size_px))
    began_s: float | None = None
    looked_s = float("-inf")
    for done, picture in enumerate(search.source.frames(), start=1):
        search.telemetry.refresh()
        search.add(picture)
        sample.add(picture)
        progress("clock", done, 0)
        now_s = picture.pts_ns / 1e9
        began_s = now_s if began_s is None else began_s
        if now_s - began_s >= FIRST_ESTIMATE_S and now_s - looked_s >= ESTIMATE_INTERVAL_S:
            looked_s = now_s
            if (seen := search.seen()) is not None:
                search.source.put_back(sample.pictures)
                return seen
        if now_s - began_s >= MAX_WAIT_S:
            return None
    return None


class TimeSample:
    """Sample of at most `most` (at least 3) frames, evenly spaced but for the last.

    pictures  the sampled frames, oldest first
    """

    def __init__(self, most: int) -> None:
        self._most, self._apart_ns = most, 0
        self.pictures: list[VideoFrame] = []

    def add(self, picture: VideoFrame) -> None:
        """Add the newest frame."""
        if len(self.pictures) > 1 and self.pictures[-1].pts_ns - self.pictures[-2].pts_ns < self._apart_ns:
            self.pictures.pop()
        self.pictures.append(picture)
        if len(self.pictures) > self._most:
            self.pictures = self.pictures[:-1:2]
            self._apart_ns = min(b.pts_ns - a.pts_ns for a, b in pairwise(self.pictures))
            self.pictures.append(picture)


def _describe_estimate(source: VideoSource, seen: FocalEstimate) -> Message:
    degrees = seen.hfov_deg(source.size_px[0])
    half = np.radians(degrees) / 2.0
    sigma_deg = float(np.degrees(seen.sigma_rel * np.sin(2.0 * half)))
    return _(
        "{name}: nothing says what lens filmed it: its field of view was estimated from the pictures' "
        "motion, {hfov_deg:.1f}° ± {sigma_deg:.1f}° across; better give --camera, or --hfov to flycam "
        "live",
        name=source.name,
        hfov_deg=degrees,
        sigma_deg=sigma_deg,
    )


# -- `flycam live`: from an aircraft's video and its log to a flight on the map --------------------


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoReport:
    """Result of processing a video.

    decoded, chosen     frames decoded; of them those for the map
    used, new           frames on the map; those of them merged by this run
    reprocessed         frames reprocessed: of those on the map before, and of those placed in doubt
    latency_ms          (p50, p95) from a frame's arrival to its tiles in the log; NaN if there are none
    first_tile_s        from the first frame with a pose to the first tiles in the log
    first_ground_s      from the first frame that came, in doubt or not
    dropped             frames and samples left out, by reason
    clock               the offset as reported: against the video's own time
    remarks             what was noticed on the way
    recorded            what is stored of a stream as it came; None: it was not recorded
    fitted              frames of this run registered to earlier ones by their own evidence
    by_log              those that were not, by reason (see `flycam.ingest.live.orthorectifier`)
    outages             times without frames of a stream; None: it was a file
    """

    flight: Flight
    decoded: int
    used: int
    new: int
    latency_ms: tuple[float, float]
    dropped: dict[str, int]
    clock: ClockOffset
    remarks: tuple[Message, ...]
    seconds: float
    first_tile_s: float = float("nan")
    first_ground_s: float = float("nan")
    reprocessed: int = 0
    chosen: int = 0
    recorded: RecordingSummary | None = None
    fitted: int = 0
    by_log: Mapping[str, int] = field(default_factory=dict)
    outages: Outages | None = None


def orthorectify_video(
    workspace: Workspace,
    request: LiveRequest,
    labels: FlightLabels,
    progress: Progress = ignore_progress,
    stopped: Callable[[], bool] = _never,
    say: NoticeListener = ignore_notice,
) -> VideoReport:
    """Process a video and its log to a published flight, in the order given above.

    A file given again changes nothing, unless more is known of its clock or its log now; a stream is a new
    flight.

    stopped  checked at every frame: once true, the flight ends there and is shown as it is
    say      gets notices: what is waited for before the first frame, and that store or database are away

    Raises SourceUnreadable, PositionMissing, CalibrationMissing for what was given, FlightLogMismatch where
    the log is of another flight, or has other positions than those of the video on the map; NotFound,
    OptionUnusable for a flight that it cannot join; NameTaken, of a stream before it is opened;
    OutsideTerrain where no frame could be placed; FlightBusy, StorageFailed; Cancelled where it is stopped
    before anything came. SourceUnreadable also where a stream came back with frames of another size: what was
    seen before is published, and its flight complete.
    """
    started_ns = workspace.clock_ns()
    workspace = enable_eviction(workspace)
    workspace.require_disk_space()
    if is_stream(request.video) and labels.name is not None and request.into is None:
        require_free_name(workspace, labels.name)
    with ExitStack() as stack:
        stack.enter_context(complete_interrupted_in_background(workspace))
        opened = _opened(workspace, request, progress, stopped, say, stack)
        if not opened.is_timely:
            measure_video_motion(request, opened.clock, opened.telemetry, progress, stopped)
        stack.enter_context(workspace.catalog.flights.lock(opened.flight_id))
        opened.recording.assign_flight(opened.flight_id)
        patience = RetryPolicy(workspace.clock_ns, stopped, say=say)
        ground = patience(lambda: _ground(workspace, request, opened))
        news = _news(workspace, opened, ground, labels, stack)
        existing = _settled(workspace, request, opened, ground, progress)
        # Inside the flight's lock: leaving this context waits for its writers first (decision 0018).
        laying = stack.enter_context(
            LiveOrthorectifier(
                workspace,
                opened.flight_id,
                opened.video,
                ground,
                labels,
                opened.source,
                opened.telemetry,
                opened.clock,
                patience,
                is_timely=opened.is_timely,
            )
        )
        patience(lambda: store_live_inputs(workspace, request))
        flow = FramePipeline(
            opened.source,
            opened.telemetry,
            opened.clock,
            opened.video.interior,
            laying,
            is_timely=opened.is_timely,
            is_sparing=lambda: workspace.power.is_low,
        )
        if news is not None:
            news.follow(flow, laying, existing.notes)
        flow.run(progress, stopped)
        if news is not None:
            news.close()
        opened.source.close()
        flight = laying.close(opened.log_doubts(request), progress)
        # after the map, which is waited for
        recorded = opened.recording.close() if opened.recording.is_on else None
        if flight is None:
            raise flow.broken_by or _make_nothing_placed_error(request, laying, opened.dropped.counts())
        patience(lambda: _audit(workspace, request, opened.flight_id, len(laying.published), started_ns))
        if flow.broken_by is not None:
            # The flight is complete as far as it was seen.
            raise flow.broken_by
        return patience(
            lambda: _report(workspace, opened, existing, flow, laying, flight, recorded, started_ns)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """Inputs of a flight before its first frame is processed.

    is_timely     frames come in real time: if late, some are dropped
    lens_remarks  on the interior orientation
    """

    dems: Sequence[DemInfo]
    recording: StreamRecording
    source: VideoSource
    telemetry: Telemetry
    video: VideoIdentity
    flight_id: str
    clock: LiveClock
    is_timely: bool
    lens_remarks: tuple[Message, ...]

    @property
    def dropped(self) -> DropCounter:
        """What the stages leave out."""
        return self.source.health.dropped

    def count_dropped(self) -> Counter[str]:
        """Return frames and samples left out so far, by reason."""
        return self.dropped.counts() + self.telemetry.count_rejected_samples()

    def log_doubts(self, request: LiveRequest) -> list[str]:
        """Return the warnings that the flight keeps on a log of perhaps another video."""
        return list_log_doubts(request, self.video, self.source, self.telemetry, self.clock)


def _opened(
    workspace: Workspace,
    request: LiveRequest,
    progress: Progress,
    stopped: Callable[[], bool],
    say: NoticeListener,
    stack: ExitStack,
) -> _Opened:
    dems = load_registered_dems(workspace)
    scratch = stack.enter_context(open_scratch_folder(workspace))
    recording = stack.enter_context(_recording(workspace, request))
    source, telemetry = open_live_inputs(request, dems, scratch, stack, stopped, recording.order, say)
    lens = estimate_interior_orientation(request, source, telemetry, progress, stopped)
    film = build_video_identity(request, source, lens.interior, telemetry.poses.work_crs)
    joins = _joined(workspace, request.into, film, telemetry.poses)
    clock = _clock(request, telemetry, lens.interior, source)
    clock.remember(lens.motions)
    return _Opened(
        dems=dems,
        recording=recording,
        source=source,
        telemetry=telemetry,
        video=film,
        flight_id=film.flight_id if joins is None else joins.flight_id,
        clock=clock,
        is_timely=request.is_realtime or source.is_stream,
        lens_remarks=lens.remarks,
    )


def _joined(workspace: Workspace, ref: str | None, video: VideoIdentity, poses: VideoPoses) -> Flight | None:
    """Return the flight that the video joins; None: it is one of its own."""
    return None if ref is None else resolve_flight_for_video(workspace, ref, video, poses.vertical_datum)


def _ground(workspace: Workspace, request: LiveRequest, opened: _Opened) -> TerrainSource:
    """Return the terrain, under the flight's lock.

    Its former holder may have changed the flight that is to be joined.
    """
    ref = None if request.into is None else opened.flight_id
    joins = _joined(workspace, ref, opened.video, opened.telemetry.poses)
    return create_terrain_source(
        workspace, opened.dems, opened.telemetry, joins, is_stream=opened.source.is_stream
    )


def _news(
    workspace: Workspace, opened: _Opened, ground: TerrainSource, labels: FlightLabels, stack: ExitStack
) -> StatusReporter | None:
    """Start status reports while the flight is in the air.

    None for a file that is read as fast as possible: nothing is in the air.
    """
    if not opened.is_timely:
        return None
    reporter = StatusReporter(
        workspace,
        opened.flight_id,
        opened.video,
        labels,
        opened.source,
        opened.telemetry,
        opened.clock,
        ground,
        opened.recording,
    )
    return stack.enter_context(reporter)


def _settled(
    workspace: Workspace, request: LiveRequest, opened: _Opened, ground: TerrainSource, progress: Progress
) -> ExistingFramesReport:
    """Complete or reprocess the frames that are on the map already."""
    fixed = ground if opened.clock.is_settled and isinstance(ground, FixedTerrain) else None
    return reconcile_existing_frames(
        workspace,
        opened.flight_id,
        opened.video,
        request,
        partial(interpolate_orientation, opened.telemetry, opened.clock.offset, opened.video.interior),
        fixed,
        [*_warnings(opened.video, opened.clock, opened.telemetry.poses), *opened.log_doubts(request)],
        progress,
    )


def _report(
    workspace: Workspace,
    opened: _Opened,
    existing: ExistingFramesReport,
    flow: FramePipeline,
    laying: LiveOrthorectifier,
    flight: Flight,
    recorded: RecordingSummary | None,
    started_ns: int,
) -> VideoReport:
    return VideoReport(
        flight=flight,
        decoded=flow.decoded,
        used=len(workspace.catalog.frames.list_for_flight(opened.flight_id, FrameStatus.USED)),
        new=len(laying.published),
        latency_ms=laying.published.latency_ms,
        first_tile_s=flow.first_tile_s,
        first_ground_s=flow.first_ground_s,
        dropped=dict(sorted(opened.count_dropped().items())),
        clock=opened.telemetry.to_reported(opened.clock.offset),
        remarks=_remarks(workspace, opened, existing, laying),
        seconds=(workspace.clock_ns() - started_ns) / 1e9,
        reprocessed=existing.reprocessed + laying.reprocessed,
        chosen=flow.chosen,
        recorded=recorded,
        fitted=laying.registration.fitted,
        by_log=dict(sorted(laying.registration.by_log.items())),
        outages=opened.source.outages,
    )


def _audit(workspace: Workspace, request: LiveRequest, flight_id: str, new: int, started_ns: int) -> None:
    who, log = workspace.operator or workspace.box, format_log_name(request.telemetry)
    workspace.catalog.audit.append(who, "live", flight_id, f"{new} frames by {log}", at_ns=started_ns)


def _remarks(
    workspace: Workspace, opened: _Opened, existing: ExistingFramesReport, laying: LiveOrthorectifier
) -> tuple[Message, ...]:
    """Return what was noticed on the way."""
    source, telemetry = opened.source, opened.telemetry
    withdrawn = list_withdrawal_warnings(workspace, opened.flight_id, laying.withdrawn)
    return (
        *opened.lens_remarks,
        *source.remarks,
        *opened.recording.remarks,
        *laying.patience.messages,
        *telemetry.remarks(),
        *([telemetry.describe_dating(opened.video.name)] if source.is_undated else []),
        *_describe_notes([*existing.notes, *laying.notes, *withdrawn, *workspace.disk_space.notes]),
    )


def _recording(workspace: Workspace, request: LiveRequest) -> StreamRecording:
    """Return the recording of a stream; off for a file, which is an original itself."""
    wanted = request.is_recorded and is_stream(request.video)
    return StreamRecording(workspace, request.keep_gb if wanted else 0.0)


def _clock(
    request: LiveRequest, telemetry: Telemetry, interior: InteriorOrientation, source: VideoSource
) -> LiveClock:
    stated_s = request.clock_offset_s
    before, reach_s = telemetry.estimate_initial_offset(source.duration_s)
    return LiveClock(
        lambda: telemetry.log_poses,
        interior,
        given_s=None if stated_s is None else telemetry.from_reported(stated_s),
        is_shared=telemetry.is_shared,
        before=before,
        reach_s=reach_s,
    )


def _warnings(video: VideoIdentity, clock: LiveClock, poses: VideoPoses) -> list[str]:
    """Return the warning that a flight keeps if the clock offset stayed unknown."""
    if clock.offset.is_known:
        return []
    sigma_s = clock.offset.sigma_s
    speeds = [s.speed_mps for s in poses.track.samples if np.isfinite(s.speed_mps)]
    metres = round(float(np.median(speeds)) * sigma_s) if speeds else 0
    return [format_clock_warning(video.name, video.stream_id, sigma_s, metres)]


def _describe_notes(notes: Sequence[str]) -> list[Message]:
    return [describe_warning(one) for one in dict.fromkeys(notes)]


def _make_nothing_placed_error(
    request: LiveRequest, laying: LiveOrthorectifier, dropped: Counter[str]
) -> OutsideTerrain:
    first = next((error for __, error in laying.rejections.errors), None)
    return OutsideTerrain(
        _(
            "{name}: none of its pictures can be placed ({reasons}){why}: check that the log "
            "is of this flight, and --clock-offset",
            name=make_video_name(request.video),
            reasons=format_rejection_counts(dropped) or _("none was chosen"),
            why=_("; the first: {error}", error=first.message) if first else "",
        )
    )
