"""Four real frames with published poses, spoilt by a consumer drone's errors and brought back."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flycam.adjust.block import Block, BlockFrame, TerrainPrior
from flycam.adjust.bundle import adjust_block
from flycam.adjust.ties import find_ties
from flycam.geometry.exterior import PoseSource
from flycam.geometry.rotation import as_mat3, rotation_from_angle_axis
from tests.geometry.published import odm_camera, read_dem, read_opk

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),  # the frames are raw
]

BIAS_M, NOISE_M, TURN_DEG = 0.8, 0.5, 0.5


@pytest.fixture(scope="module")
def published(shared_data):
    """Frames with their published poses, the DSM, and the pixels."""
    folder = shared_data / "poses" / "odm_drone_oblique"
    interior = replace(odm_camera(folder), sigma_focal_rel=0.002)
    poses = read_opk(folder / "odm_xyz_opk.csv")
    frames = [frame_of(name, exterior, interior, number) for number, (name, exterior) in enumerate(poses)]
    pixels = [cv2.cvtColor(cv2.imread(str(folder / f"{f.frame_id}.tif")), cv2.COLOR_BGR2RGB) for f in frames]
    terrain = read_dem(folder / "dsm.tif")
    return frames, terrain, pixels


def frame_of(name, exterior, interior, number):
    return BlockFrame(
        frame_id=name,
        source_name=f"{name}.tif",
        camera="published",
        strip=number,
        captured_ns=int(number * 3e9),
        interior=interior,
        exterior=replace(
            exterior,
            sigma_position_m=(1.0, 1.0, 1.0),
            sigma_attitude_rad=(float(np.radians(0.7)),) * 3,
            source=PoseSource.GNSS,
        ),
    )


def spoilt(frames, seed):
    """What a consumer drone would have said."""
    random = np.random.default_rng(seed)
    bias = random.normal(size=3) * BIAS_M
    result = []
    for frame in frames:
        e = frame.exterior
        turn = rotation_from_angle_axis(np.radians(random.normal(size=3) * TURN_DEG))
        centre = np.array(e.projection_centre_m) + bias + random.normal(size=3) * NOISE_M
        result.append(
            replace(
                frame,
                exterior=replace(
                    e,
                    projection_centre_m=tuple(float(c) for c in centre),
                    rotation=as_mat3(turn @ np.asarray(e.rotation)),
                ),
            )
        )
    return result


def differences(frames, published):
    """Centres after the common shift (n×3 m) and angles between frames (pairs, degrees)."""
    shift = np.array(
        [
            np.subtract(f.exterior.projection_centre_m, p.exterior.projection_centre_m)
            for f, p in zip(frames, published, strict=True)
        ]
    )
    turns = [
        np.asarray(f.exterior.rotation) @ np.asarray(p.exterior.rotation).T
        for f, p in zip(frames, published, strict=True)
    ]
    angles = [np.degrees(np.arccos(min((np.trace(t) - 1.0) / 2.0, 1.0))) for t in turns]
    return shift - shift.mean(axis=0), np.array(angles)


def test_spoilt_poses_come_back(published):
    frames, terrain, pixels = published
    before_m, before_deg, after_m, after_deg, in_sigmas = [], [], [], [], []
    for seed in range(3):
        measured = spoilt(frames, seed)
        report = find_ties(measured, lambda k: pixels[k], terrain, workers=1)
        prior = TerrainPrior(terrain=terrain, sigma_height_m=1.0, sigma_shift_m=(1.0, 1.0, 1.0), canopy_m=0.0)
        result = adjust_block(Block(frames=measured, ties=report.ties, terrain=prior))
        assert result.accepted, result.why
        assert result.accuracy.reprojection_px < 1.0
        for found, lengths, angles in (
            (measured, before_m, before_deg),
            (result.frames, after_m, after_deg),
        ):
            centre, angle = differences(found, frames)
            lengths.append(centre)
            angles.append(angle)
        sigma = np.array([f.exterior.sigma_position_m for f in result.frames])
        in_sigmas.append(after_m[-1] / sigma)
    print(f"centres {_rms(before_m):.2f} -> {_rms(after_m):.2f} m, {_rms(in_sigmas):.2f} sigmas")
    print(f"attitudes {_rms(before_deg):.2f} -> {_rms(after_deg):.2f} degrees")
    assert _rms(after_m) < 0.7 * _rms(before_m)
    assert _rms(after_deg) < 0.6 * _rms(before_deg)
    assert 0.6 < _rms(in_sigmas) < 1.4


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values))))
