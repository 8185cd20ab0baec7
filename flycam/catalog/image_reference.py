"""What pictures are called on record where something was found on them, and by which of them it was: the one
parser of "mosaic@revision" and of a file's "name#1f2e3d4c".

Two files of one name are two pictures (programs call every orthophoto the same): what tells them apart is
the beginning of their bytes' SHA-256. For people the folder stands before it and, where the file tells one,
its time behind: "ngay-2/odm_orthophoto.tif, 10/09/2024 10:15#1f2e3d4c". Neither makes it another picture: the
same bytes may lie anywhere. Old records have the name alone; such a picture is one of its own, for nobody
knows which file it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

DIGEST_DIGITS = 8
"""Hex digits of a file's SHA-256: short enough to be read out, long enough for two of one name."""

_MOSAIC = re.compile(r"(.+)@([0-9]+)")
_FILE = re.compile(
    r"(?:[^/]+/)?(?P<name>[^/]+?)(?:, [0-9]{2}/[0-9]{2}/[0-9]{4} [0-9]{2}:[0-9]{2})?"
    rf"#(?P<digest>[0-9a-f]{{{DIGEST_DIGITS}}})"
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One picture.

    source    a mosaic's id, whatever its revision, or a file's name with its digest; "": none
    revision  of a mosaic; None: a file
    shown     as it stands on record, with where a file lay and its time
    """

    source: str
    revision: int | None = None
    shown: str = field(default="", compare=False)

    @property
    def file_name(self) -> str:
        """A file's name without its digest; "" of a mosaic."""
        return "" if self.revision is not None else strip_digest(self.source)


def parse_image_reference(shown: str) -> ImageReference:
    """The picture that is named; of "" one with source ""."""
    if mosaic := _MOSAIC.fullmatch(shown):
        return ImageReference(mosaic[1], int(mosaic[2]), shown)
    named = _FILE.fullmatch(shown)
    source = shown if named is None else f"{named['name']}#{named['digest']}"
    return ImageReference(source, shown=shown)


def list_mosaic_ids(*shown: str) -> tuple[str, ...]:
    """Ids of the mosaics among some pictures."""
    return tuple(one.source for one in map(parse_image_reference, shown) if one.revision is not None)


def parse_revision(shown: str) -> int:
    """The revision of a mosaic; 0 of a file."""
    return parse_image_reference(shown).revision or 0


def parse_source_pair(before_shown: str, after_shown: str) -> tuple[str, str]:
    """Between what something was found, or compared: sources."""
    return parse_image_reference(before_shown).source, parse_image_reference(after_shown).source


def format_file_reference(name: str, digest: str, folder: str = "", taken: str = "") -> str:
    """What a file of this name and SHA-256 (hex) is called on record; folder: it lay there; taken: as
    `moment.format_minute` writes it. "": not told."""
    where, when = (f"{folder}/" if folder else ""), (f", {taken}" if taken else "")
    return f"{where}{name}{when}#{digest[:DIGEST_DIGITS]}"


def strip_location(shown: str) -> str:
    """What makes a picture what it is: a file without where it lay and its time, a revision as it is."""
    return shown if _MOSAIC.fullmatch(shown) else parse_image_reference(shown).source


def strip_digest(shown: str) -> str:
    """What a file was called on record before it had a digest; all else as it is."""
    named = _FILE.fullmatch(shown)
    return shown if named is None else named["name"]
