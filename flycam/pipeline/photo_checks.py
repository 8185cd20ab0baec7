"""Pixel checks of every photo: preflight check and ingest reject the same cut-off, blurred or black ones."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from flycam.errors import FrameUnreadable
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.pixel_checks import Checks
from flycam.ingest.photo.pixels import PixelChecks, read_pixel_checks
from flycam.pipeline.executor import count_workers, map_ordered
from flycam.pipeline.workspace import Progress

# Threads that decode ask for the interpreter some thirty times a photo; by default each would wait 5 ms for a
# thread that loads modules.
_SWITCH_S = 0.0002

PixelCheckResult = PixelChecks | FrameUnreadable


class PixelCheckPrefetch:
    """Pixel checks in progress, by path."""

    def __init__(self, futures: dict[Path, Future[PixelCheckResult]]) -> None:
        self._futures = futures

    def wait_for(self, path: Path) -> PixelCheckResult:
        """Return the checks of a photo; run them now if they were not prefetched."""
        future = self._futures.pop(path, None)
        return future.result() if future is not None else _check_photo(path)


NO_PREFETCH = PixelCheckPrefetch({})


@contextmanager
def prefetch_pixel_checks(paths: Iterable[Path]) -> Iterator[PixelCheckPrefetch]:
    """Start pixel checks in threads, while libraries load and metadata is read."""
    interval = sys.getswitchinterval()
    pool = ThreadPoolExecutor(count_workers(), thread_name_prefix="look")
    try:
        sys.setswitchinterval(_SWITCH_S)
        yield PixelCheckPrefetch({path: pool.submit(_check_photo, path) for path in paths})
    finally:
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(interval)


def check_photos(
    photos: Sequence[PhotoMetadata], progress: Progress, prefetch: PixelCheckPrefetch = NO_PREFETCH
) -> Checks:
    """Check the pixels of every photo.

    Returns results by path, or the error of an unreadable photo.
    """
    workers = count_workers()
    checks: dict[Path, PixelCheckResult] = {}
    results = map_ordered(lambda photo: prefetch.wait_for(photo.path), photos, workers, in_flight=2 * workers)
    for count, (photo, result) in enumerate(zip(photos, results, strict=True), start=1):
        checks[photo.path] = result
        progress("look", count, len(photos))
    return checks


def _check_photo(path: Path) -> PixelCheckResult:
    try:
        return read_pixel_checks(path)
    except FrameUnreadable as error:
        return error
