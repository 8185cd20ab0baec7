"""Lines with numbers into GeoPackage or GeoJSON, whole or not at all."""

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
    """Write lines (each K×2 in `crs`) with a number each of every field, by its name.

    Raises what `write_features` raises.
    """
    points = np.concatenate([np.empty((0, 2)), *lines])
    shapes = shapely.linestrings(points, indices=np.repeat(np.arange(len(lines)), [len(k) for k in lines]))
    written = FeatureLayer(
        name=layer, kind="LineString", shapes=np.asarray(shapes, dtype=object), fields=fields
    )
    write_features(path, [written], crs=crs)
