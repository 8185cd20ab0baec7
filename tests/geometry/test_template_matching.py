"""Windows found again by normalised correlation: moved, turned, brighter; and what is not found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.geometry.templates import TEMPLATE_PX, cut_templates, match_templates

SIDE = 240


def ground(seed: int = 1) -> np.ndarray:
    """Blobs of a few pixels, H×W uint8."""
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.8)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def places(count: int = 40, rim: float = 60.0) -> np.ndarray:
    return np.rint(np.random.default_rng(2).uniform(rim, SIDE - rim, (count, 2)))


@pytest.mark.parametrize(("turn_deg", "scale"), [(0.0, 1.0), (180.0, 1.0), (37.0, 1.15)])
def test_a_turned_and_brighter_picture_shows_them_to_a_part_of_a_pixel(turn_deg: float, scale: float) -> None:
    first, at = ground(), places()
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), turn_deg, scale)
    matrix[:, 2] += (3.3, -2.4)
    second = cv2.warpAffine(first, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    second = np.clip(0.7 * second.astype(np.float32) + 35.0, 0, 255).astype(np.uint8)
    true = at @ matrix[:, :2].T + matrix[:, 2]
    guess = true + np.random.default_rng(3).uniform(-5, 5, at.shape)
    affine = np.broadcast_to(matrix[:, :2], (len(at), 2, 2))
    found = match_templates(second, guess, affine, cut_templates(first, at), 9)
    off = np.linalg.norm(found.uv_px - true, axis=1)
    assert np.median(off) < 0.1 and off.max() < 0.5
    assert found.correlation.min() > 0.8 and found.margin.min() > 0.1


def test_correlation_is_that_of_opencv() -> None:
    first, second = ground(1), ground(4)
    at = places(5)
    found = match_templates(second, at, np.broadcast_to(np.eye(2), (5, 2, 2)), cut_templates(first, at), 6)
    for row, likeness in zip(at.astype(int), found.correlation, strict=True):
        half = TEMPLATE_PX // 2
        u, v = row
        template = first[v - half : v + half + 1, u - half : u + half + 1]
        area = second[v - half - 6 : v + half + 7, u - half - 6 : u + half + 7]
        best = cv2.matchTemplate(area, template, cv2.TM_CCOEFF_NORMED).max()
        assert likeness == pytest.approx(best, abs=1e-3)


def test_nothing_is_found_where_there_is_no_contrast_and_nothing_sure_where_it_repeats() -> None:
    first, at = ground(), places()
    same = np.broadcast_to(np.eye(2), (len(at), 2, 2))
    blank = match_templates(np.full((SIDE, SIDE), 90, np.uint8), at, same, cut_templates(first, at), 9)
    assert np.isnan(blank.uv_px).all() and (blank.correlation == -1.0).all() and (blank.margin == 0.0).all()
    rows = np.tile(np.arange(SIDE) % 8 * 30, (SIDE, 1)).astype(np.uint8)  # stripes repeat every 8 pixels
    striped = match_templates(rows, at, same, cut_templates(rows, at), 9)
    assert striped.margin.max() < 0.05
