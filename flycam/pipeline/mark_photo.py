"""A photo that somebody sends with a mark: its pixels are kept, and nothing else of the file.

It is decoded and written anew, so that no script, bomb, position of a home or second picture that was in the
file stays in the house.
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
    """The photo as JPEG, upright, no side longer than 1920 pixels, no metadata.

    Raises SourceUnreadable: over MOST_BYTES, too many pixels (told by its head, before any is decoded), none
    of JPEG, PNG and WebP, or cut off, or a JPEG of more scans than anybody writes.
    """
    if len(data) > MAX_PHOTO_BYTES:
        raise _make_too_large_error()
    if has_too_many_scans(data):  # of a JPEG: minutes in a thread of the server
        raise _make_unreadable_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, which is thrown away
            with Image.open(io.BytesIO(data), formats=tuple(_MAX_PIXELS)) as photo:
                # a JPEG with more pictures behind the first (MPO, of phones) is one: the first is kept
                if photo.width * photo.height > _MAX_PIXELS.get(photo.format or "PNG", _MAX_PIXELS["JPEG"]):
                    raise _make_too_large_error()
                photo.draft("RGB", (_MAX_SIDE_PX, _MAX_SIDE_PX))  # a JPEG is decoded no finer than is kept
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
    """A photo of more bytes or pixels than are taken."""
    most, pixels = MAX_PHOTO_BYTES >> 20, _MAX_PIXELS["PNG"] // 10**6
    return SourceUnreadable(
        _(
            "photo: larger than {most} MB, or of more than {pixels} million pixels: send a smaller one",
            most=most,
            pixels=pixels,
        )
    )
