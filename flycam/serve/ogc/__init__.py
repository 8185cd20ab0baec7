"""Standard interfaces of the map: OGC API, WMTS, STAC, KML, GeoTIFF."""
