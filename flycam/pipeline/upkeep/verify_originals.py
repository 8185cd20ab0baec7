"""Objects put back from wherever their bytes still are, and whether what tiles are made of is whole.

A copy is taken only if its bytes have the object's hash: from a backup by the object's key, from any other
folder by the SHA-256 of its files, from the cache's copies of originals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flycam.catalog.records import FrameRecord
from flycam.errors import SourceUnreadable
from flycam.ingest.photo.photos import sha256_of
from flycam.ingest.photo.search import leads_out, walk
from flycam.pipeline.cache_names import COPIES
from flycam.pipeline.upkeep.backup_place import MANIFEST, OBJECTS
from flycam.pipeline.upkeep.held import Held, Kind
from flycam.pipeline.upkeep.readback import Read, State, is_whole, read_back
from flycam.pipeline.workspace import Workspace
from flycam.store import keys

_BY_HASH = frozenset({Kind.PHOTO, Kind.DEM, Kind.LAYER, Kind.MARK_PHOTO, Kind.RECORDING, Kind.FILE})


class Originals:
    """source: a card, a folder or a backup; None: only what lies in this house."""

    def __init__(self, workspace: Workspace, source: Path | None) -> None:
        self._workspace = workspace
        self._source = source
        self._in_source: dict[str, Path] | None = None
        self._whole: dict[str, bool] = {}

    def put_back(self, read: Read) -> bool:
        """Put an object back that is lost or damaged; whether there was a copy of it, and it reads whole."""
        store, held = self._workspace.store, read.held
        for path in self._copies(held):
            with suppress(OSError, SourceUnreadable):
                if is_whole(path, held):
                    sha256 = keys.hash_in(held.key) if held.kind in _BY_HASH else None
                    store.put_file(held.key, path, durable=True, sha256=sha256)
                    return read_back(store, held).state is State.WHOLE
        return False

    def can_make(self, record: FrameRecord) -> bool:
        """Whether the photo and the terrain that a frame's patch is made of are whole.

        A copy of the photo in the cache that is not whole is taken away, so that it is fetched anew.
        """
        source = record.header.provenance
        photo = Held(keys.evidence(source.source_sha256), Kind.PHOTO)
        needed = [photo] + ([Held(keys.terrain(record.dem_id), Kind.TERRAIN)] if record.dem_id else [])
        if not all(self._is_whole(held) for held in needed):
            return False
        for path in self._cached(photo):
            if not is_whole(path, photo):
                path.unlink(missing_ok=True)
        return True

    def _is_whole(self, held: Held) -> bool:
        if held.key not in self._whole:
            self._whole[held.key] = read_back(self._workspace.store, held).state is State.WHOLE
        return self._whole[held.key]

    def _copies(self, held: Held) -> Iterator[Path]:
        yield from self._cached(held)
        if self._source is None:
            return
        path = self._source / OBJECTS / held.key
        if path.is_file():
            yield path
        if held.kind in _BY_HASH and (found := self._files().get(keys.hash_in(held.key))) is not None:
            yield found

    def _cached(self, held: Held) -> list[Path]:
        if held.kind not in _BY_HASH:
            return []
        folder = self._workspace.cache_dir / COPIES / keys.hash_in(held.key)
        return sorted(path for path in folder.glob("*") if path.is_file())

    def _files(self) -> dict[str, Path]:
        """Every file of the source by its SHA-256; read once, when first asked for."""
        if self._in_source is None:
            self._in_source = {}
            # a backup has what it has by key
            if self._source is not None and not (self._source / MANIFEST).exists():
                for path in walk(self._source, apart=()):
                    with suppress(SourceUnreadable):
                        if not leads_out(path, [self._source]):
                            self._in_source[sha256_of(path)] = path
        return self._in_source
