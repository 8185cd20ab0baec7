"""Orthorectified thumbnails of a flight's photos, on one ground raster."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.geodata.crs import to_lonlat
from flycam.geometry.exterior import ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.quarter_turns import rotate_exterior, rotate_interior
from flycam.geometry.rotation import to_mat3
from flycam.geometry.thumbnail_similarity import (
    MAX_DISTANCE_PX,
    MIN_DISTANCE_PX,
    OrthoThumbnail,
    ThumbnailSquare,
    locate_square,
    orthorectify_thumbnail,
)
from flycam.ingest.photo.pixel_checks import THUMBNAIL_PX, Pixels
from flycam.ingest.preflight.diagnosis import TerrainAt
from flycam.ingest.preflight.flight_table import Bools, Floats
from flycam.ingest.preflight.frame_headers import ResolvedFlight

_KEPT = 96


class OrthoThumbnails:
    """Thumbnails of some rows of a flight, orthorectified on demand.

    On one raster; those used last are cached.
    """

    def __init__(
        self,
        flight: ResolvedFlight,
        rows: NDArray[np.intp],
        sideways: Bools,
        thumbnails: Sequence[Pixels],
        terrain_at: TerrainAt | None,
    ) -> None:
        self._flight, self._rows, self._sideways, self._thumbnails = flight, rows, sideways, thumbnails
        height = flight.heights.height_m[rows]
        takeoff = flight.heights.takeoffs[0].height_m if flight.heights.takeoffs else 0.0
        above = flight.heights.above_ground_m[rows]
        above = np.where(np.isfinite(above), above, height - takeoff)
        above = np.maximum(above, 1.0)
        lenses = [flight.interiors[row] for row in rows]
        across = [max(lens.image_size_px) / np.mean(lens.focal_length_px) for lens in lenses]
        gsd = float(np.median(above * across)) / THUMBNAIL_PX
        sight = flight.rotations[rows, 2]
        reach = above / np.maximum(-sight[:, 2], 0.3)
        middle = flight.xy_m[rows] + reach[:, None] * sight[:, :2]
        self._spots: list[ThumbnailSquare] = [locate_square(m, gsd) for m in middle]
        self.places = np.array([(s.column, s.row) for s in self._spots])
        nodes = np.stack([s.nodes_m(gsd) for s in self._spots])
        self._nodes = np.concatenate([nodes, self._heights(nodes, height - above, terrain_at)], axis=-1)
        self._kept: OrderedDict[tuple[int, int], OrthoThumbnail] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def orthorectify(self, i: int, quarters: int) -> OrthoThumbnail:
        """Orthorectify thumbnail i as if its image were turned by quarters × 90°."""
        if (i, quarters) in self._kept:
            self._kept.move_to_end((i, quarters))
            return self._kept[i, quarters]
        row = int(self._rows[i])
        lens = rotate_thumbnail_interior(self._flight.interiors[row], quarters, bool(self._sideways[row]))
        exterior = rotate_exterior(make_exterior(self._flight, row), quarters)
        found = orthorectify_thumbnail(self._thumbnails[i], lens, exterior, self._spots[i], self._nodes[i])
        self._kept[i, quarters] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def find_neighbours(self, i: int, max_count: int) -> list[int]:
        """Return the nearest others that share ground with i.

        But not so much of it that a turn would not show.
        """
        apart = np.abs(self.places - self.places[i]).max(axis=1)
        near = np.flatnonzero((apart >= MIN_DISTANCE_PX) & (apart <= MAX_DISTANCE_PX))
        chosen: list[int] = near[np.argsort(apart[near], kind="stable")][:max_count].tolist()
        return chosen

    def _heights(self, nodes: Floats, below: Floats, terrain_at: TerrainAt | None) -> Floats:
        """Return ground heights of the nodes N×K×2.

        A plane under each camera where the terrain is not known.
        """
        flat = np.broadcast_to(below[:, None], nodes.shape[:2])
        if terrain_at is None:
            return flat[..., None]
        heights, _ = terrain_at(to_lonlat(nodes.reshape(-1, 2), self._flight.work_crs))
        known = heights.reshape(flat.shape)
        return np.where(np.isfinite(known), known, flat)[..., None]


def rotate_thumbnail_interior(
    lens: InteriorOrientation, quarters: int, sideways: bool
) -> InteriorOrientation:
    """Rotate an interior orientation by quarters × 90°.

    That of a sideways photo has been rotated once already (`edited_photos.find_interior`).
    """
    return rotate_interior(lens, quarters - int(sideways)) if quarters else lens


def make_exterior(flight: ResolvedFlight, row: int) -> ExteriorOrientation:
    """Return the pose of a row, without its sigmas."""
    east, north = flight.xy_m[row].tolist()
    return ExteriorOrientation(
        projection_centre_m=(east, north, float(flight.heights.height_m[row])),
        rotation=to_mat3(flight.rotations[row]),
        work_crs=flight.work_crs,
        vertical_datum=flight.heights.datum,
        grid_scale=float(flight.scale[row]),
        sigma_position_m=(0.0, 0.0, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.GNSS,
    )
