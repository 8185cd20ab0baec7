"""Progress over many small things, of which there are about so many."""

from __future__ import annotations

from flycam.pipeline.workspace import Progress

_STEP = 100


class ProgressCounter:
    """Tells a listener how many of about `whole` objects are done, now and then; counts them and their
    bytes."""

    def __init__(self, stage: str, whole: int, progress: Progress) -> None:
        self._stage, self._whole, self._progress = stage, whole, progress
        self.done = self.size = 0

    def count(self, size: int = 0) -> None:
        """One more, of so many bytes."""
        self.done, self.size = self.done + 1, self.size + size
        if self.done % _STEP == 0 and self.done < self._whole:
            self._progress(self._stage, self.done, self._whole)

    def finish(self) -> None:
        """All of them, as many as there were."""
        self._progress(self._stage, self.done, self.done)
