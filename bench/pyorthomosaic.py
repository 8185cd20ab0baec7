"""The peer: pyOrthomosaic 0.9.3, in its own virtual environment, as its own process. Never imported.

FLYCAM_BENCH_PYORTHOMOSAIC names a folder that holds its programs (`orthomosaic`, `orthomosaic-3d`).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.finish_flights import HOME
from bench.peers import installed
from bench.processes import BenchBroken, Finished, run_process

_VARIABLE = "FLYCAM_BENCH_PYORTHOMOSAIC"
VERSION = "0.9.3"
LIMIT_S = 20 * 60.0
"""Wall time after which its 3D is stopped: what it took until then is less than it takes."""
_NAMES = {"2D": "orthomosaic", "3D": "orthomosaic-3d"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerRun:
    """One run over a folder of photos; mosaic: the GeoTIFF it left, None if it was stopped before;
    made: when, and the load average before."""

    run: Finished
    mosaic: Path | None
    made: str


def program(kind: str) -> Path:
    """Path of the program; installed on first use."""
    told = os.environ.get(_VARIABLE)
    if told:
        return Path(told) / _NAMES[kind]
    return installed("pyOrthomosaic", f"pyOrthomosaic=={VERSION}", _NAMES[kind], _VARIABLE)


def mosaicked(kind: str, photos: Path, name: str, gsd_m: float | None = None) -> PeerRun:
    """Run "2D" or "3D" over a folder of photos, everything else as it comes; 3D for LIMIT_S at most."""
    folder = HOME / "pyorthomosaic" / f"{name}-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = f"{datetime.now().astimezone():%H:%M}, load {os.getloadavg()[0]:.1f}"
    if kind == "2D":
        out = folder / "mosaic.tif"
        size = () if gsd_m is None else ("--resolution", str(gsd_m))
        run = run_process([program(kind), photos, "-o", out, *size, "--backend", "cpu", "--no-preview"])
        return PeerRun(run=run, mosaic=out, made=made)
    run = run_process([program(kind), photos, "-o", folder, "--backend", "cpu"], limit_s=LIMIT_S)
    if not run.ended:
        return PeerRun(run=run, mosaic=None, made=made)
    found = [p for p in folder.rglob("*.tif") if "ortho" in p.name.lower()]
    if not found:
        raise BenchBroken(f"{folder}: pyOrthomosaic 3D left no orthophoto: {sorted(folder.iterdir())}")
    return PeerRun(run=run, mosaic=max(found, key=lambda p: p.stat().st_size), made=made)
