"""Planning of a flight's reprocessing on terrain that was registered after it.

A published map does not move by itself: only where terrain is known now that was not, and no ground is lost
by it, is a flight reprocessed without a request. Any other improvement (a finer model, a partial one) waits
for the operator's request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flycam.catalog.frames import SET_ASIDE_REASON
from flycam.errors import FrameRejected, InputUnusable
from flycam.geometry.grid import TileRange
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.model.diagnosis import Rejection
from flycam.model.flight import is_flat_datum
from flycam.model.frame import FrameHeader
from flycam.model.layer import Layer
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.warning import (
    FINISHED_OLDER,
    FRAMES_SET_ASIDE,
    REPROCESSED,
    REPROCESSED_FLAT,
    TERRAIN_WAITS,
    encode_warning,
)
from flycam.mosaic.orthorectify.frame_plan import FrameFootprint, build_frame_record
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics
from flycam.mosaic.redaction import update_redaction_footprints
from flycam.mosaic.terrain import Floats, compute_unknown_share, load_recorded_terrain
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.mosaic.tiles.groups import DAMAGE
from flycam.workspace import Workspace

_MIN_GAIN = 0.005
"""Share of the imaged ground below which more or less known terrain is no reason to act."""

_POSE_REASONS = frozenset({"pose_rejected", "no_height", "horizon_in_view", "outside_terrain"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ReprocessPlan:
    """Plan of the frames of a flight to be reprocessed.

    frames     their new records
    set_aside  new records of frames on the map that see no known ground any more
    notes      encoded by `flycam.model.warning`
    held       frames set aside before that stay so
    moved      new records of frames that only change their layer
      (`flycam.mosaic.flight_edits`)
    moved_ids  ids of all frames that change it
    """

    frames: tuple[FrameRecord, ...] = ()
    set_aside: tuple[FrameRecord, ...] = ()
    notes: tuple[str, ...] = ()
    held: frozenset[str] = field(default_factory=frozenset)
    moved: tuple[FrameRecord, ...] = ()
    moved_ids: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_due(self) -> bool:
        return bool(self.frames or self.set_aside)

    @property
    def frame_ids(self) -> frozenset[str]:
        return frozenset(record.frame_id for record in (*self.frames, *self.set_aside))

    def tiles(self, layer: Layer) -> list[TileRange]:
        """Return the tiles that frames of a layer will touch."""
        records = (*self.frames, *self.moved)
        return [r.tiles for r in records if r.tiles is not None and r.header.layer == layer]


NO_REPROCESS = ReprocessPlan()


def plan_reprocess(
    workspace: Workspace,
    flight_id: str,
    rejected: Sequence[Rejection],
    planned: Sequence[FrameFootprint],
    refused: Iterable[tuple[FrameHeader, FrameRejected]],
    terrain: TerrainGrid,
    terrain_names: str,
    *,
    is_requested: bool = False,
) -> ReprocessPlan:
    """Plan which frames on the map are to be reprocessed on `terrain`; reads only.

    Without a request: those on a plane where there is terrain now, those on terrain with holes where there
    are fewer now; all of the run or none, and none if ground or frames would be lost by it. Raises
    InputUnusable if requested to move frames from terrain onto a plane.

    rejected  frames that the preflight check left out of this run; refused  frames that see no ground, each
      with its error
    """
    records = {one.frame_id: one for one in workspace.catalog.frames.list_for_flight(flight_id)}
    views = {frame.header.frame_id: frame for frame in planned}
    on_map = [one for one in records.values() if one.status is FrameStatus.USED]
    here = [one for one in on_map if one.frame_id in views]
    back = [one for one in records.values() if one.reason == SET_ASIDE_REASON and one.frame_id in views]
    held = frozenset(one.frame_id for one in back)
    lost = _lost(on_map, views, rejected, refused)
    is_current = {parse_source_dem_id(str(one.dem_id)) for one in here} == {terrain.dem_id}
    if not (here or back) or (not is_requested and not back and is_current):
        return ReprocessPlan(held=held)
    gain = _gain(workspace, here, views, terrain)
    if is_requested:
        _refuse_plane(here, terrain)
    elif not gain.is_better and not back:
        return ReprocessPlan(held=held)
    elif lost or gain.loses:
        note = encode_warning(
            TERRAIN_WAITS, files=terrain_names, percent=round(100 * (1 - gain.unknown)), lost=len(lost)
        )
        return ReprocessPlan(notes=(note,), held=held)
    new = _reproject(workspace, flight_id, [*here, *back], views, terrain.dem_id)
    frames = tuple(one for one in new if _differ(records[one.frame_id], one))
    aside = tuple(_set_aside(one, lost[one.frame_id]) for one in on_map if one.frame_id in lost)
    shown = [one.revision for one in workspace.catalog.tiles.mosaics(flight_id) if one.published]
    return ReprocessPlan(
        frames=frames,
        set_aside=aside,
        notes=tuple(_list_reprocess_notes(frames, aside, terrain_names, max(shown))),
    )


def _reproject(
    workspace: Workspace,
    flight_id: str,
    records: Sequence[FrameRecord],
    views: Mapping[str, FrameFootprint],
    dem_id: str,
) -> list[FrameRecord]:
    """Build the frames' records of today, each in its recorded layer."""
    zooms = {mosaic.layer: mosaic.base_zoom for mosaic in list_live_mosaics(workspace, flight_id)}
    work_crs = workspace.catalog.flights.flight(flight_id).work_crs
    new = []
    for record in records:
        layer = record.header.layer
        reprojected = build_frame_record(views[record.frame_id], flight_id, work_crs, zooms[layer], dem_id)
        new.append(replace(reprojected, header=replace(reprojected.header, layer=layer)))
    return new


def apply_reprocess_plan(
    workspace: Workspace, flight_id: str, reprocess: ReprocessPlan, at_ns: int, reason: str | None = None
) -> None:
    """Record the plan, with an audit entry; tiles are rebuilt by amendments.

    reason  None: the new terrain
    """
    if not reprocess.is_due:
        return
    who = workspace.operator or workspace.box
    if reason is None:
        terrain = ", ".join(sorted({str(record.dem_id) for record in reprocess.frames}))
        reason = f"re-laid on terrain {terrain}"
    workspace.catalog.placements.supersede([*reprocess.frames, *reprocess.set_aside], reason, who, at_ns)
    update_redaction_footprints(workspace)
    details = f"{len(reprocess.frames)} frames {reason}, {len(reprocess.set_aside)} set aside"
    workspace.catalog.audit.append(who, "relay", flight_id, details, at_ns=at_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gain:
    """Effect of new terrain.

    is_better  ground is known now that was not
    loses      some ground is not known any more
    unknown    share of the imaged ground that today's terrain does not know
    """

    is_better: bool
    loses: bool
    unknown: float


def _gain(
    workspace: Workspace,
    frames: Sequence[FrameRecord],
    views: Mapping[str, FrameFootprint],
    terrain: TerrainGrid,
) -> _Gain:
    outlines = {one.frame_id: views[one.frame_id].view.footprint.polygon_m for one in frames}
    after = compute_unknown_share(terrain, list(outlines.values())) if outlines else 0.0
    on_plane = [one for one in frames if _is_on_plane(one)]
    by_terrain: dict[str, list[str]] = {}
    for one in frames:
        if not _is_on_plane(one):
            by_terrain.setdefault(parse_source_dem_id(str(one.dem_id)), []).append(one.frame_id)
    before = 0.0
    for dem_id, ids in by_terrain.items():
        before += len(ids) / len(frames) * _unknown_on(workspace, dem_id, [outlines[i] for i in ids])
    is_real = not is_flat_datum(terrain.vertical_datum)
    return _Gain(
        is_better=is_real and (bool(on_plane) or before - after > _MIN_GAIN),
        loses=after - before > _MIN_GAIN,
        unknown=after,
    )


def _unknown_on(workspace: Workspace, dem_id: str, outlines: Sequence[Floats]) -> float:
    try:
        return compute_unknown_share(load_recorded_terrain(workspace, dem_id), outlines)
    except DAMAGE:
        # Frames on lost terrain cannot be rebuilt; on another they can.
        return 1.0


def _lost(
    on_map: Iterable[FrameRecord],
    views: Mapping[str, FrameFootprint],
    rejected: Iterable[Rejection],
    refused: Iterable[tuple[FrameHeader, FrameRejected]],
) -> dict[str, str]:
    """Return frames of this run on the map that cannot be placed now, and why."""
    by_id = {header.frame_id: str(error) for header, error in refused}
    by_name = {one.name: str(one.message) for one in rejected if one.reason in _POSE_REASONS}
    found = {}
    for record in on_map:
        why = by_id.get(record.frame_id) or by_name.get(record.header.provenance.source_name)
        if why is not None and record.frame_id not in views:
            found[record.frame_id] = why
    return found


def _refuse_plane(frames: Iterable[FrameRecord], terrain: TerrainGrid) -> None:
    if is_flat_datum(terrain.vertical_datum) and not all(_is_on_plane(one) for one in frames):
        raise InputUnusable(
            _(
                "--relay: no terrain is registered under this flight now, and it lies on "
                "terrain that was; add it with 'flycam dem add FILE' and run again, or leave "
                "the flight as it lies"
            )
        )


def _is_on_plane(record: FrameRecord) -> bool:
    return record.exterior is not None and is_flat_datum(record.exterior.vertical_datum)


def _differ(before: FrameRecord, after: FrameRecord) -> bool:
    """Return True if camera, pose or terrain differ, whatever the version."""
    if before.exterior is None or after.exterior is None:
        return before.exterior is not after.exterior
    unversioned = replace(before.exterior, version=after.exterior.version)
    return (unversioned, before.dem_id, before.header.interior) != (
        after.exterior,
        after.dem_id,
        after.header.interior,
    )


def _set_aside(record: FrameRecord, why: str) -> FrameRecord:
    return replace(
        record,
        status=FrameStatus.REJECTED,
        reason=SET_ASIDE_REASON,
        message=why,
        exterior=None,
        dem_id=None,
        footprint_wkb=None,
        gsd_m=None,
        tiles=None,
    )


def _list_reprocess_notes(
    frames: Sequence[FrameRecord], aside: Sequence[FrameRecord], names: str, on_show: int
) -> Iterable[str]:
    if frames:
        on = encode_warning(REPROCESSED, frames=len(frames), files=names) if names else None
        yield on or encode_warning(REPROCESSED_FLAT, frames=len(frames))
    if aside:
        names = ", ".join(record.header.provenance.source_name for record in aside)
        yield encode_warning(FRAMES_SET_ASIDE, frames=len(aside), names=names)
    if on_show > 0 and (frames or aside):
        yield encode_warning(FINISHED_OLDER, revision=on_show)
