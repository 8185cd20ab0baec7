"""How much room a disk has left, and for whom the last of it is.

what is free    what happens
------------    ------------
below 3.2 GB    whoever lays a flight first deletes what can be made again (`flycam.pipeline.freeing`)
below 2.1 GB    recorded video waits: the pictures that are laid, and the map, are worth more
below 1.1 GB    uploads, packs and what is fetched wait: they can
below 34 MB     photos and tiles are not begun any more: what is left is the catalogue's, so that it
                closes what was begun, and withdrawals, marks and the audit log are still written
"""

from __future__ import annotations

import shutil
from pathlib import Path

LOW_BYTES = 3 << 30
"""With less, what can be made again gives way to flights."""

RECORDING_BYTES = 2 << 30
"""Left free by recorded video."""

SPARE_BYTES = 1 << 30
"""Left free for flights and the catalogue by uploads, packs and what is fetched."""

RESERVED_BYTES = 32 << 20
"""Left free for the catalogue by flights: some 100,000 lines of the tile log, with their indices."""


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written in a folder, which need not be there yet. Raises OSError."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
