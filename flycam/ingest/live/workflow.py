"""`flycam live`: from an aircraft's video and its log to a flight on the map.

 open video and log -> camera -> poses -> terrain -> clock -> complete, reprocess -> select -> orthorectify
 -> communes -> ready

A file is first read for its clock, then processed as fast as possible, and nothing of it is dropped. Played
at its own speed (`--realtime`) it is treated as a stream: if late, frames are dropped, counted by reason, and
frames chosen before the clock offset is known are placed in doubt and reprocessed once it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from flycam.concurrency import DropCounter
from flycam.errors import OutsideTerrain
from flycam.geodata.dem import DemInfo
from flycam.geometry.camera import InteriorOrientation
from flycam.ingest.batch import list_withdrawal_warnings, resolve_flight_for_video
from flycam.ingest.live.clock import LiveClock
from flycam.ingest.live.existing_frames import (
    ExistingFramesReport,
    list_log_doubts,
    measure_video_motion,
    reconcile_existing_frames,
)
from flycam.ingest.live.frame_pipeline import FramePipeline
from flycam.ingest.live.inputs import (
    LiveRequest,
    build_video_identity,
    create_terrain_source,
    format_log_name,
    open_live_inputs,
    store_live_inputs,
)
from flycam.ingest.live.interior_orientation import estimate_interior_orientation
from flycam.ingest.live.interrupted_streams import complete_interrupted_in_background
from flycam.ingest.live.orthorectifier import LiveOrthorectifier
from flycam.ingest.live.recording import RecordingSummary, StreamRecording, open_scratch_folder
from flycam.ingest.live.status import StatusReporter
from flycam.ingest.live.telemetry import Telemetry, interpolate_pose
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.ingest.video.video_frames import VideoIdentity
from flycam.ingest.video.video_poses import VideoPoses
from flycam.ingest.video.video_source import Outages, VideoSource, is_stream, make_video_name
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
    lens = estimate_interior_orientation(request, source, telemetry, dems, progress, stopped)
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
        partial(interpolate_pose, opened.telemetry, opened.clock.offset),
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
