"""A first picture of a flight before any original is here: the thumbnails in the photos' heads, each laid on
the ground its photo sees.

It is a sketch to judge a flight by (clouds, fog, where the water is), never a map: a thumbnail has some 160
pixels, is laid by one homography, and nothing of it is kept once the flight is on the map.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flycam.errors import SourceUnreadable
from flycam.geodata.crs import to_lonlat
from flycam.ingest.photo.container import head_of, opened
from flycam.pipeline.laying.planning import Planned

LONGEST_PX = 1000
_QUALITY = 75
_LEAST_PX = 8
_MOST_THUMBNAIL_PX = 1024
_MOST_HEAD_BYTES = 256 << 10
_BORDER_POINTS = 64  # of a footprint that no horizon cut
_START = b"\xff\xd8\xff"

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Preview:
    """rgba: H×W×4 uint8, transparent where no photo looks; bounds: (west, south, east, north) degrees, of its
    outer edges; rows run north to south in equal steps of latitude; shown: photos that are in it."""

    rgba: Picture
    bounds: tuple[float, float, float, float]
    shown: int

    def webp(self) -> bytes:
        """The picture as a file."""
        out = io.BytesIO()
        Image.fromarray(self.rgba).save(out, "WEBP", quality=_QUALITY)
        return out.getvalue()


def preview(planned: Sequence[Planned]) -> Preview | None:
    """The thumbnails of these photos on the ground; None where no head holds one.

    The photo that looks most steeply down lies on top.
    """
    whole = [one for one in planned if len(one.view.footprint.polygon_m) == _BORDER_POINTS]
    whole.sort(key=lambda one: (-one.view.footprint.off_nadir_deg, one.header.frame_id))
    found = [(one, picture) for one in whole if (picture := _thumbnail(one)) is not None]
    if not found:
        return None
    rings = [to_lonlat(one.view.footprint.polygon_m, one.header.exterior_prior.work_crs) for one, _ in found]
    places = np.concatenate(rings)
    (west, south), (east, north) = places.min(axis=0), places.max(axis=0)
    shrink = np.cos(np.radians((south + north) / 2.0))
    pixel = max((east - west) * shrink, north - south) / LONGEST_PX
    columns = max(int(np.ceil((east - west) * shrink / pixel)), 1)
    rows = max(int(np.ceil((north - south) / pixel)), 1)
    canvas = np.zeros((rows, columns, 4), np.uint8)
    for (_, picture), ring in zip(found, rings, strict=True):
        at = np.stack([(ring[:, 0] - west) * shrink, north - ring[:, 1]], axis=-1) / pixel - 0.5
        _draw(canvas, picture, at)
    right, bottom = float(west + columns * pixel / shrink), float(north - rows * pixel)
    return Preview(canvas, (float(west), bottom, right, float(north)), len(found))


def thumbnail_in(head: bytes, size_px: tuple[int, int]) -> Picture | None:
    """The picture inside a photo's head, H×W×3 RGB, cut to the photo's own shape (makers letterbox it); None
    where there is none that can be read, or its size is no thumbnail's."""
    start = head.find(_START, len(_START))
    if start < 0:
        return None
    try:
        with Image.open(io.BytesIO(head[start:]), formats=["JPEG"]) as small:
            width, height = small.size
            if not _LEAST_PX <= min(width, height) <= max(width, height) <= _MOST_THUMBNAIL_PX:
                return None
            pixels = np.asarray(small.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    shape = size_px[0] / size_px[1]
    keep_x, keep_y = min(width, round(height * shape)), min(height, round(width / shape))
    left, top = (width - keep_x) // 2, (height - keep_y) // 2
    return pixels[top : top + keep_y, left : left + keep_x] if min(keep_x, keep_y) >= _LEAST_PX else None


def _thumbnail(one: Planned) -> Picture | None:
    try:
        with opened(one.path) as file:
            head = head_of(file, one.path)
        length = min(head.scan_offset, _MOST_HEAD_BYTES)
        with Path(one.path).open("rb") as file:
            return thumbnail_in(file.read(length), one.header.interior.image_size_px)
    except (OSError, SourceUnreadable):
        return None


def _draw(canvas: Picture, picture: Picture, ring: Floats) -> None:
    """Lay a picture into the canvas; ring: where its border lies there, pixels, in `_border` order."""
    rows, columns = picture.shape[:2]
    mapping, _ = cv2.findHomography(_border(columns, rows), ring, 0)
    if mapping is None or not np.isfinite(mapping).all():
        return
    size = (canvas.shape[1], canvas.shape[0])
    opaque = np.dstack([picture, np.full((rows, columns), 255, np.uint8)])
    laid = cv2.warpPerspective(opaque, mapping, size, flags=cv2.INTER_LINEAR)
    inside = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(ring).astype(np.int32)], 1)  # a homography has a far side too
    mask = (laid[..., 3] > 127) & (inside > 0)
    canvas[mask] = laid[mask]


def _border(columns: int, rows: int) -> Floats:
    """The border points of a footprint in a picture of this size, as `geometry.footprint` walks them."""
    k = np.arange(_BORDER_POINTS // 4) / (_BORDER_POINTS // 4)
    zero, one = np.zeros_like(k), np.ones_like(k)
    u = np.concatenate([k, one, 1.0 - k, zero]) * columns - 0.5
    v = np.concatenate([zero, k, one, 1.0 - k]) * rows - 0.5
    return np.stack([u, v], axis=-1)
