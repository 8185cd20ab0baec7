"""Photos sent with marks: only the pixels are kept.

A photo is decoded and encoded anew, so that no script, decompression bomb, home position or second image in
the file is stored on the node.
"""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

from flycam.errors import SourceUnreadable
from flycam.ingest.photo.container import has_too_many_scans
from flycam.messages import _

MAX_PHOTO_BYTES = 4 << 20
_MAX_PIXELS = {"JPEG": 64_000_000, "PNG": 24_000_000, "WEBP": 24_000_000}
"""By format: a JPEG can be decoded at an eighth of its size, the others only whole."""

_MAX_SIDE_PX = 1920
_JPEG_QUALITY = 82


def convert_mark_photo(data: bytes) -> bytes:
    """Convert a photo to JPEG, upright, no side longer than 1920 pixels, no metadata.

    Raises SourceUnreadable: over MAX_PHOTO_BYTES, too many pixels (by its header, before any is decoded), not
    JPEG, PNG or WebP, cut off, or a JPEG of implausibly many scans.
    """
    if len(data) > MAX_PHOTO_BYTES:
        raise _make_too_large_error()
    # decoding such a JPEG would block a server thread for minutes
    if has_too_many_scans(data):
        raise _make_unreadable_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, which is dropped anyway
            with Image.open(io.BytesIO(data), formats=tuple(_MAX_PIXELS)) as photo:
                # of a JPEG with more images behind the first (MPO, of phones) the first is kept
                if photo.width * photo.height > _MAX_PIXELS.get(photo.format or "PNG", _MAX_PIXELS["JPEG"]):
                    raise _make_too_large_error()
                # a JPEG is decoded no finer than it is stored
                photo.draft("RGB", (_MAX_SIDE_PX, _MAX_SIDE_PX))
                upright = ImageOps.exif_transpose(photo)
                upright.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX))
                kept = io.BytesIO()
                upright.convert("RGB").save(kept, "JPEG", quality=_JPEG_QUALITY)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise _make_unreadable_error() from error
    return kept.getvalue()


def _make_unreadable_error() -> SourceUnreadable:
    return SourceUnreadable(_("photo: cannot be read: send a JPEG, PNG or WebP"))


def _make_too_large_error() -> SourceUnreadable:
    """Make the error for a photo of too many bytes or pixels."""
    most, pixels = MAX_PHOTO_BYTES >> 20, _MAX_PIXELS["PNG"] // 10**6
    return SourceUnreadable(
        _(
            "photo: larger than {most} MB, or of more than {pixels} million pixels: send a smaller one",
            most=most,
            pixels=pixels,
        )
    )
