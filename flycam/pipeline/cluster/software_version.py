"""Identification of the software that decides the bytes of tiles, as this process loaded it."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import zstandard

import flycam
from flycam.geodata.library_versions import list_library_versions


@cache
def describe_software() -> str:
    """Return the versions of flycam, its code, Python and libraries, as loaded.

    The libraries are those that decide the bytes of tiles; the code is given by its hash. Cached: a process
    calls this first, before anybody can install another version beside the loaded one.
    """
    digest = hashlib.sha256()
    root = Path(flycam.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    libraries = {
        "numpy": np.__version__,
        "OpenCV": cv2.__version__,
        # from its metadata: an ingest does not load it
        "scipy": version("scipy"),
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        **list_library_versions(),
    }
    said = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return f"flycam {flycam.__version__} ({digest.hexdigest()[:12]}), Python {python}, {said}"
