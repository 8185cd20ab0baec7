"""A look at every photo first: inspect and ingest leave out the same cut-off, blurred or black ones."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from flycam.errors import FrameUnreadable
from flycam.ingest.photo.judging import Checks
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.pixels import PixelChecks, pixel_checks
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.workspace import Progress

# Threads that decode ask for the interpreter some thirty times a photo; by default each would wait 5 ms for a
# thread that loads modules.
_SWITCH_S = 0.0002

Look = PixelChecks | FrameUnreadable


class EarlyLooks:
    """Looks at photos that are under way, by path."""

    def __init__(self, futures: dict[Path, Future[Look]]) -> None:
        self._futures = futures

    def at(self, path: Path) -> Look:
        """Wait for the look at a photo; taken now if nobody asked for it early."""
        future = self._futures.pop(path, None)
        return future.result() if future is not None else _checked(path)


NO_EARLY_LOOKS = EarlyLooks({})


@contextmanager
def looking_early(paths: Iterable[Path]) -> Iterator[EarlyLooks]:
    """Begin to look at photos in threads while this thread loads libraries and reads heads."""
    interval = sys.getswitchinterval()
    pool = ThreadPoolExecutor(workers_here(), thread_name_prefix="look")
    try:
        sys.setswitchinterval(_SWITCH_S)
        yield EarlyLooks({path: pool.submit(_checked, path) for path in paths})
    finally:
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(interval)


def look_at(
    photos: Sequence[PhotoMetadata], progress: Progress, early: EarlyLooks = NO_EARLY_LOOKS
) -> Checks:
    """Checks of every photo by its path, or why its pixels cannot be read."""
    workers = workers_here()
    checks: dict[Path, Look] = {}
    results = ordered_map(lambda photo: early.at(photo.path), photos, workers, in_flight=2 * workers)
    for count, (photo, result) in enumerate(zip(photos, results, strict=True), start=1):
        checks[photo.path] = result
        progress("look", count, len(photos))
    return checks


def _checked(path: Path) -> Look:
    try:
        return pixel_checks(path)
    except FrameUnreadable as error:
        return error
