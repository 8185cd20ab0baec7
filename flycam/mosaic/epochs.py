"""Amendments: the frames taken out of a mosaic, and the epoch that each tile has because of them.

A withdrawn frame opens a new epoch on the tiles that it touched, and on those only. Epochs are derived from
content (`epoch_of`), so two boxes that learned the same withdrawals in another order agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flycam.frame.tile import epoch_of
from flycam.geometry.grid import TileId, TileRange


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendments:
    """Withdrawn frame ids, each with the base-zoom tiles of its patch (None: it never had one)."""

    withdrawn: Mapping[str, TileRange | None] = field(default_factory=dict)

    def forbids(self, frame_id: str) -> bool:
        """Whether this frame must never enter the mosaic."""
        return frame_id in self.withdrawn

    def epoch(self, tile_id: TileId) -> str:
        """Epoch of a base tile: a function of the withdrawn frames whose patch touched it."""
        return epoch_of(
            frame_id for frame_id, tiles in self.withdrawn.items() if tiles is not None and tile_id in tiles
        )


NO_AMENDMENTS = Amendments()
