"""What software this process runs: all that decides the bytes of tiles, as it was when the process began."""

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
    """flycam's version and the hash of its own code, Python, and the libraries that decide bytes, as they are
    loaded.

    Taken once: whoever begins to work asks at once, before anybody can install another version beside what
    is loaded already.
    """
    digest = hashlib.sha256()
    root = Path(flycam.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    libraries = {
        "numpy": np.__version__,
        "OpenCV": cv2.__version__,
        "scipy": version("scipy"),  # of its files: an ingest loads none of it
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        **list_library_versions(),
    }
    said = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return f"flycam {flycam.__version__} ({digest.hexdigest()[:12]}), Python {python}, {said}"
