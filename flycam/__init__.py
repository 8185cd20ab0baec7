"""flycam: drone flights over mountains, made into a map that a disaster command room can trust.

The names in `__all__` are the Python API (docs/api.md).
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Frames are processed in flycam's own threads. Threads inside a matrix product of a few dozen rows only wait
# for each other (40 times the processor time on a busy machine), and their number would decide the last bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MAX_PIXELS = 160_000_000
"""Most pixels of a photo: the largest aerial cameras have 150 megapixels."""

# Headers are read before anything is decoded, but a decoder may find another size in a file than the header
# reader did. OpenCV reads this limit once, while it is loaded, and then refuses before it allocates.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flycam.api import compare, export_geotiff, finish, ingest_photos, open_workspace
    from flycam.errors import FlycamError
    from flycam.ingest.single_photo import Orthophoto, Orthorectifier
    from flycam.mosaic.finish.workflow import FinishRequest
    from flycam.workspace import Workspace

__all__ = [
    "FinishRequest",
    "FlycamError",
    "Orthophoto",
    "Orthorectifier",
    "Workspace",
    "compare",
    "export_geotiff",
    "finish",
    "ingest_photos",
    "open_workspace",
]

_ELSEWHERE = {
    "FinishRequest": "flycam.mosaic.finish.workflow",
    "FlycamError": "flycam.errors",
    "Orthophoto": "flycam.ingest.single_photo",
    "Orthorectifier": "flycam.ingest.single_photo",
    "Workspace": "flycam.workspace",
}


def __getattr__(name: str) -> object:
    """Load a name of the Python API when it is first asked for: the package itself loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "flycam.api")), name)
    globals()[name] = value
    return value
