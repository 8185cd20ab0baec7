"""Terrain in feet that does not say so: what the aircraft's own heights betray, and what they cannot."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from flycam.drill.flight import FlightPlan, make_drill_camera, simulate_flight
from flycam.drill.land import WORK_CRS, Valley, build_valley_fields
from flycam.geodata.crs import to_lonlat
from flycam.ingest.preflight.flight_table import SortieHeights
from flycam.ingest.preflight.takeoff import FOOT_M, check_terrain_units

NAN = float("nan")


@cache
def flown(follow, seed=2):
    """A drill's sortie from the ground below its first photo, the ground around that and below each photo."""
    valley = Valley(seed=seed)
    plan = FlightPlan(strips=5, per_strip=7, gsd_m=0.2, follow=follow)
    centres = np.array(
        [
            e.exterior.projection_centre_m
            for e in simulate_flight(valley, plan, make_drill_camera((1320, 990)), seed, False)
        ]
    )
    low, high = centres.min(axis=0) - 300, centres.max(axis=0) + 300
    fields = build_valley_fields(valley, (low[0], low[1], high[0], high[1]))
    below = fields.sample("height", centres[:, 0], centres[:, 1])
    rng = np.random.default_rng(seed)
    disc = centres[0, :2] + rng.uniform(-150, 150, (96, 2))
    around = fields.sample("height", disc[:, 0], disc[:, 1])
    sortie = SortieHeights(
        names=tuple(f"DJI_{n:04d}.JPG" for n in range(len(centres))),
        lonlat=to_lonlat(centres[:, :2], WORK_CRS),
        relative_m=centres[:, 2] - below[0],
        absolute_m=np.full(len(centres), np.nan),
    )
    return sortie, around, below


def code(found):
    return [problem.code for problem in found]


@pytest.mark.parametrize("follow", ["ground", "strip", "constant"])
@pytest.mark.parametrize("seed", [2, 3])
def test_metres_are_never_suspected(follow, seed):
    sortie, around, below = flown(follow, seed)
    assert check_terrain_units(sortie, around, NAN, below) == []
    assert check_terrain_units(sortie, around, float(below[0]), below) == []


@pytest.mark.parametrize("seed", [2, 3])
def test_an_aircraft_that_follows_the_ground_betrays_feet(seed):
    sortie, around, below = flown("ground", seed)
    found = check_terrain_units(sortie, around / FOOT_M, NAN, below / FOOT_M)
    assert code(found) == ["terrain_maybe_feet"]


def test_a_level_flight_over_high_relief_betrays_feet_by_burying_photos():
    below = np.linspace(300.0, 420.0, 20)
    around = np.array([298.0, 300.0, 303.0])
    sortie = SortieHeights(
        names=tuple(f"DJI_{n:04d}.JPG" for n in range(20)),
        lonlat=np.tile([104.8, 21.9], (20, 1)),
        relative_m=np.full(20, 170.0),
        absolute_m=np.full(20, np.nan),
    )
    assert check_terrain_units(sortie, around, NAN, below) == []
    found = check_terrain_units(sortie, around / FOOT_M, NAN, below / FOOT_M)
    assert code(found) == ["terrain_maybe_feet"]


def test_the_aircrafts_own_altitude_is_certain():
    sortie, around, below = flown("constant")
    assert code(check_terrain_units(sortie, around / FOOT_M, float(below[0]), below / FOOT_M)) == [
        "terrain_in_feet"
    ]
