"""Assignment of tasks to workers: neighbours to one worker, the rest to workers without tasks."""

from __future__ import annotations

from collections import deque


class TaskQueue:
    """Numbers of tasks, 0 to count - 1, that no worker has in hand.

    A worker processes a stretch of neighbours, because they need the same photos; one without a stretch takes
    the later half of the longest. Tasks of a worker that went away are given out next.
    """

    def __init__(self, count: int) -> None:
        self._back: deque[int] = deque()
        self._nobodys: deque[deque[int]] = deque([deque(range(count))] if count else [])
        self._stretches: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        """Return the number of remaining tasks."""
        return len(self._back) + sum(map(len, (*self._nobodys, *self._stretches.values())))

    def next_for(self, worker: str) -> int | None:
        """Return the next task of a worker; None if none is left."""
        if self._back:
            return self._back.popleft()
        if not self._stretches.get(worker):
            self._stretches[worker] = self._another()
        own = self._stretches[worker]
        return own.popleft() if own else None

    def requeue(self, number: int) -> None:
        """Put back a task of a worker that is gone."""
        self._back.append(number)

    def remove_worker(self, worker: str) -> None:
        """Free the stretch of a worker that is gone."""
        rest = self._stretches.pop(worker, None)
        if rest:
            self._nobodys.append(rest)

    def _another(self) -> deque[int]:
        if self._nobodys:
            return self._nobodys.popleft()
        longest = max(self._stretches.values(), key=len, default=deque[int]())
        half = (len(longest) + 1) // 2
        # from the end, so that its owner keeps the neighbours of its present task
        taken = [longest.pop() for _ in range(half)]
        return deque(reversed(taken))
