"""Pictures of a video laid as they come: into one flight, through the one write path, for every reader.

A picture becomes a frame like any photo: a JPEG kept as evidence under its SHA-256, read back before it is
laid, with the pose and terrain on record. So replay, withdrawal, finish and export know no difference. It is
laid by the pose that fits it to those before (`live.registration`); its prior is what the log tells. While
the clock between video and log is not known it is laid in doubt, with the sigma that this deserves, and laid
again once the clock is known better.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.errors import FrameRejected, LetGo, NotFound, OptionUnusable
from flycam.frame.flight import Flight
from flycam.frame.frame import FrameHeader, Layer, Provenance, frame_id_of, picture_name, picture_pts_ns
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import looks_up
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.photo.pixels import open_pixels
from flycam.ingest.video.clock import ClockOffset
from flycam.ingest.video.pictures import VideoPicture
from flycam.messages import _
from flycam.pipeline.coverage import cover_communes
from flycam.pipeline.evidence import keep_bytes, local_copy
from flycam.pipeline.film_frames import FILM_CAMERA, Film
from flycam.pipeline.laying.merging import Rejections
from flycam.pipeline.laying.opening import (
    Labels,
    Opened,
    close_flight,
    flight_on_record,
    labels_unused,
    open_flight,
    state_of,
)
from flycam.pipeline.laying.planning import Planned, frame_record
from flycam.pipeline.laying.rectification import GroundView, ground_view, recorded_pose
from flycam.pipeline.laying.refolding import live_mosaics, refold_mosaic
from flycam.pipeline.laying.relay import Relay, carry_out
from flycam.pipeline.live.coding import Coded, coded_jpeg
from flycam.pipeline.live.doubts import Doubts
from flycam.pipeline.live.filmed import Filmed
from flycam.pipeline.live.map import Laid, OpenMap
from flycam.pipeline.live.merging import Merger
from flycam.pipeline.live.patience import Patience
from flycam.pipeline.live.registration import LiveRegistration
from flycam.pipeline.live.telemetry import PoseAt
from flycam.pipeline.terrain import keep_ground
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.store import keys

_WHY = "laid again by a clock that is known better"


class Ground(Protocol):
    """names: of the files that the terrain is made of."""

    names: str

    def under(self, centre_m: tuple[float, float, float]) -> TerrainGrid:
        """The recorded terrain for a camera at (east, north, height) of the work CRS."""


class LiveLaying:
    """Lays pictures into the flight of one film, which is opened by the first that can be laid.

    Inside the context, which the caller leaves before he gives the flight's lock back: whatever goes wrong
    before `close` is through, nothing of this is still writing then.

    Frames that are on the map stay as they lie: `flycam.pipeline.live.standing` has seen to them before.

    new         frames that this run laid, and readers see; relaid: those of them that it laid again
    late_ms     of each, from its arrival until readers see it; first_shown_ns: when the first was (monotonic)
    laid_ns     when the newest picture on the map was taken, UTC; None: there is none
    notes       what is to be said of the way the flight was opened, as `flycam.frame.warning` keeps it
    rejections  frames that could not be laid
    registration  what fits frames to each other, and counts
    patience    with store and database, while they are away
    withdrawn   ids of chosen pictures that were withdrawn; filmed_before: how many chosen pictures show what
                frames on record show
    """

    def __init__(
        self,
        workspace: Workspace,
        flight_id: str,
        film: Film,
        ground: Ground,
        labels: Labels,
        patience: Patience | None = None,
    ) -> None:
        self.patience = patience or Patience(workspace.clock_ns)
        self._workspace, self._flight_id, self._film = workspace, flight_id, film
        self._ground, self._labels = ground, labels
        self._open: OpenMap | None = None
        self._opens: Callable[[Opened], OpenMap]
        self._is_closed = False
        self._doubts = Doubts(film, flight_id)
        # a picture is made a JPEG, and read back, while it is fitted to those before
        self._coding = ThreadPoolExecutor(1, thread_name_prefix="coding")
        self._merger = Merger()
        standing = workspace.catalog.frames.of_flight(flight_id)
        self._standing = {record.frame_id: record for record in standing}
        mine = film.pictures_in(flight_id, standing)
        self._filmed = Filmed(mine)
        self.rejections = Rejections()
        self.registration = LiveRegistration(film.interior)
        self.withdrawn: set[str] = set()
        self.filmed_before = 0
        self.new = self.relaid = 0
        self.late_ms: list[float] = []
        self.first_shown_ns: int | None = None
        self.notes: tuple[str, ...] = ()
        on_map = (one.header.captured_ns for one in mine if one.status is FrameStatus.USED)
        self.laid_ns = max(on_map, default=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Let go of what `close` did not write."""
        if not self._is_closed:
            self._abandon()

    def lay(
        self,
        picture: VideoPicture,
        told: ExteriorOrientation,
        *,
        hurried: bool = False,
        doubt_s: float | None = None,
    ) -> bool:
        """Rectify, record and merge one picture, whose tiles are then written behind; whether it was laid.
        Raises what storage does.

        told     its pose by the log; hurried: others wait, so it is not fitted by its own evidence
        doubt_s  sigma of the clock it is laid by, where that is not known: the flight says so from now on
        """
        frame_id = frame_id_of(self._film.stream_id, f"pts:{picture.pts_ns}")
        record = self._standing.get(frame_id)
        if record is not None and record.status is FrameStatus.WITHDRAWN:
            self.withdrawn.add(frame_id)
            return False
        if record is not None and record.status is FrameStatus.USED:
            self._recall(picture, told, record)
            return False
        if record is None and self._filmed.covers(picture.pts_ns):
            self.filmed_before += 1
            return False
        if self._open is None:
            self.patience(lambda: self._check_lies_nowhere_else(frame_id))
        name = picture_name(self._film.name, picture.pts_ns)
        header = FrameHeader(
            frame_id=frame_id,
            captured_ns=picture.t_utc_ns,
            layer=Layer.COLOUR,
            interior=self._film.interior,
            exterior_prior=told,
            provenance=Provenance(
                source_name=name, source_sha256="", camera=FILM_CAMERA, film=self._film.stream_id
            ),
        )
        coded: Future[Coded] | None = None
        try:
            terrain = self.patience(lambda: self._ground.under(told.projection_centre_m))
            if looks_up(self._film.interior, told):
                ground_view(header, terrain)  # who sees no ground need not be fitted to it
            coded = self._coding.submit(coded_jpeg, picture.pixels, name)
            pose = self.registration.pose(picture, told, terrain, hurried=hurried)
            try:
                lay = partial(self._laid_by, pose, header, coded, terrain, picture, doubt_s)
                laid = self.patience(lay)
            except FrameRejected:
                self.registration.left_out()
                raise
        except FrameRejected as error:
            if coded is not None:
                coded.cancel()
            self.rejections.add(header, error)
            return False
        self.registration.laid()
        self._merger.add(laid)
        return True

    def _check_lies_nowhere_else(self, frame_id: str) -> None:
        """Raise OptionUnusable where the film lies in another flight: a frame is in one alone."""
        catalog = self._workspace.catalog
        try:
            record = catalog.frames.get(frame_id)
        except NotFound:
            return
        if record.flight_id == self._flight_id or record.status is FrameStatus.REJECTED:
            return
        name = catalog.flights.flight(record.flight_id).name
        raise OptionUnusable(
            _(
                "{name}: this film lies in the flight {flight} already, and stays there; give "
                "--flight {flight_id}",
                name=self._film.name,
                flight=name,
                flight_id=record.flight_id,
            )
        )

    def _laid_by(
        self,
        pose: ExteriorOrientation,
        header: FrameHeader,
        coded: Future[Coded],
        terrain: TerrainGrid,
        picture: VideoPicture,
        doubt_s: float | None,
    ) -> Callable[[], None]:
        """Keep a picture that is laid by this pose; what merges it. Raises FrameRejected."""
        view, ground = self._seen(replace(header, exterior_prior=pose), terrain)
        # only now: who sees no ground need not be kept
        data, sha256, kept = coded.result()
        keep_bytes(self._workspace, data, sha256)
        header = replace(header, provenance=replace(header.provenance, source_sha256=sha256))
        # a name alone: the picture lies in the evidence store
        planned = Planned(header=header, view=view, path=Path(header.provenance.source_name))
        opened = self._opened(planned, terrain)
        if doubt_s is not None:
            self._doubts.add(header, doubt_s, picture.breaks)
            opened.change(self._workspace, self._doubts.said)  # now: a program that is killed says nothing
        if ground is not terrain:
            keep_ground(self._workspace, ground)
        record = replace(self._record(planned, opened, ground.dem_id), exterior=pose)
        return partial(self._merge, opened, Laid(record, picture.arrived_ns), kept, ground)

    def _seen(self, header: FrameHeader, terrain: TerrainGrid) -> tuple[GroundView, TerrainGrid]:
        """What a picture sees by its pose for the map, and the ground to lay it on. Raises FrameRejected."""
        view = ground_view(header, terrain)
        centre_m = header.exterior_prior.projection_centre_m
        ground = self.registration.ground(view.footprint.bounds_m, centre_m, terrain)
        if ground is terrain:
            return view, terrain
        try:
            return ground_view(header, ground), ground
        except FrameRejected:  # it sees past the part that was lifted
            return view, terrain

    def _recall(self, picture: VideoPicture, told: ExteriorOrientation, record: FrameRecord) -> None:
        """Let a frame that lies on the map be known to those that come, as if it had been laid just now; its
        picture and its ground are put back where they were lost."""
        with suppress(FrameRejected):
            terrain = self.patience(lambda: self._ground.under(told.projection_centre_m))
            pose = self.registration.pose(picture, told, terrain, recorded_pose(record)[0])
            header = replace(record.header, exterior_prior=pose)
            self.patience(partial(self._put_back, picture, header, str(record.dem_id), terrain))

    def _put_back(
        self, picture: VideoPicture, header: FrameHeader, dem_id: str, terrain: TerrainGrid
    ) -> None:
        """Only what is the very same: a tile is not made of others."""
        store, sha256 = self._workspace.store, header.provenance.source_sha256
        if not store.exists(keys.evidence(sha256)):
            data, found, _ = coded_jpeg(picture.pixels, header.provenance.source_name)
            if found == sha256:
                with suppress(LetGo):
                    keep_bytes(self._workspace, data, sha256)
                store.flush()
        if not store.exists(keys.terrain(dem_id)):
            _, ground = self._seen(header, terrain)
            if ground.dem_id == dem_id:
                keep_ground(self._workspace, ground)
                store.flush()

    @property
    def error(self) -> BaseException | None:
        """What went wrong with what is merged already, as soon as it did; None: nothing."""
        return self._merger.error or (self._open.publisher.error if self._open is not None else None)

    @property
    def left_out(self) -> Counter[str]:
        """Chosen pictures that are not laid, by reason."""
        reasons = Counter(error.reason for _, error in self.rejections.errors)
        return reasons + Counter(withdrawn=len(self.withdrawn), filmed_before=self.filmed_before)

    def close(self, warnings: Sequence[str], progress: Progress) -> Flight | None:
        """Write what is left, cover the communes, show the flight as complete; None if nothing is laid.

        warnings  what else the flight is to say for ever
        """
        self._coding.shutdown()
        self._merger.close()
        if self._open is not None:
            self._open.publisher.close()
            self._open.stack.close()
        self._is_closed = True
        if self._open is None:
            return self._as_it_stands()
        opened = self._open
        catalog = self._workspace.catalog
        used = self.patience(partial(catalog.frames.of_flight, self._flight_id, FrameStatus.USED))
        on_map = {record.frame_id for record in used}
        refused = self.rejections.records(self._flight_id)
        self.patience(partial(catalog.frames.put, [one for one in refused if one.frame_id not in on_map]))
        flight = opened.flight.flight
        flight = replace(flight, warnings=tuple(dict.fromkeys((*flight.warnings, *warnings))))
        cover = partial(cover_communes, self._workspace, flight, progress, changed=self.new > 0)
        self.patience(cover)
        return self.patience(
            lambda: close_flight(self._workspace, flight, state_of(self._workspace, self._flight_id))
        )

    def _as_it_stands(self) -> Flight | None:
        """The flight to which nothing was laid; None: there is none."""
        standing = self.patience(partial(flight_on_record, self._workspace, self._flight_id))
        if standing is None:
            return None
        self.notes = self.patience(partial(labels_unused, self._workspace, standing, self._labels))
        return standing

    def lay_again(self, clock: ClockOffset, breaks: int, pose_at: PoseAt, *, is_over: bool = False) -> None:
        """Lay the frames that lie in doubt again where the clock is known now, or twice as well as it was
        when they were laid; those to come are fitted to them as they lie then. Raises what storage does.

        Frames from before a jump of the video's time stay as they lie, and so do those of which the log tells
        nothing any more: the flight says it.

        breaks   how often the video's time had jumped in the pictures that the clock is of; pose_at: by it
        is_over  no picture comes any more; until then those to come wait, and the newest alone are laid again
        """
        told: dict[str, ExteriorOrientation] = {}
        for frame_id, pts_ns in self._doubts.due(clock, breaks, is_over=is_over).items():
            with suppress(FrameRejected):
                told[frame_id] = pose_at(pts_ns)
        if not told or self._open is None:
            return
        opened = self._open
        self._merger.close()
        opened.publisher.close()
        opened.stack.close()
        of_flight = partial(self._workspace.catalog.frames.of_flight, self._flight_id, FrameStatus.USED)
        records = {one.frame_id: one for one in self.patience(of_flight)}
        self.registration.begin_anew()
        again: list[FrameRecord] = []
        for frame_id, pose in told.items():
            with suppress(FrameRejected):
                again.append(self._placed_again(records[frame_id], pose, opened))
        relay = Relay(frames=tuple(again))
        carried = partial(
            carry_out, self._workspace, self._flight_id, relay, self._workspace.clock_ns(), _WHY
        )
        self.patience(carried)
        for mosaic in live_mosaics(self._workspace, self._flight_id):
            also = relay.tiles(mosaic.layer)
            self.patience(partial(refold_mosaic, self._workspace, mosaic, silent, also=also))
        self.relaid += len(again)
        self._doubts.laid_again(again, clock)
        self._merger = Merger()
        self._open = self._opens(opened.flight)
        self._open.change(self._workspace, self._doubts.said)

    def _placed_again(self, record: FrameRecord, told: ExteriorOrientation, opened: OpenMap) -> FrameRecord:
        """A frame that lies on the map as it is to lie by another pose of the log. Raises FrameRejected."""
        provenance, header = record.header.provenance, replace(record.header, exterior_prior=told)
        sha256, name = provenance.source_sha256, provenance.source_name
        copy = self.patience(partial(local_copy, self._workspace, sha256, name))
        pts_ns, taken_ns = picture_pts_ns(name), header.captured_ns
        picture = VideoPicture(pts_ns=pts_ns, t_utc_ns=taken_ns, arrived_ns=0, pixels=open_pixels(copy))
        terrain = self.patience(lambda: self._ground.under(told.projection_centre_m))
        pose = self.registration.pose(picture, told, terrain)
        try:
            view, ground = self._seen(replace(header, exterior_prior=pose), terrain)
        except FrameRejected:
            self.registration.left_out()
            raise
        if ground is not terrain:
            self.patience(partial(keep_ground, self._workspace, ground))
        planned = Planned(header=header, view=view, path=Path(name))
        return replace(self._record(planned, opened, ground.dem_id), exterior=pose)

    def _abandon(self) -> None:
        """Wait for who is writing, and write nothing of what waits: an error is on its way. What one step of
        this raises keeps none of the others from being done."""
        opened, error = self._open, RuntimeError("abandoned")
        with ExitStack() as steps:  # the last is done first
            if opened is not None:
                steps.callback(opened.stack.__exit__, RuntimeError, error, None)
            steps.callback(self._merger.abandon)
            if opened is not None:
                steps.callback(opened.publisher.abandon)  # who merges may wait for it
            steps.callback(self._coding.shutdown, cancel_futures=True)
            steps.callback(self.patience.give_up)  # who waits for the store would keep this waiting

    def _opened(self, planned: Planned, terrain: TerrainGrid) -> OpenMap:
        if self._open is None:
            flight = open_flight(
                self._workspace,
                self._flight_id,
                [planned],
                terrain,
                self._labels,
                self._ground.names,
                default_name=self._film.title,
                work_crs=self._film.work_crs,
                is_drill=self._film.is_drill,
            )
            self._opens = partial(
                OpenMap.of, self._workspace, first=planned, shown=self._shown, patience=self.patience
            )
            self._open = self._opens(flight)
            self.notes = flight.notes
            self._doubts.opened(flight.flight)
        return self._open

    def _record(self, planned: Planned, opened: OpenMap, dem_id: str) -> FrameRecord:
        work_crs, base_zoom = opened.flight.flight.work_crs, opened.base_zoom
        return frame_record(planned, self._flight_id, work_crs, base_zoom, dem_id)

    def _merge(self, opened: OpenMap, laid: Laid, pixels: NDArray[np.uint8], terrain: TerrainGrid) -> None:
        """In the merger's thread: merge a frame where it can win; its tiles are written by the publisher."""
        opened.records.add(laid.record)
        for patch in opened.claims.patches(laid.record, pixels, terrain):
            self.patience(partial(opened.writer.add, patch))
        opened.publisher.add(laid)

    def _shown(self, laid: Sequence[Laid]) -> None:
        """In the publisher's thread: readers see these now."""
        assert self._open is not None  # noqa: S101  its publisher calls
        now_ns = time.monotonic_ns()  # the log names them already
        self.patience(partial(self._open.grow, self._workspace, [one.record for one in laid]))
        self.first_shown_ns = self.first_shown_ns or now_ns
        self.late_ms.extend((now_ns - one.arrived_ns) / 1e6 for one in laid)
        self.new += len(laid)
        taken_ns = max(one.record.header.captured_ns for one in laid)
        self.laid_ns = max(taken_ns, self.laid_ns or taken_ns)
