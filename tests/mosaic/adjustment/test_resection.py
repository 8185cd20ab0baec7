"""A photo whose recorded pose its neighbours contradict is found again from them, and believed no further."""

from dataclasses import replace

import numpy as np
import pytest

from flycam.geometry.pose import rotation_from_angle_axis, to_mat3
from flycam.mosaic.adjustment.block import Block, FrameState, TerrainPrior
from flycam.mosaic.adjustment.bundle_adjustment import adjust_block
from flycam.mosaic.adjustment.observations import compute_corrections
from flycam.mosaic.adjustment.ties import TieOptions, apply_tie_turns, find_ties

from .flown import flown

OPTIONS = TieOptions(features=1200)


@pytest.fixture(scope="module")
def flight():
    return flown(strips=2, per_strip=4)


def spoiled(flight, number, *, heading_deg=0.0, tilt_deg=0.0, moved_m=(0.0, 0.0, 0.0)):
    """The frames, one of them recorded otherwise than it was flown."""
    pose = flight.frames[number].exterior
    turn = rotation_from_angle_axis(np.radians([0.0, 0.0, heading_deg]))
    tilt = rotation_from_angle_axis(np.radians([tilt_deg, 0.0, 0.0]))
    wrong = replace(
        pose,
        rotation=to_mat3(tilt @ turn @ np.array(pose.rotation)),
        projection_centre_m=tuple(np.add(pose.projection_centre_m, moved_m).tolist()),
    )
    return [
        *flight.frames[:number],
        replace(flight.frames[number], exterior=wrong),
        *flight.frames[number + 1 :],
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"heading_deg": 137.0},
        {"heading_deg": 30.0, "tilt_deg": 12.0, "moved_m": (0.0, 40.0, 8.0)},
    ],
)
def test_a_photo_recorded_elsewhere_is_tied_and_lies_where_it_was_flown(flight, wrong):
    number = 2
    frames = spoiled(flight, number, **wrong)
    found = find_ties(frames, flight.pixels_of, flight.terrain, options=OPTIONS)
    assert set(found.resected) == {number} and not found.reasons
    assert min(found.tracks) >= 150
    moved_m, turned_rad = compute_corrections(flight.exact[number], found.resected[number])
    assert moved_m < 8.0 and np.degrees(turned_rad) < 4.0, "of what its neighbours' own poses are off"
    assert set(found.turns) == {0}, "that its picture was turned is the less simple reading"
    read = apply_tie_turns(frames, found)
    assert [frame.camera for frame in read] == [frame.camera for frame in frames]
    adjusted = adjust_block(Block(frames=read, ties=found.ties, terrain=TerrainPrior(terrain=flight.terrain)))
    assert adjusted.accepted and {one.state for one in adjusted.frames} == {FrameState.TIED}
    moved_m, turned_rad = compute_corrections(flight.exact[number], adjusted.frames[number].exterior)
    assert moved_m < 3.0 and np.degrees(turned_rad) < 0.7


def test_photos_that_jumped_off_the_block_and_were_turned_are_found_on_its_ground(flight):
    """Two in a row, tied to each other and to nothing else where they claim to be."""
    jumped = (0, 1)
    frames, pictures = flight.frames, list(flight.pictures)
    for number in jumped:
        frames = spoiled(replace(flight, frames=frames), number, moved_m=(-70.0, -110.0, 0.0))
        pictures[number] = np.ascontiguousarray(pictures[number][::-1, ::-1])
    found = find_ties(frames, pictures.__getitem__, flight.terrain, options=OPTIONS)
    assert set(found.resected) == set(jumped) and not found.reasons
    assert min(found.tracks) >= 150
    for number in jumped:
        moved_m, turned_rad = compute_corrections(flight.exact[number], found.resected[number])
        assert moved_m < 8.0 and abs(np.degrees(turned_rad) - 180.0) < 4.0


def test_what_shows_nothing_is_not_placed_and_doubted_as_far_as_others_were_off(flight):
    """Still water beside a photo of a wrong heading: nobody knows whether its own is right."""
    frames = spoiled(flight, 2, heading_deg=137.0)
    rng = np.random.default_rng(4)
    water = rng.integers(60, 64, flight.pictures[0].shape, dtype=np.uint8)
    pictures = [water if k == 5 else picture for k, picture in enumerate(flight.pictures)]
    found = find_ties(frames, pictures.__getitem__, flight.terrain, options=OPTIONS)
    assert set(found.resected) == {2} and set(found.reasons) == {5}
    read = apply_tie_turns(frames, found)
    assert read[5].exterior.rotation == frames[5].exterior.rotation
    assert np.degrees(read[5].exterior.sigma_attitude_rad[2]) > 90.0
    assert read[0].exterior == frames[0].exterior
