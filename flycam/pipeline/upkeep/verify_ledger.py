"""Which parts of the house were last read back whole, and when: how a scrub that was cut short goes on.

A text file in the cache, a line a part: `UTC nanoseconds, space, name`. Lines are only added; the last one
of a name holds. It can be thrown away: then everything counts as never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flycam.errors import StorageTrouble
from flycam.messages import _
from flycam.pipeline.cache_names import READ_BACK
from flycam.pipeline.upkeep.held import Part

_MOST_BYTES = 1 << 20
_DIGITS = 20


class Ledger:
    """The times of parts, kept in `folder`.

    A time after `now_ns` is of a clock that was set back, and proves nothing.
    """

    def __init__(self, folder: Path, now_ns: int) -> None:
        self._path = folder / READ_BACK
        text = self._found()
        self._read_ns = {name: ns for name, ns in _parsed(text) if ns <= now_ns}
        self._is_long = len(text) > _MOST_BYTES
        self._begin = "" if text.endswith("\n") else "\n"  # ends a line that a kill cut short, which is none

    def oldest_first(self, parts: Sequence[Part]) -> list[Part]:
        """Never read before those read long ago; in their own order where that is the same."""
        return sorted(parts, key=self.read_ns)

    def read_ns(self, part: Part) -> int:
        """When a part was last read whole, UTC ns; 0: never."""
        return self._read_ns.get(part.name, 0)

    def tick(self, part: Part, now_ns: int) -> None:
        """A part was read, and is whole. Raises StorageTrouble."""
        self._read_ns[part.name] = now_ns
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_long:
                self._shorten()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{self._begin}{now_ns} {part.name}\n")
            self._begin = ""
        except OSError as error:
            raise StorageTrouble(
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
