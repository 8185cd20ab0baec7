"""Writing of lines with numbers to GeoPackage or GeoJSON, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.geodata.feature_file import FeatureLayer, write_features

Floats = NDArray[np.float64]
Numbers = NDArray[np.float64] | NDArray[np.int32]


def write_lines(
    path: Path, lines: Sequence[Floats], fields: Mapping[str, Numbers], *, crs: str, layer: str
) -> None:
    """Write lines (each K×2 in `crs`) with one number of every field each.

    fields  numbers by field name

    Raises the errors of `write_features`.
    """
    points = np.concatenate([np.empty((0, 2)), *lines])
    shapes = shapely.linestrings(points, indices=np.repeat(np.arange(len(lines)), [len(k) for k in lines]))
    written = FeatureLayer(
        name=layer, kind="LineString", shapes=np.asarray(shapes, dtype=object), fields=fields
    )
    write_features(path, [written], crs=crs)
