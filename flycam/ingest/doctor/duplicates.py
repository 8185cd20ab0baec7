"""The same photo twice: the same bytes, under whatever name.

One exposure written again with other bytes (recompressed, its tags edited) counts as another photo.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from flycam.errors import DuplicateFrame
from flycam.ingest.doctor.diagnosis import Problem, Rejection, Severity
from flycam.ingest.doctor.flight_table import FlightTable
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.photos import sha256_of

_COPY = re.compile(r"\(\d+\)$|\bcopy\b|\bbản sao\b|^copy of ", re.IGNORECASE)
"""How Windows, macOS, phones and browsers name a copy."""

Identify = Callable[[PhotoMetadata], str]
"""Hex SHA-256 that stands for a photo's bytes."""


def content_identity(photo: PhotoMetadata) -> str:
    """SHA-256 of the file's bytes: what every stored frame id is made of. SourceUnreadable."""
    return sha256_of(photo.path)


def quick_identity(photo: PhotoMetadata) -> str:
    """SHA-256 of what the head says, for `flycam inspect`, which must not read gigabytes. Never stored."""
    facts = (photo.name, photo.size_bytes, photo.taken_text, photo.lon_deg, photo.lat_deg, photo.serial)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def find_duplicates(
    table: FlightTable, identify: Identify
) -> tuple[list[int], list[Rejection], list[Problem]]:
    """Rows to keep, rejections of the rest, the sentence.

    Only photos that share size, time and place are compared by `identify`, so nothing is hashed for nothing;
    the one under the camera's own name stays, else the first by name.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for row, photo in enumerate(table.photos):
        key = (photo.size_bytes, photo.taken_text, photo.lon_deg, photo.lat_deg, photo.image_size_px)
        groups.setdefault(key, []).append(row)
    rejected: list[Rejection] = []
    dropped: set[int] = set()
    for rows in groups.values():
        if len(rows) == 1:
            continue
        first: dict[str, str] = {}
        for row in sorted(rows, key=lambda r: _order(table.photos[r])):
            photo = table.photos[row]
            identity = _comparable(photo, identify)
            if identity in first:
                dropped.add(row)
                error = DuplicateFrame(
                    f"holds the same bytes as {first[identity]}: one of them is used",
                    vi=f"giống hệt {first[identity]}; chỉ dùng một ảnh",
                )
                rejected.append(Rejection.of(table.names[row], error))
            else:
                first[identity] = table.names[row]
    kept = [row for row in range(len(table)) if row not in dropped]
    return kept, rejected, [_sentence(rejected)] if rejected else []


def _order(photo: PhotoMetadata) -> tuple[bool, str, str]:
    return bool(_COPY.search(photo.path.stem)), photo.name, str(photo.path)


def _comparable(photo: PhotoMetadata, identify: Identify) -> str:
    """By bytes where the file is at hand: two names of one exposure differ in `quick_identity`."""
    return content_identity(photo) if photo.path.is_file() else identify(photo)


def _sentence(rejected: list[Rejection]) -> Problem:
    return Problem(
        code="duplicates",
        severity=Severity.WARNING,
        sentence_en=f"{len(rejected)} photos hold the same bytes as another: each is used once.",
        sentence_vi=f"{len(rejected)} ảnh là bản sao giống hệt ảnh khác: mỗi ảnh chỉ dùng một lần.",
        frames=tuple(r.name for r in rejected),
    )
