"""Features: even over the picture, where they are, and descriptors that turn with the picture."""

import cv2
import numpy as np

from flycam.geometry.features import (
    DESCRIPTOR_NORM,
    find_features,
    rotate_descriptors,
)


def speckle(width=640, height=480, seed=3):
    """A picture with blobs of many sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), s) * s
        for s in (2, 4, 9)
    ]
    total = sum(layers)
    return np.clip(128 + 60 * total / total.std(), 0, 255).astype(np.uint8)


def test_a_blob_is_found_where_it_is_also_in_a_picture_that_is_searched_smaller():
    for side in (400, 2000):
        v, u = np.mgrid[:side, :side]
        picture = np.full((side, side), 90.0)
        centres = np.array([[0.31, 0.27], [0.72, 0.33], [0.44, 0.81]]) * side + 0.37
        for cu, cv in centres:
            picture += 120.0 * np.exp(-((u - cu) ** 2 + (v - cv) ** 2) / (2 * (side / 60) ** 2))
        found = find_features(np.clip(picture, 0, 255).astype(np.uint8), up_deg=0.0)
        for centre in centres:
            nearest = np.linalg.norm(found.uv_px - centre, axis=1).min()
            assert nearest < 0.25 * max(1.0, side / 1000), (side, nearest)


def test_a_turned_picture_gives_the_turned_descriptors():
    picture = speckle()
    straight = find_features(picture, max_features=4000, up_deg=30.0)
    turned = find_features(np.ascontiguousarray(np.rot90(picture, -1)), max_features=4000, up_deg=30.0)
    # clockwise by 90°: what was at (u, v) is at (height - 1 - v, u)
    place = np.stack([479.0 - straight.uv_px[:, 1], straight.uv_px[:, 0]], axis=1)
    distance = np.linalg.norm(place[:, None] - turned.uv_px[None], axis=2)
    near = distance.argmin(axis=1)
    same = distance.min(axis=1) < 0.05
    assert same.sum() > 300
    expected = rotate_descriptors(straight.descriptor, -1)[same].astype(float)
    seen = turned.descriptor[near[same]].astype(float)
    cosine = (expected * seen).sum(axis=1) / DESCRIPTOR_NORM**2
    assert np.median(cosine) > 0.98
