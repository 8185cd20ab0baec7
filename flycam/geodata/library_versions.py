"""Versions of the geographic libraries as loaded: they decide heights and places, and so bytes."""

from __future__ import annotations

import rasterio
import shapely

from flycam.geodata.crs import get_proj_version


def list_library_versions() -> dict[str, str]:
    """List versions by name; rasterio and pyproj each bring their own PROJ."""
    return {
        "rasterio": rasterio.__version__,
        "GDAL": rasterio.__gdal_version__,
        "GDAL's PROJ": rasterio.__proj_version__,
        "PROJ": get_proj_version(),
        "GEOS": shapely.geos_version_string,
    }
