"""Ledger of when each part of the node was last read back intact, so that a scrub resumes.

A text file in the cache, a line a part: `UTC nanoseconds, space, name`. Lines are only added; the last one of
a name holds. It can be deleted: then all parts count as never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flycam.errors import StorageFailed
from flycam.messages import _
from flycam.pipeline.cache_layout import VERIFY_LEDGER_FILE
from flycam.pipeline.operations.inventory import InventoryPart

_MAX_BYTES = 1 << 20
_DIGITS = 20


class VerifyLedger:
    """Read times of parts, kept in `folder`.

    A time after `now_ns` comes from a clock that was set back later, and proves nothing.
    """

    def __init__(self, folder: Path, now_ns: int) -> None:
        self._path = folder / VERIFY_LEDGER_FILE
        text = self._found()
        self._read_ns = {name: ns for name, ns in _parsed(text) if ns <= now_ns}
        self._is_long = len(text) > _MAX_BYTES
        # completes a line that a kill cut short, which is then ignored
        self._begin = "" if text.endswith("\n") else "\n"

    def sort_oldest_first(self, parts: Sequence[InventoryPart]) -> list[InventoryPart]:
        """Sort parts by read time, those never read first; stable."""
        return sorted(parts, key=self.get_read_time)

    def get_read_time(self, part: InventoryPart) -> int:
        """Return when a part was last read intact, UTC ns; 0: never."""
        return self._read_ns.get(part.name, 0)

    def mark_read(self, part: InventoryPart, now_ns: int) -> None:
        """Note that a part was read and is intact. Raises StorageFailed."""
        self._read_ns[part.name] = now_ns
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_long:
                self._shorten()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{self._begin}{now_ns} {part.name}\n")
            self._begin = ""
        except OSError as error:
            raise StorageFailed(
                _(
                    "{path}: cannot be written ({strerror}); free some room there and run again",
                    path=self._path,
                    strerror=error.strerror,
                )
            ) from error

    def _shorten(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join(f"{ns} {name}\n" for name, ns in self._read_ns.items()), encoding="utf-8")
        fresh.replace(self._path)
        self._is_long, self._begin = False, ""

    def _found(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _parsed(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        ns, _, name = line.partition(" ")
        if ns.isdecimal() and ns.isascii() and len(ns) < _DIGITS and name:
            yield name, int(ns)
