"""Terrain under an aircraft: all of a recorded flight's, or around a live one."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np

from flycam.geodata.dem_info import DemInfo
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.video.video_poses import VideoPoses
from flycam.pipeline.terrain import format_dem_names, load_flight_terrain
from flycam.pipeline.workspace import Workspace

_AROUND_M, _LEAVES_M = 5000.0, 2500.0


class FixedTerrain:
    """One terrain under all of a flight."""

    def __init__(self, terrain: TerrainGrid, names: str) -> None:
        self.terrain, self.names = terrain, names

    def terrain_at(self, _centre_m: tuple[float, float, float]) -> TerrainGrid:
        """Return the same terrain everywhere."""
        return self.terrain


class MovingTerrain:
    """Terrain around a live aircraft, loaded as it moves; thread-safe.

    names: of the terrain files under the first position.
    """

    def __init__(self, workspace: Workspace, dems: Sequence[DemInfo], poses: VideoPoses) -> None:
        self._workspace, self._dems, self._poses = workspace, dems, poses
        self._terrain: TerrainGrid | None = None
        self._loaded_at = (0.0, 0.0)
        self._loading = threading.Lock()
        self.names = ""

    def terrain_at(self, centre_m: tuple[float, float, float]) -> TerrainGrid:
        """Return the terrain for a camera at (east, north, height)."""
        with self._loading:
            return self._under(*centre_m[:2])

    def _under(self, east: float, north: float) -> TerrainGrid:
        if self._terrain is None or math.dist(self._loaded_at, (east, north)) > _LEAVES_M:
            self._terrain = load_flight_terrain(
                self._workspace,
                self._dems,
                self._poses.work_crs,
                (east - _AROUND_M, north - _AROUND_M, east + _AROUND_M, north + _AROUND_M),
                datum=self._poses.vertical_datum,
                plane_height_m=float(np.nan_to_num(self._poses.home_m)),
            )
            # Set only on success, so that the next frame tries again.
            self._loaded_at = (east, north)
            self.names = self.names or format_dem_names(
                self._dems, self._terrain.bounds_m, self._terrain.work_crs
            )
        return self._terrain
