"""What a disk holds after a power cut: of what was not synced, anything may be missing, and in any order.

    a synced file has the bytes it had; else each write since then is there, torn at 512 bytes, or not
    a synced folder has the names it had; else each new name, move and removal since then is there or not

A move is there in whole or not at all, and holds once the folder it went to is synced. A file system may be
kinder than that (ext4 keeps names in order); a program that survives this survives on all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tests.faults.journal import Cut, Journal, Line, Moved, Named, Synced, Unnamed, Wrote

_SECTOR = 512


class Loss(StrEnum):
    """How much of what was not synced is lost."""

    NOTHING = "nothing"  # as after kill -9
    ALL = "all that was not synced"
    BYTES = "bytes that were not synced, while names stayed"
    SOME = "some of it"


@dataclass
class Disk:
    """Files by their number, and the names in each folder."""

    root: int
    files: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)

    def write_to(self, target: Path) -> None:
        """All that has a name, into a new folder."""
        self._write_folder(self.root, target)

    def as_dict(self) -> dict[str, bytes | None]:
        """Bytes of each file by its path; None for folders."""
        found: dict[str, bytes | None] = {}

        def walk(folder: int, path: str) -> None:
            for name, thing in self.folders[folder].items():
                if thing in self.folders:
                    found[path + name] = None
                    walk(thing, f"{path}{name}/")
                else:
                    found[path + name] = bytes(self.files.get(thing, b""))

        walk(self.root, "")
        return found

    def _write_folder(self, folder: int, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name, thing in self.folders[folder].items():
            if thing in self.folders:
                self._write_folder(thing, target / name)
            elif thing in self.links:
                (target / name).symlink_to(self.links[thing])
            else:
                (target / name).write_bytes(self.files[thing])


def cut_after(journal: Journal, before: Path, lines: int, loss: Loss, chance: random.Random) -> Disk:
    """The disk after the power went when so many lines were done; before: the folder as it was at first."""
    disk = _as_before(journal, before)
    done = journal.lines[:lines]
    safe = _synced(done)
    for number, line in enumerate(done):
        kept: Line | None = line
        if not safe[number]:
            kept = _survives(line, loss, chance)
        if kept is not None:
            _do(disk, kept)
        elif isinstance(line, Named) and line.made:
            _exist(disk, line)  # under no name yet; a later line may give it one
    return disk


def _as_before(journal: Journal, before: Path) -> Disk:
    disk = Disk(journal.before[""], folders={journal.before[""]: {}})
    for path, number in sorted(journal.before.items()):
        there = before / path
        if there.is_symlink():
            disk.links[number] = str(there.readlink())
        elif there.is_dir():
            disk.folders.setdefault(number, {})
        else:
            disk.files[number] = bytearray(there.read_bytes())
        if path:
            parent, _, name = path.rpartition("/")
            disk.folders[journal.before[parent]][name] = number
    return disk


def _synced(lines: list[Line]) -> list[bool]:
    """Which lines a sync after them has put on the disk."""
    waiting: dict[int, list[int]] = {}
    safe = [False] * len(lines)

    def settle(things: Iterable[int], began: int) -> None:
        for thing in things:
            numbers = waiting.get(thing, [])
            for number in numbers:
                safe[number] |= number < began
            waiting[thing] = [number for number in numbers if number >= began]

    for number, line in enumerate(lines):
        if isinstance(line, Wrote | Cut):
            waiting.setdefault(line.file, []).append(number)
        elif isinstance(line, Named | Unnamed):
            waiting.setdefault(line.folder, []).append(number)
        elif isinstance(line, Moved):
            waiting.setdefault(line.to_folder, []).append(number)
        elif isinstance(line, Synced):
            settle(list(waiting) if line.thing is None else [line.thing], line.began)
    return safe


def _survives(line: Line, loss: Loss, chance: random.Random) -> Line | None:
    """What is there of a line that was not synced."""
    is_bytes = isinstance(line, Wrote | Cut)
    if loss is Loss.NOTHING or (loss is Loss.BYTES and not is_bytes):
        return line
    if loss is not Loss.SOME or chance.random() < 0.4:
        return None
    if isinstance(line, Wrote) and len(line.data) > _SECTOR and chance.random() < 0.5:
        first = chance.randrange(0, len(line.data), _SECTOR)
        last = chance.randrange(first, len(line.data) + _SECTOR, _SECTOR)
        return Wrote(line.file, line.at + first, line.data[first:last])
    return line


def _exist(disk: Disk, line: Named) -> None:
    if line.link is not None:
        disk.links[line.thing] = line.link
    elif line.is_folder:
        disk.folders.setdefault(line.thing, {})
    else:
        disk.files.setdefault(line.thing, bytearray())


def _do(disk: Disk, line: Line) -> None:
    action: Callable[..., None] | None = _ACTIONS.get(type(line))
    if action is not None:
        action(disk, line)


def _write(disk: Disk, line: Wrote) -> None:
    file = disk.files.setdefault(line.file, bytearray())
    if line.data:
        file.extend(bytes(max(line.at - len(file), 0)))
        file[line.at : line.at + len(line.data)] = line.data


def _cut(disk: Disk, line: Cut) -> None:
    file = disk.files.setdefault(line.file, bytearray())
    del file[line.size :]
    file.extend(bytes(line.size - len(file)))


def _name(disk: Disk, line: Named) -> None:
    _exist(disk, line)
    disk.folders[line.folder][line.name] = line.thing


def _unname(disk: Disk, line: Unnamed) -> None:
    if disk.folders[line.folder].get(line.name) == line.thing:
        del disk.folders[line.folder][line.name]


def _move(disk: Disk, line: Moved) -> None:
    _unname(disk, Unnamed(line.folder, line.name, line.thing))
    disk.folders[line.to_folder][line.to_name] = line.thing


_ACTIONS = {Wrote: _write, Cut: _cut, Named: _name, Unnamed: _unname, Moved: _move}
