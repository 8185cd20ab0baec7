"""Restoring of lost objects from copies, and the check that a tile's inputs are intact.

A copy is taken only if its bytes have the object's hash: from a backup by the object's key, from any other
folder by the SHA-256 of its files, from the cache's copies of originals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flycam.catalog.records import FrameRecord
from flycam.errors import SourceUnreadable
from flycam.ingest.photo.photo_reader import compute_sha256
from flycam.ingest.photo.photo_search import is_outside, walk_folder
from flycam.pipeline.cache_layout import ORIGINALS_DIR
from flycam.pipeline.operations.backup_folder import MANIFEST, OBJECTS
from flycam.pipeline.operations.inventory import InventoryItem, InventoryKind
from flycam.pipeline.operations.object_check import ObjectState, ReadResult, is_intact, verify_object
from flycam.pipeline.workspace import Workspace
from flycam.store import keys

_BY_HASH = frozenset(
    {
        InventoryKind.PHOTO,
        InventoryKind.DEM,
        InventoryKind.LAYER,
        InventoryKind.MARK_PHOTO,
        InventoryKind.RECORDING,
        InventoryKind.FILE,
    }
)


class OriginalRepairer:
    """Restores objects.

    source: a memory card, folder or backup; None: only this node's own copies.
    """

    def __init__(self, workspace: Workspace, source: Path | None) -> None:
        self._workspace = workspace
        self._source = source
        self._in_source: dict[str, Path] | None = None
        self._whole: dict[str, bool] = {}

    def restore(self, read: ReadResult) -> bool:
        """Restore a lost or damaged object.

        Returns True if a copy was found and reads back intact.
        """
        store, held = self._workspace.store, read.item
        for path in self._copies(held):
            with suppress(OSError, SourceUnreadable):
                if is_intact(path, held):
                    sha256 = keys.parse_hash(held.key) if held.kind in _BY_HASH else None
                    store.put_file(held.key, path, durable=True, sha256=sha256)
                    return verify_object(store, held).state is ObjectState.WHOLE
        return False

    def can_rebuild(self, record: FrameRecord) -> bool:
        """Return True if photo and terrain of a frame's orthopatch are intact.

        A damaged copy of the photo in the cache is deleted, so that it is fetched anew.
        """
        source = record.header.provenance
        photo = InventoryItem(keys.format_original_key(source.source_sha256), InventoryKind.PHOTO)
        needed = [photo] + (
            [InventoryItem(keys.format_terrain_key(record.dem_id), InventoryKind.TERRAIN)]
            if record.dem_id
            else []
        )
        if not all(self._is_intact(held) for held in needed):
            return False
        for path in self._cached(photo):
            if not is_intact(path, photo):
                path.unlink(missing_ok=True)
        return True

    def _is_intact(self, item: InventoryItem) -> bool:
        if item.key not in self._whole:
            self._whole[item.key] = verify_object(self._workspace.store, item).state is ObjectState.WHOLE
        return self._whole[item.key]

    def _copies(self, item: InventoryItem) -> Iterator[Path]:
        yield from self._cached(item)
        if self._source is None:
            return
        path = self._source / OBJECTS / item.key
        if path.is_file():
            yield path
        if item.kind in _BY_HASH and (found := self._files().get(keys.parse_hash(item.key))) is not None:
            yield found

    def _cached(self, item: InventoryItem) -> list[Path]:
        if item.kind not in _BY_HASH:
            return []
        folder = self._workspace.cache_dir / ORIGINALS_DIR / keys.parse_hash(item.key)
        return sorted(path for path in folder.glob("*") if path.is_file())

    def _files(self) -> dict[str, Path]:
        """Map the source's files by SHA-256; read once, when first needed."""
        if self._in_source is None:
            self._in_source = {}
            # a backup is looked up by key instead
            if self._source is not None and not (self._source / MANIFEST).exists():
                for path in walk_folder(self._source, skipped_prefixes=()):
                    with suppress(SourceUnreadable):
                        if not is_outside(path, [self._source]):
                            self._in_source[compute_sha256(path)] = path
        return self._in_source
