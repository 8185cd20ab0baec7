"""Records that went to a peer, kept here so that the next ones can go as a change to them.

    <cache>/sent/FLIGHT.NUMBER.SHA256   as they went

Whoever throws this away has the next records of each flight sent whole once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_MAX_RECORDS = 4
"""Of one flight: the peer has one of them, those after it went where no answer came back."""


class SentRecordCache:
    """By flight, the oldest first. What cannot be kept or read is as if it had never gone."""

    def __init__(self, cache_dir: Path) -> None:
        self._folder = cache_dir / "sent"
        self._names: dict[str, list[tuple[int, str]]] = {}
        with suppress(OSError):
            for path in self._folder.iterdir():
                parts = path.name.rsplit(".", 2)
                if len(parts) == 3 and parts[1].isdigit():
                    self._names.setdefault(parts[0], []).append((int(parts[1]), parts[2]))
        for some in self._names.values():
            some.sort()

    def list_sha256(self, flight_id: str) -> list[str]:
        """SHA-256 of those that are kept."""
        return [sha256 for _, sha256 in self._names.get(flight_id, ())]

    def read(self, flight_id: str, sha256: str) -> bytes | None:
        """One of them; None where it is not whole."""
        for number, name in self._names.get(flight_id, ()):
            if name == sha256:
                with suppress(OSError):
                    data = self._path(flight_id, number, name).read_bytes()
                    return data if hashlib.sha256(data).hexdigest() == sha256 else None
        return None

    def keep(self, flight_id: str, sha256: str, data: bytes) -> None:
        """Keep one beside the others; of too many the second oldest goes, for the oldest may be there."""
        some = self._names.setdefault(flight_id, [])
        if any(name == sha256 for _, name in some):
            return
        number = some[-1][0] + 1 if some else 0
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(flight_id, number, sha256).write_bytes(data)
            some.append((number, sha256))
        if len(some) > _MAX_RECORDS:
            self._forget(flight_id, some[1:2])

    def keep_only(self, flight_id: str, sha256: str, data: bytes) -> None:
        """The peer has this one: no other is needed."""
        self.keep(flight_id, sha256, data)
        self._forget(flight_id, [one for one in self._names[flight_id] if one[1] != sha256])

    def _forget(self, flight_id: str, some: Iterable[tuple[int, str]]) -> None:
        for number, sha256 in list(some):
            self._names[flight_id].remove((number, sha256))
            with suppress(OSError):
                self._path(flight_id, number, sha256).unlink()

    def _path(self, flight_id: str, number: int, sha256: str) -> Path:
        return self._folder / f"{flight_id}.{number}.{sha256}"
