"""Resumption of commands that a kill or a power cut interrupted on this node.

They run beside the server, from its start.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flycam.http.commands import FLYCAM, CommandResult, run_command
from flycam.messages import Message, _
from flycam.operations.jobs import (
    RETRYABLE_ERRORS,
    InputState,
    InterruptedJob,
    finish_job,
    list_interrupted_jobs,
    update_tries,
)
from flycam.power import Power

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
                    "{command} was cut {tries} times more while it went on by itself; give it by hand, "
                    "in {place}",
                    command=command,
                    tries=MAX_TRIES,
                    place=place,
                )
            )
        elif input_state is InputState.OTHERS:
            finish_job(one.entry)
            self._tell(
                _(
                    "{command} was cut off, and other files lie there now: it is not gone on with; give "
                    "it again where its files are",
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
