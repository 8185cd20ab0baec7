"""Overviews as what radiometry and seamlines are decided on."""

from __future__ import annotations

import numpy as np

from flycam.mosaic.finish.frame_overview import keep_unshared_ground

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
    alone = keep_unshared_ground(b, [a, c])
    taken = (b.quality > 0) & (alone.quality == 0)
    both = a.box.intersection(b.box)
    assert not (a.quality[both.slices_in(a.box)] > 0)[~taken[both.slices_in(b.box)]].any()
    assert taken.sum() == (a.quality[both.slices_in(a.box)] > 0).sum() > 0
    assert alone.box == b.box and not alone.rgb[taken].any()
    np.testing.assert_array_equal(alone.rgb[~taken], b.rgb[~taken])
    np.testing.assert_array_equal(keep_unshared_ground(b, [c]).quality, b.quality)
