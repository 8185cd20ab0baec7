"""Four real frames with published poses, spoilt by a consumer drone's errors and brought back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_angle_axis, to_mat3
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.adjustment.block import Adjustment, Block, BlockFrame, TerrainPrior
from flycam.mosaic.adjustment.bundle_adjustment import adjust_block
from flycam.mosaic.adjustment.ties import find_ties
from tests.geometry.published import odm_camera, read_dem, read_opk

BIAS_M, NOISE_M, TURN_DEG = 0.8, 0.5, 0.5


@dataclass(frozen=True)
class Published:
    """Frames with their published poses, the DSM, and the pixels."""

    frames: list[BlockFrame]
    terrain: TerrainGrid
    pixels: list[np.ndarray]


@dataclass(frozen=True)
class Return:
    """Of one draw of errors, per frame: centres after the common shift (n×3 m) and angles (n degrees) off the
    published poses, as spoilt and as adjusted; sigma_m n×3 what the adjustment claims."""

    before_m: np.ndarray
    before_deg: np.ndarray
    after_m: np.ndarray
    after_deg: np.ndarray
    sigma_m: np.ndarray
    result: Adjustment


def published_block(shared_data: Path) -> Published:
    """`odm_drone_oblique`."""
    folder = shared_data / "poses" / "odm_drone_oblique"
    interior = replace(odm_camera(folder), sigma_focal_rel=0.002)
    poses = read_opk(folder / "odm_xyz_opk.csv")
    frames = [frame_of(name, exterior, interior, number) for number, (name, exterior) in enumerate(poses)]
    pixels = [cv2.cvtColor(cv2.imread(str(folder / f"{f.frame_id}.tif")), cv2.COLOR_BGR2RGB) for f in frames]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the frames are raw
        return Published(frames, read_dem(folder / "dsm.tif"), pixels)


def spoilt_and_back(published: Published, seed: int) -> Return:
    """One draw of a consumer drone's errors, ties found under them, and the block adjusted."""
    measured = spoilt(published.frames, seed)
    report = find_ties(measured, lambda k: published.pixels[k], published.terrain, workers=1)
    prior = TerrainPrior(
        terrain=published.terrain, sigma_height_m=1.0, sigma_shift_m=(1.0, 1.0, 1.0), canopy_m=0.0
    )
    result = adjust_block(Block(frames=measured, ties=report.ties, terrain=prior))
    return Return(
        *differences(measured, published.frames),
        *differences(result.frames, published.frames),
        np.array([f.exterior.sigma_position_m for f in result.frames]),
        result,
    )


def frame_of(
    name: str, exterior: ExteriorOrientation, interior: InteriorOrientation, number: int
) -> BlockFrame:
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


def spoilt(frames: Sequence[BlockFrame], seed: int) -> list[BlockFrame]:
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
                    rotation=to_mat3(turn @ np.asarray(e.rotation)),
                ),
            )
        )
    return result


def differences(
    frames: Sequence[BlockFrame], published: Sequence[BlockFrame]
) -> tuple[np.ndarray, np.ndarray]:
    """Centres after the common shift (n×3 m) and angles (n degrees)."""
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
