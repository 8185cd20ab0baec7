"""A mosaic against the drill's true top view, patch by patch, whoever made the mosaic.

Each patch of the mosaic is looked for around its place in the truth by normalised correlation, to a part of a
pixel. Correlation does not mind exposure; a patch whose best match is poor, not distinct, or at the rim of
the search is not counted as found, and the share that is found is stated beside the errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.warp import Resampling, reproject

from flycam.drill.photo_drill import DrillTruth

PATCH_M, SEARCH_M = 9.6, 4.8
LEAST_CORRELATION, LEAST_DISTINCT = 0.5, 0.05
_LEAST_CONTRAST = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchErrors:
    """Of one mosaic against the truth.

    place_m  N×2 (east, north) of the patches found; offset_m N×2: where the mosaic shows them minus the truth
    tried_m  M×2: middles of all patches with data, found or not
    found    share of the patches with data that were found
    covered  share of the ground between the outermost cameras that has data
    """

    place_m: np.ndarray
    offset_m: np.ndarray
    tried_m: np.ndarray
    found: float
    covered: float

    @property
    def shift_m(self) -> np.ndarray:
        """The common shift: the median offset."""
        return np.median(self.offset_m, axis=0)

    def errors_m(self, *, after_shift: bool) -> np.ndarray:
        """Distances N, with or without the common shift."""
        offsets = self.offset_m - self.shift_m if after_shift else self.offset_m
        return np.hypot(*offsets.T)


def patch_errors(mosaic: Path, truth: DrillTruth, *, search_m: float = SEARCH_M) -> PatchErrors:
    """Compare a GeoTIFF (any CRS, mask or alpha for no data) with the truth of a drill."""
    with rasterio.open(truth.ortho) as source:
        true, transform, crs = _grey(source.read([1, 2, 3])), source.transform, source.crs
    ours, mask = _onto(mosaic, transform, crs, true.shape)
    cell = transform.a
    patch, reach = round(PATCH_M / cell), round(search_m / cell)
    places, offsets, tried = [], [], []
    for row in range(reach, true.shape[0] - patch - reach, patch):
        for col in range(reach, true.shape[1] - patch - reach, patch):
            cut = (slice(row, row + patch), slice(col, col + patch))
            if not mask[cut].all():
                continue
            x, y = transform * (col + patch / 2, row + patch / 2)
            tried.append((x, y))
            around = true[row - reach : row + patch + reach, col - reach : col + patch + reach]
            shift = _find(ours[cut], around, reach)
            if shift is None:
                continue
            places.append((x, y))
            offsets.append((-shift[0] * cell, shift[1] * cell))
    return PatchErrors(
        place_m=np.array(places).reshape(-1, 2),
        offset_m=np.array(offsets).reshape(-1, 2),
        tried_m=np.array(tried).reshape(-1, 2),
        found=len(places) / max(len(tried), 1),
        covered=_covered(mask, truth, transform),
    )


def _find(patch: np.ndarray, around: np.ndarray, reach: int) -> tuple[float, float] | None:
    """(columns, rows) from the patch's own place to its match; None if it is not found for sure."""
    if patch.std() < _LEAST_CONTRAST:
        return None
    score = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (col, row) = cv2.minMaxLoc(score)
    if best < LEAST_CORRELATION or not (0 < row < 2 * reach and 0 < col < 2 * reach):
        return None
    others = score.copy()
    near = max(reach // 8, 3)
    others[max(row - near, 0) : row + near + 1, max(col - near, 0) : col + near + 1] = -1.0
    if best - others.max() < LEAST_DISTINCT:
        return None
    return col - reach + _vertex(score[row, col - 1 : col + 2]), row - reach + _vertex(
        score[row - 1 : row + 2, col]
    )


def _vertex(three: np.ndarray) -> float:
    """Top of the parabola through three values around a maximum, from the middle one."""
    left, middle, right = (float(value) for value in three)
    bend = left - 2.0 * middle + right
    return 0.0 if bend >= 0.0 else 0.5 * (left - right) / bend


def _onto(path: Path, transform, crs, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Grey values and data mask of a GeoTIFF on the truth's grid."""
    with rasterio.open(path) as source:
        grey = np.zeros(shape, np.float32)
        mask = np.zeros(shape, np.float32)
        there = {"dst_transform": transform, "dst_crs": crs, "src_transform": source.transform}
        reproject(
            _grey(source.read([1, 2, 3])), grey, src_crs=source.crs, resampling=Resampling.bilinear, **there
        )
        inside = (source.dataset_mask() > 0).astype(np.float32)
        reproject(inside, mask, src_crs=source.crs, resampling=Resampling.bilinear, **there)
    return grey, mask > 0.999


def _covered(mask: np.ndarray, truth: DrillTruth, transform) -> float:
    centres = np.array([pose.projection_centre_m[:2] for pose in truth.exteriors.values()])
    cols, rows = ~transform * (centres[:, 0], centres[:, 1])
    hull = cv2.convexHull(np.rint(np.stack([cols, rows], -1)).astype(np.int32))
    inside = cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), hull, 1).astype(bool)
    return float(mask[inside].mean())


def _grey(bands: np.ndarray) -> np.ndarray:
    picture = np.ascontiguousarray(np.moveaxis(bands, 0, -1))
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
