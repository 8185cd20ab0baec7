"""The merge rule: inside an epoch each pixel has the key (quality, frame_id, rgb); the larger wins.

No data is quality 0. A maximum under a strict total order is commutative, associative and idempotent, so the
order in which frames arrive, and how often, does not matter. Only base-zoom tiles are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import StoreConflict
from flycam.frame.tile import FIRST_EPOCH, MosaicTile, OrthoPatch
from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.messages import _

PARENT_EPOCH = "parent"
"""Epoch of every tile above the base zoom, which is derived from its children and never merged."""

_SHAPE = (TILE_SIZE_PX, TILE_SIZE_PX)
_NOTHING = np.zeros(_SHAPE, dtype=np.uint16)
# the frame index is 16 bits wide and 0 means none
_MAX_FRAMES = 0xFFFF

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint16]


class TileCanvas:
    """Mutable state of one base tile; its frame table is in order of arrival."""

    __slots__ = ("_frames", "_quality", "_rgb", "_source", "epoch", "tile_id")

    def __init__(self, tile_id: TileId, epoch: str = FIRST_EPOCH) -> None:
        self.tile_id = tile_id
        self.epoch = epoch
        self._rgb: Bytes = np.zeros((*_SHAPE, 3), dtype=np.uint8)
        self._quality: Words = np.zeros(_SHAPE, dtype=np.uint16)
        self._source: Words = np.zeros(_SHAPE, dtype=np.uint16)
        self._frames: list[str] = []

    @classmethod
    def from_tile(cls, tile: MosaicTile, epoch: str) -> TileCanvas:
        """Continue from a copy of a stored tile; raise StoreConflict on another epoch."""
        require_mergeable(tile.tile_id, epoch, tile)
        canvas = cls.__new__(cls)
        canvas.tile_id, canvas.epoch = tile.tile_id, tile.epoch
        canvas._rgb, canvas._quality = tile.rgb.copy(), tile.quality.copy()
        canvas._source, canvas._frames = tile.source.copy(), list(tile.frames)
        return canvas

    def copy(self) -> TileCanvas:
        """Return an independent canvas of the same state."""
        return TileCanvas.from_tile(self.borrow(), self.epoch)

    def merge(self, rgb: Bytes, quality: Words, frame_id: str) -> bool:
        """Merge a frame's 256×256×3 `rgb` and 256×256 `quality`; True if a pixel changed."""
        wins = self._contest(rgb, quality, (frame_id,), None)
        if not cv2.countNonZero(wins):
            return False
        (index,) = self._indices((frame_id,))
        self._take(wins, rgb, quality, np.full(_SHAPE, index, dtype=np.uint16))
        return True

    def merge_tile(self, tile: MosaicTile) -> bool:
        """Merge another state of the same tile; return True if a pixel changed.

        Raises StoreConflict if the two are not states of the same base tile in the same epoch.
        """
        require_mergeable(self.tile_id, self.epoch, tile)
        wins = self._contest(tile.rgb, tile.quality, tile.frames, tile.source)
        if not cv2.countNonZero(wins):
            return False
        indices = np.array([0, *self._indices(tile.frames)], dtype=np.uint16)
        self._take(wins, tile.rgb, tile.quality, np.take(indices, tile.source))
        return True

    @property
    def is_empty(self) -> bool:
        """True if nothing was ever merged here."""
        return not self._frames

    def freeze(self) -> MosaicTile:
        """Return the canonical state, immutable: table sorted, only frames with a pixel."""
        tile = self.borrow()
        return replace(tile, rgb=tile.rgb.copy(), quality=tile.quality.copy(), source=tile.source.copy())

    def borrow(self) -> MosaicTile:
        """Return the state of `freeze` without a copy: valid only until the next merge."""
        self._compact()
        return MosaicTile(
            tile_id=self.tile_id,
            rgb=self._rgb,
            quality=self._quality,
            source=self._source,
            frames=tuple(self._frames),
            epoch=self.epoch,
        )

    def _contest(self, rgb: Bytes, quality: Words, names: Sequence[str], source: Words | None) -> Bytes:
        """Return the mask (0 or 255) of pixels where the challenger's key is larger.

        `source` gives the challenger's 1-based index into `names`; None: all pixels are of names[0].
        """
        wins = cv2.compare(quality, self._quality, cv2.CMP_GT)
        equal = cv2.compare(quality, self._quality, cv2.CMP_EQ)
        known = cv2.compare(quality, _NOTHING, cv2.CMP_GT)
        ties: Bytes = np.asarray(cv2.bitwise_and(equal, known), dtype=np.uint8)
        if source is None and names[0] in self._frames:
            ties = self._without_own(ties, rgb, self._frames.index(names[0]) + 1)
        if cv2.countNonZero(ties):
            cols, rows = cv2.findNonZero(ties).reshape(-1, 2).T
            rank = {name: i for i, name in enumerate(sorted({*names, *self._frames}), start=1)}
            ours = np.array([0, *(rank[f] for f in self._frames)])[self._source[rows, cols]]
            theirs = np.array([0, *(rank[n] for n in names)])[1 if source is None else source[rows, cols]]
            # rgb last: the order is total even if a frame gives two patches in one epoch (decision 0001)
            redder = _packed(rgb[rows, cols]) > _packed(self._rgb[rows, cols])
            wins[rows, cols] = ((theirs > ours) | ((theirs == ours) & redder)) * np.uint8(255)
        return np.asarray(wins, dtype=np.uint8)

    def _without_own(self, ties: Bytes, rgb: Bytes, index: int) -> Bytes:
        """Return `ties` less this frame's own pixels, if it brings the same colours."""
        own = cv2.compare(self._source, np.full(_SHAPE, index, dtype=np.uint16), cv2.CMP_EQ)
        own = cv2.bitwise_and(np.asarray(own), ties)
        if cv2.norm(rgb, self._rgb, cv2.NORM_INF, own) == 0:
            return np.asarray(cv2.bitwise_xor(ties, own), dtype=np.uint8)
        return ties

    def _take(self, wins: Bytes, rgb: Bytes, quality: Words, source: Words) -> None:
        cv2.copyTo(rgb, wins, self._rgb)
        cv2.copyTo(quality, wins, self._quality)
        cv2.copyTo(source, wins, self._source)

    def _indices(self, names: Sequence[str]) -> list[int]:
        known = {name: i for i, name in enumerate(self._frames, start=1)}
        new = [name for name in names if name not in known]
        if new and len(self._frames) + len(new) > _MAX_FRAMES:
            self._compact()  # drops frames that no longer own a pixel
            return self._indices(names)
        self._frames.extend(new)
        known.update((name, i) for i, name in enumerate(new, start=len(known) + 1))
        return [known[name] for name in names]

    def _compact(self) -> None:
        self._source, frames = sort_sources(self._source, self._frames)
        self._frames = list(frames)


def merge_tiles(a: MosaicTile, b: MosaicTile) -> MosaicTile:
    """Merge two states of one base tile by the larger key; their order is irrelevant.

    Raises StoreConflict if they are not states of the same base tile in the same epoch.
    """
    canvas = TileCanvas.from_tile(a, a.epoch)
    canvas.merge_tile(b)
    return canvas.freeze()


def merge_patch(tile: MosaicTile | None, patch: OrthoPatch, tile_id: TileId, epoch: str) -> MosaicTile:
    """Merge the part of `patch` on `tile_id` into `tile` (None: nothing there yet).

    Raises StoreConflict if `tile` is another tile or of another epoch, or the patch has another zoom.
    """
    require_zoom(patch, tile_id.z)
    if tile is None:
        canvas = TileCanvas(tile_id, epoch)
    else:
        require_mergeable(tile_id, epoch, tile)
        canvas = TileCanvas.from_tile(tile, epoch)
    if tile_id in patch.tiles:
        rows, cols = patch.tiles.window_px(tile_id)
        canvas.merge(patch.rgb[rows, cols], patch.quality[rows, cols], patch.frame_id)
    return canvas.freeze()


def sort_sources(source: Words, frames: Sequence[str]) -> tuple[Words, tuple[str, ...]]:
    """Return provenance in canonical form: `frames` sorted, `source` renumbered.

    Frames that own no pixel are dropped.
    """
    bins = len(frames) + 1
    owned = cv2.calcHist([source], [0], None, [bins], [0, bins]).ravel()[1:] > 0
    table = tuple(sorted(f for f, used in zip(frames, owned, strict=True) if used))
    if table == tuple(frames):
        return source, table
    place = {name: i for i, name in enumerate(table, start=1)}
    renumber = np.array([0, *(place.get(f, 0) for f in frames)], dtype=np.uint16)
    return np.take(renumber, source), table


def require_zoom(patch: OrthoPatch, base_zoom: int) -> None:
    """Raise StoreConflict unless the patch lies on the base zoom."""
    if patch.tiles.z != base_zoom:
        raise StoreConflict(
            _(
                "frame {frame_id}: rectified at zoom {z}, but the mosaic's base zoom is "
                "{base_zoom}; ingest the flight again so that all its frames share one zoom",
                frame_id=patch.frame_id,
                z=patch.tiles.z,
                base_zoom=base_zoom,
            )
        )


def require_mergeable(tile_id: TileId, epoch: str, tile: MosaicTile) -> None:
    """Raise StoreConflict unless `tile` is a base state of this address and epoch."""
    if tile.tile_id != tile_id:
        raise StoreConflict(f"tile {tile.tile_id}: cannot be merged into tile {tile_id}")
    if tile.epoch != epoch or PARENT_EPOCH in (tile.epoch, epoch):
        raise StoreConflict(
            f"tile {tile_id}: epoch {tile.epoch} cannot be merged into epoch {epoch};"
            " refold the tile from its frames"
        )


def _packed(rgb: Bytes) -> NDArray[np.int32]:
    wide = rgb.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
