"""How much room a disk has left, and how much of it is never taken by what can wait."""

from __future__ import annotations

import shutil
from pathlib import Path

SPARE_BYTES = 1 << 30
"""Left free for flights and the catalogue by uploads, packs and what is fetched."""


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written in a folder, which need not be there yet. Raises OSError."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
