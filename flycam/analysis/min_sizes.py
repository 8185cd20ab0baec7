"""The least that is looked for: less is a car, a heap, a puddle. Known here to whoever cuts what was found,
without all that finding takes."""

from __future__ import annotations

MIN_BARE_M2, MIN_FLOODED_M2 = 150.0, 120.0
