"""A field is as lively as the windows support, and what changed does not bend it."""

from __future__ import annotations

import numpy as np

from flycam.change.warp import (
    Warp,
    WarpLattice,
    WindowMatches,
    choose_stiffness,
    find_supported_windows,
    fit_warp,
)

SHAPE = (1000, 1200)


def _windows(
    wave_px: float, noise_px: float, wrong: float, seed: int = 3
) -> tuple[WindowMatches, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(32.0, SHAPE[1], 64.0), np.arange(32.0, SHAPE[0], 64.0))
    place = np.stack([x.ravel(), y.ravel()], -1)
    true = np.stack(
        [4.0 + wave_px * np.sin(place[:, 1] / 150.0), -2.0 + wave_px * np.cos(place[:, 0] / 150.0)], axis=-1
    )
    outlier = chance.random(len(place)) < wrong
    measured = true + chance.normal(0, noise_px, true.shape)
    measured[outlier] = true[outlier] + chance.uniform(-6, 6, (outlier.sum(), 2))
    count = len(place)
    windows = WindowMatches(
        place_px=place,
        displacement_px=measured,
        sigma_px=np.full(count, noise_px),
        margin=np.full(count, 20.0),
        score=np.full(count, 0.5),
    )
    return windows, true, outlier


def _fitted(windows: WindowMatches):
    lattice, used = WarpLattice.from_shape(SHAPE, 64.0), np.ones(len(windows), bool)
    start = Warp(
        affine=np.array([[0, 0, 4.0], [0, 0, -2.0]]),
        lattice=lattice,
        nodes=np.zeros((lattice.rows, lattice.cols, 2)),
    )
    stiffness = choose_stiffness(windows, lattice, start, 1, used)
    return fit_warp(windows, lattice, start, 1, stiffness, used)


def test_a_wave_is_followed_whatever_changed():
    windows, true, outlier = _windows(3.0, 0.15, 0.3)
    fit = _fitted(windows)
    off = np.hypot(*(fit.warp.displacement(windows.place_px) - true).T)
    assert fit.stiffness is not None
    assert np.median(off) < 0.25 and np.percentile(off, 95) < 1.0
    assert (np.hypot(*fit.residual_px.T) < 1.0)[~outlier].mean() > 0.9
    far = outlier & (np.hypot(*(windows.displacement_px - true).T) > 2.0)
    assert not far.any() or (np.hypot(*fit.residual_px.T) < 1.0)[far].mean() < 0.1


def test_noise_is_not_followed():
    windows, true, _ = _windows(0.0, 0.5, 0.2)
    fit = _fitted(windows)
    assert fit.stiffness is None or fit.stiffness >= 10.0
    assert np.hypot(*(fit.warp.displacement(windows.place_px) - true).T).max() < 0.5


def test_few_windows_bend_nothing():
    windows, _, _ = _windows(3.0, 0.1, 0.0)
    few = windows.take(np.arange(len(windows)) < 30)
    lattice = WarpLattice.from_shape(SHAPE, 64.0)
    still = Warp.identity(SHAPE, 64.0)
    assert choose_stiffness(few, lattice, still, 1, np.ones(30, bool)) is None


def test_a_piece_that_is_off_as_a_whole_is_followed_and_single_windows_are_not():
    windows, true, _ = _windows(0.0, 0.15, 0.0)
    piece = (windows.place_px[:, 0] > 500) & (windows.place_px[:, 0] < 900) & (windows.place_px[:, 1] < 450)
    windows.displacement_px[piece] += (14.0, -9.0)
    single = np.random.default_rng(5).random(len(windows)) < 0.1
    windows.displacement_px[single] += np.random.default_rng(6).uniform(-20, 20, (single.sum(), 2))
    start = Warp.identity(SHAPE, 64.0)
    used = find_supported_windows(windows, np.ones(len(windows), bool), start, 64.0, 2.0)
    assert used[~single].mean() > 0.97 and used[single].mean() < 0.3
    lattice = WarpLattice.from_shape(SHAPE, 64.0)
    stiffness = choose_stiffness(windows, lattice, start, 1, used)
    fit = fit_warp(windows, lattice, start, 1, stiffness, used)
    inner = (
        piece
        & (windows.place_px[:, 0] > 570)
        & (windows.place_px[:, 0] < 830)
        & (windows.place_px[:, 1] < 380)
    )
    off = np.hypot(*(fit.warp.displacement(windows.place_px[inner]) - true[inner] - (14.0, -9.0)).T)
    assert np.median(off) < 0.5
