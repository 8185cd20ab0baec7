"""Plane sweep in ground space: agreement of the views at each height.

All heights count from a base surface, so the windows that are compared follow its slopes. For every height
the views are sampled over the posts (Collins, A space-sweep approach to true multi-image matching, CVPR
1996); their agreement is the mean correlation over all pairs of views, which one window over the square of
their sum gives: with T the sum of n views and Q the sum of their squares, the mean product of two of them
is (T² - Q) / (n (n - 1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import correct_rolling_shutter, transform_to_camera
from flycam.surface.match_images import MatchImage, SurfaceView

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]

# Ground nearer to a camera than this along its axis, or behind it, is not sampled.
_MIN_DEPTH_M = 1.0
_NOWHERE_PX = -1000.0


@dataclass(frozen=True, slots=True)
class ViewSampler:
    """One view over the posts of a block (rows×cols).

    Base camera coordinates x, y, z are in image units. The image point of a post raised by dz is
    ((x + a dz) / (z + c dz) + u0, (y + b dz) / (z + c dz) + v0) with (a, b, c) = per_metre.
    A rolling shutter's rows are taken at the times of the base: raised by dz a post falls on a row that
    was read (rows moved × row time) apart, during which the camera moved some centimetres for ten metres of
    dz; the fine sweep stays within a few metres.
    """

    picture: MatchImage
    x: Singles
    y: Singles
    z: Singles
    per_metre: tuple[float, float, float]

    @classmethod
    def from_posts(
        cls,
        picture: MatchImage,
        view: SurfaceView,
        east: Floats,
        north: Floats,
        base_m: Floats,
    ) -> ViewSampler:
        """Make a sampler of posts at height 0 over the base.

        east, north, base_m  rows×cols, none of them NaN
        """
        exterior = view.exterior
        place = transform_to_camera(exterior, east, north, base_m)
        x, y, z = correct_rolling_shutter(view.interior, exterior, *place)
        fx, fy = picture.focal_px
        a, b, c = (row[2] * exterior.grid_scale for row in exterior.rotation)
        single = np.float32
        return cls(
            picture, (x * fx).astype(single), (y * fy).astype(single), z.astype(single), (a * fx, b * fy, c)
        )

    def maps(self, dz: Singles | float) -> tuple[Singles, Singles]:
        """Return image points of the posts raised by dz metres.

        dz is one number, or rows×cols.
        """
        a, b, c = self.per_metre
        dz = np.asarray(dz, np.float32)
        depth = self.z + np.float32(c) * dz
        behind = depth < _MIN_DEPTH_M
        if behind.any():
            depth = np.where(behind, np.float32(_MIN_DEPTH_M), depth)
        inverse = np.float32(1.0) / depth
        u0, v0 = self.picture.centre_px
        u = (self.x + np.float32(a) * dz) * inverse
        u += np.float32(u0)
        v = (self.y + np.float32(b) * dz) * inverse
        v += np.float32(v0)
        if behind.any():
            u = np.where(behind, np.float32(_NOWHERE_PX), u)
        return np.asarray(u, np.float32), np.asarray(v, np.float32)

    def values(self, dz: Singles | float) -> Singles:
        """Return normalised values at the posts raised by dz; 0 outside the image."""
        u, v = self.maps(dz)
        sampled = cv2.remap(self.picture.values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(sampled, np.float32)

    def sees(self, dz: Singles | float) -> NDArray[np.bool_]:
        """Return True for posts that, raised by dz, are in the image."""
        u, v = self.maps(dz)
        seen = cv2.remap(self.picture.seen, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(seen, np.uint8) > 0


def count_views(samplers: Sequence[ViewSampler], dz: Singles | float) -> NDArray[np.uint8]:
    """Count the views that see each post, rows×cols."""
    return np.asarray(np.sum([s.sees(dz) for s in samplers], axis=0, dtype=np.uint8))


def compute_agreement(samplers: Sequence[ViewSampler], heights_m: Singles, window: int) -> Singles:
    """Compute the agreement volume heights×rows×cols.

    About -1 … 1, higher is better. 0 where less than two views see a post.
    """
    rows, cols = samplers[0].z.shape
    pairs = _per_pair(count_views(samplers, float(heights_m[heights_m.size // 2])))
    volume = np.empty((heights_m.size, rows, cols), np.float32)
    for number, dz in enumerate(heights_m):
        volume[number] = _agreement_at(samplers, float(dz), pairs, window)
    return volume


def compute_likeness(samplers: Sequence[ViewSampler], dz: Singles, window: int) -> Singles:
    """Return the correlation -1 … 1 of the views at the posts raised by dz.

    In a square of posts: the mean over all pairs of views, each weighted by its energy (rows×cols; 0 where
    less than two see).
    """

    def over(values: Singles) -> Singles:
        return np.asarray(cv2.blur(values, (window, window), borderType=cv2.BORDER_REPLICATE), np.float32)

    total, squares, roots, energies = (np.zeros_like(dz) for _ in range(4))
    for sampler in samplers:
        values = sampler.values(dz)
        energy = over(values * values)
        total += values
        squares += values * values
        roots += np.sqrt(np.maximum(energy, np.float32(0.0)))
        energies += energy
    pairs = np.maximum(roots * roots - energies, np.float32(1e-6))
    return np.asarray(np.clip(over(total * total - squares) / pairs, -1.0, 1.0), np.float32)


def _per_pair(views: NDArray[np.uint8]) -> Singles:
    n = views.astype(np.float32)
    pairs = n * (n - 1.0)
    return np.where(pairs > 0.0, 1.0 / np.maximum(pairs, 1.0), 0.0).astype(np.float32)


def _agreement_at(samplers: Sequence[ViewSampler], dz: float, per_pair: Singles, window: int) -> Singles:
    total = np.zeros_like(samplers[0].z)
    squares = np.zeros_like(total)
    for sampler in samplers:
        values = sampler.values(dz)
        total += values
        cv2.accumulateSquare(values, squares)
    products = (total * total - squares) * per_pair
    blurred = cv2.blur(products, (window, window), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)
