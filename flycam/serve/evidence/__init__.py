"""Sources of a place on the map: photos, video, quality reports, redactions."""
