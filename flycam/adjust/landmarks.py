"""Landmarks: ground points that frames of a video showed, with their templates.

A template is cut when a landmark is first seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats, Indices
from flycam.geometry.features import compute_cell_index, select_evenly
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.projection import project_with_camera_derivatives, to_lens_vector
from flycam.geometry.template_matching import TEMPLATE_PX, cut_templates, match_templates
from flycam.geometry.terrain import TerrainGrid, compute_normals

Bytes = NDArray[np.uint8]

REACH_PX = 9
# Least correlation of a match, and least excess over the best other place.
_MIN_LIKENESS, _MIN_MARGIN = 0.7, 0.1
_RIM_PX = 12.0
_CORNERS, _CORNER_QUALITY = 500, 0.01
# Corners are at least the image's width over this apart.
_CORNER_SPACING_PART = 40
_CELLS = 8
_MAX_SLOPE = 1.5
# Ratio of areas between which a template is comparable.
_MAX_STRETCH, _MIN_STRETCH = 3.0, 0.33


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraStation:
    """Camera of one image.

    centre    3
    rotation  3×3 (world to camera)
    scale     of vertical differences
    """

    interior: InteriorOrientation
    centre: Floats
    rotation: Floats
    scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LandmarkMatches:
    """N landmarks found again in an image: ascending numbers, and image points N×2."""

    landmark: Indices
    uv_px: Floats


class Landmarks:
    """All landmarks that remembered frames see, with their observations.

    Frames are numbered by the caller, ascending.

    point                  Q×3
    frame, landmark, uv_px N, N, N×2: observations
    """

    def __init__(self) -> None:
        self.point = np.empty((0, 3))
        self._template: Bytes = np.empty((0, TEMPLATE_PX, TEMPLATE_PX), dtype=np.uint8)
        self._jacobian = np.empty((0, 2, 2))
        self.frame = np.empty(0, dtype=np.int32)
        self.landmark = np.empty(0, dtype=np.int32)
        self.uv_px = np.empty((0, 2))

    def __len__(self) -> int:
        return len(self.point)

    def find(
        self, grey: Bytes, spot: CameraStation, terrain: TerrainGrid, recent: int, max_count: int
    ) -> LandmarkMatches:
        """Find landmarks in an image, of up to `max_count` searched.

        Half of them were last seen by frames numbered `recent` or higher, half only by earlier frames.
        """
        uv, jacobian = _seen(spot, terrain, self.point)
        width, height = spot.interior.image_size_px
        last = np.full(len(self), -1)
        np.maximum.at(last, self.landmark, self.frame)
        affine = jacobian @ _inverse(self._jacobian)
        with np.errstate(invalid="ignore"):
            inside = ((uv > _RIM_PX) & (uv < np.array([width, height]) - 1.0 - _RIM_PX)).all(axis=1)
            stretch = np.abs(_determinant(affine))
            inside &= (stretch < _MAX_STRETCH) & (stretch > _MIN_STRETCH)
        parts = []
        for group in (inside & (last >= recent), inside & (last < recent)):
            rows = np.flatnonzero(group)
            # the newest first: their templates are most similar
            parts.append(
                rows[select_evenly(uv[rows], last[rows] * 1.0, (width, height), _CELLS, max_count // 2)]
            )
        rows = np.sort(np.concatenate(parts))
        sought = match_templates(grey, uv[rows], affine[rows], self._template[rows], REACH_PX)
        good = (sought.correlation >= _MIN_LIKENESS) & (sought.margin >= _MIN_MARGIN)
        return LandmarkMatches(landmark=rows[good].astype(np.int32), uv_px=sought.uv_px[good])

    def add_observations(self, frame: int, found: LandmarkMatches) -> None:
        """Add observations of a frame."""
        self.frame = np.concatenate([self.frame, np.full(len(found.landmark), frame, dtype=np.int32)])
        self.landmark = np.concatenate([self.landmark, found.landmark])
        self.uv_px = np.concatenate([self.uv_px, found.uv_px])

    def add(
        self, frame: int, grey: Bytes, spot: CameraStation, terrain: TerrainGrid, uv: Floats, point: Floats
    ) -> None:
        """Add new landmarks of a frame, seen at uv N×2, at estimated positions N×3."""
        _, jacobian = _seen(spot, terrain, point)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(jacobian).all(axis=(1, 2)) & (np.abs(_determinant(jacobian)) > 1e-9)
        # templates are centred on whole pixels, so matches refer to that pixel's centre
        at = np.rint(uv[good])
        numbers = np.arange(len(self), len(self) + len(at), dtype=np.int32)
        self.point = np.concatenate([self.point, point[good]])
        self._template = np.concatenate([self._template, cut_templates(grey, at)])
        self._jacobian = np.concatenate([self._jacobian, jacobian[good]])
        self.add_observations(frame, LandmarkMatches(landmark=numbers, uv_px=at))

    def within_bounds(
        self, bounds_m: tuple[float, float, float, float], seen_from: Floats, ray_rad: float
    ) -> tuple[Floats, Floats]:
        """Return landmarks in (west, south, east, north) that were seen from two places.

        Points N×3, and the sigmas of their heights, N metres: ray_rad · √2 · height² / base, the base
        horizontal and the widest.

        seen_from  centre of the frame of each observation, as many × 3
        ray_rad    sigma of a ray
        """
        west, south, east, north = bounds_m
        low, high = np.full(self.point.shape, np.inf), np.full(self.point.shape, -np.inf)
        np.minimum.at(low, self.landmark, seen_from)
        np.maximum.at(high, self.landmark, seen_from)
        x, y, z = self.point.T
        rows = np.flatnonzero((x > west) & (x < east) & (y > south) & (y < north))
        base = np.hypot(*(high - low)[rows, :2].T)
        rows, base = rows[base > 0.0], base[base > 0.0]
        sigma: Floats = ray_rad * np.sqrt(2.0) * np.square(high[rows, 2] - z[rows]) / base
        return self.point[rows], sigma

    def forget(self, before: int) -> None:
        """Forget frames with lower numbers, and landmarks that no other frame sees."""
        self._keep(self.frame >= before)

    def forget_newest(self, frame: int) -> None:
        """Forget this frame and later ones, and landmarks that no other frame sees."""
        self._keep(self.frame < frame)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Keep these observations, and the landmarks that they see."""
        if kept.all():
            return
        still = np.unique(self.landmark[kept])
        self.point, self._template = self.point[still], self._template[still]
        self._jacobian = self._jacobian[still]
        self.frame, self.uv_px = self.frame[kept], self.uv_px[kept]
        self.landmark = np.searchsorted(still, self.landmark[kept]).astype(np.int32)


def detect_corners(grey: Bytes, taken_px: Floats, max_count: int) -> Floats:
    """Detect up to `max_count` corners of an image, N×2 (whole pixels).

    Spread evenly, and away from places already taken.
    """
    height, width = grey.shape
    apart = max(width // _CORNER_SPACING_PART, TEMPLATE_PX // 2)
    mask = np.zeros_like(grey)
    rim = int(_RIM_PX)
    mask[rim:-rim, rim:-rim] = 255
    for column, row in np.rint(taken_px).astype(int).tolist():
        cv2.circle(mask, (column, row), apart, 0, -1)
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _CORNER_QUALITY, apart, mask=mask)
    if found is None:
        return np.empty((0, 2))
    uv = np.rint(found[:, 0]).astype(np.float64)
    # cells that already hold landmarks come last
    load = np.bincount(compute_cell_index(taken_px, (width, height), _CELLS), minlength=_CELLS**2)
    cell = compute_cell_index(uv, (width, height), _CELLS)
    order = np.lexsort((np.arange(len(uv)), load[cell]))
    uv = uv[order]
    chosen = select_evenly(uv, -np.arange(len(uv), dtype=np.float64), (width, height), _CELLS, max_count)
    return uv[chosen]


def _determinant(two: Floats) -> Floats:
    """Return the determinants of N×2×2.

    Written out: for some thousands a general solver takes a tenth of an image's time.
    """
    determinant: Floats = two[:, 0, 0] * two[:, 1, 1] - two[:, 0, 1] * two[:, 1, 0]
    return determinant


def _inverse(two: Floats) -> Floats:
    """Return the inverses of N×2×2; `add` admits no singular ones."""
    adjugate = np.empty_like(two)
    adjugate[:, 0, 0], adjugate[:, 1, 1] = two[:, 1, 1], two[:, 0, 0]
    adjugate[:, 0, 1], adjugate[:, 1, 0] = -two[:, 0, 1], -two[:, 1, 0]
    inverse: Floats = adjugate / _determinant(two)[:, None, None]
    return inverse


def _seen(spot: CameraStation, terrain: TerrainGrid, point: Floats) -> tuple[Floats, Floats]:
    """Project landmarks N×3 into an image, with derivatives over the ground.

    Image points N×2, and pixels a metre N×2×2 by a step (east, north, along the slope); NaN where they
    are not in front of the camera.
    """
    offset = point - spot.centre
    offset[:, 2] *= spot.scale
    uv, by_camera = project_with_camera_derivatives(
        spot.interior, to_lens_vector(spot.interior), offset @ spot.rotation.T
    )
    stretched = spot.rotation.copy()
    stretched[:, 2] *= spot.scale
    by_point = by_camera @ stretched
    normal = compute_normals(terrain, point[:, :2])
    with np.errstate(invalid="ignore"):
        rise = np.nan_to_num(-normal[:, :2] / normal[:, 2:])
    rise = np.clip(rise, -_MAX_SLOPE, _MAX_SLOPE)
    return uv, by_point[:, :, :2] + by_point[:, :, 2:] * rise[:, None, :]
