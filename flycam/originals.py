"""Originals: storage under their SHA-256, local copies, decoded photos.

Bytes are stored before anything that refers to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import LruCache
from flycam.errors import (
    DataDamaged,
    FrameRejected,
    FrameUnreadable,
    InputUnusable,
    ObjectMissing,
    SourceUnreadable,
    StorageFailed,
)
from flycam.media.pixels import Pixels, decode_photo, load_photo, parse_photo
from flycam.messages import _
from flycam.model.records import FrameRecord
from flycam.storage import keys
from flycam.storage.files import compute_sha256, make_file_changed, make_write_error, replace_file
from flycam.storage.keys import ORIGINALS_DIR, ObjectStore
from flycam.workspace import Workspace

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.catalog.retention import PurgeRecord

_BLOCK_BYTES = 16 << 20


def store_original(
    workspace: Workspace,
    path: Path,
    sha256: str | None = None,
    *,
    durable: bool = True,
    key_of: Callable[[str], str] = keys.format_original_key,
    before_put: Callable[[], None] = lambda: None,
) -> str:
    """Store a file's bytes and return their SHA-256; nothing is written twice.

    Bytes are stored under their own hash only, also if `sha256` is wrong.

    before_put  called before bytes are written; what it raises keeps them out
    durable     False: the bytes survive a power cut only after `store.flush`, which the caller must call
                before anything refers to them

    Raises OriginalPurged for an original deleted under a retention term; DiskFull where it would use up the
    catalogue's reserve; SourceUnreadable for a file that is gone, or whose hash has changed.
    """
    try:
        digest = sha256 or compute_sha256(path)
        key = key_of(digest)
        if _is_kept(workspace.store, key):
            workspace.store.ensure_durable(key, durable=durable)  # its writer may not have flushed it yet
        else:
            # a purged original is not stored again until the purge is lifted (decision 0029)
            _require_none_purged(find_purged_here(workspace, [digest]))
            before_put()
            workspace.require_disk_space(path.stat().st_size)
            workspace.store.put_file(key, path, durable=durable, sha256=digest)
    except (FileNotFoundError, StorageFailed) as error:
        if path.exists():
            raise
        raise SourceUnreadable(
            _("{path}: the file disappeared while it was read; put it back and run again", path=path)
        ) from error
    return digest


def store_original_bytes(workspace: Workspace, data: bytes, sha256: str, *, durable: bool = False) -> None:
    """Store bytes made here (a frame of a video) under their SHA-256.

    Unless durable the caller must call `store.flush`. Raises OriginalPurged as `store_original` does.
    """
    key = keys.format_original_key(sha256)
    if _is_kept(workspace.store, key):
        workspace.store.ensure_durable(key, durable=durable)
    else:
        _require_none_purged(find_purged_here(workspace, [sha256]))
        workspace.require_disk_space(len(data))
        workspace.store.put(key, data, durable=durable)


def store_and_decode_original(
    workspace: Workspace, path: Path, sha256: str, *, durable: bool = False
) -> Pixels:
    """Return a photo's pixels, and store the very bytes that they were decoded from.

    The file is read once, so that another file under its name a moment later is neither orthorectified nor
    stored. Raises FrameUnreadable, also where the bytes have another hash by now: nothing is stored then;
    OriginalPurged as `store_original` does.
    """
    photo = load_photo(path)
    if hashlib.sha256(photo.data).hexdigest() != sha256:
        raise FrameUnreadable.from_error(make_file_changed(path.name))
    pixels = decode_photo(photo)
    store_original_bytes(workspace, photo.data, sha256, durable=durable)
    return pixels


def require_not_purged(workspace: Workspace, sha256: str) -> None:
    """Raise OriginalPurged for an original that `find_purged` finds."""
    _require_none_purged(find_purged(workspace, [sha256]))


def _require_none_purged(purged: Mapping[str, PurgeRecord]) -> None:
    from flycam.catalog.retention import make_original_purged  # noqa: PLC0415  as in `find_purged`

    for line in purged.values():
        raise make_original_purged(line)


def find_purged_here(workspace: Workspace, hashes: Iterable[str]) -> dict[str, PurgeRecord]:
    """Find originals (SHA-256) whose deletion was confirmed here: their bytes do not come back.

    What another node says that it deleted keeps no card from being read.
    """
    # a check of a card asks for no original
    from flycam.catalog.retention import select_active_purges  # noqa: PLC0415  slow to load

    active_purges = select_active_purges(workspace.catalog.retention.list_for_originals(hashes))
    return select_locally_purged(workspace.catalog, workspace.box, active_purges)


def find_purged(workspace: Workspace, hashes: Iterable[str]) -> dict[str, PurgeRecord]:
    """Find originals (SHA-256) that are gone for good, with their purge records.

    The purge was confirmed here, or on another node and the bytes never were here.
    """
    from flycam.catalog.retention import get_original_key, select_active_purges  # noqa: PLC0415  slow to load

    catalog, store = workspace.catalog, workspace.store
    active_purges = select_active_purges(catalog.retention.list_for_originals(hashes))
    own = select_locally_purged(catalog, workspace.box, active_purges)
    others = {sha256: lines for sha256, lines in active_purges.items() if sha256 not in own}
    known_here = catalog.kept_originals.filter_known(others)
    return own | {
        sha256: lines[0]
        for sha256, lines in others.items()
        if sha256 not in known_here
        and not any(store.exists(get_original_key(one.kind, sha256)) for one in lines)
    }


def select_locally_purged(
    catalog: Catalog, box: str, purged: Mapping[str, Sequence[PurgeRecord]]
) -> dict[str, PurgeRecord]:
    """Select originals (SHA-256) purged by this node, with their purge records.

    Also under the node's former names: a backup restored on another machine has that machine's name.
    """
    lines = [one for some in purged.values() for one in some]
    is_plain = all(one.box == box for one in lines)
    names = {box} if is_plain else {box, *catalog.tiles.origins()}
    return {one.sha256: one for one in reversed(lines) if one.box in names}


def find_flight_purged(workspace: Workspace, flight_id: str) -> dict[str, PurgeRecord]:
    """Find the purged originals of a flight, as `find_purged`."""
    lines = workspace.catalog.retention.list_for_flight(flight_id)
    return find_purged(workspace, {one.sha256 for one in lines}) if lines else {}


def _is_kept(store: ObjectStore, key: str) -> bool:
    """Return True if a key holds bytes.

    A power cut before `flush` may leave an empty file.
    """
    try:
        return store.size(key) > 0
    except ObjectMissing:
        return False


def fetch_local_copy(workspace: Workspace, sha256: str, name: str) -> Path:
    """Return a local copy of an original, for libraries that want a path.

    It has the original's own name. Fetched once, atomically, and verified; formats such as SRTM's HGT are
    recognised by the file's name. Raises DataDamaged, and what the store raises.
    """
    folder = workspace.cache_dir / ORIGINALS_DIR / sha256
    target = folder / Path(name).name
    if not target.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch(workspace, sha256, target)
        except OSError as error:
            raise make_copy_error(name, folder, error) from error
    return target


def make_copy_error(name: str, folder: Path, error: OSError) -> StorageFailed:
    """Make the error for a local copy that cannot be written."""
    return make_write_error(
        error,
        _(
            "{name}: no copy of it can be kept in {folder} ({strerror}); free some there and run again",
            name=name,
            folder=folder,
            strerror=error.strerror,
        ),
    )


def read_verified_original(workspace: Workspace, sha256: str, name: str) -> bytes:
    """Read an original and verify its hash.

    Raises DataDamaged, and what the store raises.
    """
    data = workspace.store.get(keys.format_original_key(sha256))
    _require_intact(hashlib.sha256(data).hexdigest(), sha256, name)
    return data


def _require_intact(found: str, sha256: str, name: str) -> None:
    if found != sha256:
        raise DataDamaged(
            _(
                "{name}: its bytes in the store are not those that were kept (SHA-256 "
                "{sha256}…), and nothing is made of them; look with: flycam verify",
                name=name,
                sha256=sha256[:12],
            )
        )


def _fetch(workspace: Workspace, sha256: str, target: Path) -> None:
    digest = hashlib.sha256()
    with replace_file(target) as out:
        for block in stream_blocks(workspace.store, keys.format_original_key(sha256)):
            digest.update(block)
            out.write(block)
        _require_intact(digest.hexdigest(), sha256, target.name)  # the copy is not verified again


def stream_blocks(store: ObjectStore, key: str, max_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """Yield an object block by block, in bounded memory.

    Raises ObjectMissing, StorageFailed.
    """
    size = store.size(key)
    for start in range(0, size, max_bytes):
        yield store.get_range(key, start, min(max_bytes, size - start))


# -- Cache of a flight's decoded photos: a few in memory, none on disk -----------------------------


Bytes = NDArray[np.uint8]

_MEMORY_BYTES = 300_000_000


def keep_unchanged(_frame_id: str, pixels: Bytes) -> Bytes:
    """Return the photo as its camera wrote it, without development."""
    return pixels


class PhotoCache:
    """Decoded photos by frame id, the latest within `memory_bytes`; thread-safe.

    develop  applied to a decoded photo, such as evening out its exposure
    load     reads and decodes a photo; None: its stored original
    """

    def __init__(
        self,
        workspace: Workspace,
        records: Iterable[FrameRecord],
        *,
        develop: Callable[[str, Bytes], Bytes] = keep_unchanged,
        load: Callable[[FrameRecord], Bytes] | None = None,
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        self._records = {record.frame_id: record for record in records}
        self._develop = develop
        self._load = load or (lambda record: read_stored_pixels(workspace, record))
        self._kept = LruCache[str, Bytes](memory_bytes, lambda pixels: pixels.nbytes)

    def pixels(self, frame_id: str) -> Bytes:
        """Return H×W×3 uint8 RGB, full size, rows as the sensor read them; read-only.

        Raises InputUnusable where the stored original no longer reads, and what the store raises.
        """
        record = self._records[frame_id]
        try:
            return self.read(record)
        except FrameRejected as error:
            name = record.header.provenance.source_name
            raise InputUnusable(
                _("{name}: its stored original no longer reads; restore the store", name=name)
            ) from error

    def read(self, record: FrameRecord) -> Bytes:
        """Read the pixels of any frame, in the records or not.

        Raises FrameRejected instead of InputUnusable.
        """
        return self._kept.get(record.frame_id, lambda: self._make(record))

    def clear(self) -> None:
        """Drop every photo from memory; it is decoded again when requested."""
        self._kept.clear()

    def _make(self, record: FrameRecord) -> Bytes:
        pixels = self._develop(record.frame_id, self._load(record))
        pixels.flags.writeable = False
        return pixels


def read_stored_pixels(workspace: Workspace, record: FrameRecord) -> Bytes:
    """Return H×W×3 uint8 RGB of a frame's stored original.

    Raises FrameRejected where it does not read, DataDamaged where its hash differs, and what the store
    raises.
    """
    provenance = record.header.provenance
    data = read_verified_original(workspace, provenance.source_sha256, provenance.source_name)
    return decode_photo(parse_photo(data, Path(provenance.source_name)))
