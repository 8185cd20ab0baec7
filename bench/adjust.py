"""Bundle adjustment: how its time grows with the block, and what it takes in memory.

Synthetic blocks (tests/mosaic/adjustment/blocks.py) in processes of their own, one thread of linear algebra,
processor time of `adjust_block` alone. Memory is the process's high-water mark above what it had with the
block made.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from bench.table import Row

SIZES = (250, 500, 1000, 2000)
TIES_A_FRAME = 500
MOST_GROWTH, MOST_GB = 1.2, 1.0
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def measure(ties_a_frame: int = TIES_A_FRAME) -> list[Row]:
    """Exponent of time between the smallest and the largest block; memory of 1,000 photos."""
    runs = [_in_own_process(size, ties_a_frame) for size in SIZES]
    first, last = runs[0], runs[-1]
    growth = math.log(last["cpu_s"] / first["cpu_s"]) / math.log(last["frames"] / first["frames"])
    thousand = next(r for r in runs if r["frames"] >= 1000)
    return [
        Row(
            what=f"adjust {first['frames']} to {last['frames']:,} photos, time grows as n to the",
            measured=f"{growth:.2f}",
            peer="-",
            ratio=growth,
            required=MOST_GROWTH,
            sense="at most",
            notes=tuple(
                f"{r['frames']:,} photos, {r['observations']:,} observations: {r['cpu_s']:.1f} s of "
                f"processor time, {r['iterations']} iterations, {r['own_bytes'] / 1e6:.0f} MB; "
                f"errors {r['error_m']} m, in sigmas {r['in_sigmas']}"
                for r in runs
            ),
            figures={"runs": runs},
        ),
        Row(
            what=f"memory of adjusting {thousand['frames']:,} photos, GB",
            measured=f"{thousand['own_bytes'] / 1e9:.2f} GB",
            peer="-",
            ratio=thousand["own_bytes"] / 1e9,
            required=MOST_GB,
            sense="at most",
        ),
    ]


def _in_own_process(frames: int, ties_a_frame: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.adjust", str(frames), "--ties", str(ties_a_frame)]
    done = subprocess.run(
        command, env={**os.environ, **_ONE_THREAD}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(frames: int, ties_a_frame: int) -> dict[str, Any]:
    """Make and adjust one block of about `frames` photos in this process."""
    from flycam.mosaic.adjustment.bundle_adjustment import adjust_block
    from tests.mosaic.adjustment.blocks import Scene, errors_m, make_block

    strips = max(round(math.sqrt(frames / 2.5)), 1)
    scene = Scene(strips=strips, per_strip=round(frames / strips), ties_a_frame=ties_a_frame)
    block, truth = make_block(scene)
    before = _peak_bytes()
    start = time.process_time()
    result = adjust_block(block)
    seconds = time.process_time() - start
    error = errors_m(result, truth)
    sigma = np.array([f.exterior.sigma_position_m for f in result.frames])
    return {
        "frames": len(block.frames),
        "observations": len(block.ties.frame),
        "tracks": block.ties.tracks,
        "cpu_s": seconds,
        "own_bytes": _peak_bytes() - before,
        "peak_bytes": _peak_bytes(),
        "iterations": result.accuracy.iterations,
        "accepted": result.accepted,
        "error_m": np.sqrt(np.mean(error**2, axis=0)).round(3).tolist(),
        "in_sigmas": np.sqrt(np.mean((error / sigma) ** 2, axis=0)).round(2).tolist(),
    }


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Measure one block and print it as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.adjust")
    parser.add_argument("frames", type=int)
    parser.add_argument("--ties", type=int, default=TIES_A_FRAME)
    options = parser.parse_args()
    print(json.dumps(run(options.frames, options.ties)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
