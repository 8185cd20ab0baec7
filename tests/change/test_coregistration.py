"""AFTER is laid onto BEFORE to a part of a pixel, or refused; what changed does not pull it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flycam.change.coregistration import Registration, coregister_images, resample_after
from flycam.change.warp import Warp, WindowMatches
from flycam.errors import CoregistrationFailed, get_exit_code
from tests.change.ground import everywhere, field, ground, moved, other_light

GSD_M = 0.2


def _registered(before, after, before_seen=None, after_seen=None, **options) -> Registration:
    return coregister_images(
        before,
        everywhere(before) if before_seen is None else before_seen,
        after,
        everywhere(after) if after_seen is None else after_seen,
        gsd_m=GSD_M,
        names=("before.tif", "after.tif"),
        **options,
    )


def _off_px(registration: Registration, true: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """How far the field is off the truth at every tenth pixel (of a mask)."""
    rows, cols = np.mgrid[40 : true.shape[0] - 40 : 10, 40 : true.shape[1] - 40 : 10]
    rows, cols = rows.ravel(), cols.ravel()
    if where is not None:
        rows, cols = rows[where[rows, cols]], cols[where[rows, cols]]
    found = registration.warp.displacement(np.stack([cols, rows], -1).astype(float))
    return np.hypot(*(found - true[rows, cols]).T)


def _moves_by(shift: tuple[float, float], shape: tuple[int, int]) -> Registration:
    """A shift (columns, rows) that nothing speaks for."""
    still, none = Warp.identity(shape, 64.0), np.empty(0)
    return Registration(
        warp=replace(still, affine=np.column_stack([np.zeros((2, 2)), shift])),
        windows=WindowMatches(
            place_px=np.empty((0, 2)),
            displacement_px=np.empty((0, 2)),
            sigma_px=none,
            margin=none,
            score=none,
        ),
        factor=1,
        agreed=np.empty(0, bool),
        residual_px=np.empty((0, 2)),
        shift_m=(0.0, 0.0),
        rmse_m=0.0,
        p95_m=0.0,
        found_p95_m=0.0,
        gate_m=0.0,
        stiffness=None,
        gsd_m=GSD_M,
    )


@pytest.mark.parametrize("shift", [(3.3, -2.6), (48.0, -50.0)])
def test_a_shift_within_reach_is_found_in_other_light(shift):
    before = ground(1, 800)
    true = field(before.shape[:2], shift)
    registration = _registered(before, other_light(moved(before, true)))
    off = _off_px(registration, true)
    assert np.median(off) < 0.3 and np.percentile(off, 95) < 1.0
    assert registration.shift_m == pytest.approx((shift[0] * GSD_M, -shift[1] * GSD_M), abs=0.1)
    assert registration.rmse_m < 0.5 * GSD_M


def test_what_changed_is_outvoted_and_is_not_stable_ground():
    before = ground(3)
    true = field(before.shape[:2], (8.0, 5.0))
    after = moved(before, true)
    after[300:650, 350:800] = ground(77)[300:650, 350:800]
    registration = _registered(before, other_light(after))
    same = np.ones(before.shape[:2], bool)
    same[260:700, 310:850] = False
    off = _off_px(registration, true, same)
    assert np.median(off) < 0.3 and np.percentile(off, 95) < 1.0
    stable = registration.stable(before.shape[:2])
    assert stable[same].mean() > 0.7
    assert stable[400:550, 450:700].mean() < 0.05


def test_a_slow_wave_is_followed_and_the_error_told_is_the_error_made():
    before = ground(4, 1200)
    true = field(before.shape[:2], (10.0, 10.0), wave_px=4.0)
    registration = _registered(before, other_light(moved(before, true)))
    off = _off_px(registration, true)
    assert registration.stiffness is not None
    assert np.median(off) < 0.5 and np.percentile(off, 95) < 1.5
    stable = registration.stable(before.shape[:2])
    made = np.sqrt(np.mean(_off_px(registration, true, stable) ** 2)) * GSD_M
    # what is told holds the windows' own noise too
    assert 0.5 * made < registration.rmse_m < 3.0 * made + 0.2 * GSD_M


def test_windows_that_do_not_agree_are_told_too():
    before = ground(14)
    after = before.copy()
    chance = np.random.default_rng(4)
    for row in range(0, 960, 64):
        for col in range(0, 960, 64):
            if chance.random() < 0.35:  # another piece, off by a few pixels
                move = tuple(chance.choice([-5, -4, 4, 5], 2))
                there = (slice(row, row + 64), slice(col, col + 64))
                after[there] = np.roll(before, move, (0, 1))[there]
    registration = _registered(before, after)
    assert registration.rmse_m <= registration.gate_m < registration.found_p95_m
    assert 0.4 < registration.agreed_share < 0.9
    assert registration.found > registration.agreed.sum()


def test_the_same_picture_twice_does_not_move():
    before = ground(5, 700)
    registration = _registered(before, before.copy())
    assert registration.shift_m == pytest.approx((0.0, 0.0), abs=0.01 * GSD_M)
    assert registration.rmse_m < 0.05 * GSD_M
    rgb, seen = resample_after(registration, before, everywhere(before))
    inner = (slice(5, -5), slice(5, -5))
    assert seen[inner].all()
    assert np.abs(rgb[inner].astype(int) - before[inner]).max() <= 2


def test_after_laid_on_before_shows_the_same_ground():
    before = ground(6)
    true = field(before.shape[:2], (21.4, -13.3), wave_px=2.0)
    after = moved(before, true)
    registration = _registered(before, after)
    hole = everywhere(after)
    hole[500:600, 500:600] = False
    after[500:600, 500:600] = 255
    rgb, seen = resample_after(registration, after, hole)
    inner = (slice(60, -60), slice(60, -60))
    off = np.abs(rgb[inner].astype(int) - before[inner]).mean(axis=-1)[seen[inner]]
    assert np.median(off) < 8
    # nothing of the hole is taken for ground
    lost = (~seen[inner]).sum()
    assert 9_000 < lost < 12_000
    assert (rgb[seen] == 255).all(axis=-1).mean() < 1e-3


def test_a_strip_wider_than_one_remap_takes_is_laid_in_blocks():
    after = np.random.default_rng(3).integers(0, 255, (40, 33_000, 3), dtype=np.uint8)
    registration = _moves_by((3.0, -2.0), after.shape[:2])
    rgb, seen = resample_after(registration, after, everywhere(after))
    assert np.array_equal(rgb[2:, :-3], after[:-2, 3:])
    assert seen[2:, :-3].all() and not seen[:2].any() and not seen[:, -3:].any()


@pytest.mark.parametrize("seed", range(2))
def test_another_place_is_refused(seed):
    with pytest.raises(CoregistrationFailed, match=r"before\.tif") as refused:
        _registered(ground(10 + seed, 700), other_light(ground(40 + seed, 700)))
    assert get_exit_code(refused.value) == 5


def test_no_ground_in_common_is_refused():
    before = ground(7, 600)
    left, right = np.zeros((2, 600, 600), bool)
    left[:, :250], right[:, 350:] = True, True
    with pytest.raises(CoregistrationFailed):
        _registered(before, before, left, right)


def test_a_sliver_in_common_is_refused_with_its_size():
    before = ground(7, 600)
    left, right = np.zeros((2, 600, 600), bool)
    left[:, :310], right[:, 290:] = True, True
    with pytest.raises(CoregistrationFailed, match=r"480 m².* 0\.09 m"):
        _registered(before, before, left, right)


def test_infrared_finds_the_edges_of_colour():
    before = ground(9, 700)
    true = field(before.shape[:2], (6.0, -4.0))
    grey = 255 - cv2.cvtColor(moved(before, true), cv2.COLOR_RGB2GRAY)
    registration = _registered(before, np.repeat(cv2.GaussianBlur(grey, (0, 0), 1.5)[..., None], 3, axis=2))
    assert np.percentile(_off_px(registration, true), 95) < 1.0


def test_farther_than_the_reach_is_refused():
    before = ground(11, 700)
    true = field(before.shape[:2], (90.0, 0.0))
    with pytest.raises(CoregistrationFailed, match="8 m"):
        _registered(before, moved(before, true), reach_m=8.0)


def test_holes_of_both_mosaics_do_not_matter():
    before = ground(12)
    true = field(before.shape[:2], (7.0, 3.0))
    after = moved(before, true)
    chance = np.random.default_rng(1)
    seen = []
    for picture in (before, after):
        mask = everywhere(picture)
        for row, col in chance.integers(0, 900, (12, 2)):
            mask[row : row + 90, col : col + 90] = False
        picture[~mask] = 0
        seen.append(mask)
    registration = _registered(before, after, *seen)
    assert np.percentile(_off_px(registration, true, seen[0] & seen[1]), 95) < 1.0
