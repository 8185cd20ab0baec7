"""Frames, orthopatches and mosaic tiles, and rejections of video frames.

A frame is one exposure of a photo, a video or a stream; an orthopatch is its contribution to the mosaic, a
tile the content of the mosaic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.pose import ExteriorOrientation
from flycam.model.flight import Layer
from flycam.model.text import to_visible


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Origin of a frame, from any pixel back to its photo.

    source_name    the file's name as the operator knows it (no folder), as `to_visible` writes it, whatever
                   its origin: it goes into documents, tables and logs
    source_sha256  hex SHA-256 of the original bytes; also its key among the originals
    camera         maker and model as written in the file
    settled        what the preflight check changed or decided for this frame, one sentence each
    film           hash of the video that a frame comes from (SHA-256 of its bytes, or of a stream's address
                   and beginning), which tells apart videos of one name; None: a photo
    """

    source_name: str
    source_sha256: str
    camera: str
    settled: tuple[str, ...] = ()
    film: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source_name", to_visible(self.source_name))


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameHeader:
    """Everything of a frame except its pixels: small enough to hold thousands.

    frame_id     32 hex digits, derived from content (`derive_frame_id`): stable when ingested again
    captured_ns  UTC nanoseconds since 1970
    """

    frame_id: str
    captured_ns: int
    layer: Layer
    interior: InteriorOrientation
    exterior_prior: ExteriorOrientation
    provenance: Provenance


def derive_frame_id(source_sha256: str, position: str = "") -> str:
    """Derive a frame id from the original's hash and, for video, the position in it.

    source_sha256  hash of the original bytes
    position       of a video frame its PTS
    """
    return hashlib.sha256(f"{source_sha256}:{position}".encode()).hexdigest()[:32]


def format_video_frame_name(video: str, pts_ns: int) -> str:
    """Format a video frame's name: the video's without suffix, then its time in ms."""
    return f"{video.rpartition('.')[0] or video}-{round(pts_ns / 1e6):08d}.jpg"


def parse_video_frame_pts_ns(name: str) -> int:
    """Parse a video frame's time in its video from its name, to the millisecond."""
    return int(name.removesuffix(".jpg").rpartition("-")[2]) * 1_000_000


def derive_flight_id(frame_ids: list[str]) -> str:
    """Derive a flight id, 16 hex digits, from its first frames, whatever their order."""
    return hashlib.sha256("\n".join(sorted(set(frame_ids))).encode()).hexdigest()[:16]


# -- Orthopatches and mosaic tiles -----------------------------------------------------------------
#
# The merge rule: inside an epoch each pixel has the key (quality, frame_id, rgb); the larger wins; no data is
# quality 0. A maximum under a strict total order is commutative, associative and idempotent.


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
