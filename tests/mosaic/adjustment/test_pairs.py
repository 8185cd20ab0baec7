"""Pairs from footprints: those that share ground, not too many, with a reason for those that have none."""

from dataclasses import replace

import numpy as np

from flycam.geometry.pose import rotation_from_gimbal, to_mat3
from flycam.mosaic.adjustment.masks import plan_pairs

from .flown import ORIGIN, flown, pose


def pairs_of(plan):
    return set(zip(plan.a.tolist(), plan.b.tolist(), strict=True))


def test_neighbours_along_and_across_are_paired():
    flight = flown(strips=2, per_strip=3, seen=False)
    found = pairs_of(plan_pairs(flight.frames, flight.terrain))
    assert {(0, 1), (1, 2), (3, 4), (4, 5)} <= found
    assert {(0, 5), (1, 4), (2, 3)} <= found
    assert all(a < b for a, b in found)


def test_no_frame_asks_for_more_than_it_may_but_others_may_ask_for_it():
    flight = flown(strips=1, per_strip=3, seen=False)
    frame = flight.frames[1]
    crowd = [
        replace(
            frame,
            frame_id=str(k),
            exterior=pose((ORIGIN[0] + 2.0 * k, ORIGIN[1], 225.0), 0.0),
        )
        for k in range(30)
    ]
    plan = plan_pairs(crowd, flight.terrain, neighbours=4, across=0)
    assert len(plan.a) <= 4 * 30
    assert set(np.concatenate([plan.a, plan.b]).tolist()) == set(range(30))


def test_a_photo_from_another_province_and_one_of_the_sky_have_no_pair_and_say_why():
    flight = flown(strips=1, per_strip=3, seen=False)
    far = replace(
        flight.frames[0], exterior=pose((ORIGIN[0] + 90_000.0, ORIGIN[1], 225.0), 0.0), frame_id="far"
    )
    sky = replace(
        flight.frames[0],
        frame_id="sky",
        exterior=replace(
            flight.frames[0].exterior,
            rotation=to_mat3(rotation_from_gimbal(*np.radians([0.0, 10.0, 0.0]))),
        ),
    )
    plan = plan_pairs([*flight.frames, far, sky], flight.terrain)
    assert pairs_of(plan) == {(0, 1), (0, 2), (1, 2)}
    assert set(plan.reasons) == {3, 4}
    assert "horizon" in str(plan.reasons[4])
