"""The heap is the one that commands set up, and gives back what nothing uses."""

from __future__ import annotations

import subprocess
import sys

import pytest

_TELL = """
import re, sys, threading
import numpy as np
from flycam.memory import limit_to_one_arena

def heaps():
    lines = open('/proc/self/maps').read().splitlines()
    # glibc reserves 64 MB for the heap of a thread, aligned to as much
    starts = [int(line.split('-')[0], 16) for line in lines if 'rw-p' in line and '[heap]' not in line]
    return {start for start in starts if start % (64 << 20) == 0}

def work():
    kept.append([bytes(5000) for _ in range(2000)])

kept = []
before = heaps()
if sys.argv[1] == 'one':
    limit_to_one_arena()
threads = [threading.Thread(daemon=True, target=work) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
print(len(heaps() - before))
"""


_HELD = """
import re
from flycam.memory import release_free_pages

def resident():
    return int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1]) << 10

# what stays lies between what goes, so that the heap does not shrink by itself
stays, goes = zip(*((bytes(100), bytes(100_000)) for _ in range(1000)))
del goes
held = resident()
release_free_pages()
print(held - resident())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc only")


def test_threads_share_one_heap() -> None:
    counts = {
        word: int(subprocess.run([sys.executable, "-c", _TELL, word], capture_output=True, check=True).stdout)
        for word in ("one", "many")
    }
    assert counts["one"] == 0
    assert counts["many"] > 0


def test_what_is_freed_between_what_stays_is_returned() -> None:
    done = subprocess.run([sys.executable, "-c", _HELD], capture_output=True, check=True)
    assert int(done.stdout) > 50_000_000
