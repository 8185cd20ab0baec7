"""Amendments: what was taken out of a mosaic, and the epoch that each tile has because of it.

A withdrawn frame, or a placement (pose and terrain) that another replaced, opens a new epoch on the tiles
that it touched, and on those only. Epochs are derived from content (`compute_epoch`), so two nodes that
learned the same amendments in another order agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flycam.frame.tile import OrthoPatch, compute_epoch
from flycam.geometry.grid import TileId, TileRange

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
