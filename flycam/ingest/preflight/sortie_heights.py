"""Stated heights of one sortie."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.ingest.preflight.flight_table import Floats

CLEARANCE_M = 2.0
"""Smallest height above ground from which an aircraft takes photos."""


@dataclass(frozen=True, kw_only=True)
class SortieHeights:
    """Stated heights of one sortie.

    lonlat      N×2 degrees
    relative_m  N above take-off
    absolute_m  N in the datum of the terrain (NaN unknown)
    is_rtk      the absolute heights carry a fixed RTK solution
    """

    names: tuple[str, ...]
    lonlat: Floats
    relative_m: Floats
    absolute_m: Floats
    is_rtk: bool = False
