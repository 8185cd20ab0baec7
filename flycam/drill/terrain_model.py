"""The terrain model an operator would have: ground posts from before the storm, without trees and houses."""

from __future__ import annotations

import cv2
import numpy as np

from flycam.drill.cover import ground_of
from flycam.drill.noise import Singles
from flycam.drill.objects import houses_of
from flycam.drill.relief import Valley, valley_fields
from flycam.drill.stamps import lay_yards
from flycam.drill.window import Bounds, Window, window_over

_PARTS = 4


def terrain_model(valley: Valley, bounds: Bounds, post_m: float) -> tuple[Window, Singles]:
    """Posts at multiples of `post_m` over `bounds`: the window (cells centred on posts) and its heights.

    A post is the mean of the ground around it, over three quarters of the post spacing: what a survey gives.
    """
    posts = window_over(bounds, post_m)
    west, south, east, north = posts.bounds
    fine = window_over((west - post_m, south - post_m, east + post_m, north + post_m), post_m / _PARTS)
    fields = valley_fields(valley, fine.bounds)
    ground = ground_of(fields, fine)
    height = ground.height.copy()
    lay_yards(houses_of(fields, fine.bounds), fine, height, ground.cover)
    mean = cv2.blur(height, (_PARTS - 1, _PARTS - 1))
    rows = fine.north_cell - _PARTS * (posts.north_cell - np.arange(posts.shape[0]))
    cols = _PARTS * (posts.west_cell + np.arange(posts.shape[1])) - fine.west_cell
    return posts, np.ascontiguousarray(mean[np.ix_(rows, cols)])
