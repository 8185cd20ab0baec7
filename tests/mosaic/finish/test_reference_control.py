"""Places that a map shows elsewhere become control: seen where they are, known where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.geometry.camera import project
from flycam.mosaic.finish.reference_tie import make_reference_control
from tests.mosaic.finish.test_ground_control import EAST, GROUND, NORTH, frames


def test_control_points_project_where_they_were_seen():
    block = frames(5)
    places = np.array([[EAST + 30.0, NORTH + 5.0, GROUND], [EAST + 40.0, NORTH - 10.0, GROUND + 8.0]])
    shift, sigma = np.array([[1.0, -2.0], [1.5, -2.5]]), np.array([0.2, 0.3])
    control = make_reference_control(block, places, shift, sigma)
    assert len(control) == 2
    for k, point in enumerate(control):
        assert point.position_m == pytest.approx([*(places[k, :2] + shift[k]), places[k, 2]])
        assert point.sigma_m == (sigma[k], sigma[k], float("inf"))
        assert 2 <= len(point.frames) <= 6
        for frame, uv in zip(point.frames, point.uv_px, strict=True):
            seen, _ = project(block[frame].interior, block[frame].exterior, places[k : k + 1])
            assert uv == pytest.approx(seen[0])


def test_places_that_fewer_than_two_frames_see_are_left_out():
    lone = np.array([[EAST - 60.0, NORTH, GROUND], [EAST + 5000.0, NORTH, GROUND]])
    assert make_reference_control(frames(5), lone, np.zeros((2, 2)), np.ones(2)) == []
