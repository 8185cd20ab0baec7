from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flycam.change.detection import detect_changes
from flycam.change.image_pair import ImagePair, detect_clouds, mask_clouds
from tests.change.ground import ground

GSD_M = 0.5


def pair_of(before: np.ndarray, after: np.ndarray, gsd_m: float = GSD_M) -> ImagePair:
    seen = np.ones(before.shape[:2], np.bool_)
    return ImagePair(
        before_rgb=before,
        after_rgb=after,
        before_seen=seen,
        after_seen=seen.copy(),
        gsd_m=gsd_m,
        heights_m=np.zeros(seen.shape, np.float32),
    )


def overcast(
    rgb: np.ndarray, share: float, seed: int, light: float = 228.0, hard: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The picture under drifting cloud, and how opaque that is, H×W; hard: how steep its rim is."""
    chance, shape = np.random.default_rng(seed), rgb.shape[:2]
    depth = np.zeros(shape, np.float32)
    for size, weight in ((300, 1.0), (150, 0.5), (75, 0.25), (38, 0.12)):
        rough = chance.standard_normal((shape[0] // size + 3, shape[1] // size + 3)).astype(np.float32)
        depth += weight * cv2.resize(rough, shape[::-1], interpolation=cv2.INTER_CUBIC)
    opaque = np.clip((depth - np.quantile(depth, 1.0 - share)) * hard + 0.5, 0.0, 1.0)
    bright = np.clip(light + 6.0 * depth, 0, 255)
    mixed = rgb * (1.0 - opaque[..., None]) + (bright * opaque)[..., None]
    return np.rint(mixed).astype(np.uint8), opaque


@pytest.mark.parametrize(("which", "hard"), [("before", 0.8), ("after", 2.0)])
def test_ground_that_a_cloud_hides_is_not_seen_on_that_date(
    storm: ImagePair, which: str, hard: float
) -> None:
    under, opaque = overcast(getattr(storm, f"{which}_rgb"), 0.15, 4, hard=hard)
    pair = replace(storm, **{f"{which}_rgb": under})
    masks = dict(zip(("before", "after"), detect_clouds(pair), strict=True))
    hidden = (opaque > 0.9) & getattr(pair, f"{which}_seen")
    assert hidden.sum() > 2000
    assert (masks[which] & hidden).sum() > 0.92 * hidden.sum()
    # what shows through clearly is still looked at
    clear = (opaque < 0.1) & getattr(pair, f"{which}_seen")
    assert (masks[which] & clear).sum() < 0.12 * clear.sum()
    assert not masks["before" if which == "after" else "after"].any()
    left, share = mask_clouds(pair)
    assert not (getattr(left, f"{which}_seen") & masks[which]).any() and share > 0.03


def test_no_cloud_is_seen_in_a_storm_or_on_ground_of_all_colours(storm: ImagePair) -> None:
    for pair in (storm, pair_of(ground(4), ground(5))):
        before, after = detect_clouds(pair)
        assert not before.any() and not after.any()
        assert mask_clouds(pair)[1] == 0.0


def test_under_a_cloud_nothing_is_found(storm: ImagePair) -> None:
    under, opaque = overcast(storm.after_rgb, 0.2, 7, light=235.0)
    pair, _ = mask_clouds(replace(storm, after_rgb=under))
    for found in detect_changes(pair):
        there = np.zeros(opaque.shape, np.uint8)
        cv2.fillPoly(there, [np.rint(found.rings[0]).astype(np.int32)], 1)
        assert (opaque[there > 0] > 0.9).mean() < 0.05


def test_a_bright_yard_of_both_dates_and_a_roof_are_no_cloud() -> None:
    before = ground(4)
    before[200:300, 200:300] = 235  # 50 m × 50 m
    after = before.copy()
    after[600:636, 400:436] = 240  # a new roof of 18 m
    masks = detect_clouds(pair_of(before, after))
    assert not masks[0].any() and not masks[1][190:310, 190:310].any()


def test_a_bright_field_in_two_exposures_is_no_cloud() -> None:
    """Above and below what counts as white; the rest of the ground differs as little."""
    before = ground(4)
    before[200:500, 200:300] = (176, 178, 186)
    after = np.clip(before.astype(np.int16) - 2, 0, 255).astype(np.uint8)
    after[200:500, 200:300] = (194, 196, 204)
    for pair in (pair_of(before, after), pair_of(after, before)):
        assert not any(mask.any() for mask in detect_clouds(pair))


def test_sun_on_water_is_no_cloud() -> None:
    before, chance = ground(4), np.random.default_rng(2)
    after = before.copy()
    after[300:700, 200:800] = (130, 105, 85)
    rows, cols = np.mgrid[0:1000, 0:1000]
    near = np.exp(-((rows - 500.0) ** 2 + (cols - 500.0) ** 2) / 2.0 / 45.0**2) * 2.5
    after[chance.random(near.shape) < near] = 255
    assert not detect_clouds(pair_of(before, after))[1].any()
