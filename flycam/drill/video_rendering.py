"""Video frames, rendered faster than photos on a lattice of rays.

Rays are cast for every `step_px`-th pixel of every `step_px`-th row. Between them the ground points are
interpolated, which is exact to a fraction of a cell on open ground and smears the ground over two pixels
at occluding edges (crowns, eaves); colours are read for every pixel. Light (exposure, cloud shadows,
vignetting, haze) is smooth and computed on the same lattice. A plain frame, of far fewer rays, has the
ground's colours without light, haze and lens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.flight import Exposure
from flycam.drill.rendering import ENCODED, HAZE_COLOUR, LINEAR, Renderer, Weather, prepare_renderer
from flycam.drill.spatial_noise import Floats, Singles
from flycam.drill.world import DrillWorld
from flycam.geometry.camera import compute_ray_directions
from flycam.geometry.interior import InteriorOrientation

STEP_PX, _PLAIN_STEP_PX = 2, 24
_LENS_BLUR_PX = 0.45


@dataclass(frozen=True, slots=True)
class VideoRenderer:
    """Renderer of video frames.

    coarse   casts rays at image points (step_px column, step_px row)
    size_px  (width, height) of the frames
    """

    coarse: Renderer
    size_px: tuple[int, int]
    step_px: int
    is_plain: bool

    def picture(self, exposure: Exposure) -> NDArray[np.uint8]:
        """Render an exposure, H×W×3 uint8 RGB."""
        points = self.coarse.coordinates(exposure)
        world = self.coarse.world
        col, row = world.window.to_cells(points[..., 0], points[..., 1])
        colour = cv2.remap(
            world.rgb,
            self._filled(np.nan_to_num(col)),
            self._filled(np.nan_to_num(row)),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if self.is_plain:
            return np.asarray(colour)
        light, clear = self.coarse.light(exposure, points)
        linear = LINEAR[colour]
        linear *= self._filled(light * clear)[..., None]
        linear += self._filled(1.0 - clear)[..., None] * HAZE_COLOUR
        linear *= 4095.0
        np.clip(linear, 0.0, 4095.0, out=linear)
        return np.asarray(cv2.GaussianBlur(ENCODED[linear.astype(np.uint16)], (3, 3), _LENS_BLUR_PX))

    def _filled(self, coarse: Floats) -> Singles:
        """Interpolate values of the lattice to every pixel: H×W float32."""
        width, height = self.size_px
        rows, cols = coarse.shape
        # a lattice point is at pixel (step_px k); cv2.resize would place it otherwise, so the map is
        # explicit
        turn = np.array([[self.step_px, 0.0, 0.0], [0.0, self.step_px, 0.0]])
        out = cv2.warpAffine(
            coarse.astype(np.float32),
            turn,
            (self.step_px * cols, self.step_px * rows),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(out[:height, :width])


def prepare_video_renderer(
    world: DrillWorld,
    camera: InteriorOrientation,
    seed: int,
    weather: Weather | None = None,
    *,
    plain: bool = False,
) -> VideoRenderer:
    """Prepare everything that does not depend on the frame."""
    step_px = _PLAIN_STEP_PX if plain else STEP_PX
    width, height = camera.image_size_px
    cols, rows = width // step_px + 1, height // step_px + 1
    u, v = (step_px * index.astype(np.float64) for index in np.meshgrid(np.arange(cols), np.arange(rows)))
    base = prepare_renderer(world, camera, seed, weather)
    directions = np.stack(compute_ray_directions(camera, u, v), -1)
    return VideoRenderer(replace(base, directions=directions), camera.image_size_px, step_px, plain)
