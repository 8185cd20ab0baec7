"""Overviews as what radiometry and seamlines are decided on."""

from __future__ import annotations

import numpy as np

from flycam.mosaic.overview import seen_alone

from .block import Block, Shot


def test_what_others_see_is_taken_from_an_overview_and_nothing_else() -> None:
    block = Block(
        [
            Shot(name="a", rows=(0, 400), cols=(0, 600)),
            Shot(name="b", rows=(100, 500), cols=(300, 900)),
            Shot(name="c", rows=(600, 700), cols=(0, 90)),
        ]
    )
    a, b, c = (block.overview(name) for name in "abc")
    alone = seen_alone(b, [a, c])
    taken = (b.quality > 0) & (alone.quality == 0)
    both = a.box.intersection(b.box)
    assert not (a.quality[both.within(a.box)] > 0)[~taken[both.within(b.box)]].any()
    assert taken.sum() == (a.quality[both.within(a.box)] > 0).sum() > 0
    assert alone.box == b.box and not alone.rgb[taken].any()
    np.testing.assert_array_equal(alone.rgb[~taken], b.rgb[~taken])
    np.testing.assert_array_equal(seen_alone(b, [c]).quality, b.quality)
