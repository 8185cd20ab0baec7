"""A look at every photo first: inspect and ingest leave out the same cut-off, blurred or black ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flycam.errors import FrameUnreadable
from flycam.ingest.judging import Checks
from flycam.ingest.metadata import PhotoMetadata
from flycam.ingest.pixels import PixelChecks, pixel_checks
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.workspace import Progress


def look_at(photos: Sequence[PhotoMetadata], progress: Progress) -> Checks:
    """Checks of every photo by its path, or why its pixels cannot be read."""
    workers = workers_here()
    checks: dict[Path, PixelChecks | FrameUnreadable] = {}
    results = ordered_map(_checked, photos, workers, in_flight=2 * workers)
    for count, (photo, result) in enumerate(zip(photos, results, strict=True), start=1):
        checks[photo.path] = result
        progress("look", count, len(photos))
    return checks


def _checked(photo: PhotoMetadata) -> PixelChecks | FrameUnreadable:
    try:
        return pixel_checks(photo.path)
    except FrameUnreadable as error:
        return error
