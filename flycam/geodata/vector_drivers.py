"""What the GDAL of the vector reader may open: the formats read here, and nothing over the network.

GDAL takes a file by its content. Formats that name other files or addresses (OGR VRT, WFS, HTTP …) would
make this machine read what the sender of a file cannot read himself: no format but those read here is left.
"""

from __future__ import annotations

import pyogrio
from pyogrio._ogr import _register_drivers

DRIVERS = frozenset({"GeoJSON", "GPKG", "ESRI Shapefile", "KML", "LIBKML"})
_KEPT = DRIVERS | {"MEM"}

_NO_NETWORK = {
    # GeoJSON may name its CRS by an address (crs of type "link"), and GDAL would ask there. It has no switch
    # for that; a proxy of a kind that there is not ends every request before a name is looked up.
    "GDAL_HTTP_PROXY": "none://nowhere",
    "GDAL_HTTPS_PROXY": "none://nowhere",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "OGR_SQLITE_STATIC_VIRTUAL_OGR": "NO",  # tables of a GeoPackage that lie in another file
}


def confine() -> None:
    """Take every other format, and the network, from pyogrio's GDAL, for the whole process.

    Again is harmless. rasterio has a GDAL of its own and keeps what it has.
    """
    strange = sorted(set(pyogrio.list_drivers()) - _KEPT)
    if not strange:
        return
    pyogrio.set_gdal_config_options({**_NO_NETWORK, "GDAL_SKIP": ",".join(strange)})
    _register_drivers()  # the list is looked at where formats are registered, and nowhere else
