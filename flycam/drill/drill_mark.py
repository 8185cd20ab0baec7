"""By what anything of a drill is known as made up: in photos, terrain files and boundaries
(whose codes are `frame.exercise_communes`'s)."""

from __future__ import annotations

DRILL_MARK = "DIỄN TẬP"
DRILL_TAG = "DRILL"
"""Under which a GeoTIFF carries the mark."""
