"""From an aircraft's video and its log to a flight on the map, picture by picture.

    open video and log -> camera -> poses -> terrain -> clock -> complete, re-lay -> select -> lay -> communes
    -> ready

A file is looked through for its clock first, then worked through as fast as it goes, and nothing of it is
dropped. Played at its own speed (`--realtime`) it is what a stream would be: who is late loses the oldest,
counted by reason, and pictures chosen before the clocks' difference is known are laid in doubt and laid
again once it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from flycam.catalog.records import FrameStatus
from flycam.errors import OutsideTerrain
from flycam.frame.film_doubts import clock_doubt
from flycam.frame.flight import Flight
from flycam.frame.left_out import left_out_said
from flycam.frame.warning import sentence
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.video.clock import ClockOffset
from flycam.ingest.video.outages import Outages
from flycam.ingest.video.pictures import VideoSource, is_stream, name_of
from flycam.ingest.video.poses import VideoPoses
from flycam.messages import Bilingual, _
from flycam.pipeline.film_frames import Film
from flycam.pipeline.freeing import watched
from flycam.pipeline.laying.joining import joined_by_film
from flycam.pipeline.laying.known import withdrawals_said
from flycam.pipeline.laying.opening import Labels, require_free_name
from flycam.pipeline.live.abandoned import ending_abandoned
from flycam.pipeline.live.agreement import log_doubts, look_through
from flycam.pipeline.live.clock import LiveClock
from flycam.pipeline.live.flow import LiveFlow, pose_of
from flycam.pipeline.live.given import (
    LiveRequest,
    film_of,
    ground_of,
    keep_given,
    open_given,
    shown_log,
)
from flycam.pipeline.live.ground import FixedGround
from flycam.pipeline.live.laying import Ground, LiveLaying
from flycam.pipeline.live.lens import lens_of
from flycam.pipeline.live.news import LiveNews
from flycam.pipeline.live.patience import Patience
from flycam.pipeline.live.recording import Recorded, StreamRecording
from flycam.pipeline.live.scratch import scratch_of
from flycam.pipeline.live.standing import Standing, settle_standing
from flycam.pipeline.live.telemetry import Telemetry
from flycam.pipeline.live.waiting import Say, unsaid
from flycam.pipeline.terrain import registered_dems
from flycam.pipeline.workspace import Progress, Workspace, silent


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveReport:
    """What became of a video.

    decoded, chosen     pictures decoded; of them those for the map
    used, new           frames on the map; those of them laid by this run
    relaid              frames that were laid again: of those on the map before, and of those laid in doubt
    latency_ms          (p50, p95) from a picture's arrival to its tiles in the log; NaN if nothing was laid
    first_tile_s        from the first picture whose pose could be told to the first tiles in the log
    first_ground_s      from the first picture that came, in doubt or not
    dropped             pictures and samples left out, by reason
    clock               the offset as reported: against the video's own time
    remarks             what was noticed on the way, (English, Vietnamese)
    recorded            what is kept of a stream as it came; None: it was not recorded
    fitted              frames laid by this run that were fitted to those before by their own evidence
    by_log              those that were not, by reason (see `flycam.pipeline.live.registration`)
    outages             times without pictures of a stream; None: it was a film
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
    first_tile_s: float = float("nan")
    first_ground_s: float = float("nan")
    relaid: int = 0
    chosen: int = 0
    recorded: Recorded | None = None
    fitted: int = 0
    by_log: Mapping[str, int] = field(default_factory=dict)
    outages: Outages | None = None


def live(
    workspace: Workspace,
    request: LiveRequest,
    labels: Labels,
    progress: Progress = silent,
    stopped: Callable[[], bool] = _never,
    say: Say = unsaid,
) -> LiveReport:
    """A video and its log to a published flight; see the recipe above. A film given again changes nothing,
    unless more is known of its clock or its log now; a stream is a new flight.

    stopped  asked with every picture: when it says so, the flight ends there and is shown as it is
    say      told what is waited for before the first picture, and that store or database are away

    Raises SourceUnreadable, PositionMissing, CalibrationMissing for what was given, LogContradicted where the
    log is of another flight, or tells other places than those the film lies at; NotFound, OptionUnusable for
    a flight that it cannot join; NameTaken, of a stream before it is opened; OutsideTerrain where no picture
    could be laid; FlightBusy, StorageTrouble; Cancelled where it is stopped before anything came.
    SourceUnreadable also where a stream came back with pictures of another size: what was seen before is laid
    and shown, and its flight complete.
    """
    started_ns = workspace.clock_ns()
    workspace = watched(workspace)
    workspace.require_room()
    if is_stream(request.video) and labels.name is not None and request.into is None:
        require_free_name(workspace, labels.name)
    with ExitStack() as stack:
        stack.enter_context(ending_abandoned(workspace))
        opened = _opened(workspace, request, progress, stopped, say, stack)
        if not opened.is_timely:
            look_through(request, opened.clock, opened.telemetry, progress, stopped)
        stack.enter_context(workspace.catalog.flights.lock(opened.flight_id))
        opened.recording.of_flight(opened.flight_id)
        patience = Patience(workspace.clock_ns, stopped, say=say)
        ground = patience(lambda: _ground(workspace, request, opened))
        news = _news(workspace, opened, ground, labels, stack)
        standing = _settled(workspace, request, opened, ground, progress)
        laying = stack.enter_context(
            LiveLaying(workspace, opened.flight_id, opened.film, ground, labels, patience)
        )
        patience(lambda: keep_given(workspace, request))
        flow = opened.flow_to(laying, lambda: workspace.power.is_low)
        if news is not None:
            news.follow(flow, laying, standing.notes)
        flow.run(progress, stopped)
        if news is not None:
            news.close()
        opened.source.close()
        flight = laying.close(opened.log_doubts(request), progress)
        recorded = opened.recording.close() if opened.recording.is_on else None  # the map is waited for
        if flight is None:
            raise flow.broken_by or _nothing_laid(request, laying, flow.left_out)
        patience(lambda: _audit(workspace, request, opened.flight_id, laying.new, started_ns))
        if flow.broken_by is not None:
            raise flow.broken_by  # the flight is complete as far as it was seen
        return patience(
            lambda: _report(workspace, opened, standing, flow, laying, flight, recorded, started_ns)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """What a flight is made of before its first picture is laid.

    is_timely    pictures come when they come: who is late loses some
    lens_said    what is to be said of the lens
    """

    dems: Sequence[DemInfo]
    recording: StreamRecording
    source: VideoSource
    telemetry: Telemetry
    film: Film
    flight_id: str
    clock: LiveClock
    is_timely: bool
    lens_said: tuple[tuple[str, str], ...]

    def flow_to(self, laying: LiveLaying, is_sparing: Callable[[], bool]) -> LiveFlow:
        """Of the pictures, through the clock, to their laying."""
        return LiveFlow(
            self.source,
            self.telemetry,
            self.clock,
            self.film.interior,
            laying,
            drops=self.is_timely,
            is_sparing=is_sparing,
        )

    def log_doubts(self, request: LiveRequest) -> list[str]:
        """What the flight says of a film for ever whose log may be of another."""
        return log_doubts(request, self.film, self.source, self.telemetry, self.clock)


def _opened(
    workspace: Workspace,
    request: LiveRequest,
    progress: Progress,
    stopped: Callable[[], bool],
    say: Say,
    stack: ExitStack,
) -> _Opened:
    dems = registered_dems(workspace)
    scratch = stack.enter_context(scratch_of(workspace))
    recording = stack.enter_context(_recording(workspace, request))
    source, telemetry = open_given(request, dems, scratch, stack, stopped, recording.order, say)
    lens = lens_of(request, source, telemetry, dems, progress, stopped)
    film = film_of(request, source, lens.interior, telemetry.poses.work_crs)
    joins = _joined(workspace, request.into, film, telemetry.poses)
    clock = _clock(request, telemetry, lens.interior, source)
    clock.remember(lens.motions)
    return _Opened(
        dems=dems,
        recording=recording,
        source=source,
        telemetry=telemetry,
        film=film,
        flight_id=film.flight_id if joins is None else joins.flight_id,
        clock=clock,
        is_timely=request.is_realtime or source.is_stream,
        lens_said=lens.remarks,
    )


def _joined(workspace: Workspace, ref: str | None, film: Film, poses: VideoPoses) -> Flight | None:
    """The flight that the film joins; None: it is one of its own."""
    return None if ref is None else joined_by_film(workspace, ref, film, poses.vertical_datum)


def _ground(workspace: Workspace, request: LiveRequest, opened: _Opened) -> Ground:
    """Under the flight's lock: whoever held it before may have changed the flight that is to be joined."""
    ref = None if request.into is None else opened.flight_id
    joins = _joined(workspace, ref, opened.film, opened.telemetry.poses)
    return ground_of(workspace, opened.dems, opened.telemetry, joins, is_stream=opened.source.is_stream)


def _news(
    workspace: Workspace, opened: _Opened, ground: Ground, labels: Labels, stack: ExitStack
) -> LiveNews | None:
    """What is told of the flight while it flies; of a file that is read as fast as it goes nothing is in the
    air."""
    if not opened.is_timely:
        return None
    told = LiveNews(
        workspace,
        opened.flight_id,
        opened.film,
        labels,
        opened.source,
        opened.telemetry,
        opened.clock,
        ground,
        opened.recording,
    )
    return stack.enter_context(told)


def _settled(
    workspace: Workspace, request: LiveRequest, opened: _Opened, ground: Ground, progress: Progress
) -> Standing:
    """The frames that are on the map already, completed or laid again where more is known now."""
    fixed = ground if opened.clock.is_settled and isinstance(ground, FixedGround) else None
    return settle_standing(
        workspace,
        opened.flight_id,
        opened.film,
        request,
        partial(pose_of, opened.telemetry, opened.clock.offset),
        fixed,
        [*_warnings(opened.film, opened.clock, opened.telemetry.poses), *opened.log_doubts(request)],
        progress,
    )


def _report(
    workspace: Workspace,
    opened: _Opened,
    standing: Standing,
    flow: LiveFlow,
    laying: LiveLaying,
    flight: Flight,
    recorded: Recorded | None,
    started_ns: int,
) -> LiveReport:
    return LiveReport(
        flight=flight,
        decoded=flow.decoded,
        used=len(workspace.catalog.frames.of_flight(opened.flight_id, FrameStatus.USED)),
        new=laying.new,
        latency_ms=flow.latency_ms,
        first_tile_s=flow.first_tile_s,
        first_ground_s=flow.first_ground_s,
        dropped=dict(sorted((flow.left_out + opened.telemetry.left_out()).items())),
        clock=opened.telemetry.as_reported(opened.clock.offset),
        remarks=_remarks(workspace, opened, standing, laying),
        seconds=(workspace.clock_ns() - started_ns) / 1e9,
        relaid=standing.relaid + laying.relaid,
        chosen=flow.chosen,
        recorded=recorded,
        fitted=laying.registration.fitted,
        by_log=dict(sorted(laying.registration.by_log.items())),
        outages=opened.source.outages,
    )


def _audit(workspace: Workspace, request: LiveRequest, flight_id: str, new: int, started_ns: int) -> None:
    who, log = workspace.operator or workspace.box, shown_log(request.telemetry)
    workspace.catalog.audit.append(who, "live", flight_id, f"{new} frames by {log}", at_ns=started_ns)


def _remarks(
    workspace: Workspace, opened: _Opened, standing: Standing, laying: LiveLaying
) -> tuple[tuple[str, str], ...]:
    """What was noticed on the way, (English, Vietnamese)."""
    source, telemetry = opened.source, opened.telemetry
    withdrawn = withdrawals_said(workspace, opened.flight_id, laying.withdrawn)
    return (
        *opened.lens_said,
        *source.remarks,
        *opened.recording.remarks,
        *laying.patience.said,
        *telemetry.remarks(),
        *([telemetry.dated(opened.film.name)] if source.is_undated else []),
        *_said([*standing.notes, *laying.notes, *withdrawn, *workspace.room.notes]),
    )


def _recording(workspace: Workspace, request: LiveRequest) -> StreamRecording:
    """Of a stream; a file is evidence itself."""
    wanted = request.is_recorded and is_stream(request.video)
    return StreamRecording(workspace, request.keep_gb if wanted else 0.0)


def _clock(
    request: LiveRequest, telemetry: Telemetry, interior: InteriorOrientation, source: VideoSource
) -> LiveClock:
    asked = request.clock_offset_s
    before, reach_s = telemetry.search(source.duration_s)
    return LiveClock(
        lambda: telemetry.told,
        interior,
        given_s=None if asked is None else telemetry.from_reported(asked),
        is_shared=telemetry.is_shared,
        before=before,
        reach_s=reach_s,
    )


def _warnings(film: Film, clock: LiveClock, poses: VideoPoses) -> list[str]:
    """What the flight says of a film for ever where its clocks' difference stayed unknown."""
    if clock.offset.is_known:
        return []
    sigma_s = clock.offset.sigma_s
    speeds = [s.speed_mps for s in poses.track.samples if np.isfinite(s.speed_mps)]
    metres = round(float(np.median(speeds)) * sigma_s) if speeds else 0
    return [clock_doubt(film.name, film.stream_id, sigma_s, metres)]


def _said(notes: Sequence[str]) -> list[tuple[str, str]]:
    return [(sentence(one), sentence(one, "vi")) for one in dict.fromkeys(notes)]


def _nothing_laid(request: LiveRequest, laying: LiveLaying, dropped: Counter[str]) -> OutsideTerrain:
    said, said_vi = left_out_said(dropped), left_out_said(dropped, "vi")
    first = next((error for _, error in laying.rejections.errors), None)
    why = f"; the first: {first}" if first else ""
    name = name_of(request.video)
    return OutsideTerrain(
        _(
            "{name}: none of its pictures can be laid ({said}){why}: check that the log is "
            "of this flight, and --clock-offset",
            name=name,
            said=Bilingual(said or "none was chosen", said_vi or "chưa chọn được hình nào"),
            why=why,
        )
    )
