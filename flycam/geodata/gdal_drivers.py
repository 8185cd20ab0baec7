"""GDAL drivers that are allowed: the formats read here, and nothing over the network.

GDAL takes a file by its content. Formats that name other files or addresses (VRT, WMS, WFS, HTTP …) would
make this machine read what the sender of a file cannot read himself: no format but those read here is
enabled. pyogrio and rasterio each bring their own GDAL, confined by `vector_file` and by `raster_source`.
"""

from __future__ import annotations

import os

# else PROJ downloads missing grids, in each library that has its own PROJ
os.environ["PROJ_NETWORK"] = "OFF"

VECTOR_DRIVERS = frozenset({"GeoJSON", "GPKG", "ESRI Shapefile", "KML", "LIBKML"})

RASTER_DRIVERS = ("GTiff", "SRTMHGT", "JPEG", "PNG", "JP2OpenJPEG")
"""Formats of images and heights that name no other file."""

NO_NETWORK = {
    # GeoJSON may name its CRS by a URL (crs of type "link"), and GDAL would fetch it. It has no option to
    # prevent that; a proxy of a non-existent kind ends every request before a name is resolved.
    "GDAL_HTTP_PROXY": "none://nowhere",
    "GDAL_HTTPS_PROXY": "none://nowhere",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}
