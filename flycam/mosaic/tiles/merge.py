"""Merge rule of tiles, amendments and their epochs, and parent tiles.

Inside an epoch each pixel has the key (quality, frame_id, rgb); the larger wins. No data is quality 0. A
maximum under a strict total order is commutative, associative and idempotent, so the order in which frames
arrive, and how often, does not matter. Only base-zoom tiles are merged. A parent is a pure function of its
four children.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import StoreConflict
from flycam.geometry.grid import TILE_SIZE_PX, TileId, TileRange
from flycam.messages import _
from flycam.model.frame import FIRST_EPOCH, MosaicTile, OrthoPatch, compute_epoch

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
            own_rank = np.array([0, *(rank[f] for f in self._frames)])[self._source[rows, cols]]
            new_rank = np.array([0, *(rank[n] for n in names)])[1 if source is None else source[rows, cols]]
            # rgb last: the order is total even if a frame gives two patches in one epoch (decision 0001)
            redder = _packed(rgb[rows, cols]) > _packed(self._rgb[rows, cols])
            wins[rows, cols] = ((new_rank > own_rank) | ((new_rank == own_rank) & redder)) * np.uint8(255)
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


# -- Amendments: what was taken out of a mosaic, and the epochs of its tiles -----------------------
#
# A withdrawn frame, or a placement (pose and terrain) that another replaced, opens a new epoch on the tiles
# that it touched, and on those only. Epochs are derived from content (`compute_epoch`), so two nodes that
# learned the same amendments in another order agree.


_BLOCK_BITS = 4  # amendments are indexed by 16×16 tiles

_Block = tuple[int, int]
_Touching = Mapping[_Block, list[tuple[str, TileRange]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplacedPlacements:
    """Placements of a reprocessed frame.

    current     (exterior version, terrain id) of the placement in force; None: the frame is no longer used
    superseded  id of each placement before it, with the base-zoom tiles of its patch (None: it had none)
    placement   id of the placement in force; None: the frame is no longer used, or the id does not matter
    """

    current: tuple[int, str] | None
    superseded: Mapping[str, TileRange | None]
    placement: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendments:
    """Frames that must not be in a mosaic, and the epochs of its tiles that follow.

    withdrawn  frame ids, each with the base-zoom tiles of its patch (None: it never had one)
    replaced   frames that were reprocessed, by id
    """

    withdrawn: Mapping[str, TileRange | None] = field(default_factory=dict)
    replaced: Mapping[str, ReplacedPlacements] = field(default_factory=dict)
    _touching: _Touching = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        touching: dict[_Block, list[tuple[str, TileRange]]] = {}
        for name, tiles in self._members():
            for block in _blocks_of(tiles):
                touching.setdefault(block, []).append((name, tiles))
        object.__setattr__(self, "_touching", touching)

    def forbids(self, patch: OrthoPatch) -> bool:
        """Return True if a patch's frame is withdrawn or its placement superseded."""
        return self.forbids_placement(patch.frame_id, patch.exterior_version, patch.dem_id)

    def forbids_placement(self, frame_id: str, exterior_version: int, dem_id: str) -> bool:
        """Return True if a frame's placement is forbidden, before there is a patch."""
        if frame_id in self.withdrawn:
            return True
        replaced = self.replaced.get(frame_id)
        return replaced is not None and replaced.current != (exterior_version, dem_id)

    def epoch(self, tile_id: TileId) -> str:
        """Return the epoch of a base tile.

        Derived from the withdrawn frames and replaced placements that touched it.
        """
        near = self._touching.get((tile_id.x >> _BLOCK_BITS, tile_id.y >> _BLOCK_BITS), ())
        return compute_epoch(name for name, tiles in near if tile_id in tiles)

    def _members(self) -> Iterator[tuple[str, TileRange]]:
        for frame_id, tiles in self.withdrawn.items():
            if tiles is not None:
                yield frame_id, tiles
        for replaced in self.replaced.values():
            for placement_id, tiles in replaced.superseded.items():
                if tiles is not None:
                    yield placement_id, tiles


def _blocks_of(tiles: TileRange) -> Iterator[_Block]:
    for y in range(tiles.y_start >> _BLOCK_BITS, ((tiles.y_stop - 1) >> _BLOCK_BITS) + 1):
        for x in range(tiles.x_start >> _BLOCK_BITS, ((tiles.x_stop - 1) >> _BLOCK_BITS) + 1):
            yield x, y


NO_AMENDMENTS = Amendments()


# -- Overview tiles: parents as a pure function of four children, in integers ----------------------
#
# A parent pixel covers a 2×2 block of child pixels. Of those that have data:
#     rgb      (sum + n // 2) // n for each band, n = 1..4 pixels with data
#     quality  the largest, and its source the frame of that pixel (ties: the larger frame id)
# No data where none of the four has any. Each child determines one quadrant of its parent by itself, so a
# parent is updated by replacing the quadrants of the children that changed.


_HALF = TILE_SIZE_PX // 2
_BLOCK_STEPS = (0, 1, TILE_SIZE_PX, TILE_SIZE_PX + 1)  # a 2×2 block in a flattened tile


@dataclass(frozen=True, kw_only=True, slots=True)
class Quadrant:
    """A child at half its resolution: its part of the parent (planes 128×128)."""

    tile_id: TileId
    rgb: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    source: NDArray[np.uint16]
    frames: tuple[str, ...]


def reduce_to_quadrant(child: MosaicTile) -> Quadrant:
    """Reduce a tile by two in each direction, by the rule above."""
    key = cv2.merge([child.source, child.quality]).view("<u4")[..., 0]  # (quality << 16) | source
    rows = np.maximum(key[0::2], key[1::2])
    best = np.maximum(rows[:, 0::2], rows[:, 1::2])
    return Quadrant(
        tile_id=child.tile_id,
        rgb=_mean_rgb(child.rgb, child.quality),
        quality=(best >> 16).astype(np.uint16),
        source=(best & 0xFFFF).astype(np.uint16),
        frames=child.frames,
    )


def with_quadrants(parent: MosaicTile | None, parent_id: TileId, children: Iterable[Quadrant]) -> MosaicTile:
    """Return `parent` (None: nothing there yet) with the given children's quadrants.

    Raises ValueError if a child does not belong to `parent_id`.
    """
    quadrants = list(children)
    old_frames = parent.frames if parent else ()
    names = sorted({*old_frames, *(f for q in quadrants for f in q.frames)})
    place = {name: i for i, name in enumerate(names, start=1)}
    rgb = parent.rgb.copy() if parent else np.zeros((*_SHAPE, 3), dtype=np.uint8)
    quality = parent.quality.copy() if parent else np.zeros(_SHAPE, dtype=np.uint16)
    source = _renumbered(parent.source, old_frames, place) if parent else np.zeros(_SHAPE, dtype=np.uint16)
    for quadrant in quadrants:
        at = _window(quadrant.tile_id, parent_id)
        rgb[at], quality[at] = quadrant.rgb, quadrant.quality
        source[at] = _renumbered(quadrant.source, quadrant.frames, place)
    source, frames = sort_sources(source, names)
    return MosaicTile(
        tile_id=parent_id, rgb=rgb, quality=quality, source=source, frames=frames, epoch=PARENT_EPOCH
    )


def make_parent_tile(parent_id: TileId, children: Iterable[MosaicTile]) -> MosaicTile:
    """Make the parent of up to four children; an absent one has no data.

    Their order does not matter.
    """
    return with_quadrants(None, parent_id, (reduce_to_quadrant(child) for child in children))


def _window(child_id: TileId, parent_id: TileId) -> tuple[slice, slice]:
    if child_id.parent() != parent_id:
        raise ValueError(f"tile {child_id} is not a child of {parent_id}")
    row, col = (child_id.y & 1) * _HALF, (child_id.x & 1) * _HALF
    return slice(row, row + _HALF), slice(col, col + _HALF)


def _renumbered(
    source: NDArray[np.uint16], frames: tuple[str, ...], place: Mapping[str, int]
) -> NDArray[np.uint16]:
    return np.take(np.array([0, *(place[f] for f in frames)], dtype=np.uint16), source)


def _mean_rgb(rgb: NDArray[np.uint8], quality: NDArray[np.uint16]) -> NDArray[np.uint8]:
    # of four bytes OpenCV's area mean is (sum + 2) >> 2, in integers
    mean = np.asarray(cv2.resize(rgb, (_HALF, _HALF), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if cv2.countNonZero(quality) == quality.size:
        return mean
    count = _block_counts(quality > 0)
    rows, cols = np.nonzero((count > 0) & (count < 4))
    if rows.size:
        n = count[rows, cols].astype(np.uint16)[:, None]
        first = 2 * (rows * TILE_SIZE_PX + cols)
        pixels = rgb.reshape(-1, 3)
        # no data is rgb 0, so it adds nothing to the sum
        total = sum(pixels.take(first + step, axis=0).astype(np.uint16) for step in _BLOCK_STEPS)
        mean[rows, cols] = (total + n // 2) // n
    return mean


def _block_counts(marked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count the marked pixels in each 2×2 block of 256×256: 128×128."""
    # two neighbours in one word are added without a strided loop
    pairs = marked.view(np.uint16)
    both = pairs[0::2] + pairs[1::2]
    return ((both & 0xFF) + (both >> 8)).astype(np.uint8)
