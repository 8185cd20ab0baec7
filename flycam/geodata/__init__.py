"""The known world: coordinate systems, geoid, terrain, boundaries, rasters, camera calibrations."""
