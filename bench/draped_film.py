"""A long plain film with its log and its ground, made in minutes: a texture draped over the drill's valley.

Course, camera, instruments and terrain are the drill's; the pictures are not: rays of an 8×8 lattice are cut
with the terrain model, the rest is interpolated, and the colours are one texture mirrored on and on. It has
no trees, houses or light, and the terrain model is exact; it has motion, ties and new ground, in a fortieth
of the time that rendering the valley takes.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

import cv2
import numpy as np

from bench.draped import folded
from bench.flights import ROOT
from flycam.drill.flight import VideoPlan, make_drill_camera, make_takeoff_time, make_video_course
from flycam.drill.land import Valley
from flycam.drill.photo_drill import (
    DEM_MARGIN_M,
    compute_flights_bounds,
    find_takeoff_place,
    stage_folder,
    write_ground,
)
from flycam.drill.scene_objects import make_terrain_model
from flycam.drill.video_drill import VIDEO_NAME, simulate_telemetry, write_subtitles, write_video_camera
from flycam.drill.video_encoder import VideoEncoder
from flycam.geometry.camera import InteriorOrientation, compute_image_rays
from flycam.geometry.pose import ExteriorOrientation

_POST_M, _LATTICE_PX, _CUT_STEPS = 10.0, 8, 8
_TEXTURE_PX = 3000
_MOST_AT_ONCE = 32_000  # OpenCV takes no longer column
_OCTAVES_PX = (3, 9, 40, 200)
_SEED = 1


def draped_film(name: str, plan: VideoPlan, size_px: tuple[int, int], *, cell_m: float = 0.3) -> Path:
    """The folder of a film (video, subtitles, camera.json, dem.tif), made if it is not there; cell_m: side of
    the texture's pixels on the ground."""
    what = f"{size_px[1]}p{plan.fps}-{plan.seconds:.0f}s-{100.0 * plan.gsd_m:g}cm-{plan.speed_mps:g}mps"
    folder = ROOT / f"draped-{name}-{what}"
    if not (folder / VIDEO_NAME).is_file():
        print(f"filming into {folder} …", flush=True)
        with stage_folder(folder) as staging:
            _film(staging, plan, make_drill_camera(size_px), cell_m)
    return folder


def _film(folder: Path, plan: VideoPlan, camera: InteriorOrientation, cell_m: float) -> None:
    valley = Valley(seed=_SEED)
    course = make_video_course(valley, plan, camera, _SEED, False)
    west, south, east, north = compute_flights_bounds(
        valley, [course.exposures(np.arange(0.0, plan.seconds + 1.0))], camera
    )
    margin_m = DEM_MARGIN_M
    bounds = (west - margin_m, south - margin_m, east + margin_m, north + margin_m)
    window, heights = dem = make_terrain_model(valley, bounds, _POST_M)
    takeoff = find_takeoff_place(valley, dem)
    start = (make_takeoff_time(False) + timedelta(seconds=60.0)).astimezone(UTC)
    told = simulate_telemetry(course, plan.seconds, takeoff[2], 100 * _SEED, 1.0)
    write_subtitles((folder / VIDEO_NAME).with_suffix(".srt"), told, plan.frame_s, start)
    write_video_camera(camera, folder / "camera.json")
    write_ground(dem, valley, folder)
    ground = Ground(np.asarray(heights, np.float32), window.bounds[0], window.bounds[3], cell_m)
    with VideoEncoder(folder / VIDEO_NAME, camera.image_size_px, plan.fps, round(start.timestamp())) as out:
        for exposure in course.exposures(plan.frame_s):
            out.write(ground.seen(camera, exposure.exterior))


class Ground:
    """The terrain model H×W, posts in the middle of cells whose outer corner is (west_m, north_m)."""

    def __init__(self, heights_m: np.ndarray, west_m: float, north_m: float, cell_m: float) -> None:
        self._heights_m, self._corner_m = heights_m, np.array([west_m, north_m])
        self._cell_m = cell_m
        self._texture = _texture()

    def seen(self, camera: InteriorOrientation, exterior: ExteriorOrientation) -> np.ndarray:
        """The picture H×W×3 that a camera of this pose takes."""
        width, height = camera.image_size_px
        step = _LATTICE_PX
        cols, rows = -(-width // step) + 2, -(-height // step) + 2
        u, v = (((np.arange(n) - 0.5) * step - 0.5) for n in (cols, rows))
        ray = compute_image_rays(camera, exterior, np.stack(np.meshgrid(u, v), -1).reshape(-1, 2))
        centre = np.array(exterior.projection_centre_m)
        along = (centre[2] - self.height_m(centre[None, :2])) / -ray[:, 2]
        for _ in range(_CUT_STEPS):
            ground_m = self.height_m(centre[:2] + ray[:, :2] * along[:, None])
            along += (centre[2] + ray[:, 2] * along - ground_m) / -ray[:, 2]
        at = (centre[:2] + ray[:, :2] * along[:, None] - self._corner_m) / (self._cell_m, -self._cell_m)
        place = at.reshape(rows, cols, 2).astype(np.float32)
        large = cv2.resize(place, (cols * step, rows * step), interpolation=cv2.INTER_LINEAR)
        large = large[step : step + height, step : step + width]
        x, y = (folded(large[..., k], _TEXTURE_PX) for k in (0, 1))
        return cv2.remap(self._texture, x, y, cv2.INTER_LINEAR)

    def height_m(self, place_m: np.ndarray) -> np.ndarray:
        """Of places N×2."""
        at = ((place_m - self._corner_m) / (_POST_M, -_POST_M) - 0.5).astype(np.float32)
        some = [
            cv2.remap(
                self._heights_m, one[:, :1], one[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for one in np.array_split(at, -(-len(at) // _MOST_AT_ONCE))
        ]
        return np.concatenate(some)[:, 0].astype(float)


def _texture() -> np.ndarray:
    """Blots of several sizes, square, RGB."""
    random, out = np.random.default_rng(_SEED), np.zeros((_TEXTURE_PX, _TEXTURE_PX, 3), np.float32)
    for size in _OCTAVES_PX:
        coarse = random.normal(size=(_TEXTURE_PX // size + 2,) * 2 + (3,)).astype(np.float32)
        out += 18.0 * cv2.resize(coarse, (_TEXTURE_PX, _TEXTURE_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(110.0 + out, 0, 255).astype(np.uint8)
