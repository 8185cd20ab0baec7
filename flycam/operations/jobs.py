"""Journal of commands that change the map, so that a power cut loses none.

An entry is on disk from a command's start to its end.
A lock that dies with its process tells whether the command behind an entry still runs. Another memory card
with files of the same names may be at a path by then: an entry holds a digest of its inputs.
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

from flycam.errors import Cancelled, FlightBusy
from flycam.ingest.photos.photo_search import walk_folder
from flycam.model.text import format_shell_command
from flycam.retry import TRANSIENT_ERRORS
from flycam.storage.files import make_folder, move_into_place, replace_file

JOURNAL_DIR = "under-way"
"""Beside the store, in the data folder."""

RESUMABLE_COMMANDS = frozenset({"ingest", "finish", "live", "compare"})
"""Commands that resume where they were cut short when they are given again."""

RETRYABLE_ERRORS = (Cancelled, FlightBusy, *TRANSIENT_ERRORS)
"""Transient errors, or those of a machine that shuts down: the command is to be resumed."""

_MAX_HASHED_FILES = 200
"""Number of files of a folder by which it is recognised."""


class InputState(Enum):
    """State of the paths that a command names.

    Their files, none (memory card removed), or other files.
    """

    SAME = "same"
    NOT_THERE = "not there"
    OTHERS = "others"


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRecord:
    """A command as it was given.

    words          behind `flycam`, the first of them the command's name
    working_dir    folder in which it was given, to which relative paths refer
    operator       in whose name; empty: the node's
    tries          number of automatic restarts that were cut short again
    input_digests  digest of each word that names a file or a folder
    """

    words: tuple[str, ...]
    working_dir: Path
    operator: str
    tries: int = 0
    input_digests: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return format_shell_command(*self.words)

    def check_inputs(self) -> InputState:
        """Compare the files that are there now with the recorded digests."""
        now = hash_inputs(self.words, self.working_dir)
        if all(now.get(word) == look for word, look in self.input_digests.items()):
            return InputState.SAME
        return InputState.OTHERS if all(word in now for word in self.input_digests) else InputState.NOT_THERE


@dataclass(frozen=True, slots=True)
class InterruptedJob:
    """A command whose process is gone, and its entry in the journal."""

    command: CommandRecord
    entry: Path


def hash_inputs(words: Sequence[str], place: Path) -> dict[str, str]:
    """Hash each word that names a file or folder: names and sizes of its first files."""
    return {word: look for word in words if word and (look := _hash_path(place / word)) is not None}


@contextmanager
def record_job(data_dir: Path, command: CommandRecord) -> Iterator[Path]:
    """Yield a journal entry that is locked while this is open.

    `finish_job` deletes the entry of a finished command; others are found by `list_interrupted_jobs`. Raises
    OSError.
    """
    folder = data_dir / JOURNAL_DIR
    make_folder(folder)
    entry = folder / f"{secrets.token_hex(8)}.json"
    part = entry.with_suffix(".part")
    with part.open("wb", buffering=0) as out:
        # the lock is on the file, not its name, so it survives the rename
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(_encode(command))
        move_into_place(part, entry)
        yield entry


def finish_job(entry: Path) -> None:
    """Delete the entry of a finished command, and older ones of the same command."""
    typed = _read(entry)
    entry.unlink(missing_ok=True)
    if typed is None:
        return
    for one in list_interrupted_jobs(entry.parent.parent):
        if (one.command.words, one.command.working_dir) == (typed.words, typed.working_dir):
            one.entry.unlink(missing_ok=True)


def list_interrupted_jobs(data_dir: Path) -> list[InterruptedJob]:
    """List commands whose process is gone, each once, oldest first.

    Unreadable entries are skipped.
    """
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
    """Write another number of tries into an entry, before the command is restarted.

    So a command that takes the machine down with it is not restarted for ever. Raises OSError.
    """
    typed = replace(job.command, tries=tries)
    with replace_file(job.entry) as out:
        out.write(_encode(typed))
    return InterruptedJob(typed, job.entry)


def _hash_path(path: Path) -> str | None:
    try:
        files = list(islice(walk_folder(path, skipped_prefixes=()), _MAX_HASHED_FILES))
        digest = hashlib.sha256()
        # no times: they depend on the time zone that the machine is set to
        for one in files:
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
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two processes may check at once
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _encode(command: CommandRecord) -> bytes:
    values = {
        "words": command.words,
        "place": str(command.working_dir),
        "operator": command.operator,
        "tries": command.tries,
        "looks": dict(command.input_digests),
    }
    # ASCII escapes preserve file names that are not UTF-8
    return json.dumps(values).encode()


def _read(entry: Path) -> CommandRecord | None:
    try:
        values = json.loads(entry.read_text(encoding="utf-8"))
        typed = CommandRecord(
            words=tuple(map(str, values["words"])),
            working_dir=Path(values["place"]),
            operator=str(values["operator"]),
            tries=int(values["tries"]),
            input_digests={str(word): str(look) for word, look in values["looks"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return typed if typed.words and typed.words[0] in RESUMABLE_COMMANDS else None
