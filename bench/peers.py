"""Peers, each in an environment of its own under `.bench/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.flights import ROOT
from bench.processes import BenchBroken


def installed(name: str, requirement: str, program: str, variable: str) -> Path:
    """Path of a peer's program, installed on first use; `variable` is what names one that is there already.

    Raises BenchBroken.
    """
    home = ROOT / name.lower()
    path = home / "bin" / program
    if not path.exists():
        print(f"installing {name} into {home} …", flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", requirement], check=True)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(home, ignore_errors=True)
            raise BenchBroken(f"{name} cannot be installed ({error}); set {variable}") from error
    return path
