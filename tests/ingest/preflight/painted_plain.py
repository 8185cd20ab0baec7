"""Flights over a painted plain: pictures cut from one big texture, so that every height is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.preflight.flying_height import PoseEstimates, estimate_flying_heights

SIZE = (320, 240)
FOCAL_PX = 260.0
HEIGHT_M = 80.0
LENS = InteriorOrientation(
    model=LensModel.PINHOLE,
    image_size_px=SIZE,
    focal_length_px=(FOCAL_PX, FOCAL_PX),
    principal_point_px=((SIZE[0] - 1) / 2.0, (SIZE[1] - 1) / 2.0),
    calibration_id="test",
)
GSD_M = HEIGHT_M / FOCAL_PX


def painted_plain():
    """Grey blobs of many sizes, 4 pixels of margin to each a metre's worth of ground."""
    rng = np.random.default_rng(5)
    layers = [
        cv2.resize(rng.normal(size=(n, n)).astype(np.float32), (1600, 1600), interpolation=cv2.INTER_CUBIC)
        for n in (60, 160, 400, 800)
    ]
    total = sum(layers)
    return np.clip(127.0 + 40.0 * total, 0, 255).astype(np.uint8)


class Flight:
    """Photos that look down, flying north-east by `step_m`; what they say of it may be wrong."""

    def __init__(
        self, ground, *, photos=6, step_m=22.0, height_m=HEIGHT_M, tilt_deg=0.0, yaw_deg=45.0, seed=1
    ):
        rng = np.random.default_rng(seed)
        along = step_m * np.arange(photos)[:, None] * np.sqrt(0.5)
        self.true_xy = np.hstack([along, along])
        self.height_m = np.broadcast_to(np.asarray(height_m, dtype=np.float64), photos)
        stated = np.radians([yaw_deg, -90.0, 0.0])
        true = stated + np.radians(rng.normal(scale=tilt_deg, size=(photos, 3)))
        self.rotations = np.stack([rotation_from_gimbal(*stated, 0.0)] * photos)
        self.true = [rotation_from_gimbal(*angles, 0.0) for angles in true]
        self.ground = ground
        self.said_xy = self.true_xy.copy()
        self.tilt_sigma_deg = max(tilt_deg, 0.7)
        self.yaw_sigma_deg = np.float64(1.5)

    def grey(self, path: Path, _side: int):
        """The picture of a photo: the plain through its camera."""
        row = int(path.stem)
        east, north = self.true_xy[row] / GSD_M + [500.0, -500.0]
        k = np.array([[FOCAL_PX, 0.0, (SIZE[0] - 1) / 2.0], [0.0, FOCAL_PX, (SIZE[1] - 1) / 2.0], [0, 0, 1]])
        # texture (column, row) is (east, -north) in pixels of GSD_M; the ground lies `height` below
        place = np.array([[1.0, 0, -east], [0, -1.0, -north], [0, 0, -self.height_m[row] / GSD_M]])
        return cv2.warpPerspective(self.ground, k @ self.true[row] @ place, SIZE, flags=cv2.INTER_AREA)

    def estimate(self, *, pairs=20, usable=None, sigma_m=0.5, stated_m=None):
        n = len(self.true_xy)
        poses = PoseEstimates(
            paths=[Path(f"{row}.png") for row in range(n)],
            interiors=[LENS] * n,
            xy_m=self.said_xy,
            rotations=self.rotations,
            position_sigma_m=np.full((n, 2), sigma_m),
            attitude_sigma_deg=np.column_stack(
                [np.broadcast_to(self.yaw_sigma_deg, n), np.full(n, self.tilt_sigma_deg)]
            ),
        )
        seen = np.ones(n, dtype=bool) if usable is None else usable
        return estimate_flying_heights(
            poses, [np.arange(n)], seen, self.grey, max_pairs=pairs, stated_m=stated_m
        )
