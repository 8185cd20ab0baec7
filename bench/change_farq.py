"""Check that farq 0.1.5.1 says of two pictures what `change_peers.farq` says; farq is run, never imported.

    python -m bench.change_farq

FLYCAM_BENCH_FARQ names the Python of an environment that has farq.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench.change_peers import farq
from bench.change_scenes import DEVELOPMENT_STORM, kept
from bench.peers import installed

_VARIABLE = "FLYCAM_BENCH_FARQ"
_PROGRAM = """
import sys, numpy
from farq.ml import detect_changes_ml
pair = numpy.load(sys.argv[1])
numpy.save(sys.argv[2], detect_changes_ml(pair["before"], pair["after"]).any(-1))
"""


def main() -> None:
    """Print whether the two agree."""
    python = os.environ.get(_VARIABLE) or installed("farq", "farq==0.1.5.1", "python", _VARIABLE)
    pair = kept(DEVELOPMENT_STORM[0])
    before, after = (view.rgb.astype(np.float32) for view in (pair.before, pair.after))
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "pair.npz", Path(folder) / "mask.npy"
        np.savez(given, before=before / 255.0, after=after / 255.0)
        subprocess.run([str(python), "-c", _PROGRAM, str(given), str(answer)], check=True)
        theirs = np.load(answer)
    mine = farq(before, after, np.ones(theirs.shape, bool))
    print(
        f"farq flags {theirs.mean():.5f} of the ground, its rule here {mine.mean():.5f}, "
        f"apart {(theirs != mine).sum()}"
    )


if __name__ == "__main__":
    main()
