"""Cache of records sent to a peer, so that the next ones can be sent as deltas.

    <cache>/sent/FLIGHT.NUMBER.SHA256   as they were sent

Without it the next records of each flight are sent whole once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_MAX_RECORDS = 4
"""Of one flight: the peer has one of them; later ones were sent and not answered."""


class SentRecordCache:
    """Sent records by flight, oldest first.

    Those that cannot be written or read count as not sent.
    """

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
        """Return the SHA-256 of a flight's cached records."""
        return [sha256 for _, sha256 in self._names.get(flight_id, ())]

    def read(self, flight_id: str, sha256: str) -> bytes | None:
        """Return cached records; None if they are not whole."""
        for number, name in self._names.get(flight_id, ()):
            if name == sha256:
                with suppress(OSError):
                    data = self._path(flight_id, number, name).read_bytes()
                    return data if hashlib.sha256(data).hexdigest() == sha256 else None
        return None

    def keep(self, flight_id: str, sha256: str, data: bytes) -> None:
        """Add records; of too many the second oldest goes.

        The oldest may be those that the peer has.
        """
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
        """Keep only these records, which the peer has."""
        self.keep(flight_id, sha256, data)
        self._forget(flight_id, [one for one in self._names[flight_id] if one[1] != sha256])

    def _forget(self, flight_id: str, some: Iterable[tuple[int, str]]) -> None:
        for number, sha256 in list(some):
            self._names[flight_id].remove((number, sha256))
            with suppress(OSError):
                self._path(flight_id, number, sha256).unlink()

    def _path(self, flight_id: str, number: int, sha256: str) -> Path:
        return self._folder / f"{flight_id}.{number}.{sha256}"
