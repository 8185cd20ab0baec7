"""Which ground is hidden behind other ground, seen from one point.

A scan outwards from the camera keeps, for every azimuth, the steepest elevation met so far (its horizon).
A point is hidden if the horizon before it stands above it. One scan serves every point of the frame, and
costs a few thousand heights instead of a march along every line of sight.

Source of the idea: Franklin and Ray, Higher isn't necessarily better: visibility algorithms, 1994 (R2);
here on a polar grid with a cumulative maximum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, steepest_gradient, surface_heights

Floats = NDArray[np.float64]

_SAMPLES_PER_POST = 4.0
_MAX_RINGS = 4000
_MAX_AZIMUTHS = 20000
# Ground this near before a point, in posts, is the point's own bilinear neighbourhood: it does not hide it.
_NEIGHBOURHOOD_POSTS = 0.1
# Slack for the interpolation between azimuths and rings, in posts of height.
_SLACK_POSTS = 0.01
_OPEN = -1.0e6


def visibility_margin(terrain: TerrainGrid, centre_m: Floats, points_m: Floats) -> Floats:
    """How far ground points stand above the line of sight over what lies before them.

    centre_m (east, north, height); points_m N×3 on the terrain. Returns N metres: >= 0 visible, < 0
    hidden. Holes in the terrain hide nothing.
    """
    points = np.asarray(points_m, dtype=np.float64)
    centre = np.asarray(centre_m, dtype=np.float64)
    reach = float(np.hypot(points[..., 0] - centre[0], points[..., 1] - centre[1]).max(initial=0.0))
    scan = HorizonScan(terrain, (centre[0], centre[1], centre[2]), reach)
    return scan.margin(points[..., 0], points[..., 1], points[..., 2])


def never_hidden(
    terrain: TerrainGrid, centre_m: tuple[float, float, float], east: Floats, north: Floats, height: Floats
) -> NDArray[np.bool_]:
    """Points that cannot be hidden, exactly: their line of sight rises faster than any slope there is."""
    distance = np.hypot(east - centre_m[0], north - centre_m[1])
    free: NDArray[np.bool_] = centre_m[2] - height > steepest_gradient(terrain) * distance
    return free


class HorizonScan:
    """The horizon around one camera on a polar grid that depends on camera, terrain and reach only.

    Sectors are computed when first asked for; what is computed at a (ring, azimuth) is the same bits
    whatever was asked, so that neighbouring tiles agree.
    """

    def __init__(
        self,
        terrain: TerrainGrid,
        centre_m: tuple[float, float, float],
        reach_m: float,
        heading: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        """`heading` (east, north) is where the azimuth is 0; the cut of the circle lies opposite."""
        self._terrain = terrain
        self._centre = centre_m
        post = min(terrain.post_spacing_m)
        self._ring_m = max(post / _SAMPLES_PER_POST, reach_m / _MAX_RINGS, 1e-3)
        azimuths = np.clip(np.ceil(2.0 * np.pi * reach_m / self._ring_m), 64, _MAX_AZIMUTHS)
        self._azimuth_step = 2.0 * np.pi / float(azimuths)
        length = float(np.hypot(*heading))
        self._heading = (heading[0] / length, heading[1] / length) if length > 1e-9 else (1.0, 0.0)
        self._skip_rings = _NEIGHBOURHOOD_POSTS * post / self._ring_m
        self._slack_m = _SLACK_POSTS * post
        self._extent = (0, 0, 0)
        self._tangents = np.full((1, 1), _OPEN)

    def margin(self, east: Floats, north: Floats, height: Floats) -> Floats:
        """Margins (see `visibility_margin`) of points in three arrays of equal shape S."""
        de, dn = east - self._centre[0], north - self._centre[1]
        distance = np.hypot(de, dn)
        he, hn = self._heading
        azimuth = np.arctan2(he * dn - hn * de, he * de + hn * dn) / self._azimuth_step
        ring = np.maximum(distance / self._ring_m - self._skip_rings, 0.0)
        known = np.isfinite(height)
        if not known.any():
            return np.full(np.shape(height), np.nan)
        azimuth, ring = np.where(known, azimuth, azimuth[known].flat[0]), np.where(known, ring, 0.0)
        tangent = self._horizon(azimuth, ring)
        margin: Floats = height - (self._centre[2] + distance * tangent) + self._slack_m
        return margin

    def _horizon(self, azimuth: Floats, ring: Floats) -> Floats:
        """Tangent of the horizon's elevation before each ring position, bilinear on the polar grid."""
        first, last = int(np.floor(azimuth.min())), int(np.floor(azimuth.max())) + 1
        rings = int(np.floor(ring.max())) + 2
        self._cover(first, last, rings)
        k = np.floor(azimuth)
        j = np.floor(ring)
        wk, wj = azimuth - k, ring - j
        columns = self._tangents.shape[1]
        at = j.astype(np.int64) * columns + (k.astype(np.int64) - self._extent[0])
        flat = self._tangents.reshape(-1)
        near = flat.take(at) * (1.0 - wk) + flat.take(at + 1) * wk
        far = flat.take(at + columns) * (1.0 - wk) + flat.take(at + columns + 1) * wk
        tangent: Floats = near + wj * (far - near)
        return tangent

    def _cover(self, first: int, last: int, rings: int) -> None:
        have_first, have_last, have_rings = self._extent
        if have_rings == 0:
            have_first, have_last = first, last
        elif have_first <= first and have_last >= last and have_rings >= rings:
            return
        # a little more than asked, so that the next tiles seldom ask for more
        room = 8 + (last - first) // 16
        first, last = min(first - room, have_first), max(last + room, have_last)
        rings = max(rings + rings // 8, have_rings)
        angle = np.arange(first, last + 1) * self._azimuth_step
        distance = np.arange(1, rings + 1)[:, None] * self._ring_m
        (he, hn), (ce, cn, ch) = self._heading, self._centre
        cosine, sine = np.cos(angle), np.sin(angle)
        east = ce + distance * (he * cosine - hn * sine)
        north = cn + distance * (hn * cosine + he * sine)
        tangent = (surface_heights(self._terrain, east, north) - ch) / distance
        tangent = np.where(np.isnan(tangent), _OPEN, tangent)
        self._tangents = np.full((rings + 1, last - first + 1), _OPEN)
        np.maximum.accumulate(tangent, axis=0, out=self._tangents[1:])
        self._extent = (first, last, rings)
