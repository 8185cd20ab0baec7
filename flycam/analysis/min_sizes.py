"""Minimum areas of patches: less is a car, a heap, a puddle.

Kept apart, so that code that clips the results can use them without importing the detector.
"""

from __future__ import annotations

MIN_BARE_M2, MIN_FLOODED_M2 = 150.0, 120.0
