"""Finished revisions held against the drill's truth, and against the pictures they were made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from bench.finish_flights import NAME, opened
from bench.seams import Detail, Seams, fine_detail, seam_gradients
from bench.truth_patches import patch_errors
from flycam.drill.photo_drill import DrillTruth
from flycam.geometry.grid import make_tile_range
from flycam.geometry.terrain import TerrainGrid
from flycam.model.frame import FrameHeader, MosaicTile
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, RevisionFrame
from flycam.mosaic.coverage import get_main_mosaic
from flycam.mosaic.finish.finished_tiles import decode_error_m
from flycam.mosaic.orthorectify.rectification import find_frame_tiles, orthorectify_frame, project_frame
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.tiles.codec import read_tile
from flycam.originals import PhotoCache
from flycam.workspace import Workspace

_BLOCK_TILES = 8
_DETAIL_TILES = 40
_TILE_PX = 256
_EVEN_PX = 12.0  # blur that exposure and vignetting are compared through


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Errors in metres of a mosaic: after one common shift and absolute; shares of 1."""

    median_m: float
    p95_m: float
    absolute_median_m: float
    absolute_p95_m: float
    found: float
    covered: float
    patches: int

    def words(self) -> str:
        return (
            f"{self.median_m:.3f} / {self.p95_m:.3f} m (absolute {self.absolute_median_m:.2f} / "
            f"{self.absolute_p95_m:.2f}), {self.found:.0%} of {self.patches} patches found"
        )


def places(mosaic: Path, truth: DrillTruth) -> Places:
    """A GeoTIFF against the true top view."""
    errors = patch_errors(mosaic, truth)
    within, absolute = errors.errors_m(after_shift=True), errors.errors_m(after_shift=False)
    return Places(
        median_m=float(np.median(within)),
        p95_m=float(np.percentile(within, 95)),
        absolute_median_m=float(np.median(absolute)),
        absolute_p95_m=float(np.percentile(absolute, 95)),
        found=errors.found,
        covered=errors.covered,
        patches=round(len(within) / max(errors.found, 1e-9)),
    )


def frame_agreement(data: Path, truth: DrillTruth) -> tuple[np.ndarray, np.ndarray]:
    """Errors n×3 of a revision's projection centres, the common shift taken out, and their sigmas."""
    with opened(data) as workspace:
        frames, records = frames_of(workspace)
        names = [records[f.frame_id].header.provenance.source_name for f in frames]
    true = np.array([truth.exteriors[name].projection_centre_m for name in names])
    error = np.array([f.exterior.projection_centre_m for f in frames]) - true
    return error - error.mean(axis=0), np.array([f.exterior.sigma_position_m for f in frames])


def ties_and_cells(data: Path) -> list[tuple[str, int, float]]:
    """Photo, ties used and share of its 8×8 grid that holds one (percent), of each frame of a revision."""
    with opened(data) as workspace:
        frames, records = frames_of(workspace)
        return [(records[f.frame_id].header.provenance.source_name, f.ties, f.cells_pct) for f in frames]


def expected_errors_m(data: Path) -> tuple[float, float]:
    """Median and p95 of what the revision itself expects its pixels to be off."""
    found = []
    with opened(data) as workspace:
        for tile in _tiles(workspace, _shown(workspace)):
            error = decode_error_m(tile.quality)[::8, ::8]
            found.append(error[tile.source[::8, ::8] > 0])
    every = np.concatenate(found)
    return float(np.median(every)), float(np.percentile(every, 95))


def seams_and_detail(data: Path) -> tuple[Seams, Detail]:
    """Seams of a whole revision, block by block; fine detail of some tiles spread over it."""
    with opened(data) as workspace:
        mosaic = _shown(workspace)
        heads = workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
        by_block: dict[tuple[int, int], list[MosaicTile]] = {}
        chosen = {heads[int(k)].tile_id for k in np.linspace(0, len(heads) - 1, _DETAIL_TILES)}
        numbers: dict[str, int] = {}
        seams, detail, sources = Seams(), Detail(), _Sources(workspace, mosaic)
        for tile in _tiles(workspace, mosaic):
            key = (tile.tile_id.x // _BLOCK_TILES, tile.tile_id.y // _BLOCK_TILES)
            by_block.setdefault(key, []).append(tile)
            if tile.tile_id in chosen:
                detail += fine_detail(tile.rgb, tile.source, lambda n, t=tile: sources.picture(t, n))
        for members in by_block.values():
            seams += seam_gradients(*_assembled(members, numbers))
    return seams, detail


class _Sources:
    """The pictures that a revision's pixels came from, laid as the revision laid them."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        frames, records = frames_of(workspace)
        self._originals = PhotoCache(workspace, list(records.values()))
        record = workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
        self._terrain: TerrainGrid = load_recorded_terrain(workspace, record.dem_id)
        self._zoom = mosaic.base_zoom
        self._headers: dict[str, FrameHeader] = {
            f.frame_id: replace(records[f.frame_id].header, interior=f.interior, exterior_prior=f.exterior)
            for f in frames
        }

    def picture(self, tile: MosaicTile, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The frame over the tile, its exposure brought to the mosaic's, and where it has data."""
        frame_id = tile.frames[number - 1]
        header = self._headers[frame_id]
        exterior = header.exterior_prior
        whole = find_frame_tiles(project_frame(header, self._terrain), self._zoom)
        patch = orthorectify_frame(
            header,
            exterior,
            self._originals.pixels(frame_id),
            self._terrain,
            whole,
            make_tile_range(tile.tile_id),
        )
        gain = _blurred(tile.rgb) / np.maximum(_blurred(patch.rgb), 1.0)
        even = np.clip(patch.rgb * np.median(gain[tile.source == number]), 0, 255)
        return np.rint(even).astype(np.uint8), patch.quality > 0


def _blurred(rgb: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), _EVEN_PX)


def _assembled(tiles: list[MosaicTile], numbers: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Colours and source numbers (one numbering for all) of some tiles over their rectangle."""
    west, north = min(t.tile_id.x for t in tiles), min(t.tile_id.y for t in tiles)
    cols = max(t.tile_id.x for t in tiles) - west + 1
    rows = max(t.tile_id.y for t in tiles) - north + 1
    rgb = np.zeros((rows * _TILE_PX, cols * _TILE_PX, 3), np.uint8)
    source = np.zeros(rgb.shape[:2], np.uint16)
    for tile in tiles:
        row, col = (tile.tile_id.y - north) * _TILE_PX, (tile.tile_id.x - west) * _TILE_PX
        at = (slice(row, row + _TILE_PX), slice(col, col + _TILE_PX))
        table = [0, *(numbers.setdefault(name, len(numbers) + 1) for name in tile.frames)]
        rgb[at], source[at] = tile.rgb, np.array(table, np.uint16)[tile.source]
    return rgb, source


def _shown(workspace: Workspace) -> MosaicInfo:
    flight = workspace.catalog.flights.flight(NAME)
    return get_main_mosaic(workspace, flight.flight_id)


def _tiles(workspace: Workspace, mosaic: MosaicInfo) -> Iterator[MosaicTile]:
    heads = workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    for head in heads:
        yield read_tile(workspace.store, head)


def frames_of(workspace: Workspace) -> tuple[list[RevisionFrame], dict[str, FrameRecord]]:
    """The frames of the revision on show, and all records of the flight in use by frame id."""
    mosaic = _shown(workspace)
    flight = workspace.catalog.flights.flight(NAME)
    records = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    frames = workspace.catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision)
    return frames, {record.frame_id: record for record in records}
