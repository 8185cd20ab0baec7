"""A frame: one exposure of a photo, a video or a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from flycam.frame.text_normalization import to_visible
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation
from flycam.messages import Message, _, verbatim


class Layer(StrEnum):
    """Spectral band set of a frame; frames of different layers never share a mosaic."""

    COLOUR = "colour"
    INFRARED = "infrared"
    THERMAL = "thermal"
    NIGHT = "night"


_LAYER_IMAGES: Mapping[str, Message] = {"colour": _("colour"), "thermal": _("thermal")}


def name_layer(layer: str) -> Message:
    """Name a layer as pictures of it are called; one without a name of its own by its key."""
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
