"""Evidence: original bytes, kept under their SHA-256 before anything that refers to them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.catalog.retention_records import LetGoLine, key_of, let_go_said, standing_let_go
from flycam.errors import DiskFull, FrameUnreadable, NotWhole, ObjectMissing, SourceUnreadable, StorageTrouble
from flycam.ingest.photo.photos import sha256_of
from flycam.ingest.photo.pixels import Pixels, decoded, load
from flycam.messages import _
from flycam.pipeline.cache_names import COPIES
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.base import ObjectStore
from flycam.store.regular import changed
from flycam.store.room import FULL
from flycam.store.syncing import move_into_place

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog

_BLOCK_BYTES = 16 << 20


def keep(
    workspace: Workspace,
    path: Path,
    sha256: str | None = None,
    *,
    durable: bool = True,
    key_of: Callable[[str], str] = keys.evidence,
    before_put: Callable[[], None] = lambda: None,
) -> str:
    """Store the file's bytes and return their SHA-256. Nothing is written twice, and nothing under a hash
    that it has not. Raises LetGo for what was let go under a retention term; DiskFull where it would take
    what is reserved for the catalogue; SourceUnreadable for a file that is gone, or is another by now.

    before_put  called where bytes are about to be written; what it raises keeps them out

    durable=False: they survive a power cut only after `store.flush`, which the caller owes before anything
    refers to them.
    """
    try:
        digest = sha256 or sha256_of(path)
        key = key_of(digest)
        if _is_kept(workspace.store, key):
            workspace.store.settle(key, durable=durable)  # who put it may owe its flush still
        else:
            require_not_let_go(workspace, digest)
            before_put()
            workspace.require_room(path.stat().st_size)
            workspace.store.put_file(key, path, durable=durable, sha256=digest)
    except (FileNotFoundError, StorageTrouble) as error:
        if path.exists():
            raise
        raise SourceUnreadable(
            _("{path}: the file disappeared while it was read; put it back and run again", path=path)
        ) from error
    return digest


def keep_bytes(workspace: Workspace, data: bytes, sha256: str, *, durable: bool = False) -> None:
    """Store bytes made here (a picture of a video) under their SHA-256; unless durable the caller owes
    `store.flush`. Raises LetGo as `keep` does."""
    key = keys.evidence(sha256)
    if _is_kept(workspace.store, key):
        workspace.store.settle(key, durable=durable)
    else:
        require_not_let_go(workspace, sha256)
        workspace.require_room(len(data))
        workspace.store.put(key, data, durable=durable)


def keep_and_decode(workspace: Workspace, path: Path, sha256: str, *, durable: bool = False) -> Pixels:
    """Return a photo's pixels, and keep the very bytes that they were decoded from: it is read once, so that
    what lies under its name a moment later is neither laid nor kept.

    Raises FrameUnreadable, also where the bytes have another hash by now: nothing is kept then; LetGo as
    `keep` does.
    """
    photo = load(path)
    if hashlib.sha256(photo.data).hexdigest() != sha256:
        raise FrameUnreadable.because(changed(path.name))
    pixels = decoded(photo)
    keep_bytes(workspace, photo.data, sha256, durable=durable)
    return pixels


def require_not_let_go(workspace: Workspace, sha256: str) -> None:
    """Raise LetGo for an original that does not come back by itself, as `let_go_among` finds it."""
    for line in let_go_among(workspace, [sha256]).values():
        raise let_go_said(line)


def let_go_among(workspace: Workspace, hashes: Iterable[str]) -> dict[str, LetGoLine]:
    """Of these originals (SHA-256) those that cannot be had here any more, and by which line: that was let go
    was confirmed here, or on another box and the bytes never were here."""
    catalog, store = workspace.catalog, workspace.store
    standing = standing_let_go(catalog.retention.of_originals(hashes))
    own = let_go_here(catalog, workspace.box, standing)
    others = {sha256: lines for sha256, lines in standing.items() if sha256 not in own}
    lay_here = catalog.kept_originals.among(others)
    return own | {
        sha256: lines[0]
        for sha256, lines in others.items()
        if sha256 not in lay_here and not any(store.exists(key_of(one.kind, sha256)) for one in lines)
    }


def let_go_here(
    catalog: Catalog, box: str, standing: Mapping[str, Sequence[LetGoLine]]
) -> dict[str, LetGoLine]:
    """Of originals (SHA-256) with the lines that let them go those that were let go by this house, and by
    which: also under a name that it had before, for one that is put back on another machine has that one's.
    """
    lines = [one for some in standing.values() for one in some]
    is_plain = all(one.box == box for one in lines)
    names = {box} if is_plain else {box, *catalog.tiles.origins()}
    return {one.sha256: one for one in reversed(lines) if one.box in names}


def let_go_of(workspace: Workspace, flight_id: str) -> dict[str, LetGoLine]:
    """As `let_go_among`, of all originals of a flight."""
    lines = workspace.catalog.retention.of_flight(flight_id)
    return let_go_among(workspace, {one.sha256 for one in lines}) if lines else {}


def _is_kept(store: ObjectStore, key: str) -> bool:
    """Whether bytes lie under a key: a power cut before `flush` may leave a file's name with none."""
    try:
        return store.size(key) > 0
    except ObjectMissing:
        return False


def local_copy(workspace: Workspace, sha256: str, name: str) -> Path:
    """A local file with the evidence's bytes under its own name, for libraries that want a path.

    Fetched once, atomically, if they are whole; formats such as SRTM's HGT are known by their file's name.
    Raises NotWhole, and what the store raises.
    """
    folder = workspace.cache_dir / COPIES / sha256
    target = folder / Path(name).name
    if not target.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch(workspace, sha256, target)
        except OSError as error:
            raise no_copy_kept(name, folder, error) from error
    return target


def no_copy_kept(name: str, folder: Path, error: OSError) -> StorageTrouble:
    """What to raise where a copy that a library reads cannot be written."""
    kind = DiskFull if error.errno in FULL else StorageTrouble
    return kind(
        _(
            "{name}: no copy of it can be kept in {folder} ({strerror}); free some there and run again",
            name=name,
            folder=folder,
            strerror=error.strerror,
        )
    )


def whole_bytes(workspace: Workspace, sha256: str, name: str) -> bytes:
    """An original's bytes, held against their hash. Raises NotWhole, and what the store raises."""
    data = workspace.store.get(keys.evidence(sha256))
    _require_whole(hashlib.sha256(data).hexdigest(), sha256, name)
    return data


def _require_whole(found: str, sha256: str, name: str) -> None:
    if found != sha256:
        raise NotWhole(
            _(
                "{name}: its bytes in the store are not those that were kept (SHA-256 "
                "{sha256}…), and nothing is made of them; look with: flycam verify",
                name=name,
                sha256=sha256[:12],
            )
        )


def _fetch(workspace: Workspace, sha256: str, target: Path) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as out:
            for block in blocks(workspace.store, keys.evidence(sha256)):
                digest.update(block)
                out.write(block)
        _require_whole(digest.hexdigest(), sha256, target.name)  # nobody asks that of the copy again
        move_into_place(Path(temporary), target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def blocks(store: ObjectStore, key: str, most_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """An object piece by piece, in bounded memory. Raises ObjectMissing, StorageTrouble."""
    size = store.size(key)
    for start in range(0, size, most_bytes):
        yield store.get_range(key, start, min(most_bytes, size - start))
