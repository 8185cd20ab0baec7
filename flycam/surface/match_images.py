"""Images prepared for matching: grey, undistorted and locally normalised.

Reduced to the posts' spacing; the correlation of two images around a ground point is then a plain mean of
products. Local normalisation once an image instead of once a window: Faugeras et al., Real time
correlation-based stereo, INRIA report 2013, 1993; here the images are pinholes, so that a change of height
is two additions and a division.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import compute_valid_radius, distort, scale_interior, undistort
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
PixelsOf = Callable[[str], Bytes]

# Ground seen more obliquely than this does not help to find heights: tan of 60° off the axis.
_MAX_TANGENT = 1.73
# Window of the local mean and deviation, in reduced pixels (Gaussian sigma).
_NORMALISE_SIGMA_PX = 3.0
# Floor added to deviations, in grey levels: noise in a smooth place must not look like texture.
_NOISE_GREY = 2.5
_CLIP = 2.5
_MIN_WIDTH_PX = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceView:
    """One frame of the surface refinement: adjusted pose, final camera.

    pixels_of(frame_id) returns its pixels.
    """

    frame_id: str
    interior: InteriorOrientation
    exterior: ExteriorOrientation


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchImage:
    """Normalised pinhole image.

    values     H×W float32, 0 outside the source image
    seen       H×W uint8, 255 inside the source image
    focal_px, centre_px (u, v): x/z, y/z in camera axes to its pixels
    """

    values: Singles
    seen: NDArray[np.uint8]
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.values.nbytes + self.seen.nbytes)


def make_match_image(grey: Bytes, interior: InteriorOrientation, width_px: int) -> MatchImage:
    """Make a normalised pinhole image of `width_px` columns before undistortion.

    grey  H×W uint8 with the content of interior.image_size_px, of any size not below `width_px`
    """
    width, height = interior.image_size_px
    size = (width_px, max(round(height * width_px / width), 2))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    camera = scale_interior(interior, size)
    low, high = _tangent_bounds(camera)
    focal = camera.focal_length_px
    shape = tuple(int(np.ceil((high[k] - low[k]) * focal[k])) + 1 for k in (0, 1))
    centre = (-low[0] * focal[0], -low[1] * focal[1])
    x = (np.arange(shape[0]) - centre[0]) / focal[0]
    y = (np.arange(shape[1]) - centre[1]) / focal[1]
    xs, ys = np.meshgrid(x, y)
    believed = xs * xs + ys * ys <= compute_valid_radius(camera) ** 2
    u, v = distort(camera, np.where(believed, xs, np.nan), np.where(believed, ys, np.nan))
    inside = (u >= -0.5) & (u <= size[0] - 0.5) & (v >= -0.5) & (v <= size[1] - 0.5)
    maps = [np.where(inside, m, -1.0).astype(np.float32) for m in (u, v)]
    plain = cv2.remap(small, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = inside.astype(np.uint8) * np.uint8(255)
    return MatchImage(
        values=_normalised(np.asarray(plain, np.float32), inside.astype(np.float32)),
        seen=seen,
        focal_px=focal,
        centre_px=centre,
    )


def _normalised(grey: Singles, inside: Singles) -> Singles:
    """Return (grey - local mean) / local deviation inside; 0 elsewhere."""

    def blur(values: Singles) -> Singles:
        blurred = cv2.GaussianBlur(values, (0, 0), _NORMALISE_SIGMA_PX, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, np.float32)

    share = np.maximum(blur(inside), np.float32(1e-3))
    mean = blur(grey * inside) / share
    centred = np.asarray((grey - mean) * inside, np.float32)
    deviation = np.sqrt(np.maximum(blur(centred * centred) / share, 0.0) + np.float32(_NOISE_GREY**2))
    return np.asarray(np.clip(centred / deviation, -_CLIP, _CLIP), np.float32)


def _tangent_bounds(camera: InteriorOrientation) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the smallest and largest (x/z, y/z) along the image's border.

    Not beyond `_MAX_TANGENT`.
    """
    width, height = camera.image_size_px
    k = np.linspace(0.0, 1.0, 33)
    zero, one = np.zeros_like(k), np.ones_like(k)
    u = np.concatenate([k, k, zero, one]) * width - 0.5
    v = np.concatenate([zero, one, k, k]) * height - 0.5
    x, y = undistort(camera, u, v)
    x, y = (np.clip(np.nan_to_num(a, nan=_MAX_TANGENT), -_MAX_TANGENT, _MAX_TANGENT) for a in (x, y))
    return (float(x.min()), float(y.min())), (float(x.max()), float(y.max()))


class MatchImageCache:
    """Cache of the images in use, bounded in memory.

    The least recently used are evicted. An image is kept grey, and in the reductions that were requested:
    each is smaller than the one before by the root of two, so that ground seen from near and from far is
    compared at about the same pixel size.

    Thread-safe; an image that two threads request is read once.
    """

    def __init__(
        self, views: Sequence[SurfaceView], pixels_of: PixelsOf, finest_px: Sequence[int], max_bytes: int
    ) -> None:
        """Start empty; finest_px are, for every view, its columns when it is read."""
        self._views, self._pixels_of, self._finest = views, pixels_of, finest_px
        self._most_bytes = max_bytes
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._lock = threading.Lock()
        # one lock a view: an image that two threads request is read once, without blocking other images
        self._making = [threading.Lock() for _ in views]
        self.reads = 0

    def get(self, number: int, focal_px: float) -> MatchImage:
        """Return the reduction of a view whose focal length is nearest to `focal_px`.

        In the reduction's own pixels (infinite: the finest).
        """
        with self._making[number]:
            with self._lock:
                held = self._held.get(number)
                if held is not None:
                    self._held.move_to_end(number)
            if held is None:
                held = self._read(number)
            interior = self._views[number].interior
            width = held.grey.shape[1]
            finest = interior.focal_length_px[0] * width / interior.image_size_px[0]
            level = round(2.0 * np.log2(finest / min(focal_px, finest)))
            if level not in held.levels:
                reduced = max(round(width * 2.0 ** (-0.5 * level)), _MIN_WIDTH_PX)
                held.levels[level] = make_match_image(held.grey, interior, reduced)
            made = held.levels[level]
            with self._lock:
                self._trim(number)
            return made

    def _read(self, number: int) -> _Held:
        view, width = self._views[number], self._finest[number]
        grey = cv2.cvtColor(self._pixels_of(view.frame_id), cv2.COLOR_RGB2GRAY)
        if width < grey.shape[1]:
            size = (width, max(round(grey.shape[0] * width / grey.shape[1]), 2))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        held = _Held(np.asarray(grey, np.uint8), {})
        with self._lock:
            self.reads += 1
            self._held[number] = held
        return held

    def _trim(self, keep: int) -> None:
        total = sum(held.nbytes for held in self._held.values())
        for number in list(self._held):
            if total <= self._most_bytes:
                return
            if number != keep:
                total -= self._held.pop(number).nbytes


@dataclass(frozen=True, slots=True)
class _Held:
    grey: Bytes
    levels: dict[int, MatchImage]

    @property
    def nbytes(self) -> int:
        return int(self.grey.nbytes) + sum(picture.nbytes for picture in list(self.levels.values()))
