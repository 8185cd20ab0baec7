"""Tracks: the components of the matches, once a frame, and few of them everywhere."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.mosaic.adjustment.tracks import (
    join_tracks,
    select_tracks,
)


def joined(features_of, links):
    a, i, b, j = (np.array([link[k] for link in links], dtype=np.int64) for k in range(4))
    cosine = np.array([link[4] if len(link) > 4 else 0.95 for link in links])
    seen = join_tracks(features_of, a, b, i, j, cosine)
    tracks = {}
    for t, f, x in zip(seen.track.tolist(), seen.frame.tolist(), seen.feature.tolist(), strict=True):
        tracks.setdefault(t, []).append((f, x))
    return sorted(tuple(t) for t in tracks.values())


def test_a_wrong_link_that_joins_two_points_is_cut():
    links = [
        (0, 0, 1, 0, 0.99),
        (1, 0, 2, 0, 0.99),
        (0, 1, 1, 1, 0.99),
        (1, 1, 2, 1, 0.99),
        (0, 0, 2, 1, 0.9),
    ]
    assert joined([2, 2, 2], links) == [((0, 0), (1, 0), (2, 0)), ((0, 1), (1, 1), (2, 1))]


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 60))
def test_a_track_sees_a_frame_once_and_holds_two_at_least(seed, frames, links):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, frames - 1, links)
    b = a + 1 + rng.integers(0, 5, links) % (frames - 1 - a)
    seen = join_tracks([10] * frames, a, b, *rng.integers(0, 10, (2, links)), rng.uniform(0.8, 1, links))
    key = seen.track * 100 + seen.frame
    assert np.all(np.diff(key) > 0)
    count = np.bincount(seen.track) if seen.track.size else np.array([2])
    assert np.all(count >= 2)
    assert np.unique(seen.frame * 100 + seen.feature).size == seen.frame.size


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_every_cell_keeps_its_share_where_it_has_it(seed, per_cell):
    rng = np.random.default_rng(seed)
    tracks = 120
    length = rng.integers(2, 5, tracks)
    track = np.repeat(np.arange(tracks), length)
    cell = np.concatenate([rng.permutation(20)[:n] for n in length])
    chosen = select_tracks(track, cell, rng.uniform(size=tracks), per_cell)
    there = np.array([np.unique(track[cell == c]).size for c in range(20)])
    held = np.array([chosen[np.unique(track[cell == c])].sum() for c in range(20)])
    assert np.all(held >= np.minimum(there, per_cell))
