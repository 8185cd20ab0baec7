"""Figures of a flight over summits, slopes and valleys: side overlap is lost over summits first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geodata.crs import to_lonlat
from flycam.ingest.preflight.diagnosis import ReliefZone, TerrainAt
from flycam.ingest.preflight.flight_table import Bools, Floats
from flycam.ingest.preflight.frame_headers import ResolvedFlight

MIN_RELIEF_SHARE = 0.1
"""Relief below this share of the height above ground counts as flat, one zone."""
_SAMPLES = 96
_STRIP_DEG = 20.0


@dataclass(frozen=True)
class ViewCounts:
    """Number of photos that see each cell: rows×cols, row 0 northernmost.

    origin_m is the first cell's centre.
    """

    views: NDArray[np.uint16]
    origin_m: tuple[float, float]
    cell_m: float


def summarise_relief_zones(
    flight: ResolvedFlight, keep: Bools, ground: ViewCounts, terrain_at: TerrainAt | None
) -> tuple[ReliefZone, ...]:
    """Return figures per third of the relief ("valley", "slope", "summit").

    One zone "flat" without relief or terrain. A photo belongs to the zone of the ground below it; views are
    counted on the ground of the zone itself.
    """
    above = flight.heights.above_ground_m[keep]
    below = (flight.heights.height_m - flight.heights.above_ground_m)[keep]
    if not np.isfinite(above).any():
        return ()
    points, views = _sampled(ground)
    cell_height = np.zeros(len(points))
    if terrain_at is not None and len(points):
        cell_height, _ = terrain_at(to_lonlat(points, flight.work_crs))
    known = np.isfinite(cell_height)
    low, high = np.percentile(cell_height[known], [1.0, 99.0]) if known.any() else (0.0, 0.0)
    flat = high - low < MIN_RELIEF_SHARE * float(np.nanmedian(above))
    bounds = (
        [(low, high)]
        if flat
        else [(low + k * (high - low) / 3, low + (k + 1) * (high - low) / 3) for k in range(3)]
    )
    labels = ("flat",) if flat else ("valley", "slope", "summit")
    gsd = above / np.array([i.focal_length_px[0] for i, k in zip(flight.interiors, keep, strict=True) if k])
    side = compute_side_overlap(flight, keep)
    zones = []
    for k, (label, (bottom, top)) in enumerate(zip(labels, bounds, strict=True)):
        first, last = k == 0, k == len(bounds) - 1
        photos = np.isfinite(above) & (first | (below >= bottom)) & (last | (below < top))
        cells = known & (first | (cell_height >= bottom)) & (last | (cell_height < top))
        if not photos.any() or not cells.any():
            continue
        sides = side[photos][np.isfinite(side[photos])]
        zones.append(
            ReliefZone(
                zone=label,
                ground_m=(float(bottom), float(top)),
                photos=int(photos.sum()),
                height_above_ground_m=_low_mid_high(above[photos]),
                gsd_m=_low_mid_high(gsd[photos]),
                views=(float(np.percentile(views[cells], 10.0)), float(np.median(views[cells]))),
                side_overlap=float(np.median(sides)) if sides.size else None,
            )
        )
    return tuple(zones)


def _low_mid_high(values: Floats) -> tuple[float, float, float]:
    return float(values.min()), float(np.median(values)), float(values.max())


def _sampled(ground: ViewCounts) -> tuple[Floats, Floats]:
    """Return a grid of at most 96×96 seen cells: points N×2 (metres) and views N."""
    step = max(1, max(ground.views.shape) // _SAMPLES)
    rows, cols = np.meshgrid(*(np.arange(0, n, step) for n in ground.views.shape), indexing="ij")
    views = ground.views[rows, cols].ravel()
    points = np.stack(
        [ground.origin_m[0] + cols * ground.cell_m, ground.origin_m[1] - rows * ground.cell_m], axis=-1
    ).reshape(-1, 2)
    return points[views > 0], views[views > 0].astype(np.float64)


def compute_side_overlap(flight: ResolvedFlight, keep: Bools) -> Floats:
    """Return the share of each kept photo's width that the next strip repeats.

    NaN without a neighbouring strip. Width = height above ground × image width / focal length, taken across
    the image's own up direction. A neighbour is abreast (nearer along the strip than half an image height)
    and over a fifth of a width to the side.
    """
    xy = flight.xy_m[keep]
    above = flight.heights.above_ground_m[keep]
    interiors = [i for i, k in zip(flight.interiors, keep, strict=True) if k]
    width = above * np.array([i.image_size_px[0] / i.focal_length_px[0] for i in interiors])
    length = above * np.array([i.image_size_px[1] / i.focal_length_px[1] for i in interiors])
    right = flight.rotations[keep][:, 0, :2]
    right = right / np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-9)
    result = np.full(len(xy), np.nan)
    for start in range(0, len(xy), 256):  # blocks bound the memory of all pairs
        rows = slice(start, start + 256)
        d = xy[None, :, :] - xy[rows, None, :]
        across = np.abs(np.einsum("ijk,ik->ij", d, right[rows]))
        along = np.abs(d[..., 0] * -right[rows, None, 1] + d[..., 1] * right[rows, None, 0])
        abreast = (along < 0.5 * length[rows, None]) & (across > 0.2 * width[rows, None])
        nearest = np.where(abreast, across, np.inf).min(axis=1)
        result[rows] = np.where(np.isfinite(nearest), np.maximum(1.0 - nearest / width[rows], 0.0), np.nan)
    return result
