"""Fence against a worker that was thought dead: it writes nothing once its task was given to another."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.errors import FlightBusy, ObjectMissing
from flycam.messages import _
from flycam.store.base import ObjectStore


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskAttempt:
    """One attempt at a task.

    number  of the attempt, from 1
    key     where the number of a later attempt is written before it is given out
    """

    key: str
    number: int


def note_attempt(store: ObjectStore, attempt: TaskAttempt) -> None:
    """Record a later attempt, for the worker that has an earlier one.

    Raises StorageFailed.
    """
    if attempt.number > 1:
        store.put(attempt.key, str(attempt.number).encode())


class Fence:
    """Check between the making of tiles and the log line that names them.

    An append is refused if a head moved since its group was made, and the group is then made anew and checks
    here again: so between this check and the append no later writer can be overwritten.

    given  key of the run's input, which is deleted when the run ends
    """

    def __init__(self, store: ObjectStore, given: str, attempt: TaskAttempt) -> None:
        self._store, self._given, self._turn = store, given, attempt

    def require_current(self) -> None:
        """Raise FlightBusy unless this attempt is the latest."""
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
