"""A command beside the server: what is told of one that was ended."""

from __future__ import annotations

import sys
import threading

import pytest

from flycam.config import PowerMode
from flycam.http import commands
from flycam.http.commands import TIMED_OUT, run_command
from flycam.messages import verbatim
from flycam.power import Power

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")
ENDED = verbatim("it ended")


def test_one_that_took_too_long_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_RUN_TIMEOUT_S", 0.0)
    ran = run_command(SLEEPS, "admin", Power(PowerMode.FULL), threading.Event())
    assert ran.code != 0 and ran.describe_failure(ENDED) == TIMED_OUT


def test_one_that_ends_with_its_server_is_not_late() -> None:
    stop = threading.Event()
    stop.set()
    ran = run_command(SLEEPS, "admin", Power(PowerMode.FULL), stop)
    assert ran.code != 0 and ran.describe_failure(ENDED) == ENDED
