from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.change.features import Logistic, to_probability

MODEL = Logistic(
    cues=("a", "b"),
    mean=(1.0, -2.0),
    spread=(2.0, 0.5),
    bias=0.3,
    weights=(0.7, -1.1),
    products=((0, 0, 0.2), (0, 1, -0.4)),
)


def test_it_is_the_formula_of_its_docstring() -> None:
    x, y = (3.0 - 1.0) / 2.0, (-1.5 + 2.0) / 0.5
    z = 0.3 + 0.7 * x - 1.1 * y + 0.2 * x * x - 0.4 * x * y
    np.testing.assert_allclose(MODEL.logits(np.array([[3.0, -1.5]])), [z])
    np.testing.assert_allclose(to_probability(np.array([z])), [1.0 / (1.0 + np.exp(-z))])


@given(st.integers(1, 150), st.integers(1, 9), st.integers(0, 99))
def test_planes_and_rows_say_the_same(height: int, width: int, seed: int) -> None:
    planes = np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32)
    rows = planes.reshape(2, -1).T.astype(np.float64)
    np.testing.assert_allclose(MODEL.logit_planes(planes).ravel(), MODEL.logits(rows), rtol=1e-4, atol=1e-3)


def test_certainty_does_not_overflow() -> None:
    low, high = to_probability(np.array([-1e6, 1e6]))
    assert 0.0 < low < 1e-12 and 1.0 - 1e-12 < high <= 1.0
