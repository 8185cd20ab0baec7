"""Object stores: in a folder, in memory, and any of them by its address."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

from flycam.errors import DiskFull, InputUnusable, ObjectMissing, StorageFailed, StoreDenied, StoreUnavailable
from flycam.messages import _
from flycam.storage.files import (
    DISK_FULL_ERRNOS,
    SCRATCH_NAME,
    HashCheckedFile,
    Scratch,
    get_free_bytes,
    make_folder,
    sync_filesystem,
    sync_path,
)
from flycam.storage.keys import MAX_KEY_BYTES, ObjectStore, check_key, check_prefix, is_marker

# -- Object store of files in a folder -------------------------------------------------------------
#
# A write goes to a scratch file and is renamed into place, so it is seen whole or not at all. What a killed
# process leaves behind stays in its scratch folder, is never listed, and is swept by the next process. A
# durable write syncs the file and the folders that name it before it returns; `flush` syncs all others
# together.


# -- Marker file of a store's folder ---------------------------------------------------------------
#
# It distinguishes a new store from an unmounted disk.


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


# -- Store in a folder -----------------------------------------------------------------------------


_COPY_BLOCK = 1 << 20
_FEW_FILES, _ROOM_BYTES = 64, 16 << 20
_MAX_PENDING = 4096
# one syncfs is faster than so many fsyncs, but waits for other programs' writes too (decision 0003)
_SYNC_SINGLY = 16
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LocalStore:
    """An ObjectStore in a folder; safe between threads and processes of one machine."""

    def __init__(self, root: Path) -> None:
        self._root = Path(root).absolute()
        with self._translate_errors(str(self._root)):
            make_folder(self._root)
            # held open: the kernel reports a failed write-back to descriptors opened before it
            self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        self._is_marked = has_marker(self._root)
        self._scratch = Scratch(self._root / SCRATCH_NAME)
        self._scratch.sweep()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._pending: set[Path] = set()
        self._synced_folders: set[Path] = set()

    def __repr__(self) -> str:
        return f"LocalStore({self._root})"

    def __str__(self) -> str:
        return str(self._root)

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """See ObjectStore.put."""
        self._write(key, lambda file: file.write(data), durable=durable)

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """See ObjectStore.put_file."""

        def copy(file: BinaryIO) -> None:
            with HashCheckedFile(path, sha256) as source:
                shutil.copyfileobj(source, file, _COPY_BLOCK)

        self._write(key, copy, durable=durable)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore.put_if_absent. Durable, so that the loser can rely on it."""
        target = self._path(key)
        with self._translate_errors(key), self._scratch.file() as temporary:
            _fill(temporary, lambda file: file.write(data), durable=True)
            try:
                # a hard link fails if the name exists, where a rename would overwrite it
                self._move_into_place(temporary, target, os.link)
            except FileExistsError:
                self._forget_folders(target)
                # deleted again meanwhile
                with suppress(FileNotFoundError):
                    self._sync_object(target)
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise StoreUnavailable(
                        _(
                            "{root}: its file system has no hard links; keep the store on another one",
                            root=self._root,
                        )
                    ) from error
                raise
            self._sync_folders(target.parent)
        return True

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """See ObjectStore.ensure_durable."""
        target = self._path(key)
        self._forget_folders(target)
        if not durable:
            self._queue_sync(target)
            return
        with self._translate_errors(key):
            self._sync_object(target)

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        with self._translate_errors(key):
            return self._path(key).read_bytes()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore.get_range."""
        if start < 0 or length < 0:
            raise ValueError(f"a range begins and ends at or after 0, not {start}+{length}")
        with self._translate_errors(key), self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def size(self, key: str) -> int:
        """See ObjectStore.size."""
        with self._translate_errors(key):
            found = self._path(key).stat()
        if not stat.S_ISREG(found.st_mode):
            raise ObjectMissing(
                _("{key}: not in the store {root}; ingest the flight again", key=key, root=self._root)
            )
        return found.st_size

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        with self._translate_errors(key):
            if self._path(key).is_file():
                return True
            self._check_root()
            return False

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list."""
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        with self._translate_errors(prefix):
            self._check_root()
        for key in self._walk(f"{folder}/" if folder else ""):
            if key.startswith(prefix):
                yield key
            elif key > prefix:
                return

    def delete(self, key: str) -> None:
        """See ObjectStore.delete. Folders that become empty go too."""
        path = self._path(key)
        with self._translate_errors(key):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return
        with self._lock:
            self._pending.discard(path)
        for folder in path.parents:
            if folder != self._root:
                with suppress(OSError):
                    folder.rmdir()
                    self._synced_folders.discard(folder)
                    continue
            with self._lock:
                # until the folder is synced, the deleted name may come back
                self._pending.add(folder)
            return

    def free_bytes(self) -> int | None:
        """See ObjectStore.free_bytes."""
        with self._translate_errors(str(self._root)):
            return get_free_bytes(self._root)

    def flush(self) -> None:
        """See ObjectStore.flush. Wait for a running one: it may hold this caller's writes."""
        with self._flushing:
            with self._lock:
                pending, self._pending = self._pending, set()
            try:
                with self._translate_errors(str(self._root)):
                    self._sync(pending)
            except BaseException:
                with self._lock:
                    # a failed flush leaves the objects pending until one succeeds
                    self._pending |= pending
                raise

    def _sync(self, pending: set[Path]) -> None:
        if len(pending) > _SYNC_SINGLY and self._is_held() and sync_filesystem(self._root_fd):
            return
        if pending:
            # objects on a removed disk were not deleted
            self._check_root()
        for path in pending:
            if path.is_dir():  # a folder that lost a name
                sync_path(path)
            elif path.exists():
                # an object deleted since then needs no sync of its own
                self._sync_object(path)

    def _is_held(self) -> bool:
        """Check whether the open root folder is still the one at its path.

        A disk that was pulled out and plugged in again is mounted anew.
        """
        return os.path.samestat(os.fstat(self._root_fd), self._root.stat())

    def close(self) -> None:
        """See ObjectStore.close."""
        try:
            self.flush()
        finally:
            self._scratch.close()
            os.close(self._root_fd)

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key

    def _write(self, key: str, fill: Callable[[BinaryIO], object], *, durable: bool) -> None:
        target = self._path(key)
        # the name of a marker object alone proves its bytes, so they are synced before it appears: a name
        # with other bytes would be taken for the original when that is stored again
        has_to_be_whole = durable or is_marker(key)
        with self._translate_errors(key), self._scratch.file() as temporary:
            _fill(temporary, fill, durable=has_to_be_whole)
            self._move_into_place(temporary, target, os.replace)
            if durable:
                self._sync_folders(target.parent)
                return
        self._queue_sync(target)

    def _queue_sync(self, target: Path) -> None:
        """Leave an object to the next flush."""
        with self._lock:
            self._pending.add(target)
            crowded = len(self._pending) >= _MAX_PENDING
        if crowded:
            self.flush()

    def _move_into_place(self, temporary: Path, target: Path, move: Callable[[Path, Path], None]) -> None:
        for attempt in itertools.count():
            try:
                move(temporary, target)
            except FileNotFoundError:
                self._check_root()
                # a delete in another process may remove the empty folder again before the move
                if attempt >= 10:
                    raise
                self._forget_folders(target)
                target.parent.mkdir(parents=True, exist_ok=True)
            else:
                return

    def _forget_folders(self, target: Path) -> None:
        """Forget the synced folder names above `target`.

        The folders may have been made anew, here or by another process.
        """
        self._synced_folders.difference_update(target.parents)

    def _sync_object(self, path: Path) -> None:
        sync_path(path)
        self._sync_folders(path.parent)

    def _sync_folders(self, folder: Path) -> None:
        """Sync an object's folder, and the names above it that are not synced yet."""
        sync_path(folder)
        while folder != self._root and folder not in self._synced_folders:
            sync_path(folder.parent)
            if len(self._synced_folders) < _MAX_PENDING:
                self._synced_folders.add(folder)
            folder = folder.parent

    def _walk(self, folder: str) -> Iterator[str]:
        """Yield the keys below a folder in order, up to `MAX_KEY_BYTES` long."""
        waiting = [folder]
        while waiting:
            at = waiting.pop()
            if at and not at.endswith("/"):
                yield at
                continue
            try:
                with self._translate_errors(at), os.scandir(self._root / at) as found:
                    # a folder sorts as its keys do: with the '/' that follows its name
                    entries = sorted((e.name + "/" if e.is_dir() else e.name) for e in found)
            except ObjectMissing:
                continue
            # the scratch folder and the store's marker are no keys
            keys = [at + name for name in entries if not name.startswith(".")]
            waiting += [key for key in reversed(keys) if len(os.fsencode(key)) <= MAX_KEY_BYTES]

    def _is_there(self) -> bool:
        """Check for the store's folder, not the mount point of a removed disk."""
        return has_marker(self._root) if self._is_marked else self._root.is_dir()

    def _check_root(self) -> None:
        if not self._is_there():
            raise StoreUnavailable(
                _("{root}: the store's folder is gone; plug its disk in and run again", root=self._root)
            )

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._trouble(what, error) from error

    def _trouble(self, what: str, error: OSError) -> StorageFailed:
        if error.errno == errno.ENOSPC and _holds_no_more_files(self._root):
            return DiskFull(
                _(
                    "{what}: the disk of {root} holds no more files, however much space is "
                    "free (its inodes are used up); delete or move files there and run again",
                    what=what,
                    root=self._root,
                )
            )
        if error.errno in DISK_FULL_ERRNOS:
            return DiskFull(
                _("{what}: no space left in {root}; free some and run again", what=what, root=self._root)
            )
        if error.errno in _DENIED:
            return StoreDenied(
                _(
                    "{what}: {root} may not be written or read ({strerror}); allow it",
                    what=what,
                    root=self._root,
                    strerror=error.strerror,
                )
            )
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and self._is_there():
            return ObjectMissing(
                _("{what}: not in the store {root}; ingest the flight again", what=what, root=self._root)
            )
        return StoreUnavailable(
            _(
                "{root}: {strerror}; check the disk and run again",
                root=self._root,
                strerror=error.strerror or error,
            )
        )


def _holds_no_more_files(folder: Path) -> bool:
    """Check whether a disk that refused a file has run out of inodes.

    What was begun beside it may have been released by now: a few inodes may be free again, and so may some
    bytes of a disk that is really full.
    """
    try:
        stats = os.statvfs(folder)
    except OSError:
        return False
    has_room = stats.f_bavail * stats.f_frsize > _ROOM_BYTES
    return stats.f_files > 0 and stats.f_favail < _FEW_FILES and has_room  # btrfs reports no inodes


def _fill(path: Path, fill: Callable[[BinaryIO], object], *, durable: bool) -> None:
    # buffered: on a full disk a raw write may be short and report that only by its return value
    with path.open("wb") as file:
        fill(file)
        if durable:
            file.flush()
            os.fsync(file.fileno())


# -- Opening of an object store by its address, and the store in memory ----------------------------
#
# The store in memory is for tests and for derived data that need not outlive the process.


class MemoryStore:
    """An ObjectStore in memory; safe between threads, lost with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """See ObjectStore.put."""
        check_key(key)
        with self._lock:
            self._objects[key] = bytes(data)

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """See ObjectStore.put_file."""
        with HashCheckedFile(path, sha256) as file:
            self.put(key, b"".join(iter(lambda: file.read(_COPY_BLOCK), b"")), durable=durable)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore.put_if_absent."""
        check_key(key)
        with self._lock:
            return self._objects.setdefault(key, stored := bytes(data)) is stored

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """See ObjectStore.ensure_durable."""

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        check_key(key)
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectMissing(f"{key}: not in this memory store; put it again") from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore.get_range."""
        if start < 0 or length < 0:
            raise ValueError(f"a range begins and ends at or after 0, not {start}+{length}")
        return self.get(key)[start : start + length]

    def size(self, key: str) -> int:
        """See ObjectStore.size."""
        return len(self.get(key))

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        check_key(key)
        return key in self._objects

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list."""
        check_prefix(prefix)
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix))
        yield from keys

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def free_bytes(self) -> int | None:
        """See ObjectStore.free_bytes: memory is not measured."""
        return None

    def flush(self) -> None:
        """See ObjectStore.flush."""

    def close(self) -> None:
        """See ObjectStore.close."""


# -- Opening of a store by its address -------------------------------------------------------------


_HOW = _("write file:///FOLDER or s3://bucket/prefix?endpoint=http://HOST:PORT")


def open_store(url: str) -> ObjectStore:
    """Open the store at an address.

    `file:///FOLDER`, `s3://bucket/prefix?endpoint=…`, or `memory:` (tests). Raises InputUnusable for an
    invalid address; a store that is down is found at its first use.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        # a bracket that opens no IPv6 address
        raise _no_address(url) from error
    if parts.scheme == "file":
        return LocalStore(_folder(url, parts))
    if parts.scheme == "s3":
        from flycam.storage.s3 import S3Store  # noqa: PLC0415  its client only where it is asked for

        return S3Store.from_url(url)
    if parts.scheme == "memory":
        return MemoryStore()
    raise _no_address(url)


def parse_store_folder(url: str) -> Path | None:
    """Return the folder of a store's address, None if it is not local.

    Raises InputUnusable as `open_store`.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _no_address(url) from error
    return _folder(url, parts) if parts.scheme == "file" else None


def _folder(url: str, parts: SplitResult) -> Path:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InputUnusable(_("{url}: the folder of a store is absolute; {how}", url=url, how=_HOW))
    return Path(unquote(parts.path))


def _no_address(url: str) -> InputUnusable:
    return InputUnusable(_("{url}: no address of a store; {how}", url=url, how=_HOW))
