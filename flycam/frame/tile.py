"""Patches and tiles: a frame's contribution, and the content of the mosaic.

The merge rule: inside an epoch each pixel has the key (quality, frame_id, rgb); the larger wins; no data is
quality 0. A maximum under a strict total order is commutative, associative and idempotent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.grid import TileId, TileRange

NO_DATA_QUALITY = 0
NO_SOURCE = 0
FIRST_EPOCH = "0"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrthoPatch:
    """One frame rectified onto a rectangle of base-zoom tiles.

    rgb      H×W×3 uint8 with (H, W) = tiles.shape_px; 0 where quality is 0
    quality  H×W uint16; 0 = no data
    """

    tiles: TileRange
    rgb: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    frame_id: str
    exterior_version: int
    dem_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MosaicTile:
    """Lossless state of one tile.

    rgb      256×256×3 uint8; 0 where quality is 0
    quality  256×256 uint16; 0 = no data
    source   256×256 uint16: 0 = none, else 1 + index into `frames`
    frames   sorted frame ids that own at least one pixel here
    epoch    see `compute_epoch`
    """

    tile_id: TileId
    rgb: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    source: NDArray[np.uint16]
    frames: tuple[str, ...]
    epoch: str = FIRST_EPOCH


@dataclass(frozen=True, kw_only=True, slots=True)
class TileRecord:
    """One line of the tile log: this object is the head of this tile from now on.

    seq           per mosaic, gapless for readers, assigned by the catalogue when appended (0 before)
    origin        the node that wrote it
    content_hash  hex SHA-256 (first 32 digits) of the canonical tile state
    """

    seq: int
    origin: str
    mosaic_id: str
    revision: int
    epoch: str
    tile_id: TileId
    key: str
    content_hash: str
    written_ns: int


def compute_epoch(amendments: Iterable[str]) -> str:
    """Compute a tile's epoch from the amendments that touch it.

    Withdrawn frame ids and superseded placements. Derived from content, so two nodes that learned the same
    withdrawals in another order agree, and an untouched tile keeps its epoch although the mosaic has been
    amended elsewhere.
    """
    members = sorted(set(amendments))
    if not members:
        return FIRST_EPOCH
    return hashlib.sha256("\n".join(members).encode()).hexdigest()[:12]
