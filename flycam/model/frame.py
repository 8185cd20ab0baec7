"""Frames, orthopatches and mosaic tiles, and rejections of video frames.

A frame is one exposure of a photo, a video or a stream; an orthopatch is its contribution to the mosaic, a
tile the content of the mosaic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.pose import ExteriorOrientation
from flycam.messages import Message, _, join, pgettext, verbatim
from flycam.model.text import to_visible


class Layer(StrEnum):
    """Spectral band set of a frame; frames of different layers never share a mosaic."""

    COLOUR = "colour"
    INFRARED = "infrared"
    THERMAL = "thermal"
    NIGHT = "night"


_LAYER_IMAGES: Mapping[str, Message] = {"colour": _("colour"), "thermal": _("thermal")}


def name_layer(layer: str) -> Message:
    """Name a layer as images of it are called; by its key if it has no name."""
    return _LAYER_IMAGES.get(layer) or verbatim(layer)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Origin of a frame, from any pixel back to its photo.

    source_name    the file's name as the operator knows it (no folder), as `to_visible` writes it, whatever
                   its origin: it goes into documents, tables and logs
    source_sha256  hex SHA-256 of the original bytes; also its key among the originals
    camera         maker and model as written in the file
    operator       who flew or uploaded, if known
    settled        what the preflight check changed or decided for this frame, one sentence each
    film           hash of the video that a frame comes from (SHA-256 of its bytes, or of a stream's address
                   and beginning), which tells apart videos of one name; None: a photo, or an older record
    """

    source_name: str
    source_sha256: str
    camera: str
    operator: str | None = None
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A header with its pixels.

    H×W×3 uint8, RGB, rows from the top as the sensor read them.
    """

    header: FrameHeader
    pixels: NDArray[np.uint8]

    @property
    def frame_id(self) -> str:
        return self.header.frame_id


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


LAYER_NAMES = {
    Layer.COLOUR: pgettext("layer", "colour"),
    Layer.INFRARED: pgettext("layer", "infrared"),
    Layer.THERMAL: pgettext("layer", "thermal"),
    Layer.NIGHT: pgettext("layer", "night"),
}


# -- Reasons for rejecting parts of a video, as keys and as names ----------------------------------


_WORDS: Mapping[str, Message] = {
    "overrun": _("{count} came faster than they could be laid"),
    "undecoded": _("{count} came faster than they could be decoded"),
    "broken": _("{count} could not be decoded"),
    "unrecorded": _("{count} are not in the recording of the video"),
    "thinned": _("{count} left out when late, their neighbours show it"),
    "no_time": _("{count} show new ground there was no time to lay"),
    "store_away": _("{count} show new ground while the store was away"),
    "pts_backwards": _("{count} bear a time that goes backwards"),
    "torn": _("{count} torn"),
    "filmed_before": _("{count} show what is on the map already"),
    "withdrawn": pgettext("frames", "{count} withdrawn"),
    "telemetry_gap": _("{count} the log says nothing of"),
    "pose_rejected": _("{count} position or attitude cannot be right"),
    "horizon_in_view": _("{count} look at the horizon"),
    "outside_terrain": _("{count} outside the terrain that is known"),
    "no_height": _("{count} no usable height"),
    "no_sight": _("{count} do not say which way they look"),
    "no_position": _("{count} no usable position"),
    "calibration_missing": _("{count} lens unknown"),
    "too_blurred": _("{count} too blurred"),
    "lens_covered": _("{count} black, or the lens covered"),
    "unreadable": _("{count} unreadable"),
    "no_fix": _("{count} samples without a GNSS fix"),
    "jump": _("{count} samples that jump"),
    "frozen": _("{count} samples that stand still in flight"),
    "bad_signature": _("{count} packets without a valid signature"),
    "noise": _("{count} bytes that are no packet"),
    "damaged": _("{count} packets damaged"),
    "unwritten": _("{count} packets are not in the recording of the telemetry"),
}

_UNFITTED: Mapping[str, Message] = {
    "first": _("{count} show ground that no frame before showed"),
    "few": _("{count} have too little in common with those before"),
    "unclear": _("{count} agree with those before on no pose"),
    "far": _("{count} would lie farther off than the log allows"),
    "worse": _("{count} would fit worse than by the log"),
    "hurried": _("{count} came too fast to be fitted"),
}


def format_unregistered_counts(counts: Mapping[str, int]) -> Message | None:
    """Format counts of video frames not registered to earlier ones, by reason.

    As `format_rejection_counts`.
    """
    return _format_counts(_UNFITTED, counts)


def format_rejection_counts(counts: Mapping[str, int]) -> Message | None:
    """Format counts by reason as a list; None for no counts.

    A reason without a name is written as its key.
    """
    return _format_counts(_WORDS, counts)


def _format_counts(words: Mapping[str, Message], counts: Mapping[str, int]) -> Message | None:
    said = [
        replace(words[reason], values={"count": count}) if reason in words else verbatim(f"{count} {reason}")
        for reason, count in sorted(counts.items())
        if count
    ]
    return join(said, ", ") if said else None


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
