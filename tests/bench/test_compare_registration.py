"""A place that AFTER does not show is a miss, not left out of the numbers."""

from __future__ import annotations

import numpy as np
import shapely

from bench.compare_registration import _apart, _percentiles
from bench.truth_patches import PatchErrors

PLACES = np.array([(0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 0.0), (40.0, 0.0)])


def _errors(tried: list[int], found: list[int], offset: tuple[float, float]) -> PatchErrors:
    return PatchErrors(
        place_m=PLACES[found],
        offset_m=np.tile(offset, (len(found), 1)),
        tried_m=PLACES[tried],
        found=len(found) / len(tried),
        covered=1.0,
    )


def test_places_that_are_not_found_count_and_those_without_data_do_not():
    before = _errors([0, 1, 2, 3, 4], [0, 1, 2, 4], (0.0, 0.1))
    after = _errors([0, 1, 2, 3], [0, 3], (0.3, 0.5))
    changed = shapely.box(8.0, -2.0, 12.0, 2.0)
    # 1 changed, 3 says nothing before, 4 has no data after
    recognised = _errors([0, 1, 2, 3], [0, 1, 2, 3], (3.0, 0.0))
    assert np.allclose(_apart(before, after, recognised, changed), [0.5, np.inf])
    # nor is a place judged that the mosaic after does not show by itself
    unlike = _errors([0, 1, 2, 3], [0, 1, 3], (3.0, 0.0))
    assert np.allclose(_apart(before, after, unlike, changed), [0.5])


def test_misses_are_worse_than_any_number():
    off = np.array([0.1] * 90 + [np.inf] * 10)
    assert list(_percentiles(off)) == [0.1, np.inf]
