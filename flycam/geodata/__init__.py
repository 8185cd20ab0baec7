"""Geodata: CRS, geoid, terrain, boundaries, rasters, vectors, cameras."""
