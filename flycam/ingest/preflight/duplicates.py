"""Duplicate photos: files with the same bytes, under whatever name.

One exposure written again with other bytes (recompressed, its tags edited) counts as another photo.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from flycam.errors import DuplicateFrame, FrameUnreadable, SourceUnreadable
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.photo_reader import compute_photo_sha256, compute_sha256
from flycam.ingest.preflight.diagnosis import Problem, Rejection, Severity
from flycam.ingest.preflight.flight_table import FlightTable
from flycam.messages import _, ngettext

_COPY = re.compile(r"\(\d+\)$|\bcopy\b|\bbản sao\b|^copy of ", re.IGNORECASE)
"""Names that Windows, macOS, phones and browsers give to a copy."""

IdentifyPhoto = Callable[[PhotoMetadata], str]
"""Hex SHA-256 that stands for a photo's bytes."""


def compute_content_identity(photo: PhotoMetadata) -> str:
    """Return the SHA-256 of the file's bytes, of which stored frame ids are made.

    Raises SourceUnreadable, also where the file changed since its metadata were read.
    """
    return compute_photo_sha256(photo)


def compute_quick_identity(photo: PhotoMetadata) -> str:
    """Return the SHA-256 of a photo's metadata, for `flycam inspect`. Never stored.

    Inspection must not read gigabytes.
    """
    facts = (photo.name, photo.size_bytes, photo.taken_text, photo.lon_deg, photo.lat_deg, photo.serial)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def identify_photos(
    photos: Mapping[int, PhotoMetadata], names: Sequence[str], identify: IdentifyPhoto
) -> tuple[dict[int, str], list[Rejection]]:
    """Return the identity of each photo by its row, and rejections.

    Rejected are photos that are gone, changed since their heads were read, or have the same bytes as another
    by now: two frames cannot share an identity.
    """
    found: dict[int, str] = {}
    first: dict[str, str] = {}
    rejected: list[Rejection] = []
    for row, photo in photos.items():
        try:
            identity = identify(photo)
            if identity in first:
                raise make_duplicate_error(first[identity])
        except DuplicateFrame as error:
            rejected.append(Rejection.from_error(names[row], error))
        except SourceUnreadable as error:
            rejected.append(Rejection.from_error(names[row], FrameUnreadable.from_error(error)))
        else:
            found[row], first[identity] = identity, names[row]
    return found, rejected


def find_duplicates(
    table: FlightTable, identify: IdentifyPhoto
) -> tuple[list[int], list[Rejection], list[Problem]]:
    """Return the rows to keep, rejections of the rest, and the finding.

    Unreadable files are rejected too. Only photos that share size, time and position are compared by
    `identify`, so that nothing is hashed needlessly; the one under the camera's own name stays, else the
    first by name.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for row, photo in enumerate(table.photos):
        key = (photo.size_bytes, photo.taken_text, photo.lon_deg, photo.lat_deg, photo.image_size_px)
        groups.setdefault(key, []).append(row)
    rejected: list[Rejection] = []
    gone: list[Rejection] = []
    dropped: set[int] = set()
    for rows in groups.values():
        if len(rows) == 1:
            continue
        first: dict[str, str] = {}
        for row in sorted(rows, key=lambda r: _order(table.photos[r])):
            photo = table.photos[row]
            try:
                identity = _comparable(photo, identify)
            except SourceUnreadable as error:
                dropped.add(row)
                gone.append(Rejection.from_error(table.names[row], FrameUnreadable.from_error(error)))
                continue
            if identity in first:
                dropped.add(row)
                rejected.append(Rejection.from_error(table.names[row], make_duplicate_error(first[identity])))
            else:
                first[identity] = table.names[row]
    kept = [row for row in range(len(table)) if row not in dropped]
    return kept, [*rejected, *gone], [_sentence(rejected)] if rejected else []


def make_duplicate_error(name: str) -> DuplicateFrame:
    """Return the error of a photo with the same bytes as another."""
    return DuplicateFrame(_("holds the same bytes as {name}: one of them is used", name=name))


def _order(photo: PhotoMetadata) -> tuple[bool, str, str]:
    return bool(_COPY.search(photo.path.stem)), photo.name, str(photo.path)


def _comparable(photo: PhotoMetadata, identify: IdentifyPhoto) -> str:
    """Return the identity by bytes if the file is at hand.

    Two names of one exposure differ in `compute_quick_identity`.
    """
    return compute_sha256(photo.path) if photo.path.is_file() else identify(photo)


def _sentence(rejected: list[Rejection]) -> Problem:
    return Problem(
        code="duplicates",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo holds the same bytes as another: each is used once.",
            "{count} photos hold the same bytes as another: each is used once.",
            len(rejected),
        ),
        frames=tuple(r.name for r in rejected),
    )
