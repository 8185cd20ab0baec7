"""Prior of a kind of change in this pair, estimated from all its candidates together.

After a storm many slopes fail at once, and in a quiet season none: a bare patch that looks half like a slide
is one in the first and a new field in the second. The share is found by expectation and maximisation
(Saerens, Latinne, Decaestecker 2002, Neural Computation 14), held near the usual one by a prior worth a few
candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.analysis.logistic import to_probability

Doubles = NDArray[np.float64]

# weight of the usual share, in candidates
DOUBT = 2.0
_ROUNDS = 200
_SETTLED = 1e-9


def calibrate_prior(logits: Doubles, usual_share: float) -> Doubles:
    """Return probabilities of N candidates, given their kind's estimated share here.

    logits       as fitted where `usual_share` of the candidates were right
    """
    if not len(logits):
        return np.zeros(0)
    share = usual_share
    for _ in range(_ROUNDS):
        moved = np.log(share / (1.0 - share)) - np.log(usual_share / (1.0 - usual_share))
        likely = to_probability(logits + moved)
        before, share = share, (likely.sum() + DOUBT * usual_share) / (len(logits) + DOUBT)
        if abs(share - before) < _SETTLED:
            break
    return np.asarray(likely, np.float64)
