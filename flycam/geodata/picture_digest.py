"""What makes a picture in a file itself, wherever it lies and whatever it is called."""

from __future__ import annotations

import hashlib
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError

from flycam.errors import SourceUnreadable

_VIRTUAL = ".vrt"


def picture_digest(path: Path) -> str:
    """SHA-256 (hex) of a picture's bytes; of a virtual one (VRT), whose own bytes only name others, of those
    too. What programs put beside it (statistics, overviews) changes nothing.

    Raises SourceUnreadable.
    """
    try:
        with rasterio.open(path) as source:
            named = source.files if path.suffix.lower() == _VIRTUAL else [path]
        parts = [part for part in map(Path, named) if part.is_file()]  # not what lies within an archive
        digest = hashlib.sha256()
        for part in parts:
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except (RasterioError, OSError) as error:
        raise SourceUnreadable(
            f"{path.name}: cannot be read to its end: copy it again",
            vi=f"{path.name}: không đọc được hết tệp; hãy chép lại",
        ) from error
    return digest.hexdigest()
