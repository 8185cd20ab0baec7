"""Parsers of foreign bytes, fuzzed: no crash, no hang, no memory that grows."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_SECONDS = 5


@pytest.mark.soak
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="there is no atheris for this Python or machine"
)
def test_inputs_guided_by_the_lines_that_they_reach(tmp_path: Path) -> None:
    """FUZZ_SECONDS of processor time for each parser, FUZZ_SEED for other inputs."""
    seconds, seed = os.environ.get("FUZZ_SECONDS", str(_SECONDS)), os.environ.get("FUZZ_SEED", "1")
    command = [sys.executable, "-m", "tests.fuzz", "--kept", str(tmp_path)]
    done = subprocess.run(
        [*command, "--cpu-seconds", seconds, "--seed", seed], check=False, capture_output=True, text=True
    )
    logs = [
        f"{path.parent.name}: {path.read_text(errors='replace')[-3000:]}" for path in tmp_path.glob("*/log")
    ]
    assert done.returncode == 0, "\n".join([done.stdout, *logs])
