"""Parts of a picture painted over."""

from __future__ import annotations

import numpy as np

from flycam.serve.api.redacted_photos import FILL_GREY, redact_pixels

SHARES = np.array([[0.25, 0.25], [0.5, 0.25], [0.5, 0.75], [0.25, 0.75]])


def test_a_polygon_is_one_grey_at_any_size_and_the_rest_is_as_it_was() -> None:
    for height, width in ((480, 640), (60, 80), (3, 5)):
        picture = np.random.default_rng(1).integers(0, 100, (height, width, 3)).astype(np.uint8)
        burnt = redact_pixels(picture, [SHARES])
        rows, columns = np.mgrid[0:height, 0:width] + 0.5
        x, y = columns / width, rows / height
        inside = (x > 0.25) & (x < 0.5) & (y > 0.25) & (y < 0.75)
        assert (burnt[inside] == FILL_GREY).all()
        away = (
            (x < 0.25 - 4 / width) | (x > 0.5 + 4 / width) | (y < 0.25 - 4 / height) | (y > 0.75 + 4 / height)
        )
        assert (burnt[away] == picture[away]).all()
        assert (picture < 100).all(), "the picture given is left alone"


def test_a_polygon_thinner_than_a_pixel_is_painted_too() -> None:
    thin = np.array([[0.1, 0.5], [0.9, 0.5], [0.9, 0.501], [0.1, 0.501]])
    burnt = redact_pixels(np.zeros((40, 40), np.uint8), [thin])
    assert (burnt[20, 4:36] == FILL_GREY).all()


def test_cells_are_painted_with_their_neighbours() -> None:
    cells = np.zeros((6, 8), bool)
    cells[2, 3] = True
    burnt = redact_pixels(np.zeros((60, 80), np.uint8), [], cells)
    expected = np.zeros((60, 80), bool)
    expected[10:40, 20:50] = True
    assert ((burnt == FILL_GREY) == expected).all()
