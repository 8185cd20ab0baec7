"""Journal of commands that change the map, so that a power cut loses none, and their resumption.

An entry is on disk from a command's start to its end.
A lock that dies with its process tells whether the command behind an entry still runs. Another memory card
with files of the same names may be at a path by then: an entry holds a digest of its inputs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from pathlib import Path

from flycam.errors import Cancelled, FlightBusy
from flycam.http.commands import FLYCAM, CommandResult, run_command
from flycam.ingest.photos.photo_search import walk_folder
from flycam.messages import Message, _
from flycam.model.text import format_shell_command
from flycam.power import Power
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
    with part.open("wb") as out:
        # the lock is on the file, not its name, so it survives the rename
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(_encode(command))
        out.flush()
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


# -- Resumption of interrupted commands, beside the server from its start --------------------------


MAX_TRIES = 3
"""Automatic tries of one command; one that was cut short each time may be the cause."""

RETRY_INTERVAL_S = 60.0
"""Wait before jobs that could not be resumed are tried again: a store may come up after this server, or a
memory card be inserted."""

_NICENESS = 10
"""Lower priority than the map and live flights."""

_COMMAND_ENDED = _("it ended without a message; run it by hand to see why")
Announce = Callable[[Message], None]


@contextmanager
def resume_jobs(
    data_dir: Path, power: Power, announce: Announce, done: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Resume interrupted jobs beside the block, one after the other.

    Each is a process of its own; what has not ended with the block is resumed at the next start.

    announce  called with each job and its result, from a thread of its own
    done      called once all of them were tried, if the block is still open
    """
    resumed = _JobResumer(data_dir, power, announce)
    thread = threading.Thread(target=resumed.run, args=(done,), name="resuming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        resumed.stop.set()
        thread.join()


class _JobResumer:
    """Resumer of the jobs in a data folder; announces each message once."""

    def __init__(self, data_dir: Path, power: Power, say: Announce) -> None:
        self.stop = threading.Event()
        self._data_dir = data_dir
        self._power = power
        self._say = say
        self._announced: set[str] = set()

    def run(self, done: Callable[[], None]) -> None:
        """Resume until no job is left, or `stop` is set."""
        is_first = True
        while not self.stop.is_set() and (waiting := list_interrupted_jobs(self._data_dir)):
            for one in waiting:
                if not self.stop.is_set():
                    self._resume_job(one)
            if is_first and not self.stop.is_set():
                done()
                is_first = False
            if list_interrupted_jobs(self._data_dir):
                self.stop.wait(RETRY_INTERVAL_S)
        if is_first and not self.stop.is_set():
            done()

    def _tell(self, message: Message) -> None:
        if str(message) not in self._announced:
            self._announced.add(str(message))
            self._say(message)

    def _resume_job(self, one: InterruptedJob) -> None:
        command, place = str(one.command), one.command.working_dir
        input_state = one.command.check_inputs()
        if one.command.tries >= MAX_TRIES:
            finish_job(one.entry)
            self._tell(
                _(
                    "{command} was cut off {tries} more times while it resumed by itself; run it by "
                    "hand, in {place}",
                    command=command,
                    tries=MAX_TRIES,
                    place=place,
                )
            )
        elif input_state is InputState.OTHERS:
            finish_job(one.entry)
            self._tell(
                _(
                    "{command} was cut off, and other files are there now: it is not resumed; give it "
                    "again where its files are",
                    command=command,
                )
            )
        elif input_state is InputState.NOT_THERE or not place.is_dir():
            self._tell(
                _(
                    "{command} was cut off, and its files are not there: put the card in, "
                    "and it resumes by itself",
                    command=command,
                )
            )
        else:
            self._run_job(one)

    def _run_job(self, one: InterruptedJob) -> None:
        command, tries = str(one.command), one.command.tries
        try:
            one = update_tries(one, tries + 1)
        except OSError:
            # a full disk: tried again later
            return
        self._tell(_("{command} was cut off (a kill, a power cut): going on with it", command=command))
        name, *words = one.command.words
        try:
            ran = run_command(
                (*FLYCAM, name, "--data", str(self._data_dir), "--json", *words),
                one.command.operator,
                self._power,
                self.stop,
                working_dir=one.command.working_dir,
                timeout_s=math.inf,
                niceness=_NICENESS,
            )
        except OSError:
            # no memory, no descriptor: tried again later
            return
        # with a retryable error it has neither ended nor been cut: this try does not count
        is_no_end = ran.json_answer.get("error") in {one.__name__ for one in RETRYABLE_ERRORS}
        if self.stop.is_set() or is_no_end:
            with suppress(OSError):
                update_tries(one, tries)
        elif ran.code >= 0:
            finish_job(one.entry)
        self._tell_end(command, ran)

    def _tell_end(self, command: str, ran: CommandResult) -> None:
        if self.stop.is_set():
            return
        if ran.code == 0:
            self._tell(_("{command} is complete", command=command))
        else:
            why = ran.describe_failure(_COMMAND_ENDED)
            self._tell(_("{command} did not end well: {why}", command=command, why=why))
