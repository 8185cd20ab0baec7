"""Display names of photos: file names, with the folder where one name occurs twice.

Cameras begin a new folder after 999 shots and many count from the start again, so a file name alone does not
identify a photo of a memory card: 100MEDIA/DJI_0018.JPG and 101MEDIA/DJI_0018.JPG are two.
"""

from __future__ import annotations

from collections.abc import Sequence

from flycam.frame.text_normalization import to_visible
from flycam.ingest.photo.metadata import PhotoMetadata


def make_display_names(photos: Sequence[PhotoMetadata]) -> tuple[str, ...]:
    """Return each photo's file name, after as many folders as make it unique."""
    by_name: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        by_name.setdefault(photo.name, []).append(row)
    told = [photo.name for photo in photos]
    for name, rows in by_name.items():
        folders = [photos[row].path.parent.parts for row in rows]
        for depth in range(1, 1 + max(map(len, folders))):
            if len({told[row] for row in rows}) == len(rows):
                break
            for row, above in zip(rows, folders, strict=True):
                told[row] = "/".join([*map(to_visible, above[-depth:]), name])
    return tuple(told)
