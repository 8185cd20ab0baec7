"""Four real frames with published poses, spoilt by a consumer drone's errors and brought back."""

from __future__ import annotations

import numpy as np
import pytest

from tests.mosaic.adjustment.published_block import published_block, spoilt_and_back

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),  # the frames are raw
]


def test_spoilt_poses_come_back(shared_data):
    published = published_block(shared_data)
    draws = [spoilt_and_back(published, seed) for seed in range(3)]
    for draw in draws:
        assert draw.result.accepted, draw.result.reason
        assert draw.result.accuracy.reprojection_px < 1.0
    before_m, before_deg = _rms([d.before_m for d in draws]), _rms([d.before_deg for d in draws])
    after_m, after_deg = _rms([d.after_m for d in draws]), _rms([d.after_deg for d in draws])
    in_sigmas = _rms([d.after_m / d.sigma_m for d in draws])
    print(f"centres {before_m:.2f} -> {after_m:.2f} m, {in_sigmas:.2f} sigmas")
    print(f"attitudes {before_deg:.2f} -> {after_deg:.2f} degrees")
    assert after_m < 0.7 * before_m
    assert after_deg < 0.6 * before_deg
    assert 0.6 < in_sigmas < 1.4


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values))))
