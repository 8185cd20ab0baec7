"""Geodata: coordinate systems, geoid, terrain, boundaries, rasters, camera calibrations."""
