"""flycam commands as processes beside the server, and why they failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flycam.messages import Message, _, from_fields
from flycam.power import Power

FLYCAM = (sys.executable, "-P", "-m", "flycam")
"""Prefix of a command; -P: no module is imported from the working directory, which may be a memory card."""

TERMINATE_TIMEOUT_S = 5.0
"""Wait for a process that was signalled to end."""

# a command that hangs must not bar the others
_RUN_TIMEOUT_S = 3600.0
TIMED_OUT = _(
    "it took longer than an hour and was ended; look what else keeps this machine busy, then ask again"
)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Result of a command: exit code, output, and messages for people.

    is_timed_out: it took too long, and was ended for that.
    """

    code: int
    stdout: str
    stderr: str
    is_timed_out: bool = False

    @property
    def json_answer(self) -> dict[str, Any]:
        """JSON that the command printed last; empty if none."""
        try:
            answer = json.loads(self.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def describe_failure(self, ended: Message) -> Message:
        """Return the message of a failed command.

        From its JSON and its messages for people; `ended` where there is none.
        """
        if self.is_timed_out:
            return TIMED_OUT
        english = self.json_answer.get("sentence")
        if english is None:
            return ended
        lines = [line for line in self.stderr.splitlines() if line.startswith("flycam: ")]
        vietnamese = lines[-1].removeprefix("flycam: ") if lines else str(english)
        return from_fields({"sentence": str(english), "sentence_vi": vietnamese})


def run_command(
    command: Sequence[str],
    operator: str,
    power: Power,
    stop: threading.Event,
    *,
    working_dir: Path | None = None,
    timeout_s: float | None = None,
    niceness: int = 0,
) -> CommandResult:
    """Run a command as `operator`, out of reach of a Ctrl-C at the terminal.

    Ended once `stop` is set, or after `timeout_s` seconds (default: an hour). working_dir: the folder in
    which it runs (default: this process's). Raises OSError where it cannot be started.
    """
    # messages for people are then Vietnamese, and its JSON is English: so both are known
    environment = {**os.environ, "LC_ALL": "vi_VN.UTF-8", "FLYCAM_OPERATOR": operator}
    process = subprocess.Popen(  # noqa: S603  our own
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=working_dir,
        start_new_session=True,
        encoding="utf-8",
        errors="replace",
    )
    power.release_process(process.pid)
    if niceness:
        # the process may have ended, or the system has no such call
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
    output, error_text, is_late = _wait_for(process, stop, _RUN_TIMEOUT_S if timeout_s is None else timeout_s)
    return CommandResult(process.returncode, output, error_text, is_late)


def _wait_for(
    process: subprocess.Popen[str], stop: threading.Event, timeout_s: float
) -> tuple[str, str, bool]:
    """Wait for a process; return (output, errors, True if ended for being late)."""
    ends_s, is_asked_to_end, is_late = time.monotonic() + timeout_s, False, False
    try:
        while True:
            try:
                return *process.communicate(timeout=0.2), is_late
            except subprocess.TimeoutExpired:
                late_s = time.monotonic() - ends_s
                if is_asked_to_end and late_s > TERMINATE_TIMEOUT_S:
                    process.kill()
                elif not is_asked_to_end and (stop.is_set() or late_s > 0.0):
                    process.terminate()
                    is_late = not stop.is_set()
                    ends_s, is_asked_to_end = time.monotonic(), True
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
