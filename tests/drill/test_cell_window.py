from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.drill.land import make_cell_window

metres = st.floats(-5e5, 3e6)


@given(metres, metres, st.floats(1, 500), st.floats(1, 500), st.sampled_from([0.15, 0.375, 1.0, 10.0]))
def test_a_window_encloses_what_was_asked(west: float, south: float, w: float, h: float, cell: float) -> None:
    window = make_cell_window((west, south, west + w, south + h), cell)
    x0, y0, x1, y1 = window.bounds
    assert x0 <= west + 1e-6 and y0 <= south + 1e-6
    assert x1 >= west + w - 1e-6 and y1 >= south + h - 1e-6
    assert x1 - x0 <= w + 2 * cell + 1e-6


def test_positions_and_bands() -> None:
    window = make_cell_window((100.0, 200.0, 110.0, 230.0), 0.5)
    col, row = window.to_cells(np.array([100.0, 110.0]), np.array([230.0, 200.0]))
    np.testing.assert_allclose(col, [0, 20])
    np.testing.assert_allclose(row, [0, 60])
    band = window.band(50, 90)
    assert band.shape == (11, 21)
    np.testing.assert_allclose(band.northings, window.northings[50:])
    a, _, c, _, e, f = window.transform
    assert (c + 0.5 * a, f + 0.5 * e) == (100.0, 230.0)
