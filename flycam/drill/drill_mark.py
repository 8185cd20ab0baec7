"""Marks by which photos, terrain files and boundaries are known as synthetic.

The codes of such boundaries are in `frame.exercise_communes`.
"""

from __future__ import annotations

DRILL_MARK = "DIỄN TẬP"
DRILL_TAG = "DRILL"
"""GeoTIFF tag that carries the mark."""
