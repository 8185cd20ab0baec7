"""A machine on its battery works with less of itself, and goes back; nothing is left out for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from flycam.concurrency import count_workers
from flycam.config import PowerMode
from flycam.power import Battery, Power, is_low, list_cores, pin_to_cores

FULL, LOW = Battery(90.0, True, 7200.0), Battery(30.0, True, 2400.0)


@pytest.fixture(autouse=True)
def _all_cores() -> Iterator[None]:
    before = list_cores()
    yield
    pin_to_cores(before)


@pytest.mark.parametrize(
    ("mode", "told", "low"),
    [
        (PowerMode.AUTO, None, False),
        (PowerMode.AUTO, FULL, False),
        (PowerMode.AUTO, LOW, True),
        (PowerMode.AUTO, Battery(30.0, False, None), False),
        (PowerMode.FULL, LOW, False),
        (PowerMode.LOW, None, True),
    ],
)
def test_when_power_is_low(mode: PowerMode, told: Battery | None, low: bool) -> None:
    assert is_low(mode, told) is low


def test_one_core_while_the_battery_has_to_last_and_all_of_them_after() -> None:
    told = [FULL]
    power = Power(PowerMode.AUTO, lambda: told[0])
    all_cores = list_cores()
    with power.monitor(every_s=3600.0):
        assert not power.is_low and list_cores() == all_cores
        told[0] = LOW
        power.poll()
        assert power.is_low and list_cores() == all_cores[:1] and count_workers() == 1
        told[0] = Battery(30.0, False, None)
        power.poll()
        assert not power.is_low and list_cores() == all_cores
        told[0] = LOW
        power.poll()
    assert list_cores() == all_cores


def test_every_thread_goes_over_and_what_is_started_then() -> None:
    before, seen, go = list_cores(), [], threading.Event()

    def told() -> None:
        go.wait()
        seen.append(sorted(os.sched_getaffinity(0)))

    thread = threading.Thread(target=told)
    thread.start()
    pin_to_cores(before[:1])
    go.set()
    thread.join()
    started = subprocess.run(
        [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen == [before[:1]]
    assert started.stdout.strip() == str(before[:1])


def test_what_is_started_in_low_power_may_have_all_cores_again(monkeypatch: pytest.MonkeyPatch) -> None:
    here = list_cores()
    if len(here) < 2:
        pytest.skip("one core alone")
    power = Power(PowerMode.LOW, lambda: None)
    with power.monitor(), subprocess.Popen(["sleep", "30"]) as child:
        assert psutil.Process(child.pid).cpu_affinity() == here[:1]
        power.release_process(child.pid)
        assert psutil.Process(child.pid).cpu_affinity() == here
        child.kill()
    with subprocess.Popen(["true"]) as child:
        child.wait()
        power.release_process(child.pid)  # not low any more: nobody is touched
