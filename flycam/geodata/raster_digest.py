"""Digest of a raster file's contents, independent of its path and name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rasterio.errors import RasterioError

from flycam.errors import SourceUnreadable
from flycam.geodata.raster_source import is_mosaic, list_raster_files, open_raster
from flycam.messages import _


def compute_raster_digest(path: Path) -> str:
    """Compute the SHA-256 (hex) of a raster file's bytes.

    For a virtual raster (VRT), whose own bytes only name others, of those too. Files that programs put beside
    it (statistics, overviews) change nothing.

    Raises SourceUnreadable.
    """
    try:
        with open_raster(path) as source:
            parts = list_raster_files(source, path) if is_mosaic(path) else [path]
        digest = hashlib.sha256()
        for part in parts:
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except (RasterioError, OSError) as error:
        raise SourceUnreadable(
            _("{name}: cannot be read to its end: copy it again", name=path.name)
        ) from error
    return digest.hexdigest()
