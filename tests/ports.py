"""Ports for servers and links of tests.

Below those that the system hands out for connections by itself (from 32768 on Linux): what was free a moment
ago is not taken meanwhile by whoever connects to something else.
"""

from __future__ import annotations

import random
import socket

_FIRST, _COUNT = 10_000, 10_000
_given: set[int] = set()
_chance = random.SystemRandom()  # tests seed the other one: processes of a run would ask for the same ports


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that nobody listens at, and that this process was not given before."""
    for _ in range(_COUNT):
        port = _FIRST + _chance.randrange(_COUNT)
        if port not in _given and _is_free(port, kind):
            _given.add(port)
            return port
    raise OSError("no port is free")


def _is_free(port: int, kind: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
