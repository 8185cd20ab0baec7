"""Flights over a ground of fields and roads, and what their cameras see of it."""

from __future__ import annotations

import cv2
import numpy as np

from flycam.geometry.camera import compute_image_rays, scale_interior
from tests.ingest.photos.made_flights import GROUND_M

GROUND_SIZE_M = 900.0
TEXEL_M = 0.7


def flat(lonlat):
    return np.full(len(lonlat), GROUND_M), "EGM2008"


def fields_and_roads(seed=3):
    """A ground of patches, lines and grain, uint8, TEXEL_M a pixel."""
    rng = np.random.default_rng(seed)
    n = round(GROUND_SIZE_M / TEXEL_M)
    grey = cv2.resize(rng.uniform(60, 190, (n // 25, n // 25)).astype(np.float32), (n, n), interpolation=0)
    for _ in range(60):
        a, b = rng.integers(0, n, (2, 2)).tolist()
        cv2.line(grey, a, b, float(rng.uniform(20, 240)), 3)
    return np.clip(grey + rng.normal(0, 6, (n, n)), 0, 255).astype(np.uint8)


def shown_by(headers, ground):
    """What each camera sees of flat ground, at a tenth of its size: H×W uint8 by source name."""
    middle = np.mean([h.exterior_prior.projection_centre_m for h in headers], axis=0)
    pictures = {}
    for header in headers:
        interior = scale_interior(header.interior, (400, 300))
        uv = np.stack(np.meshgrid(np.arange(400.0), np.arange(300.0)), axis=-1).reshape(-1, 2)
        rays = compute_image_rays(interior, header.exterior_prior, uv)
        centre = np.array(header.exterior_prior.projection_centre_m)
        at = centre + rays * ((GROUND_M - centre[2]) / rays[:, 2])[:, None]
        place = ((at[:, :2] - middle[:2]) * [1, -1] + GROUND_SIZE_M / 2) / TEXEL_M
        maps = place.reshape(300, 400, 2).astype(np.float32)
        pictures[header.provenance.source_name] = cv2.remap(
            ground, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR
        )
    return pictures


def problem(diagnosis, code):
    return next((p for p in diagnosis.problems if p.code == code), None)
