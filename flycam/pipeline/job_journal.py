"""Commands that change the map are on disk from their first second to their end: whoever starts the box after
a power cut finds what was under way, and goes on with it.

Whether the program behind an entry still lives is told by a lock that dies with it. What lies at a path may
be another card by then, with files of the same names: an entry holds what its files looked like.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TextIO

from flycam.errors import Cancelled, FlightBusy
from flycam.frame.text_normalization import format_shell_command
from flycam.ingest.photo.photo_search import walk_folder
from flycam.pipeline.live.retry_policy import TRANSIENT_ERRORS
from flycam.store.fsync import make_folder, move_into_place

JOURNAL_DIR = "under-way"
"""Beside the store, in the data folder."""

RESUMABLE_COMMANDS = frozenset({"ingest", "finish", "live", "compare"})
"""Commands that can be given again, and then go on where they were cut."""

RETRYABLE_ERRORS = (Cancelled, FlightBusy, *TRANSIENT_ERRORS)
"""Errors that pass by themselves, or are a machine's that shuts down: the command is to be gone on with."""

_MAX_HASHED_FILES = 200
"""Files of a folder by which it is known again."""


class InputState(Enum):
    """What is at the paths that a command names: its files, none (a card that is out), or others."""

    SAME = "same"
    NOT_THERE = "not there"
    OTHERS = "others"


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRecord:
    """A command as it was given.

    words     behind `flycam`, the first of them the command's name
    working_dir  folder in which it was given: what relative names in it are of
    operator  in whose name; empty: the box's
    tries     how often it was begun again by itself, and was cut again
    input_digests  of each of its words that names a file or a folder, what that looked like
    """

    words: tuple[str, ...]
    working_dir: Path
    operator: str
    tries: int = 0
    input_digests: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return format_shell_command(*self.words)

    def check_inputs(self) -> InputState:
        """What is there of its files now."""
        now = hash_inputs(self.words, self.working_dir)
        if all(now.get(word) == look for word, look in self.input_digests.items()):
            return InputState.SAME
        return InputState.OTHERS if all(word in now for word in self.input_digests) else InputState.NOT_THERE


@dataclass(frozen=True, slots=True)
class InterruptedJob:
    """One whose program is gone, and the file that tells it."""

    command: CommandRecord
    entry: Path


def hash_inputs(words: Sequence[str], place: Path) -> dict[str, str]:
    """Of each word that names a file or folder: a hash of the names and sizes of its first files."""
    return {word: look for word in words if word and (look := _hash_path(place / word)) is not None}


@contextmanager
def record_job(data_dir: Path, command: CommandRecord) -> Iterator[Path]:
    """An entry that is held while this is open; whoever is done with it deletes it (`over`), what is left
    behind is found by `left`. Raises OSError."""
    folder = data_dir / JOURNAL_DIR
    make_folder(folder)
    entry = folder / f"{secrets.token_hex(8)}.json"
    part = entry.with_suffix(".part")
    with part.open("w", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)  # of the file, whatever its name
        _write(out, command)
        move_into_place(part, entry)
        yield entry


def finish_job(entry: Path) -> None:
    """The command has come to an end: nobody need go on with it, nor with the same that was given before."""
    typed = _read(entry)
    entry.unlink(missing_ok=True)
    if typed is None:
        return
    for one in list_interrupted_jobs(entry.parent.parent):
        if (one.command.words, one.command.working_dir) == (typed.words, typed.working_dir):
            one.entry.unlink(missing_ok=True)


def list_interrupted_jobs(data_dir: Path) -> list[InterruptedJob]:
    """What nobody is at any more, each command once, the oldest first. What cannot be read is no entry."""
    found: dict[tuple[Sequence[str], Path], InterruptedJob] = {}
    for entry in sorted(_entries(data_dir), key=_made_ns):
        typed = _read(entry)
        if typed is None or not _is_interrupted(entry):
            continue
        known = found.setdefault((typed.words, typed.working_dir), InterruptedJob(typed, entry))
        if known.entry != entry:
            entry.unlink(missing_ok=True)
    return list(found.values())


def update_tries(job: InterruptedJob, tries: int) -> InterruptedJob:
    """The same with another number of tries: written before it begins, so that what takes the machine down
    with it does not do so for ever. Raises OSError."""
    typed = replace(job.command, tries=tries)
    part = job.entry.with_suffix(".part")
    with part.open("w", encoding="utf-8") as out:
        _write(out, typed)
    move_into_place(part, job.entry)
    return InterruptedJob(typed, job.entry)


def _hash_path(path: Path) -> str | None:
    try:
        files = list(islice(walk_folder(path, skipped_prefixes=()), _MAX_HASHED_FILES))
        digest = hashlib.sha256()
        for one in files:  # no times: a card tells them in the zone that the machine is set to
            digest.update(os.fsencode(f"{one.name}\0{one.stat().st_size}\n"))
    except OSError:
        return None
    return digest.hexdigest() if files or path.is_dir() else None


def _entries(data_dir: Path) -> list[Path]:
    return [one for one in (data_dir / JOURNAL_DIR).glob("*.json") if one.is_file()]


def _made_ns(entry: Path) -> int:
    with suppress(OSError):
        return entry.stat().st_mtime_ns
    return 0  # gone meanwhile


def _is_interrupted(entry: Path) -> bool:
    try:
        fd = os.open(entry, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two may look at once
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _write(out: TextIO, command: CommandRecord) -> None:
    said = {
        "words": command.words,
        "place": str(command.working_dir),
        "operator": command.operator,
        "tries": command.tries,
        "looks": dict(command.input_digests),
    }
    json.dump(said, out)  # ASCII: names that are no UTF-8 come back as they were
    out.flush()


def _read(entry: Path) -> CommandRecord | None:
    try:
        said = json.loads(entry.read_text(encoding="utf-8"))
        typed = CommandRecord(
            words=tuple(map(str, said["words"])),
            working_dir=Path(said["place"]),
            operator=str(said["operator"]),
            tries=int(said["tries"]),
            input_digests={str(word): str(look) for word, look in said["looks"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return typed if typed.words and typed.words[0] in RESUMABLE_COMMANDS else None
