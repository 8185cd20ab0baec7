"""What GDAL may open: the formats read here, and nothing over the network.

GDAL takes a file by its content. Formats that name other files or addresses (VRT, WMS, WFS, HTTP …) would
make this machine read what the sender of a file cannot read himself: no format but those read here is left.
pyogrio and rasterio each bring a GDAL of their own, confined by `vector_file` and by `raster_source`.
"""

from __future__ import annotations

import os

# PROJ asks for grids that are not here, in each library that has a PROJ of its own, where this says so
os.environ["PROJ_NETWORK"] = "OFF"

VECTOR_DRIVERS = frozenset({"GeoJSON", "GPKG", "ESRI Shapefile", "KML", "LIBKML"})

RASTER_DRIVERS = ("GTiff", "SRTMHGT", "JPEG", "PNG", "JP2OpenJPEG")
"""Formats of pictures and heights that name no other file."""

NO_NETWORK = {
    # GeoJSON may name its CRS by an address (crs of type "link"), and GDAL would ask there. It has no switch
    # for that; a proxy of a kind that there is not ends every request before a name is looked up.
    "GDAL_HTTP_PROXY": "none://nowhere",
    "GDAL_HTTPS_PROXY": "none://nowhere",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}
