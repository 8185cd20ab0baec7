"""Connected components of a graph that is given by its edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def label_components(count: int, one: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """Label each of `count` nodes with its component, numbered from 0 by first node.

    one, other  N each, the nodes of N edges
    """
    from scipy.sparse import coo_array  # noqa: PLC0415  slow to load, and few flights need it at their start
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  as above

    ends = (np.asarray(one, dtype=np.intp), np.asarray(other, dtype=np.intp))
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count, count))
    part: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return part
