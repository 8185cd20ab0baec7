"""Quality: the order it must give, and its limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.frame_view import MAX_QUALITY, compute_pixel_quality
from tests.geometry.scenes import camera

INTERIOR = camera(width=1000, height=800)


def q(u=500.0, v=400.0, cosine=1.0, gsd=0.05):
    return int(compute_pixel_quality(INTERIOR, *(np.array([x]) for x in (u, v, cosine, gsd)))[0])


def test_nearer_nadir_finer_and_away_from_the_border_is_better():
    assert q() > q(cosine=0.9) > q(cosine=0.5) > q(cosine=0.1)
    assert q(gsd=0.02) > q(gsd=0.05) > q(gsd=0.5) > q(gsd=5.0)
    assert q() > q(u=60.0) > q(u=20.0) > q(u=0.0)
    assert q(v=799.0) == q(v=0.0)
    assert q(u=200.0) == q(u=500.0) == q(u=800.0)  # the taper is the border's alone


@given(
    st.floats(-50, 1050), st.floats(-50, 850), st.floats(-1, 1),
    st.floats(0.001, 100, allow_subnormal=False),
)  # fmt: skip
def test_never_no_data_and_never_over(u, v, cosine, gsd):
    assert 1 <= q(u, v, cosine, gsd) <= MAX_QUALITY


def test_the_unknown_has_the_lowest():
    assert q(u=np.nan) == q(gsd=np.nan) == q(cosine=np.nan) == 1


@given(st.floats(0, 999), st.floats(0, 799))
def test_it_is_smooth(u, v):
    """A step of a tenth of a pixel never jumps: at most the taper's steepest slope."""
    steepest = 1.5 / (0.08 * 800) * 65534
    assert abs(q(u=u) - q(u=u + 0.1)) <= 0.1 * steepest + 1
    assert abs(q(v=v) - q(v=v + 0.1)) <= 0.1 * steepest + 1
