"""Rendered flights as blocks: the ties of their photos, for adjustments that are compared on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.finish_flights import NAME, opened
from flycam.concurrency import count_workers
from flycam.geometry.terrain import TerrainGrid
from flycam.model.records import FrameStatus
from flycam.mosaic.adjustment.block import BlockFrame, Ties
from flycam.mosaic.adjustment.ties import apply_tie_turns, find_ties
from flycam.mosaic.finish.report import build_block_frames, select_terrain
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.originals import PhotoCache


@dataclass(frozen=True, kw_only=True, slots=True)
class TieBlock:
    """Frames as ingest recorded them, their ties, and the terrain they were recorded on."""

    frames: tuple[BlockFrame, ...]
    ties: Ties
    terrain: TerrainGrid

    @property
    def centres_m(self) -> np.ndarray:
        """Recorded projection centres n×3."""
        return np.array([frame.exterior.projection_centre_m for frame in self.frames])


def tied(data: Path) -> TieBlock:
    """The block of a data folder's flight, its ties sought in the photos as `flycam finish` seeks them."""
    with opened(data) as workspace:
        flight = workspace.catalog.flights.flight(NAME)
        records = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
        frames = build_block_frames(records)
        terrain = load_recorded_terrain(workspace, select_terrain(records, flight.dem_id))
        originals = PhotoCache(workspace, records)
        found = find_ties(
            frames,
            lambda number: originals.pixels(frames[number].frame_id),
            terrain,
            workers=count_workers(),
        )
    return TieBlock(frames=apply_tie_turns(frames, found), ties=found.ties, terrain=terrain)
