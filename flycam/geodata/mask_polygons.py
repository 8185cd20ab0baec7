"""Outlines of a mask, along the edges of its pixels."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry


def trace_mask_polygons(mask: NDArray[np.bool_], west: float, north: float, pixel_m: float) -> BaseGeometry:
    """Trace a mask (rows×columns, row 0 northernmost) as polygons with holes.

    Empty without a pixel.

    west, north  outer corner of the first pixel; pixel_m its side, all in the same unit
    """
    found = shapes(
        mask.astype(np.uint8), mask=mask, transform=Affine(pixel_m, 0.0, west, 0.0, -pixel_m, north)
    )
    return shapely.union_all([shapely.geometry.shape(outline) for outline, _ in found])


def trace_cell_rings(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Trace closed rings (column, row) around connected cells: exterior, then holes.

    Counted from the outer corner of the first cell, in cells. Cells that meet at a corner alone are
    connected; a ring touches itself there. Raises ValueError unless the mask holds exactly one patch.
    """
    found = list(shapes(mask.astype(np.uint8), mask=mask, connectivity=8))
    if len(found) != 1:
        raise ValueError(f"a mask of one patch, not of {len(found)}")
    return [np.array(ring, dtype=np.float64) for ring in found[0][0]["coordinates"]]
