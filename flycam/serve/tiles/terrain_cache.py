"""Decoded grids of terrain and DSM for the map's answers, the last few kept."""

from __future__ import annotations

from functools import lru_cache

from flycam.frame.terrain_codec import decode_terrain
from flycam.geometry.terrain import TerrainGrid
from flycam.store.base import ObjectStore

_MAX_GRIDS = 6


class TerrainCache:
    """One cache of decoded grids for all routes. Safe to use from several threads.

    A grid's key ends in the hash of its content, so that no entry goes stale.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._decoded = lru_cache(maxsize=_MAX_GRIDS)(lambda key: decode_terrain(store.get(key)))

    def grid(self, key: str) -> TerrainGrid:
        """Return the grid under a store key. Raises ObjectMissing and errors of decoding."""
        return self._decoded(key)
