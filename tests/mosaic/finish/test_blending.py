"""Blending: exact where one frame is alone, without rims, narrow for detail, the same in any box."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.mosaic.finish.frame_overview import ALIGN_PX, REACH_PX, Blender, PixelBox

BOX = PixelBox(row=0, col=0, row_stop=512, col_stop=768)


def noise(seed: int, box: PixelBox = BOX) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*box.shape, 3)).astype(np.uint8)


def blended(box: PixelBox, frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Frames of BOX (rgb, seen, owned) blended over `box`, each cut to it."""
    blender = Blender(box)
    at = box.slices_in(BOX)
    for rgb, seen, owned in frames:
        blender.add(box, rgb[at] * seen[at][..., None], seen[at], owned[at])
    return blender.colours()


def halves() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    everywhere = np.ones(BOX.shape, bool)
    wave = 380 + np.rint(20 * np.sin(np.arange(512) / 30)).astype(int)
    left = np.arange(768)[None] < wave[:, None]
    return [(noise(1), everywhere, left), (noise(2), everywhere, ~left)]


def test_a_frame_alone_comes_back_to_the_last_bit() -> None:
    rgb = noise(5)
    seen = np.zeros(BOX.shape, bool)
    seen[40:400, 30:700] = True
    seen[200:240, 100:140] = False
    result = blended(BOX, [(rgb, seen, seen)])
    np.testing.assert_array_equal(result[seen], rgb[seen])


@settings(max_examples=8, deadline=None)
@given(row=st.integers(0, 8), col=st.integers(0, 16))
def test_a_part_blended_alone_is_the_same_to_the_last_bit(row: int, col: int) -> None:
    """What lies REACH_PX inside a smaller box has the same colours as in the large one."""
    frames = halves()
    whole = blended(BOX, frames)
    size = 2 * REACH_PX + ALIGN_PX
    part = PixelBox(
        row=min(row * ALIGN_PX, 512 - size),
        col=min(col * ALIGN_PX, 768 - size),
        row_stop=min(row * ALIGN_PX, 512 - size) + size,
        col_stop=min(col * ALIGN_PX, 768 - size) + size,
    )
    inner = part.padded(-REACH_PX)
    small = blended(part, frames)
    np.testing.assert_array_equal(small[inner.slices_in(part)], whole[inner.slices_in(BOX)])


def test_the_edge_of_a_picture_casts_no_rim() -> None:
    """Two frames of one flat colour, each with a ragged edge: the colour is the colour up to every edge."""
    flat = np.full((*BOX.shape, 3), 180, np.uint8)
    first = np.zeros(BOX.shape, bool)
    first[100:400, 50:430] = True
    second = np.zeros(BOX.shape, bool)
    second[90:390, 370:700] = True
    owned = second & (~first | (np.arange(768) > 400)[None])
    result = blended(BOX, [(flat, first, first & ~owned), (flat, second, owned)])
    seen = first | second
    assert np.abs(result[seen].astype(int) - 180).max() <= 1
