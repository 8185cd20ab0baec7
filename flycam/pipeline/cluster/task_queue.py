"""Which task goes to which worker next: neighbours to one, what is left to whoever has nothing."""

from __future__ import annotations

from collections import deque


class TaskQueue:
    """Numbers of tasks, 0 to count - 1, that nobody has in hand.

    A worker goes through a stretch of neighbours, for they ask for the same photos; one that has none takes
    the later half of the longest stretch. What a worker had when it went away is the next to be given.
    """

    def __init__(self, count: int) -> None:
        self._back: deque[int] = deque()
        self._nobodys: deque[deque[int]] = deque([deque(range(count))] if count else [])
        self._stretches: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        """How many are left."""
        return len(self._back) + sum(map(len, (*self._nobodys, *self._stretches.values())))

    def next_for(self, worker: str) -> int | None:
        """The next task of a worker; None: none is left."""
        if self._back:
            return self._back.popleft()
        if not self._stretches.get(worker):
            self._stretches[worker] = self._another()
        own = self._stretches[worker]
        return own.popleft() if own else None

    def requeue(self, number: int) -> None:
        """A task that was in the hand of a worker who is gone."""
        self._back.append(number)

    def remove_worker(self, worker: str) -> None:
        """Who is gone goes through no stretch any more."""
        rest = self._stretches.pop(worker, None)
        if rest:
            self._nobodys.append(rest)

    def _another(self) -> deque[int]:
        if self._nobodys:
            return self._nobodys.popleft()
        longest = max(self._stretches.values(), key=len, default=deque[int]())
        half = (len(longest) + 1) // 2
        taken = [longest.pop() for _ in range(half)]
        return deque(reversed(taken))
