"""How pictures of a film are fitted to those laid before, on which ground, and what is counted of it.

What the log tells stays on record as a frame's prior, with its sigmas: `finish` begins from it. The pose
that a frame is laid by is recorded as its exterior, so that replay gives the same tiles. Nobody waits for
this: its work is bounded by counts, and where pictures queue up frames are laid by their neighbours'
correction alone.
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
"""Why a frame has no evidence of its own: pictures queued up behind it."""

_MARGIN_M = 30.0  # what stands there leans into the picture
_MAX_WIDTH_M = 1500.0  # an oblique picture's horizon is left as it is: the posts are kept with every picture


class LiveRegistration:
    """Asked for the pose of each picture in order of time, and told what became of it: `laid` or
    `list_unused_photos`.

    fitted    frames laid by their own evidence; by_log: those that were not, by reason
    """

    def __init__(self, interior: InteriorOrientation) -> None:
        self._interior = interior
        self._registrar = Registrar(interior)
        self.fitted = 0
        self.by_log: Counter[str] = Counter()
        self._newest: RegistrationResult | None = None

    def reset(self) -> None:
        """What comes is not fitted to what was laid by now: another clock tells of it."""
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
        """The pose to lay a picture by.

        log_pose  by the log
        current_pose  how it lies on the map already: what comes later is fitted to that, and nothing is
                      counted
        hurried  no time for its own evidence
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
        """The ground to lay the picture asked for last on, under an id of its own: the terrain lifted to what
        the pictures so far show to stand on it; the terrain itself where they show nothing.

        seen_m  (west, south, east, north) of what the picture sees; centre_m: where it was taken from
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
        """The picture asked for last lies on the map by its answer."""
        if self._newest is None:
            self.by_log[HURRIED] += 1
        elif self._newest.failure is None:
            self.fitted += 1
        else:
            self.by_log[self._newest.failure.value] += 1

    def mark_rejected(self) -> None:
        """The picture asked for last does not come onto the map: nothing is fitted to it."""
        if self._newest is not None:
            self._registrar.forget_newest()
