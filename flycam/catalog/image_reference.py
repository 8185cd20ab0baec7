"""Names of images in records of what was found on them: "mosaic@revision", or "name#1f2e3d4c" of a file.

This is their only parser. Two files of one name are two images (programs call every orthophoto the same): the
beginning of the SHA-256 of their bytes tells them apart. For people the folder precedes it and, if the file
states one, its time follows: "ngay-2/odm_orthophoto.tif, 10/09/2024 10:15#1f2e3d4c". Neither makes it another
image: the same bytes may be anywhere. Old records have the name alone; such an image is one of its own, for
nobody knows which file it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

DIGEST_DIGITS = 8
"""Hex digits of a file's SHA-256: short enough to read out, long enough to tell two of one name apart."""

_MOSAIC = re.compile(r"(.+)@([0-9]+)")
_FILE = re.compile(
    r"(?:[^/]+/)?(?P<name>[^/]+?)(?:, [0-9]{2}/[0-9]{2}/[0-9]{4} [0-9]{2}:[0-9]{2})?"
    rf"#(?P<digest>[0-9a-f]{{{DIGEST_DIGITS}}})"
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image.

    source    a mosaic's id, whatever its revision, or a file's name with its digest; "": none
    revision  of a mosaic; None: a file
    shown     as recorded, with a file's folder and time
    """

    source: str
    revision: int | None = None
    shown: str = field(default="", compare=False)

    @property
    def file_name(self) -> str:
        """File name without its digest; "" for a mosaic."""
        return "" if self.revision is not None else strip_digest(self.source)


def parse_image_reference(shown: str) -> ImageReference:
    """Return the image of a recorded name; for "" one with source ""."""
    if mosaic := _MOSAIC.fullmatch(shown):
        return ImageReference(mosaic[1], int(mosaic[2]), shown)
    named = _FILE.fullmatch(shown)
    source = shown if named is None else f"{named['name']}#{named['digest']}"
    return ImageReference(source, shown=shown)


def list_mosaic_ids(*shown: str) -> tuple[str, ...]:
    """Return the ids of the mosaics among some images."""
    return tuple(one.source for one in map(parse_image_reference, shown) if one.revision is not None)


def parse_revision(shown: str) -> int:
    """Return the revision of a mosaic; 0 for a file."""
    return parse_image_reference(shown).revision or 0


def parse_source_pair(before_shown: str, after_shown: str) -> tuple[str, str]:
    """Return the sources between which something was found or compared."""
    return parse_image_reference(before_shown).source, parse_image_reference(after_shown).source


def format_file_reference(name: str, digest: str, folder: str = "", taken: str = "") -> str:
    """Format the recorded name of a file with this name and hex SHA-256.

    folder  where it was, "" if not stated
    taken   as `moment.format_minute` writes it, "" if not stated
    """
    where, when = (f"{folder}/" if folder else ""), (f", {taken}" if taken else "")
    return f"{where}{name}{when}#{digest[:DIGEST_DIGITS]}"


def strip_location(shown: str) -> str:
    """Return the identity of an image: a file without folder and time.

    A mosaic's revision stays as it is.
    """
    return shown if _MOSAIC.fullmatch(shown) else parse_image_reference(shown).source


def strip_digest(shown: str) -> str:
    """Return the name of a file as recorded before digests; others unchanged."""
    named = _FILE.fullmatch(shown)
    return shown if named is None else named["name"]
