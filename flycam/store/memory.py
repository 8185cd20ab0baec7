"""Object store in memory, for tests and for derived data that need not outlive the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from flycam.errors import ObjectMissing
from flycam.store.keys import check_key, check_prefix
from flycam.store.regular_file import HashCheckedFile

_COPY_BLOCK = 1 << 20


class MemoryStore:
    """An ObjectStore in a dictionary; safe between threads. Nothing survives the process."""

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
            return self._objects.setdefault(key, kept := bytes(data)) is kept

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
