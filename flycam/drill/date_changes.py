"""Differences between two dates beside the storm: season, fields, roads, sun.

A detector of changes that has only seen a storm under one light calls everything a landslide.
`DateChanges` states what else differs in the after-world; the world's `confuser` states where. A drill
without it is the plain one: the same bytes as in earlier versions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.drill.lighting import Sun


class Confuser(IntEnum):
    """Changes that are not the storm's; values of `DrillWorld.confuser`."""

    NONE = 0
    PLOUGHED = 1
    """a field that was green and is bare soil"""
    CLEARED = 2
    """a plot in forest or scrub that was cut and burnt for planting"""
    CROP = 3
    """a field of another crop or ripeness, harvested ones too"""
    WET_PADDY = 4
    """a paddy flooded for planting"""
    ROAD = 5
    CUTTING = 6
    """bare slopes above and below a new road"""
    HOUSE = 7
    TERRACE_CROP = 8
    """as CROP, on a terrace of a slope; so are the next two"""
    TERRACE_WET = 9
    TERRACE_PLOUGHED = 10


TERRACES = (Confuser.TERRACE_CROP, Confuser.TERRACE_WET, Confuser.TERRACE_PLOUGHED)
_WORK = np.arange(len(Confuser), dtype=np.uint8)
_WORK[list(TERRACES)] = Confuser.CROP, Confuser.WET_PADDY, Confuser.PLOUGHED


def normalise_field_work(confuser: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the numbers with work on terraces replaced by the same work on fields."""
    return _WORK[confuser]


@dataclass(frozen=True, kw_only=True, slots=True)
class DateChanges:
    """Differences between two dates.

    seed       chooses fields, roads, slides; the valley has its own
    slides     whether slopes failed: of many sizes, separate, on all steep slopes
    flood_m    height of the river above its usual level, metres; 0: no flood
    fields     share of the fields that are in another state, 0 to 1
    cleared    share of the plots in forest and scrub that were cut
    roads      new roads along a slope
    houses     share of the places for a house that have a new one
    season     -1 fresh green to 1 dry: the colour of leaves
    wetness    0 dry to 1: how dark bare soil is
    sun        of the after-date
    days       after the usual day of the flight after: a third date
    grown_m    by which every slide reaches farther on each side than it first did
    slim       factor of the slides' width
    failing    share of steep places that fail, 0 to 1
    """

    seed: int
    slides: bool = True
    flood_m: float = 3.4
    fields: float = 0.4
    cleared: float = 0.02
    roads: int = 2
    houses: float = 0.05
    season: float = 0.0
    wetness: float = 0.0
    sun: Sun
    days: int = 0
    grown_m: float = 0.0
    slim: float = 1.0
    failing: float = 0.36

    @property
    def storm(self) -> bool:
        return self.slides or self.flood_m > 0.0


def derive_later_date(storm: DateChanges, *, days: int, flood_m: float, grown_m: float) -> DateChanges:
    """Return a third date of the same storm: another water level, slides have grown."""
    return replace(storm, days=days, flood_m=flood_m, grown_m=grown_m)


def draw_date_changes(seed: int, *, storm: bool = True) -> DateChanges:
    """Draw the differences between two dates by the seed.

    Without a storm only light, season and field work differ: no slide, flood, road or house.
    """
    draw = np.random.default_rng([seed, 4711])
    sun = Sun(
        azimuth_rad=math.radians(draw.uniform(95.0, 265.0)),
        elevation_rad=math.radians(draw.uniform(34.0, 70.0)),
        strength=draw.uniform(0.45, 1.0),
    )
    drawn: dict[str, Any] = {
        "fields": draw.uniform(0.25, 0.7),
        "cleared": draw.uniform(0.0, 0.03),
        "season": draw.uniform(-0.8, 1.0),
        "wetness": draw.uniform(0.0, 1.0),
        "flood_m": draw.uniform(1.8, 4.6),
        "houses": draw.uniform(0.0, 0.12),
    }
    roads = int(draw.integers(1, 5))
    if not storm:
        drawn |= {"flood_m": 0.0, "houses": 0.0}
    return DateChanges(seed=seed, slides=storm, roads=roads if storm else 0, sun=sun, **drawn)
