"""Frames that are pictures of a film, among the photos that may have joined their flight."""

from __future__ import annotations

from flycam.catalog.records import FrameRecord

FILM_CAMERA = "video"
"""What a picture of a film is said to be taken by."""


def is_of_film(record: FrameRecord) -> bool:
    """Whether a frame is a picture of a film."""
    return record.header.provenance.camera == FILM_CAMERA
