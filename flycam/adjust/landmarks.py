"""Places on the ground that frames of a film have shown, each with the look it had when first seen."""

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
_MIN_LIKENESS, _MIN_MARGIN = 0.7, 0.1
_RIM_PX = 12.0
_CORNERS, _CORNER_QUALITY = 500, 0.01
_CORNER_SPACING_PART = 40  # corners stand at least this part of the picture's width apart
_CELLS = 8
_MAX_SLOPE = 1.5
_MAX_STRETCH, _MIN_STRETCH = 3.0, 0.33


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraStation:
    """Where a picture was taken: centre 3, rotation 3×3 (world to camera), scale of vertical differences."""

    interior: InteriorOrientation
    centre: Floats
    rotation: Floats
    scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LandmarkMatches:
    """N landmarks found again in a picture: their numbers, rising, and where, N×2."""

    landmark: Indices
    uv_px: Floats


class Landmarks:
    """All landmarks that remembered frames see, and which frame sees which, where. Frames are numbered by
    the caller, rising.

    point  Q×3; frame, landmark N, uv_px N×2: observations
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
        """Landmarks found again in a picture, of up to `max_count` looked for: half of them last seen by
        frames
        numbered `recent` or higher, half of those that only earlier frames saw.
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
            # the newest first: what was seen just before looks most alike
            parts.append(
                rows[select_evenly(uv[rows], last[rows] * 1.0, (width, height), _CELLS, max_count // 2)]
            )
        rows = np.sort(np.concatenate(parts))
        sought = match_templates(grey, uv[rows], affine[rows], self._template[rows], REACH_PX)
        good = (sought.correlation >= _MIN_LIKENESS) & (sought.margin >= _MIN_MARGIN)
        return LandmarkMatches(landmark=rows[good].astype(np.int32), uv_px=sought.uv_px[good])

    def add_observations(self, frame: int, found: LandmarkMatches) -> None:
        """Enter observations of a frame."""
        self.frame = np.concatenate([self.frame, np.full(len(found.landmark), frame, dtype=np.int32)])
        self.landmark = np.concatenate([self.landmark, found.landmark])
        self.uv_px = np.concatenate([self.uv_px, found.uv_px])

    def add(
        self, frame: int, grey: Bytes, spot: CameraStation, terrain: TerrainGrid, uv: Floats, point: Floats
    ) -> None:
        """New landmarks of a frame, seen at uv N×2, that stand at `point` N×3 as far as is known."""
        _, jacobian = _seen(spot, terrain, point)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(jacobian).all(axis=(1, 2)) & (np.abs(_determinant(jacobian)) > 1e-9)
        # the template's own middle is a whole pixel: what is found later is where that pixel went
        at = np.rint(uv[good])
        numbers = np.arange(len(self), len(self) + len(at), dtype=np.int32)
        self.point = np.concatenate([self.point, point[good]])
        self._template = np.concatenate([self._template, cut_templates(grey, at)])
        self._jacobian = np.concatenate([self._jacobian, jacobian[good]])
        self.add_observations(frame, LandmarkMatches(landmark=numbers, uv_px=at))

    def within_bounds(
        self, bounds_m: tuple[float, float, float, float], seen_from: Floats, ray_rad: float
    ) -> tuple[Floats, Floats]:
        """Landmarks in (west, south, east, north) that were seen from two places: points N×3, and the sigma
        of their heights, N metres: ray_rad · √2 · height² / base, the base level and the widest.

        seen_from  centre of the frame of each observation, as many × 3; ray_rad: sigma of a sight
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
        """Let go of frames numbered less, and of landmarks that no other frame sees."""
        self._keep(self.frame >= before)

    def forget_newest(self, frame: int) -> None:
        """Let go of this frame and those after it, and of landmarks that no other frame sees."""
        self._keep(self.frame < frame)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Of the observations these, and of the landmarks those that they see."""
        if kept.all():
            return
        still = np.unique(self.landmark[kept])
        self.point, self._template = self.point[still], self._template[still]
        self._jacobian = self._jacobian[still]
        self.frame, self.uv_px = self.frame[kept], self.uv_px[kept]
        self.landmark = np.searchsorted(still, self.landmark[kept]).astype(np.int32)


def detect_corners(grey: Bytes, taken_px: Floats, max_count: int) -> Floats:
    """Up to `max_count` corners of a picture N×2 (whole pixels), spread evenly, away from places already
    taken."""
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
    # cells that hold landmarks already are served last
    load = np.bincount(compute_cell_index(taken_px, (width, height), _CELLS), minlength=_CELLS**2)
    cell = compute_cell_index(uv, (width, height), _CELLS)
    order = np.lexsort((np.arange(len(uv)), load[cell]))
    uv = uv[order]
    chosen = select_evenly(uv, -np.arange(len(uv), dtype=np.float64), (width, height), _CELLS, max_count)
    return uv[chosen]


def _determinant(two: Floats) -> Floats:
    """Of N×2×2, written out: some thousand of them by a general solver are a tenth of a picture's time."""
    determinant: Floats = two[:, 0, 0] * two[:, 1, 1] - two[:, 0, 1] * two[:, 1, 0]
    return determinant


def _inverse(two: Floats) -> Floats:
    """Of N×2×2 that have one: `begin` takes no others."""
    adjugate = np.empty_like(two)
    adjugate[:, 0, 0], adjugate[:, 1, 1] = two[:, 1, 1], two[:, 0, 0]
    adjugate[:, 0, 1], adjugate[:, 1, 0] = -two[:, 0, 1], -two[:, 1, 0]
    inverse: Floats = adjugate / _determinant(two)[:, None, None]
    return inverse


def _seen(spot: CameraStation, terrain: TerrainGrid, point: Floats) -> tuple[Floats, Floats]:
    """Where landmarks N×3 lie in a picture, N×2, and how a step over the ground (east, north, along its
    slope) moves them, N×2×2 pixels a metre; NaN where they are not before the camera."""
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
