"""Opening of an object store by its address, and the store in memory.

The store in memory is for tests and for derived data that need not outlive the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from flycam.errors import InputUnusable, ObjectMissing
from flycam.messages import _
from flycam.storage.base import ObjectStore
from flycam.storage.files import HashCheckedFile
from flycam.storage.keys import check_key, check_prefix
from flycam.storage.local import LocalStore

_COPY_BLOCK = 1 << 20


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
