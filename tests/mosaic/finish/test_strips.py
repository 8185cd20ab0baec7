"""Straight legs of a flight."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.mosaic.finish.report import assign_strips

SECOND = 1_000_000_000


def mower(strips, per_strip, noise, seed):
    rng = np.random.default_rng(seed)
    xy = [
        (60.0 * s, 25.0 * (k if s % 2 == 0 else per_strip - 1 - k))
        for s in range(strips)
        for k in range(per_strip)
    ]
    return np.array(xy) + rng.normal(0, noise, (len(xy), 2))


@given(st.integers(1, 5), st.integers(3, 8), st.floats(0, 1.0), st.integers(0, 999))
def test_a_mown_field_has_as_many_strips_as_were_flown(strips, per_strip, noise, seed):
    xy = mower(strips, per_strip, noise, seed)
    got = assign_strips([k * 2 * SECOND for k in range(len(xy))], xy)
    assert got == [s for s in range(strips) for _ in range(per_strip)]


def test_frames_need_not_be_sorted_and_a_pause_or_another_camera_begins_anew():
    xy = mower(2, 4, 0.0, 0)
    times = [k * SECOND for k in range(8)]
    order = [5, 0, 7, 2, 1, 6, 3, 4]
    mixed = assign_strips([times[k] for k in order], xy[order])
    assert [mixed[order.index(k)] for k in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    later = [t + (600 * SECOND if k >= 2 else 0) for k, t in enumerate(times[:4])]
    assert assign_strips(later, xy[:4]) == [0, 0, 1, 1]
    assert assign_strips(times[:4], xy[:4], ["a", "b", "a", "b"]) == [0, 1, 0, 1]
