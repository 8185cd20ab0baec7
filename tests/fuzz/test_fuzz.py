"""Parsers of foreign bytes, fuzzed: no crash, no hang, no memory that grows. A few inputs of a fixed seed;
half an hour of processor time for each parser in a soak."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.parsers import PARSERS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="there is no atheris for this Python or machine"
)

_RUNS, _SOAK_S = 300, 1800


def fuzzed(kept: Path, *arguments: object) -> str:
    """Run the fuzzer; its logs and what it found lie in `kept`. What it said."""
    command = [sys.executable, "-m", "tests.fuzz", "--kept", str(kept), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    logs = [f"{path.parent.name}: {path.read_text(errors='replace')[-3000:]}" for path in kept.glob("*/log")]
    assert done.returncode == 0, "\n".join([done.stdout, *logs])
    return done.stdout


@pytest.mark.timeout(1200)
def test_a_few_inputs(tmp_path: Path) -> None:
    fuzzed(tmp_path, "--runs", _RUNS)  # one program for all parsers: it instruments for seconds


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", PARSERS)
def test_half_an_hour_of_processor_time(tmp_path: Path, name: str) -> None:
    """FUZZ_SECONDS for less; FUZZ_SEED for other inputs."""
    seconds = int(os.environ.get("FUZZ_SECONDS", str(_SOAK_S)))
    print(fuzzed(tmp_path, "--cpu-seconds", seconds, "--seed", os.environ.get("FUZZ_SEED", "1"), name))
