"""The same map in the words of other programs: OGC, WMTS, STAC, KML, files."""
