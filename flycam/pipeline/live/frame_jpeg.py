"""Encoding of a video frame as the JPEG that is stored and orthorectified.

Its pixels, decoded, are those on the map.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameUnreadable
from flycam.ingest.photo.pixels import decode_jpeg
from flycam.messages import _

JPEG_QUALITY = 95
_FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


class EncodedFrame(NamedTuple):
    """JPEG bytes, their SHA-256, and the decoded pixels (H×W×3 uint8 RGB)."""

    data: bytes
    sha256: str
    pixels: NDArray[np.uint8]


def encode_frame_jpeg(pixels: NDArray[np.uint8], name: str) -> EncodedFrame:
    """Encode a frame H×W×3 uint8 RGB. Raises FrameUnreadable."""
    there, jpeg = cv2.imencode(
        ".jpg",
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *_FULL_COLOUR],
    )
    if not there:
        raise FrameUnreadable(_("{name}: cannot be kept as a JPEG", name=name))
    data = jpeg.tobytes()
    return EncodedFrame(data, hashlib.sha256(data).hexdigest(), decode_jpeg(data, Path(name)))
