"""What a watched program did to the files under a folder, in order, and what it told others meanwhile.

A file or folder is known by a number of its own: names come and go, and the system gives the number of a file
that is gone to the next one.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wrote:
    file: int
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A file was made this long."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Named:
    """A file or folder (`thing`) got a name; `made`: it did not exist before."""

    folder: int
    name: str
    thing: int
    made: bool
    is_folder: bool = False
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    folder: int
    name: str
    thing: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A name went from one folder to another, or became another; what had the new name lost it."""

    folder: int
    name: str
    to_folder: int
    to_name: str
    thing: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file or folder was synced, None: all of them; what was done before line `began` is on the disk."""

    thing: int | None
    began: int


@dataclass(frozen=True, slots=True)
class Told:
    """Bytes that went to the one who started the program ("out") or over a line ("line")."""

    to: str
    data: bytes


Line = Wrote | Cut | Named | Unnamed | Moved | Synced | Told


@dataclass(slots=True)
class Journal:
    """before: number of everything that was there, by its path below the root; "" is the root."""

    before: Mapping[str, int]
    lines: list[Line] = field(default_factory=list)
    exit_code: int = 0

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            pickle.dump(self, file)


def load(path: Path) -> Journal:
    """Only of a file that the watcher wrote."""
    with path.open("rb") as file:
        found: Journal = pickle.load(file)
    return found
