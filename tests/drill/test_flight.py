from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from flycam.drill.flight import FlightPlan, Follow, compute_block_bounds, make_drill_camera, simulate_flight
from flycam.drill.land import Valley, build_valley_fields
from flycam.errors import InputUnusable
from flycam.geometry.camera import compute_image_rays

VALLEY, CAMERA = Valley(seed=2), make_drill_camera((1320, 990))


def exposures(follow: Follow = "ground"):
    return simulate_flight(
        VALLEY, FlightPlan(strips=3, per_strip=5, gsd_m=0.2, follow=follow), CAMERA, 2, False
    )


def heights_above_ground(flown) -> np.ndarray:
    centres = np.array([e.exterior.projection_centre_m for e in flown])
    low, high = centres.min(0) - 50, centres.max(0) + 50
    fields = build_valley_fields(VALLEY, (low[0], low[1], high[0], high[1]))
    return centres[:, 2] - fields.sample("height", centres[:, 0], centres[:, 1])


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


def test_the_aircraft_wobbles_but_looks_down() -> None:
    angles = np.degrees([e.gimbal_rad for e in exposures()])
    assert angles[:, 1].min() >= -90 and angles[:, 1].max() < -85
    assert 0.05 < angles[:, 2].std() < 2.0


def test_follow_chooses_what_is_kept_constant() -> None:
    altitude = {
        f: np.array([e.exterior.projection_centre_m[2] for e in exposures(f)])
        for f in ("ground", "strip", "constant")
    }
    assert np.ptp(altitude["constant"]) < 5
    for strip in range(3):
        assert np.ptp(altitude["strip"][strip * 5 : strip * 5 + 5]) < 5
    assert np.ptp(altitude["ground"]) > 10
    assert heights_above_ground(exposures("ground")).min() > 60
    assert np.median(heights_above_ground(exposures("ground"))) == pytest.approx(0.2 * 800, rel=0.12)


def test_the_bounds_hold_all_ground_in_view() -> None:
    flown = exposures()
    west, south, east, north = compute_block_bounds(VALLEY, flown, CAMERA)
    corners = np.array([[0, 0], [1319, 0], [0, 989], [1319, 989]], float)
    for e in flown:
        rays = compute_image_rays(CAMERA, e.exterior, corners)
        ends = np.array(e.exterior.projection_centre_m) + rays / -rays[:, 2:] * 60.0
        assert (ends[:, 0] > west).all() and (ends[:, 0] < east).all()
        assert (ends[:, 1] > south).all() and (ends[:, 1] < north).all()
    assert east - west < 2500 and north - south < 2500


def test_an_oblique_flight_looks_ahead_and_its_bounds_hold_what_it_sees() -> None:
    plan = FlightPlan(strips=2, per_strip=3, gsd_m=0.2, pitch_deg=-60.0)
    flown = simulate_flight(VALLEY, plan, CAMERA, 2, False)
    pitches = np.degrees([e.gimbal_rad[1] for e in flown])
    assert np.abs(pitches + 60.0).max() < 4.0
    axes = np.array([e.exterior.rotation for e in flown])[:, 2]  # camera z in the work CRS
    ahead = np.array([[np.sin(e.gimbal_rad[0]), np.cos(e.gimbal_rad[0])] for e in flown])
    assert np.einsum("ij,ij->i", axes[:, :2], ahead) == pytest.approx(0.5, abs=0.07)
    west, south, east, north = compute_block_bounds(VALLEY, flown, CAMERA)
    middle = np.array([e.exterior.projection_centre_m for e in flown])[:, :2]
    assert east - west > np.ptp(middle[:, 0]) + 300 and north - south > np.ptp(middle[:, 1]) + 300
    with pytest.raises(InputUnusable, match="between"):
        FlightPlan(strips=2, per_strip=3, gsd_m=0.2, pitch_deg=-20.0)
