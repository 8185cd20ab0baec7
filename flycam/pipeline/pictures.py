"""A look at every photo first: one rule leaves out blur and lens caps in inspect and in ingest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flycam.errors import FrameUnreadable
from flycam.ingest.metadata import PhotoMetadata
from flycam.ingest.pixels import PixelChecks, pixel_checks
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.workspace import Progress


def look_at(photos: Sequence[PhotoMetadata], progress: Progress) -> Mapping[str, PixelChecks]:
    """Checks of every photo whose pixels can be read; the others show when they are ingested."""
    workers = workers_here()
    checks: dict[str, PixelChecks] = {}
    results = ordered_map(_checked, photos, workers, in_flight=2 * workers)
    for count, (photo, result) in enumerate(zip(photos, results, strict=True), start=1):
        if result is not None:
            checks[photo.name] = result
        progress("look", count, len(photos))
    return checks


def _checked(photo: PhotoMetadata) -> PixelChecks | None:
    try:
        return pixel_checks(photo.path)
    except FrameUnreadable:
        return None
