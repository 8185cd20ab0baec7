"""The main job: photos on a card to a mosaic in the store.

    try store -> survey -> terrain -> plan -> open flight -> evidence -> mend, re-lay -> rectify -> record
    -> merge -> communes -> ready

Bytes first, then the record that names them. Interrupted anywhere, the same command completes it: what was
recorded is rectified again with the pose and terrain recorded for it, and merging twice changes nothing.
Tiles of the flight that are lost or damaged are made again, and frames are laid again on terrain that came
after them (`flycam.pipeline.laying.relay`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.catalog.records import Coverage, FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import InputUnusable
from flycam.frame.flight import Flight
from flycam.frame.frame import flight_id_of
from flycam.frame.warning import KEPT_NOW, MAYBE_INFRARED, MENDED, warning
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.doctor.diagnosis import Diagnosis, Rejection
from flycam.ingest.doctor.layers import doubted_cameras
from flycam.messages import Bilingual, _
from flycam.pipeline.cluster.squares import join_all
from flycam.pipeline.coverage import boundaries_said, cover_communes
from flycam.pipeline.evidence import keep
from flycam.pipeline.freeing import watched
from flycam.pipeline.ingest_spread import spread_frames
from flycam.pipeline.laying.joining import finer_said, joined
from flycam.pipeline.laying.known import (
    in_their_layers,
    keep_known,
    let_go_warnings,
    options_unused_said,
    withdrawals_said,
    without_let_go,
)
from flycam.pipeline.laying.merging import Rejections, merge_frames
from flycam.pipeline.laying.moving import (
    carry_out_moves,
    open_targets,
    show_layers_in_use,
    with_moves,
)
from flycam.pipeline.laying.opening import (
    Labels,
    Opened,
    close_flight,
    flight_on_record,
    open_flight,
    open_mosaic,
    state_of,
)
from flycam.pipeline.laying.planning import Planned, frame_record, ground_under, nothing_seen, planned_on
from flycam.pipeline.laying.refolding import Refolded, live_mosaics, refold_mosaic
from flycam.pipeline.laying.relay import Relay, carry_out, plan_relay
from flycam.pipeline.laying.survey import Survey, SurveyRequest, survey
from flycam.pipeline.outdated import outdated_said
from flycam.pipeline.pictures import NO_EARLY_LOOKS, EarlyLooks, look_at
from flycam.pipeline.terrain import names_here, registered_dems, terrain_beside
from flycam.pipeline.trial import try_store
from flycam.pipeline.workspace import Progress, Workspace, silent


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """What an ingest did.

    used      photos of this run that are on the map; in_flight: all that its flight has there
    new       frames merged by this run (0 when the same bytes are ingested again)
    relaid    frames laid again on other terrain
    mended    tiles that were lost or damaged
    notes     what was done or not done besides, as `flycam.frame.warning` keeps it
    left_out  frames left out, each with its reason and a sentence
    communes  by covered area, largest first
    """

    flight: Flight
    survey: Survey
    used: int
    in_flight: int
    new: int
    left_out: tuple[Rejection, ...]
    communes: tuple[Coverage, ...]
    seconds: float
    relaid: int = 0
    mended: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rejected(self) -> dict[str, int]:
        """Frames left out, by reason."""
        return dict(sorted(Counter(one.reason for one in self.left_out).items()))


def ingest(
    workspace: Workspace,
    request: SurveyRequest,
    labels: Labels,
    progress: Progress = silent,
    *,
    relay: bool = False,
    into: str | None = None,
    early: EarlyLooks = NO_EARLY_LOOKS,
) -> IngestReport:
    """Photos to a published live-quality mosaic; see the recipe above. Idempotent.

    relay  lay frames that are on the map again on the terrain of today, whatever it is
    into   the flight that the photos join (id, name, or "auto"; see `flycam.pipeline.laying.joining`)
    early  looks at the photos that were begun before

    Raises InputUnusable when nothing of the input can be used, NameTaken, FlightBusy when another process
    writes this flight now, StorageTrouble when store, disk or database fail (run again).
    """
    started_ns = workspace.clock_ns()
    workspace = watched(workspace)
    workspace.require_room()
    try_store(workspace)
    dems = registered_dems(workspace)
    seen = survey(request, dems, checks_of=lambda photos: look_at(photos, progress, early))
    _refuse_feet(seen.diagnosis, dems)
    flight_id = _flight_id(workspace, seen.diagnosis, into)
    with workspace.catalog.flights.lock(flight_id):
        if into is not None:  # it may have changed since
            _flight_id(workspace, seen.diagnosis, flight_id)
        plan = _plan(workspace, request, seen, dems, flight_id, asked=relay, joins=into is not None)
        opened = open_flight(
            workspace,
            flight_id,
            plan.frames,
            plan.terrain,
            labels,
            plan.terrain_names,
            plan.again,
            default_name=plan.frames[0].path.resolve().parent.name,
            work_crs=seen.diagnosis.work_crs,
            is_drill=seen.diagnosis.is_drill,
            doubted=_doubted(seen),
        )
        _keep_inputs(workspace, request)
        kept = keep_known(workspace, flight_id, plan.frames)
        refolded = _amend(workspace, opened, plan, started_ns, progress)
        new = _merge(workspace, opened, plan, progress)
        unseen = Rejections(errors=list(seen.diagnosis.refused))
        workspace.catalog.frames.put([*unseen.records(flight_id), *plan.rejections.records(flight_id)])
        show_layers_in_use(workspace, flight_id)
        changed = new > 0 or plan.again.is_due or refolded.lines > 0
        communes = cover_communes(workspace, opened.flight, progress, changed=changed)
        flight = close_flight(workspace, opened.flight, state_of(workspace, flight_id))
        workspace.catalog.audit.append(
            workspace.operator or workspace.box, "ingest", flight_id, f"{new} new frames", at_ns=started_ns
        )
    given = [*seen.diagnosis.headers, *(header for header, _ in seen.diagnosis.refused)]
    used = {record.frame_id for record in workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED)}
    return IngestReport(
        flight=flight,
        survey=seen,
        used=len(used & {header.frame_id for header in given}),
        in_flight=len(used),
        new=new,
        left_out=(*seen.unreadable, *seen.diagnosis.rejected, *plan.rejections.sentences(but=used)),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - started_ns) / 1e9,
        relaid=len(plan.again.frames),
        mended=refolded.mended,
        notes=(
            *_notes(workspace, seen, opened, refolded),
            *([warning(KEPT_NOW, photos=kept)] if kept else []),
            *(finer_said(flight, plan.frames) if into is not None else ()),
            *options_unused_said(workspace, flight_id, request, plan.frames),
            *boundaries_said(workspace.catalog, flight),
            *workspace.room.notes,
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What an ingest is going to do with the frames that see ground.

    again       frames that are on the map and are laid again, or in another layer
    rejections  frames left out; more are added while frames are made
    """

    terrain: TerrainGrid
    terrain_names: str
    frames: Sequence[Planned]
    again: Relay
    rejections: Rejections


def _plan(
    workspace: Workspace,
    request: SurveyRequest,
    seen: Survey,
    dems: Sequence[DemInfo],
    flight_id: str,
    *,
    asked: bool,
    joins: bool,
) -> _Plan:
    """Only reads. Raises OutsideTerrain where no frame sees ground."""
    terrain = ground_under(workspace, seen.diagnosis, dems)
    if joins:
        terrain = terrain_beside(workspace, dems, terrain, flight_on_record(workspace, flight_id))
    frames, refused = planned_on(seen.diagnosis, terrain)
    names = names_here(dems, terrain.bounds_m, terrain.work_crs)
    if not frames:
        raise nothing_seen(seen, refused, names)
    frames = without_let_go(workspace, frames)
    frames = in_their_layers(workspace, flight_id, frames, request.layer)
    again = plan_relay(
        workspace, flight_id, seen.diagnosis.rejected, frames, refused, terrain, names, asked=asked
    )
    return _Plan(
        terrain=terrain,
        terrain_names=names,
        frames=frames,
        again=with_moves(workspace, flight_id, frames, again),
        rejections=Rejections(errors=refused),
    )


def _amend(workspace: Workspace, opened: Opened, plan: _Plan, at_ns: int, progress: Progress) -> Refolded:
    """Record what is laid again or moved, then make the tiles that are there what the recorded frames make
    them."""
    flight_id = opened.flight.flight_id
    open_targets(workspace, opened.flight, plan.again)
    carry_out(workspace, flight_id, plan.again, at_ns)
    carry_out_moves(workspace, flight_id, plan.again, at_ns)
    paths = {frame.header.frame_id: frame.path for frame in plan.frames}
    done = [
        refold_mosaic(
            workspace, mosaic, progress, also=plan.again.tiles(mosaic.layer), paths=paths, check=True
        )
        for mosaic in live_mosaics(workspace, flight_id)
    ]
    return Refolded(lines=sum(one.lines for one in done), mended=sum(one.mended for one in done))


def _merge(workspace: Workspace, opened: Opened, plan: _Plan, progress: Progress) -> int:
    """Merge the frames that are not on the map, layer by layer; how many there were."""
    new = 0
    for layer in sorted({frame.header.layer for frame in plan.frames}):
        frames = [frame for frame in plan.frames if frame.header.layer == layer]
        mosaic = open_mosaic(workspace, opened.flight, layer, frames)
        frames = [frame for frame in frames if frame.header.frame_id not in plan.again.held]
        todo = list(_records(workspace, opened, mosaic, frames, plan.terrain))
        merge = merge_frames if workspace.cluster is None else spread_frames
        new += merge(workspace, mosaic, todo, plan.terrain, plan.rejections, progress)
        if opened.was_cut_short:
            join_all(workspace, mosaic)
    return new


def _notes(workspace: Workspace, seen: Survey, opened: Opened, refolded: Refolded) -> tuple[str, ...]:
    """What was done or not done besides."""
    flight_id = opened.flight.flight_id
    given = [*seen.diagnosis.headers, *(header for header, _ in seen.diagnosis.refused)]
    withdrawn = withdrawals_said(workspace, flight_id, [header.frame_id for header in given])
    mended = [warning(MENDED, tiles=refolded.mended)] if refolded.mended else []
    shown = [one for one in workspace.catalog.tiles.mosaics(flight_id) if one.published]
    older = outdated_said(workspace.catalog, shown)
    let_go = let_go_warnings(workspace, given)
    return tuple(dict.fromkeys((*withdrawn, *let_go, *opened.notes, *mended, *older)))


def _refuse_feet(diagnosis: Diagnosis, dems: Sequence[DemInfo]) -> None:
    """Raise InputUnusable, naming the files, where the doctor found the terrain to be in feet."""
    for problem in diagnosis.problems:
        if problem.code == "terrain_in_feet":
            centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
            (west, south), (east, north) = centres[:, :2].min(axis=0), centres[:, :2].max(axis=0)
            names = names_here(dems, (west, south, east, north), diagnosis.work_crs)
            raise InputUnusable(
                _(
                    "{names}: {sentence_en}",
                    names=names,
                    sentence_en=Bilingual(problem.sentence_en, problem.sentence_vi),
                )
            )


def _flight_id(workspace: Workspace, diagnosis: Diagnosis, into: str | None) -> str:
    """The flight asked for, the one that already holds one of these frames (a card completed later), or a
    new id."""
    frame_ids = [header.frame_id for header in diagnosis.headers]
    standing = workspace.catalog.flights.flight_of_frames(frame_ids)
    if into is not None:
        return joined(workspace, into, diagnosis, standing)
    return standing or flight_id_of(frame_ids)


def _doubted(seen: Survey) -> frozenset[str]:
    """Cameras of this run whose colours may be near-infrared."""
    is_doubted = any(problem.code == MAYBE_INFRARED for problem in seen.diagnosis.problems)
    return doubted_cameras(seen.photos) if is_doubted else frozenset()


def _keep_inputs(workspace: Workspace, request: SurveyRequest) -> None:
    for path in (request.telemetry, request.camera):
        if path is not None:
            keep(workspace, path)


def _records(
    workspace: Workspace,
    opened: Opened,
    mosaic: MosaicInfo,
    frames: Sequence[Planned],
    terrain: TerrainGrid,
) -> Iterator[tuple[FrameRecord, Path]]:
    """What is to be merged: the record that stands in the catalogue, else a new one."""
    flight = opened.flight
    standing = {record.frame_id: record for record in workspace.catalog.frames.of_flight(flight.flight_id)}
    for frame in frames:
        record = standing.get(frame.header.frame_id)
        if record is not None and record.status is FrameStatus.WITHDRAWN:
            continue
        if record is not None and record.status is FrameStatus.USED:
            if not opened.was_ready:
                yield record, frame.path
            continue
        work_crs, base_zoom = flight.work_crs, mosaic.base_zoom
        yield (
            frame_record(frame, flight.flight_id, work_crs, base_zoom, terrain.dem_id),
            frame.path,
        )
