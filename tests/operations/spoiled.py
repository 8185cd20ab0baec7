"""Objects of a house spoiled as disks spoil them, in a copy of a small flight that was ingested once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flycam.catalog.packs import Pack
from flycam.model.records import AuditEntry
from flycam.operations.inventory import Inventory, InventoryItem, InventoryKind
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.finished_house import open_workspace


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


def with_pack(workspace: Workspace) -> Workspace:
    """A house with a meeting pack that is kept in it."""
    data = b"PK" + bytes(range(256)) * 9
    audit_entry = AuditEntry(who="Lan", what="pack", subject="", detail="", at_ns=1)
    request = Pack(
        pack_id="0123456789abcdef", owner="Lan", flights=("f1",), language="vi", asked_ns=1, maker="p"
    )
    pack = replace(workspace.catalog.packs.add(request, audit_entry), sha256=hashlib.sha256(data).hexdigest())
    workspace.store.put(keys.format_pack_key(pack.pack_id, pack.sha256), data, durable=True)
    workspace.catalog.packs.mark_made(replace(pack, size_bytes=len(data)), audit_entry)
    return workspace


def held(workspace: Workspace, *kinds: InventoryKind) -> list[InventoryItem]:
    """What a house holds, of these kinds."""
    holdings = Inventory(workspace.catalog, workspace.store, workspace.box)
    return [
        one
        for part in holdings.list_parts()
        for one in holdings.list_items(part)
        if one.kind in kinds or not kinds
    ]


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
