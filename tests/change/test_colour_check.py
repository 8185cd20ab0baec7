from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.change.image_pair import ColourFault, ImagePair, find_colour_fault
from tests.change.ground import everywhere, ground

GROUND = ground(4, 300)


def grey_of(rgb: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def test_both_dates_of_a_storm_have_colours(storm: ImagePair) -> None:
    for rgb in (storm.before_rgb, storm.after_rgb):
        assert find_colour_fault(rgb, storm.both_seen, storm.gsd_m) is None


def test_a_picture_turned_grey_has_none_also_after_jpeg(storm: ImagePair) -> None:
    grey = grey_of(storm.after_rgb)
    assert find_colour_fault(grey, storm.both_seen, storm.gsd_m) is ColourFault.GREY
    grey[40:60, 40:80] = (250, 30, 30)  # what somebody wrote into it
    _, packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 70])
    jpeg = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    assert find_colour_fault(jpeg, storm.both_seen, storm.gsd_m) is ColourFault.GREY


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(0.6, 1.0)] * 3), st.floats(0.25, 1.0))
def test_a_tint_all_over_is_no_colour(tint: tuple[float, float, float], gsd_m: float) -> None:
    tinted = np.rint(grey_of(GROUND) * np.array(tint)).astype(np.uint8)
    assert find_colour_fault(tinted, everywhere(tinted), gsd_m) is not None


def test_infrared_in_place_of_red_is_told_from_colour(storm: ImagePair) -> None:
    # what grows is as bright in the infrared as in the green, and brighter; the rest of the bands move up
    red, green, _ = cv2.split(storm.before_rgb)
    near = cv2.convertScaleAbs(green, alpha=1.5)
    false_colour = cv2.merge([near, red, green])
    assert find_colour_fault(false_colour, storm.both_seen, storm.gsd_m) is ColourFault.UNREAL


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        ("flights/seneca_fixed_wing/IMG_0450.jpg", ColourFault.UNREAL),
        ("flights/seneca_fixed_wing/IMG_0449.jpg", ColourFault.UNREAL),
        ("flights/brighton_beach/DJI_0024.JPG", None),
        ("pairs/joplin_tornado/post/tile_31500-5137.tif", None),
        ("pairs/joplin_tornado/pre/tile_337-10160.tif", None),
    ],
)
def test_pictures_of_an_infrared_camera_and_of_others(
    shared_data: Path, picture: str, fault: ColourFault | None
) -> None:
    bgr = cv2.imread(str(shared_data / picture), cv2.IMREAD_REDUCED_COLOR_4)
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    assert find_colour_fault(rgb, rgb.any(axis=2), 0.2) is fault


def test_red_earth_all_over_is_a_colour() -> None:
    earth = np.rint(GROUND.mean(axis=2, keepdims=True) * (1.0, 0.66, 0.48)).astype(np.uint8)
    earth[:, :60] = np.rint(GROUND[:, :60].mean(axis=2, keepdims=True) * (0.7, 0.9, 0.6)).astype(np.uint8)
    assert find_colour_fault(earth, everywhere(earth), 1.0) is None


def test_night_is_dark_and_little_ground_is_not_judged(storm: ImagePair) -> None:
    night = (storm.after_rgb // 10).astype(np.uint8)
    assert find_colour_fault(night, storm.both_seen, storm.gsd_m) is ColourFault.DARK
    few = np.zeros_like(storm.both_seen)
    few[:20, :20] = True
    assert find_colour_fault(grey_of(storm.after_rgb), few, storm.gsd_m) is None
