"""Progress over many small objects, whose number is known approximately."""

from __future__ import annotations

from flycam.pipeline.workspace import Progress

_STEP = 100


class ProgressCounter:
    """Counts objects and bytes, and reports progress at intervals.

    whole: estimated total.
    """

    def __init__(self, stage: str, whole: int, progress: Progress) -> None:
        self._stage, self._whole, self._progress = stage, whole, progress
        self.done = self.size = 0

    def count(self, size: int = 0) -> None:
        """Count one object of so many bytes."""
        self.done, self.size = self.done + 1, self.size + size
        if self.done % _STEP == 0 and self.done < self._whole:
            self._progress(self._stage, self.done, self._whole)

    def finish(self) -> None:
        """Report completion, with the number that was counted."""
        self._progress(self._stage, self.done, self.done)
