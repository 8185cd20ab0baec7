"""The operator's terrain model: heights from before the storm, without objects.

It lacks trees and houses. A real one has errors: it is shifted by some metres from the ground it
describes, and its height errors are correlated over hundreds of metres. `TerrainErrorModel` states them;
the drill's truth records it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from flycam.drill.cell_window import Bounds, CellWindow, make_cell_window
from flycam.drill.land_cover import build_bare_ground
from flycam.drill.object_stamps import draw_yards
from flycam.drill.scene_objects import place_houses
from flycam.drill.spatial_noise import Singles, generate_smooth_noise
from flycam.drill.valley import Valley, build_valley_fields
from flycam.errors import OptionUnusable
from flycam.messages import _

MAX_ERROR_M = 100.0
_PARTS = 4
# a cubic B-spline field with nodes h apart has approximately the autocorrelation exp(-d² / (2 · 8/12 ·
# h²))
_NODES_PER_LENGTH = math.sqrt(2.0 * 8.0 / 12.0)
_SIGMA_PER_SHIFT = 1.0 / 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainErrorModel:
    """Errors of a terrain model.

    shift_m   (east, north, up) of all terrain from where it is
    sigma_m   1-sigma of a correlated height error
    length_m  distance at which the error's correlation has fallen to 1/e
    """

    shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sigma_m: float = 0.0
    length_m: float = 200.0

    def __post_init__(self) -> None:
        size = math.hypot(*self.shift_m)
        if not (size <= MAX_ERROR_M and 0.0 <= self.sigma_m <= MAX_ERROR_M and 1.0 <= self.length_m < 1e5):
            raise OptionUnusable(
                _(
                    "terrain error of {size:g} m, sigma {sigma_m:g} m over {length_m:g} m: a "
                    "drill's terrain is wrong by 0 to {most_error_m:g} m: give less",
                    size=size,
                    sigma_m=self.sigma_m,
                    length_m=self.length_m,
                    most_error_m=MAX_ERROR_M,
                )
            )


def draw_typical_error(seed: int, size_m: float) -> TerrainErrorModel:
    """Return a shift of `size_m` in a random direction, with a third of it as sigma.

    The direction on the sphere is drawn by the seed.
    """
    size_m = abs(size_m)
    direction = np.random.default_rng([seed, 31]).normal(size=3)
    east, north, up = size_m * direction / np.linalg.norm(direction)
    return TerrainErrorModel(
        shift_m=(float(east), float(north), float(up)), sigma_m=size_m * _SIGMA_PER_SHIFT
    )


def make_terrain_model(
    valley: Valley, bounds: Bounds, post_m: float, error: TerrainErrorModel | None = None
) -> tuple[CellWindow, Singles]:
    """Return the window and heights of a terrain model over `bounds`.

    Its cells are centred on multiples of `post_m`. A height is the mean of the ground around it, over
    three quarters of the spacing, as a survey gives. With an `error`, point p holds ground(p - shift) +
    shift_up + correlated error(p).
    """
    error = error or TerrainErrorModel()
    posts = make_cell_window(bounds, post_m)
    east_m, north_m, up_m = error.shift_m
    west, south, east, north = posts.bounds
    margin = post_m + max(abs(east_m), abs(north_m))
    fine = make_cell_window((west - margin, south - margin, east + margin, north + margin), post_m / _PARTS)
    fields = build_valley_fields(valley, fine.bounds)
    ground = build_bare_ground(fields, fine)
    height = ground.height.copy()
    draw_yards(place_houses(fields, fine.bounds), fine, height, ground.cover)
    mean = np.asarray(cv2.blur(height, (_PARTS - 1, _PARTS - 1)), np.float32)
    heights = _at_posts(mean, fine, posts, (east_m, north_m)) + np.float32(up_m)
    if error.sigma_m:
        wavelength = 2.0 * error.length_m / _NODES_PER_LENGTH
        wrong = generate_smooth_noise(
            posts.eastings, posts.northings, wavelength, valley.seed, "terrain error"
        )
        heights += np.float32(error.sigma_m) * wrong
    return posts, np.ascontiguousarray(heights)


def _at_posts(mean: Singles, fine: CellWindow, posts: CellWindow, shift_m: tuple[float, float]) -> Singles:
    """Return the fine heights at the points, each taken `shift_m` before it.

    Bilinear where that is between cells.
    """
    if shift_m == (0.0, 0.0):
        rows = fine.north_cell - _PARTS * (posts.north_cell - np.arange(posts.shape[0]))
        cols = _PARTS * (posts.west_cell + np.arange(posts.shape[1])) - fine.west_cell
        return mean[np.ix_(rows, cols)]
    east, north = np.meshgrid(posts.eastings - shift_m[0], posts.northings - shift_m[1])
    u, v = (cells.astype(np.float32) for cells in fine.to_cells(east, north))
    return np.asarray(cv2.remap(mean, u, v, cv2.INTER_LINEAR), np.float32)
