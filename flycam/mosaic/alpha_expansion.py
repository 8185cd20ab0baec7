"""One alpha-expansion as a minimum cut: the pixels of a window that a frame takes from their owners.

All costs are integers, so the cut is exact; of several minimum cuts the one that changes least is taken,
which is unique, so the result depends neither on the solver nor on the machine.

Sources: Boykov, Veksler and Zabih, PAMI 23(11), 2001; Kolmogorov and Zabih, PAMI 26(2), 2004, for the
decomposition of a pair's four costs; the cut itself is `scipy.sparse.csgraph.maximum_flow` (Dinic 1970).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]

FULL_COST = 1024
"""The difference d of two frames that do not agree at all."""

_NEIGHBOURS = ((0, 1), (1, 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFeatures:
    """Features of frames over a window (H×W×F int16), where they see it (H×W bool)."""

    features: NDArray[np.int16]
    seen: Mask

    def shifted(self, down: int, right: int, shape: tuple[int, int]) -> LabelFeatures:
        """Return the part of `shape` that begins `down` rows and `right` columns on."""
        window = (slice(down, down + shape[0]), slice(right, right + shape[1]))
        return LabelFeatures(features=self.features[window], seen=self.seen[window])


def compute_difference(one: LabelFeatures, two: LabelFeatures, full_scale: int) -> Ints:
    """Compute d of two views, 0..FULL_COST: L1 distance of their features.

    Truncated at `full_scale`. A pixel that one of them does not see costs FULL_COST. It is a metric, for
    truncation keeps the triangle inequality.
    """
    each = np.abs(one.features - two.features)
    apart = each[..., 0].astype(np.int32)
    # np.sum over so short an axis takes five times as long
    for feature in range(1, each.shape[-1]):
        apart += each[..., feature]
    apart = np.minimum(apart, full_scale) * FULL_COST // full_scale
    apart[~(one.seen & two.seen)] = FULL_COST
    return np.asarray(apart, dtype=np.int32)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpansionWindow:
    """A part of the labelling with all that a move there costs. Planes are H×W.

    owner       labels
    own         features of each pixel's owner there
    beyond      its features at the next pixel to the right and below; before: to the left and above
    data        cost of the pixel as it is labelled
    length      cost of an edge between two labels where they agree
    full_scale  see `compute_difference`
    """

    owner: NDArray[np.uint16]
    own: LabelFeatures
    beyond: tuple[LabelFeatures, LabelFeatures]
    before: tuple[LabelFeatures, LabelFeatures]
    data: Ints
    length: int
    full_scale: int

    def seams(self, axis: int) -> Ints:
        """Return the cost of each edge between neighbours as labelled now.

        axis  0 horizontal neighbours, 1 vertical ones
        """
        p, q = _ends(self.owner.shape, axis)
        cost = self.length + self._differ(self.own, p, self.before[axis], q)
        cost += self._differ(self.beyond[axis], p, self.own, q)
        cost[self.owner[p] == self.owner[q]] = 0
        return np.asarray(cost, dtype=np.int32)

    def energy(self) -> int:
        """Return the total energy of the window."""
        return int(self.data.sum(dtype=np.int64)) + sum(
            int(self.seams(axis).sum(dtype=np.int64)) for axis in (0, 1)
        )

    def _differ(
        self, one: LabelFeatures, at: tuple[slice, slice], two: LabelFeatures, there: tuple[slice, slice]
    ) -> Ints:
        return compute_difference(_at(one, at), _at(two, there), self.full_scale)


def expand_label(
    window: ExpansionWindow, alpha: int, features: LabelFeatures, data: Ints, active: Mask
) -> Mask:
    """Return the pixels (H×W bool) that label `alpha` takes in its best expansion.

    The energy becomes as small as one expansion can make it; no pixel is taken where nothing is won.

    features, data  features of alpha, and its cost, over the window
    active          pixels that may change; alpha's own do not count
    """
    owned = window.owner == alpha
    active = active & ~owned & features.seen
    count = int(np.count_nonzero(active))
    if count == 0:
        return np.zeros_like(active)
    node = np.full(window.owner.shape, -1, dtype=np.int64)
    node[active] = np.arange(count)
    # cost of taking less cost of keeping, for each node
    unary = np.where(active, data - window.data, 0).astype(np.int64)
    tails, heads, capacities = [], [], []
    for axis in (0, 1):
        p, q = _ends(window.owner.shape, axis)
        keep_keep, keep_take, take_keep = _pair_costs(window, axis, owned, features)
        p_free, q_free = active[p], active[q]
        both = p_free & q_free
        unary_p, unary_q = unary[p], unary[q]
        # both free: the decomposition of Kolmogorov and Zabih with cost 0 for (take, take)
        unary_p += np.where(both, take_keep - keep_keep, 0)
        unary_q -= np.where(both, take_keep, 0)
        tails.append(node[p][both])
        heads.append(node[q][both])
        capacities.append((keep_take + take_keep - keep_keep)[both])
        # one end is fixed, as alpha's or as another label's
        unary_p += np.where(p_free & ~q_free, np.where(owned[q], -keep_take, take_keep - keep_keep), 0)
        unary_q += np.where(q_free & ~p_free, np.where(owned[p], -take_keep, keep_take - keep_keep), 0)
    taken = np.zeros_like(active)
    taken[active] = _cut(
        unary[active], np.concatenate(tails), np.concatenate(heads), np.concatenate(capacities)
    )
    return taken


def _pair_costs(
    window: ExpansionWindow, axis: int, owned: Mask, looks: LabelFeatures
) -> tuple[Ints, Ints, Ints]:
    """Return the costs of edges p-q where (neither, only q, only p) is alpha's."""
    p, q = _ends(window.owner.shape, axis)
    keep_take = window.length + window._differ(window.own, p, looks, p)
    keep_take += window._differ(window.beyond[axis], p, looks, q)
    keep_take[owned[p]] = 0
    take_keep = window.length + window._differ(window.before[axis], q, looks, p)
    take_keep += window._differ(window.own, q, looks, q)
    take_keep[owned[q]] = 0
    return window.seams(axis), keep_take, take_keep


def _cut(
    unary: NDArray[np.int64], tails: NDArray[np.int64], heads: NDArray[np.int64], capacity: Ints
) -> Mask:
    """Return the nodes that take alpha: the smallest sink side of the minimum cut.

    A node on the source's side keeps. unary > 0 is the extra cost of taking, < 0 of keeping; `capacity` is
    paid where the tail keeps and the head takes.
    """
    nodes = unary.size
    source, sink = nodes, nodes + 1
    dear, cheap = np.flatnonzero(unary > 0), np.flatnonzero(unary < 0)
    if cheap.size == 0:
        return np.zeros(nodes, dtype=np.bool_)
    graph = csr_matrix(
        (
            np.concatenate([capacity, unary[dear], -unary[cheap]]).astype(np.int32),
            (
                np.concatenate([tails, np.full(dear.size, source), cheap]),
                np.concatenate([heads, dear, np.full(cheap.size, sink)]),
            ),
        ),
        shape=(nodes + 2, nodes + 2),
    )
    flow = maximum_flow(graph, source, sink).flow
    residual = (graph - flow).tocsr()
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reaches_sink = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
    takes = np.zeros(nodes + 2, dtype=np.bool_)
    takes[reaches_sink] = True
    return np.asarray(takes[:nodes], dtype=np.bool_)


def _ends(shape: tuple[int, ...], axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the windows of all first and all second pixels of the edges.

    axis  0 along rows, 1 along columns
    """
    down, right = _NEIGHBOURS[axis]
    return (
        (slice(0, shape[0] - down), slice(0, shape[1] - right)),
        (slice(down, shape[0]), slice(right, shape[1])),
    )


def _at(looks: LabelFeatures, window: tuple[slice, slice]) -> LabelFeatures:
    return LabelFeatures(features=looks.features[window], seen=looks.seen[window])
