"""Objects of a house spoiled as disks spoil them, in a copy of a small flight that was ingested once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from flycam.pipeline.held import Held, Holdings, Kind
from flycam.pipeline.workspace import Workspace
from tests.pipeline.finished_house import open_workspace


def flip(data: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def cut(data: bytes) -> bytes:
    """The end is missing."""
    return data[: len(data) * 2 // 3]


WAYS: dict[str, Callable[[bytes], bytes] | None] = {"flipped": flip, "cut": cut, "lost": None}


def spoil(workspace: Workspace, key: str, way: str) -> None:
    change = WAYS[way]
    data = workspace.store.get(key)
    workspace.store.delete(key)
    if change is not None:
        workspace.store.put(key, change(data))


def held(workspace: Workspace, *kinds: Kind) -> list[Held]:
    """What a house holds, of these kinds."""
    holdings = Holdings(workspace.catalog, workspace.store, workspace.box)
    return [one for part in holdings.parts() for one in holdings.of(part) if one.kind in kinds or not kinds]


def objects(workspace: Workspace) -> dict[str, bytes]:
    """Every object by its key."""
    return {key: workspace.store.get(key) for key in workspace.store.list("")}


def close(workspace: Workspace) -> None:
    workspace.store.close()
    workspace.catalog.close()


def copy_of(root: Path, to: Path) -> Workspace:
    """A house again, without its cache: nothing lies there that could be put back from."""
    shutil.copytree(root, to, ignore=shutil.ignore_patterns("cache"))
    return open_workspace(to)
