"""Least-squares matching finds a known warp to a few hundredths of a pixel, and says how well."""

import cv2
import numpy as np
import pytest

from flycam.geometry.templates import cut_patch_windows, fit_patches

from .test_features import speckle


def warped(picture, degrees, gain=0.9, noise=2.0, seed=0):
    """The picture turned about its middle and stretched a little; the map of points."""
    height, width = picture.shape
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[c, -s], [s, c]]) @ np.array([[1.04, 0.03], [0.0, 0.97]])
    middle = np.array([width / 2, height / 2])
    shift = middle - matrix @ middle + [3.3, -2.7]
    moved = cv2.warpAffine(picture, np.column_stack([matrix, shift]), (width, height), flags=cv2.INTER_CUBIC)
    moved = moved * gain + 8 + np.random.default_rng(seed).normal(0, noise, moved.shape)
    return np.clip(moved, 0, 255).astype(np.uint8), matrix, shift


@pytest.mark.parametrize("degrees", [0.0, 40.0, 178.0])
def test_a_known_warp_is_found_although_start_and_shape_are_a_little_off(degrees):
    picture = speckle()
    other, matrix, shift = warped(picture, degrees)
    rng = np.random.default_rng(4)
    uv = rng.uniform([180, 130], [460, 350], (150, 2))
    true = uv @ matrix.T + shift
    start = true + rng.normal(0, 0.7, true.shape)
    affine = np.repeat((matrix @ [[0.97, 0.02], [-0.03, 1.02]])[None], 150, axis=0)
    fit = fit_patches(
        cut_patch_windows(picture, uv), uv, np.arange(150), cut_patch_windows(other, start), start, affine
    )
    error = fit.uv_px - true
    assert np.median(np.linalg.norm(error, axis=1)) < 0.1
    assert np.all(np.abs(np.median(error, axis=0)) < 0.03)
    assert np.median(fit.correlation) > 0.95
    assert 0.3 < np.median(np.abs(error) / fit.sigma_px[:, None]) / 0.6745 < 3.0


def test_what_is_not_there_is_not_alike_and_what_is_plain_has_no_sigma():
    def grain(seed):
        noise = np.random.default_rng(seed).normal(size=(400, 400)).astype(np.float32)
        fine = cv2.GaussianBlur(noise, (0, 0), 1.2)
        return np.clip(128 + 50 * fine / fine.std(), 0, 255).astype(np.uint8)

    many = np.random.default_rng(2).uniform(30, 370, (100, 2))
    same = np.repeat(np.eye(2)[None], 100, axis=0)
    fit = fit_patches(
        cut_patch_windows(grain(1), many), many, np.arange(100), cut_patch_windows(grain(2), many), many, same
    )
    assert np.mean(fit.correlation < 0.7) > 0.97
    uv, affine, other = np.full((1, 2), 200.0), np.eye(2)[None], grain(2)
    plain = np.full((400, 400), 90, dtype=np.uint8)
    fit = fit_patches(
        cut_patch_windows(plain, uv), uv, np.zeros(1, int), cut_patch_windows(other, uv), uv, affine
    )
    assert np.isinf(fit.sigma_px[0])
    assert fit.correlation[0] == -1.0
