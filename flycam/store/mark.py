"""The mark in a store's folder, by which a disk that is not mounted is told from a store that is new."""

from __future__ import annotations

from pathlib import Path

from flycam.store.syncing import make_folder, sync_path

MARK_NAME = ".flycam-store"
"""No key begins with a dot, so it is nobody's object."""

_SAID = "Objects of flycam lie here. Without this file its folder is taken for an empty mount point.\n"


def is_marked(root: Path) -> bool:
    """Whether a store was opened in this folder before."""
    return (root / MARK_NAME).is_file()


def set_mark(root: Path) -> None:
    """Make the folder if need be, and mark it for good. Raises OSError."""
    make_folder(root)
    mark = root / MARK_NAME
    mark.write_text(_SAID, encoding="utf-8")
    sync_path(mark)
    sync_path(root)
