from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from flycam.drill.appearance import (
    FITTED_RANGES,
    HELD_OUT_RANGES,
    PLAIN_APPEARANCE,
    Appearance,
    AppearanceRanges,
    draw_appearance,
)
from flycam.drill.land import CENTRE_M, LandCover
from tests.drill.topview import view_pair

AROUND = (CENTRE_M[0] - 60, CENTRE_M[1] - 60, CENTRE_M[0] + 60, CENTRE_M[1] + 60)


def test_what_is_held_aside_meets_nothing_that_is_fitted_on() -> None:
    wide = {"soil_saturation", "treeless"}  # of one hue each: the hues are apart
    for name in {one.name for one in fields(AppearanceRanges)} - wide:
        for low, high in getattr(FITTED_RANGES, name):
            assert all(
                high <= other_low or low >= other_high
                for other_low, other_high in getattr(HELD_OUT_RANGES, name)
            )


@pytest.mark.parametrize("ranges", [FITTED_RANGES, HELD_OUT_RANGES])
def test_a_look_is_its_seed_s_and_lies_in_its_ranges(ranges: AppearanceRanges) -> None:
    looks = [draw_appearance(seed, ranges) for seed in range(20)]
    assert looks == [draw_appearance(seed, ranges) for seed in range(20)]
    for name in ("texture", "shading", "season", "flood_m", "slim"):
        for look in looks:
            value = getattr(look, name)
            assert any(low <= value <= high for low, high in getattr(ranges, name))
    floods = np.array([look.paints[LandCover.FLOOD] for look in looks])
    assert np.ptp(floods, axis=0).min() > 60.0


def test_a_look_changes_the_picture_and_not_the_place() -> None:
    plain, other = (
        view_pair(AROUND, 1.0, seed=4, look=look)
        for look in (PLAIN_APPEARANCE, Appearance(texture=0.2, shading=0.0))
    )
    assert (plain.change == other.change).all() and (plain.heights_m == other.heights_m).all()
    assert other.before.rgb.std() < plain.before.rgb.std()
