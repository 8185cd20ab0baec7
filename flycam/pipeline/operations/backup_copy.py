"""Objects of one backup run: each is found intact in the backup, or copied, or reported missing.

Known from an earlier run: its file must have its size, and each run verifies another tenth of all files by
hash, because disks rot. Unknown (the index was lost, a run was killed): an existing file is taken if it
matches its key. All others are copied from the node and verified on the way.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from flycam.errors import ObjectMissing
from flycam.pipeline.executor import count_workers, map_ordered
from flycam.pipeline.operations.backup_folder import (
    BackedUpObject,
    BackupIndex,
    compute_file_digest,
    get_file_size,
    resolve_object_path,
)
from flycam.pipeline.operations.inventory import (
    REPLACEABLE_KINDS,
    Inventory,
    InventoryItem,
    InventoryKind,
    find_current_item,
    was_purged,
)
from flycam.pipeline.operations.object_check import BLOCK_BYTES, is_intact
from flycam.pipeline.operations.progress_counter import ProgressCounter
from flycam.pipeline.original_store import stream_blocks
from flycam.pipeline.workspace import Progress, Workspace
from flycam.store import keys
from flycam.store.fsync import sync_path
from flycam.store.local import LocalStore

RUNS_TO_READ_ALL = 10
"""Number of runs in which every file of a backup is verified by hash."""

_GROUP = 256
"""Objects between two commits of the index: a kill loses at most this many copies."""

_CopyWork = tuple[InventoryItem, BackedUpObject | None]


class BackupCopier:
    """Copies objects into a backup.

    new, new_bytes  objects copied
    missing         keys that neither the node nor the backup has intact
    replaced        keys in whose place the node has another object by now, or none
    """

    def __init__(
        self, workspace: Workspace, folder: Path, objects: LocalStore, index: BackupIndex, scratch: Path
    ) -> None:
        self._workspace = workspace
        self._store, self._catalog = workspace.store, workspace.catalog
        self._objects, self._index = objects, index
        self._folder, self._scratch = folder, scratch
        self._group: list[BackedUpObject] = []
        self._reads_due = True
        self.new = self.new_bytes = 0
        self.missing: list[str] = []
        self.replaced: list[str] = []

    def restart(self) -> None:
        """Start over for a newly saved catalogue.

        Copied objects are there and were verified.
        """
        self._index.restart()
        self._reads_due = False
        self.missing, self.replaced = [], []

    def copy_all(self, holdings: Inventory, cursors: Collection[str], progress: Progress) -> None:
        """Copy every object of every part.

        Of cursors (`keys.list_cursor_prefixes`) only those given are copied.
        """
        parts = holdings.list_parts()
        tally = ProgressCounter("backup", sum(map(holdings.estimate_size, parts)), progress)
        for part in parts:
            wanted = (
                held
                for held in holdings.list_items(part)
                if not held.key.startswith(keys.list_cursor_prefixes()) or held.key in cursors
            )
            for held, _, one, is_new in self._found(wanted):
                if one is not None:
                    self._note(one, is_new)
                # it may have been replaced since the catalogue was saved
                elif held.kind in REPLACEABLE_KINDS:
                    now = find_current_item(self._catalog, held)
                    is_so = now is not None and now.key == held.key
                    (self.missing if is_so else self.replaced).append(held.key)
                elif not was_purged(self._workspace, held):
                    self.missing.append(held.key)
                tally.count()
        tally.finish()
        self._commit()

    def carry_over(self, purged: Collection[str]) -> list[str]:
        """Keep originals and terrain that the node no longer names or lists.

        Returns the obsolete keys. The node may have lost those. Obsolete is what it can make again, or has
        purged.

        purged  keys of originals that the node deleted under a retention term
        """
        old: set[str] = set()
        kept: set[str] = set()
        for key in self._index.list_unnoted():
            if keys.is_permanent(key) and key not in purged:
                kept.add(key)
            else:
                old.add(key)
        # a new index does not know of them
        for key in chain.from_iterable(map(self._objects.list, keys.list_permanent_prefixes())):
            if key in purged:
                old.add(key)
            elif not self._index.has_noted(key):
                kept.add(key)
        told = set(self.missing)
        for held, known, one, is_new in self._found(map(_kept, sorted(kept))):
            if one is not None:
                self._note(one, is_new)
            elif known is not None:
                self._index.forget(held.key)
                self.missing += [] if held.key in told else [held.key]
        self._commit()
        return sorted(old)

    def _found(
        self, wanted: Iterable[InventoryItem]
    ) -> Iterator[tuple[InventoryItem, BackedUpObject | None, BackedUpObject | None, bool]]:
        """Yield (object, former record, intact copy, whether it was copied now).

        The copy is None if neither the node nor the backup has the object intact.
        """
        work = ((held, self._index.get(held.key)) for held in wanted)
        return map_ordered(self._find, work, count_workers(), 4 * count_workers())

    def _find(
        self, work: _CopyWork
    ) -> tuple[InventoryItem, BackedUpObject | None, BackedUpObject | None, bool]:
        held, known = work
        path = resolve_object_path(self._folder, held.key)
        there = (
            _find_uncatalogued(path, self._folder, held) if known is None else self._find_copied(path, known)
        )
        if there is not None:
            return held, known, there, False
        return held, known, self._fetched(held), True

    def _find_copied(self, path: Path, known: BackedUpObject) -> BackedUpObject | None:
        """Return the object as an earlier run copied it, if its file is unchanged."""
        if get_file_size(path) != known.size:
            return None
        is_due = (
            self._reads_due
            and int(known.sha256[:8], 16) % RUNS_TO_READ_ALL == self._index.run % RUNS_TO_READ_ALL
        )
        return None if is_due and compute_file_digest(path) != known.sha256 else known

    def _fetched(self, item: InventoryItem) -> BackedUpObject | None:
        """Copy the object from the node; None if it is not intact there either."""
        with tempfile.NamedTemporaryFile(dir=self._scratch) as file:
            digest, size = hashlib.sha256(), 0
            try:
                for block in stream_blocks(self._store, item.key, BLOCK_BYTES):
                    digest.update(block)
                    size += file.write(block)
            except ObjectMissing:
                return None
            file.flush()
            path = Path(file.name)
            if not is_intact(path, item):
                return None
            self._objects.put_file(item.key, path)
        return BackedUpObject(item.key, size, digest.hexdigest())

    def _note(self, one: BackedUpObject, is_new: bool) -> None:
        if is_new:
            self.new, self.new_bytes = self.new + 1, self.new_bytes + one.size
        self._group.append(one)
        if len(self._group) >= _GROUP:
            self._commit()

    def _commit(self) -> None:
        self._objects.flush()
        self._index.put(self._group)
        self._group.clear()


def _kept(key: str) -> InventoryItem:
    return InventoryItem(
        key, InventoryKind.TERRAIN if key.startswith(keys.format_terrain_prefix()) else InventoryKind.FILE
    )


def _find_uncatalogued(path: Path, objects: Path, item: InventoryItem) -> BackedUpObject | None:
    """Return an object that no index knows, if its file is intact.

    It is synced, as the run that wrote it may have been killed before.
    """
    size = get_file_size(path)
    if size is None:
        return None
    try:
        if not is_intact(path, item):
            return None
    except OSError:
        return None
    digest = compute_file_digest(path)
    if not digest:
        return None
    for one in (path, *path.parents):
        sync_path(one)
        if one == objects:
            break
    return BackedUpObject(item.key, size, digest)
