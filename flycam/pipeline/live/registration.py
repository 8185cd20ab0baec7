"""Registration of video frames to earlier ones: pose, ground and counts.

The log's pose stays on record as a frame's prior, with its sigmas: `finish` starts from it. The registered
pose is recorded as its exterior, so that replay gives the same tiles. Registration never holds up frames: its
work is bounded by counts, and where frames queue up they are placed by their neighbours' correction alone.
"""

from __future__ import annotations

from collections import Counter

from flycam.adjust.incremental_registration import Registrar
from flycam.adjust.registration_result import RegistrationResult
from flycam.frame.terrain_codec import assign_content_id
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.video.video_source import VideoFrame
from flycam.surface.raised_terrain import Bounds, raise_terrain

HURRIED = "hurried"
"""Reason for a frame without evidence of its own: frames queued up behind it."""

# Objects there lean into the frame.
_MARGIN_M = 30.0
# An oblique frame's horizon is left as it is: posts are stored with every frame.
_MAX_WIDTH_M = 1500.0


class LiveRegistration:
    """Registration of frames in order of time, each with `pose`.

    Then call `mark_placed` or `mark_rejected`.

    fitted    frames placed by their own evidence; by_log: those that were not, by reason
    """

    def __init__(self, interior: InteriorOrientation) -> None:
        self._interior = interior
        self._registrar = Registrar(interior)
        self.fitted = 0
        self.by_log: Counter[str] = Counter()
        self._newest: RegistrationResult | None = None

    def reset(self) -> None:
        """Stop registering to earlier frames: those to come have another clock."""
        self._registrar, self._newest = Registrar(self._interior), None

    def pose(
        self,
        picture: VideoFrame,
        log_pose: ExteriorOrientation,
        terrain: TerrainGrid,
        current_pose: ExteriorOrientation | None = None,
        *,
        hurried: bool = False,
    ) -> ExteriorOrientation:
        """Return the pose to orthorectify a frame with.

        log_pose      by the log
        current_pose  its pose on the map already: later frames are registered to that, and nothing is counted
        hurried       no time for its own evidence
        """
        seconds = picture.pts_ns / 1e9
        if hurried:
            self._newest = None
            return self._registrar.predict_pose(log_pose, seconds)
        self._newest = registered = self._registrar.add(picture.pixels, log_pose, seconds, terrain)
        if current_pose is not None:
            self._registrar.set_map_pose(current_pose)
            return current_pose
        return registered.pose

    def ground(
        self, seen_m: Bounds, centre_m: tuple[float, float, float], terrain: TerrainGrid
    ) -> TerrainGrid:
        """Return the terrain for the frame registered last, under an id of its own.

        The terrain raised to what the frames so far show to stand on it; unchanged where they show nothing.

        seen_m  (west, south, east, north) of what the frame sees; centre_m: where it was taken from
        """
        (west, south, east, north), (x, y, _) = seen_m, centre_m
        bounds = (
            min(west, x) - _MARGIN_M,
            min(south, y) - _MARGIN_M,
            max(east, x) + _MARGIN_M,
            max(north, y) + _MARGIN_M,
        )
        if max(bounds[2] - bounds[0], bounds[3] - bounds[1]) > _MAX_WIDTH_M:
            return terrain
        ground = raise_terrain(terrain, *self._registrar.within_bounds(bounds), bounds)
        return terrain if ground is terrain else assign_content_id(ground, source_dem_id=terrain.dem_id)

    def mark_placed(self) -> None:
        """Count the frame registered last as placed."""
        if self._newest is None:
            self.by_log[HURRIED] += 1
        elif self._newest.failure is None:
            self.fitted += 1
        else:
            self.by_log[self._newest.failure.value] += 1

    def mark_rejected(self) -> None:
        """Drop the frame registered last: not on the map, nothing is fitted to it."""
        if self._newest is not None:
            self._registrar.forget_newest()
