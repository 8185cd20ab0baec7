"""The main job: photos on a card to a mosaic in the store.

    survey -> terrain -> plan -> open flight -> evidence -> rectify -> record -> merge -> communes -> ready

Bytes first, then the record that names them. Interrupted anywhere, the same command completes it: what was
recorded is rectified again with the pose and terrain recorded for it, and merging twice changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.records import Coverage, FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import FrameRejected, FrameUnreadable, InputUnusable, LensCovered, SourceUnreadable
from flycam.frame.flight import Flight
from flycam.frame.frame import FrameHeader, flight_id_of
from flycam.frame.tile import OrthoPatch
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.grid import TileRange
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.diagnosis import Diagnosis, Rejection
from flycam.ingest.judging import is_covered
from flycam.ingest.pixels import open_pixels
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.coverage import cover_communes
from flycam.pipeline.evidence import keep
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.opening import (
    Labels,
    Opened,
    Planned,
    close_flight,
    nothing_seen,
    open_flight,
    open_mosaic,
)
from flycam.pipeline.rectification import ground_view, parts_of, patch_of, recorded_pose, tiles_of
from flycam.pipeline.survey import Survey, SurveyRequest, survey
from flycam.pipeline.terrain import (
    TerrainLookup,
    names_here,
    recorded_terrain,
    registered_dems,
    terrain_for_flight,
)
from flycam.pipeline.withdraw import amendments_of
from flycam.pipeline.workspace import Progress, Workspace, silent

_REACH_PER_HEIGHT = 8.0
_MIN_REACH_M = 600.0
_MAX_REACH_M = 20_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """What an ingest did.

    new       frames merged by this run (0 when the same bytes are ingested again)
    left_out  frames left out, each with its reason and a sentence
    communes  by covered area, largest first
    """

    flight: Flight
    survey: Survey
    used: int
    new: int
    left_out: tuple[Rejection, ...]
    communes: tuple[Coverage, ...]
    seconds: float

    @property
    def rejected(self) -> dict[str, int]:
        """Frames left out, by reason."""
        return dict(sorted(Counter(one.reason for one in self.left_out).items()))


@dataclass(slots=True)
class _Rejections:
    """Frames left out on the way, each with its error."""

    errors: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)

    def records(self, flight_id: str) -> list[FrameRecord]:
        return [
            FrameRecord(
                header=header,
                flight_id=flight_id,
                status=FrameStatus.REJECTED,
                reason=error.reason,
                message=str(error),
            )
            for header, error in self.errors
        ]

    def sentences(self) -> list[Rejection]:
        named = [(header.provenance.source_name, error) for header, error in self.errors]
        return [
            Rejection(
                name=name,
                reason=error.reason,
                message=str(error) if name in str(error) else f"{name}: {error}",
            )
            for name, error in named
        ]


def ingest(
    workspace: Workspace,
    request: SurveyRequest,
    labels: Labels,
    progress: Progress = silent,
) -> IngestReport:
    """Photos to a published live-quality mosaic; see the recipe above. Idempotent.

    Raises InputUnusable when nothing of the input can be used, NameTaken, FlightBusy when another process
    writes this flight now, StorageTrouble when store, disk or database fail (run again).
    """
    started_ns = workspace.clock_ns()
    dems = registered_dems(workspace)
    seen = survey(request, dems)
    _refuse_feet(seen.diagnosis, dems)
    flight_id = _flight_id(workspace, seen.diagnosis)
    with workspace.catalog.flights.lock(flight_id):
        terrain = _terrain(workspace, seen.diagnosis, dems)
        rejections = _Rejections()
        planned = list(_plan(seen.diagnosis, terrain, rejections))
        terrain_names = names_here(dems, terrain.bounds_m, terrain.work_crs)
        if not planned:
            raise nothing_seen(seen, rejections.errors, terrain_names)
        opened = open_flight(workspace, flight_id, seen, planned, terrain, labels, terrain_names)
        _keep_inputs(workspace, request)
        new = 0
        for layer in sorted({frame.header.layer for frame in planned}):
            frames = [frame for frame in planned if frame.header.layer == layer]
            mosaic = open_mosaic(workspace, opened.flight, layer, frames)
            todo = list(_records(workspace, opened, mosaic, frames, terrain))
            new += _merge(workspace, mosaic, todo, terrain, rejections, progress)
        workspace.catalog.frames.put(rejections.records(flight_id))
        flight = close_flight(workspace, opened.flight)
        communes = cover_communes(workspace, flight, progress, changed=new > 0)
        workspace.catalog.audit.append(
            workspace.operator or workspace.box, "ingest", flight_id, f"{new} new frames", at_ns=started_ns
        )
    return IngestReport(
        flight=flight,
        survey=seen,
        used=len(workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED)),
        new=new,
        left_out=(*seen.unreadable, *seen.diagnosis.rejected, *rejections.sentences()),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - started_ns) / 1e9,
    )


def _refuse_feet(diagnosis: Diagnosis, dems: Sequence[DemInfo]) -> None:
    """Raise InputUnusable, naming the files, where the doctor found the terrain to be in feet."""
    for problem in diagnosis.problems:
        if problem.code == "terrain_in_feet":
            centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
            (west, south), (east, north) = centres[:, :2].min(axis=0), centres[:, :2].max(axis=0)
            names = names_here(dems, (west, south, east, north), diagnosis.work_crs)
            raise InputUnusable(f"{names}: {problem.sentence_en}")


def _flight_id(workspace: Workspace, diagnosis: Diagnosis) -> str:
    """The flight that already holds one of these frames (a card completed later), else a new id."""
    frame_ids = [header.frame_id for header in diagnosis.headers]
    return workspace.catalog.flights.flight_of_frames(frame_ids) or flight_id_of(frame_ids)


def _terrain(workspace: Workspace, diagnosis: Diagnosis, dems: Sequence[DemInfo]) -> TerrainGrid:
    centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
    plane = diagnosis.takeoff.height_m if diagnosis.takeoff else 0.0
    below, _ = TerrainLookup(dems)(to_lonlat(centres[:, :2], diagnosis.work_crs))
    ground = np.where(np.isfinite(below), below, plane)
    reach = float(np.clip(_REACH_PER_HEIGHT * np.median(centres[:, 2] - ground), _MIN_REACH_M, _MAX_REACH_M))
    low, high = centres[:, :2].min(axis=0) - reach, centres[:, :2].max(axis=0) + reach
    return terrain_for_flight(
        workspace,
        dems,
        diagnosis.work_crs,
        (float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        datum=diagnosis.vertical_datum,
        plane_height_m=plane,
    )


def _plan(diagnosis: Diagnosis, terrain: TerrainGrid, rejections: _Rejections) -> Iterator[Planned]:
    for header in diagnosis.headers:
        try:
            view = ground_view(header, terrain)
        except FrameRejected as error:
            rejections.errors.append((header, error))
            continue
        yield Planned(header=header, view=view, path=Path(diagnosis.paths[header.frame_id]))


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
        yield (
            FrameRecord(
                header=frame.header,
                flight_id=flight.flight_id,
                status=FrameStatus.USED,
                exterior=frame.header.exterior_prior,
                dem_id=terrain.dem_id,
                footprint_wkb=shapely.to_wkb(frame.view.outline_lonlat),
                gsd_m=frame.view.footprint.gsd_m,
                tiles=tiles_of(frame.view, flight.work_crs, mosaic.base_zoom),
            ),
            frame.path,
        )


def _merge(
    workspace: Workspace,
    mosaic: MosaicInfo,
    todo: Sequence[tuple[FrameRecord, Path]],
    terrain: TerrainGrid,
    rejections: _Rejections,
    progress: Progress,
) -> int:
    """Rectify in threads; record each frame, then merge it. The number of frames merged."""
    workers = workers_here()
    merged = done = 0
    terrains = {terrain.dem_id: terrain}
    for dem_id in {record.dem_id for record, _ in todo if record.dem_id} - terrains.keys():
        terrains[dem_id] = recorded_terrain(workspace, dem_id)
    with MosaicWriter(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        amendments=amendments_of(workspace, mosaic),
        workers=workers,
    ) as writer:
        photos = _Photos(workspace, workers + 1)
        parts = [
            (record, path, part, number == 0)
            for record, path in todo
            for number, part in enumerate(parts_of(recorded_pose(record)[1]))
        ]
        results = ordered_map(partial(_patch, photos, terrains), parts, workers, in_flight=workers + 1)
        for (record, _, _, is_first), result in zip(parts, results, strict=True):
            if isinstance(result, FrameRejected):
                if is_first:
                    rejections.errors.append((record.header, result))
            else:
                if is_first:
                    workspace.catalog.frames.put([record])
                    merged += 1
                writer.add(result)
            done += is_first
            if is_first:
                progress("rectify", done, len(todo))
    return merged


class _Photos:
    """Pixels of the photos at work; each is judged and kept as evidence once, then shared by its parts."""

    def __init__(self, workspace: Workspace, at_once: int) -> None:
        self._workspace = workspace
        self.read = lru_cache(maxsize=at_once)(self._read)

    def _read(self, path: Path, sha256: str) -> NDArray[np.uint8] | FrameRejected:
        """RGB, or why the frame is left out: a result, for the flight goes on."""
        try:
            pixels = open_pixels(path)
        except FrameRejected as error:
            return error
        if is_covered(pixels):
            return LensCovered(f"{path.name}: the picture is black or empty; was the lens covered?")
        try:
            keep(self._workspace, path, sha256)
        except SourceUnreadable as error:
            return FrameUnreadable(str(error))
        return pixels


def _patch(
    photos: _Photos, terrains: dict[str, TerrainGrid], item: tuple[FrameRecord, Path, TileRange, bool]
) -> OrthoPatch | FrameRejected:
    """One part of a frame's patch."""
    record, path, part, _ = item
    exterior, tiles, dem_id = recorded_pose(record)
    pixels = photos.read(path, record.header.provenance.source_sha256)
    if isinstance(pixels, FrameRejected):
        return pixels
    return patch_of(record.header, exterior, pixels, terrains[dem_id], tiles, part)
