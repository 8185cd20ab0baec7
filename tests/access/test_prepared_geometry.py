"""A shape that many threads ask: answers are those of the shape, and the program lives."""

from __future__ import annotations

import subprocess
import sys

_ASKED_AT_ONCE = """
import sys, threading
import numpy as np, shapely
from flycam.access.policy import LockedPreparedGeometry

sys.setswitchinterval(1e-6)
turns = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
radii = 1 + 0.2 * np.sin(turns * 300)
star = shapely.Polygon(np.c_[radii * np.cos(turns), radii * np.sin(turns)])
corners = np.linspace(-1.2, 1.2, 12)
boxes = np.array([shapely.box(x, y, x + 0.3, y + 0.3) for x in corners for y in corners])
for _ in range(40):
    asked, together = LockedPreparedGeometry(star), threading.Barrier(4)
    def ask():
        together.wait()
        for one in (boxes, boxes[:4], boxes[0]):
            asked.intersects(one)
        asked.intersects_xy(0.1, 0.2)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads: one.start()
    for one in threads: one.join()
"""


def test_threads_that_ask_one_shape_at_once_end_no_program() -> None:
    """With a shape that is only prepared this ends in a segmentation fault (-11), at the first rounds."""
    done = subprocess.run([sys.executable, "-c", _ASKED_AT_ONCE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
