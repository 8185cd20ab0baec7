from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.change.detection import calibrate_prior
from flycam.change.features import to_probability

logits = st.lists(st.floats(-8.0, 8.0), min_size=1, max_size=40).map(np.array)
shares = st.floats(0.05, 0.95)


@given(logits, shares)
def test_who_was_likelier_stays_so(values: np.ndarray, share: float) -> None:
    order = np.argsort(values)
    likely = calibrate_prior(values, share)
    assert (np.diff(likely[order]) >= -1e-12).all()
    assert ((likely > 0.0) & (likely < 1.0)).all()


@given(shares, st.integers(5, 40))
def test_in_company_of_sure_ones_one_is_likelier_and_among_unlikely_ones_less(
    share: float, many: int
) -> None:
    alone = float(calibrate_prior(np.array([0.0]), share)[0])
    storm = calibrate_prior(np.array([0.0] + [7.0] * many), share)[0]
    quiet = calibrate_prior(np.array([0.0] + [-7.0] * many), share)[0]
    assert quiet < alone < storm


def test_candidates_as_usual_keep_their_probabilities() -> None:
    share = 0.3
    draw = np.random.default_rng(5)
    right = draw.random(40_000) < share
    values = np.where(right, 1.0, -1.0) * 2.0 + draw.normal(0.0, 2.0, 40_000) + np.log(share / (1.0 - share))
    # two normal distributions 4 apart with a spread of 2: the logit is linear with slope 1
    np.testing.assert_allclose(calibrate_prior(values, share), to_probability(values), atol=0.02)
