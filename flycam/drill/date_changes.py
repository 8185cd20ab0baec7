"""What lies between two dates of a drill beside the storm: season, work in the fields, new roads, the sun.

A detector of changes that has only seen a storm under one light calls everything a landslide. `DateChanges`
says what else is different in the after-world; the world's `confuser` says where. A drill without it is the
plain
one: the same bytes as ever.
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
    """What a cell of the after-world shows that is no work of the storm; numbers of `DrillWorld.confuser`."""

    NONE = 0
    PLOUGHED = 1
    """a field that was green and is bare soil"""
    CLEARED = 2
    """a plot in forest or scrub that was cut and burnt for planting"""
    CROP = 3
    """a field of another crop or ripeness, harvested ones too"""
    WET_PADDY = 4
    """a paddy put under water for planting"""
    ROAD = 5
    CUTTING = 6
    """bare slopes above and below a new road"""
    HOUSE = 7
    TERRACE_CROP = 8
    """as of a field, of a terrace on a slope; so are the next two"""
    TERRACE_WET = 9
    TERRACE_PLOUGHED = 10


TERRACES = (Confuser.TERRACE_CROP, Confuser.TERRACE_WET, Confuser.TERRACE_PLOUGHED)
_WORK = np.arange(len(Confuser), dtype=np.uint8)
_WORK[list(TERRACES)] = Confuser.CROP, Confuser.WET_PADDY, Confuser.PLOUGHED


def normalise_field_work(confuser: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same work wherever it was done: terraces as fields."""
    return _WORK[confuser]


@dataclass(frozen=True, kw_only=True, slots=True)
class DateChanges:
    """What changed between two dates.

    seed       chooses fields, roads, slides; the valley keeps its own
    slides     whether slopes failed: of many sizes, apart from each other, on all steep slopes
    flood_m    how high the river stands above its usual level, metres; 0: no flood
    fields     share of the fields that are at another work, 0 to 1
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
    """A third date of the same storm: the water stands otherwise, and slides have grown."""
    return replace(storm, days=days, flood_m=flood_m, grown_m=grown_m)


def draw_date_changes(seed: int, *, storm: bool = True) -> DateChanges:
    """One of the many ways in which two dates differ, drawn by the seed.

    Without a storm only light, season and the work in the fields differ: no slide, flood, road or house.
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
