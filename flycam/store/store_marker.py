"""Marker file of a store's folder, which tells an unmounted disk from a new store."""

from __future__ import annotations

from pathlib import Path

from flycam.store.fsync import make_folder, sync_path

MARKER_NAME = ".flycam-store"
"""No key begins with a dot, so it clashes with no object."""

_MARKER_TEXT = "Objects of flycam lie here. Without this file its folder is taken for an empty mount point.\n"


def has_marker(root: Path) -> bool:
    """Check whether a store was opened in this folder before."""
    return (root / MARKER_NAME).is_file()


def write_marker(root: Path) -> None:
    """Make the folder if need be, and mark it for good. Raises OSError."""
    make_folder(root)
    mark = root / MARKER_NAME
    mark.write_text(_MARKER_TEXT, encoding="utf-8")
    sync_path(mark)
    sync_path(root)
