"""A worker that was thought dead, and is not, writes nothing once its task was given to another."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.errors import FlightBusy, ObjectMissing
from flycam.messages import _
from flycam.store.base import ObjectStore


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskAttempt:
    """One handing out of a task. number: which it is, from 1 on; key: where the number of a later one is
    written before it is handed out."""

    key: str
    number: int


def note_attempt(store: ObjectStore, attempt: TaskAttempt) -> None:
    """Let whoever has the task from an earlier turn know. Raises StorageFailed."""
    if attempt.number > 1:
        store.put(attempt.key, str(attempt.number).encode())


class Fence:
    """Asked between the making of tiles and the line that names them.

    An append is refused where a head moved since its group was made, and the group is then made anew and
    asks here again: so between this and the append nobody who came later can be written over.

    given  the key of what the run handed over, which goes when the run ends
    """

    def __init__(self, store: ObjectStore, given: str, attempt: TaskAttempt) -> None:
        self._store, self._given, self._turn = store, given, attempt

    def require_current(self) -> None:
        """Raise FlightBusy unless the task is still in the hand of who asks."""
        if not self._store.exists(self._given) or self._latest() != self._turn.number:
            raise FlightBusy(
                _(
                    "this piece of work was given to another worker, or its run has ended: "
                    "nothing is written by this one; start 'flycam worker' again if it "
                    "stands still"
                )
            )

    def _latest(self) -> int:
        try:
            return int(self._store.get(self._turn.key))
        except ObjectMissing:
            return 1
