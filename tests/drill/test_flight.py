from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from flycam.drill.flight import FlightPlan, Follow, make_drill_camera, simulate_flight
from flycam.drill.land import Valley

VALLEY, CAMERA = Valley(seed=2), make_drill_camera((1320, 990))


def exposures(follow: Follow = "ground"):
    return simulate_flight(
        VALLEY, FlightPlan(strips=3, per_strip=5, gsd_m=0.2, follow=follow), CAMERA, 2, False
    )


def test_strips_turn_and_overlap_as_planned() -> None:
    flown = exposures()
    centres = np.array([e.exterior.projection_centre_m for e in flown])
    along, across = VALLEY.to_valley(centres[:, 0], centres[:, 1])
    strips = [[k for k, e in enumerate(flown) if e.strip == s] for s in range(3)]
    base = np.abs(np.diff(along[strips[0]])).mean()
    assert 1 - base / (0.2 * 990) == pytest.approx(0.75, abs=0.02)
    spacing = np.diff([across[s].mean() for s in strips]).mean()
    assert 1 - spacing / (0.2 * 1320) == pytest.approx(0.65, abs=0.02)
    yaws = np.degrees([np.mean([flown[k].gimbal_rad[0] for k in s]) for s in strips])
    assert abs((yaws[0] - yaws[1] + 180) % 360 - 180) == pytest.approx(180, abs=3)
    assert all(b.seconds > a.seconds for a, b in pairwise(flown))
