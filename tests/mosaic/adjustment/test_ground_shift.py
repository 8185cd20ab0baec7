"""How the ground moves with the frames, against rays that meet it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.pose import rotation_from_angle_axis, rotation_from_gimbal
from flycam.mosaic.adjustment.covariance import compute_ground_derivatives

COUNT, GROUND_M = 5, 300.0


def flown(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centre = np.column_stack([random.uniform(-100.0, 100.0, (COUNT, 2)), random.uniform(380.0, 460.0, COUNT)])
    yaw, pitch, roll = random.uniform(-3.0, 3.0, COUNT), random.uniform(-0.4, 0.4, COUNT), np.zeros(COUNT)
    return centre, rotation_from_gimbal(yaw, pitch - np.pi / 2.0, roll)


def middle_of_ground(centre: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Mean place where the middles of the pictures lie on level ground."""
    ray = rotation[:, 2]
    return (centre + ray * ((GROUND_M - centre[:, 2]) / ray[:, 2])[:, None])[:, :2].mean(axis=0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_functional_is_the_derivative_of_where_the_ground_is_seen(seed: int) -> None:
    centre, rotation = flown(seed)
    observed = np.arange(COUNT)
    point = np.column_stack([centre[:, :2], np.full(COUNT, GROUND_M)])
    functional = compute_ground_derivatives(centre, rotation, point, observed.astype(np.int32), observed)
    step = np.random.default_rng([seed, 1]).normal(size=(COUNT, 6)) * (1e-3, 1e-3, 1e-3, 1e-6, 1e-6, 1e-6)
    moved = [
        middle_of_ground(centre + sign * step[:, :3], rotation_from_angle_axis(sign * step[:, 3:]) @ rotation)
        for sign in (1.0, -1.0)
    ]
    expected = (moved[0] - moved[1]) / 2.0
    found = np.einsum("nij,ni->j", functional, step)
    assert found[:2] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert found[2] == pytest.approx(step[:, 2].mean())
