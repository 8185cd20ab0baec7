"""Windows are found again in another light, to a part of a pixel, and not where they are not."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.correlation import compute_edge_directions, match_windows

SIZE = 320


def ground(seed):
    """Fields and thickets: noise at several scales with edges."""
    random = np.random.default_rng(seed)
    picture = np.zeros((SIZE, SIZE), np.float32)
    for sigma, weight in ((1.2, 40.0), (3.0, 60.0), (9.0, 60.0)):
        layer = cv2.GaussianBlur(random.normal(size=(SIZE, SIZE)).astype(np.float32), (0, 0), sigma)
        picture += weight * np.sign(layer) * np.sqrt(np.abs(layer) / np.abs(layer).max())
    return picture + 128.0


def noise(seed, sigma):
    return np.random.default_rng(seed).normal(0.0, sigma, (SIZE, SIZE)).astype(np.float32)


def moved(picture, shift):
    return cv2.warpAffine(
        picture,
        np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]),
        (SIZE, SIZE),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )


def matched(first, second, **options):
    everywhere = np.ones((SIZE, SIZE), bool)
    centres = np.stack(np.meshgrid(np.arange(70, 251, 30), np.arange(70, 251, 30)), -1).reshape(-1, 2)
    return match_windows(
        compute_edge_directions(first, everywhere),
        compute_edge_directions(second, everywhere),
        centres,
        **{"window_px": 64, "reach_px": 20, **options},
    )


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 1000),
    shift=st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
    gain=st.sampled_from([0.4, 1.0, -0.7]),
)
def test_a_shift_is_found_in_any_light(seed, shift, gain):
    first = ground(seed)
    noise = np.random.default_rng(seed + 1).normal(0.0, 4.0, first.shape).astype(np.float32)
    found = matched(first, 128.0 + gain * (moved(first, shift) - 128.0) + noise)
    sure = found.margin > 6.0
    assert sure.mean() > 0.9
    off = found.shift_px[sure] - shift
    assert np.abs(np.median(off, axis=0)).max() < 0.12
    assert np.percentile(np.abs(off), 90) < 0.4


def test_other_ground_is_not_found():
    found = matched(ground(1), ground(2))
    assert (found.margin < 5.0).all()
