from __future__ import annotations

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
