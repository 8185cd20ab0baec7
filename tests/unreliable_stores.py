"""Stores that make trouble on purpose, or count: a real store inside, so that nothing is a mock."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from flycam.errors import DiskFull
from flycam.storage.keys import ObjectStore
from tests.texts import pair

Trouble = Callable[[str, str], Exception | None]


class _Wrapper:
    """Hands every operation to the store inside, after `_before` and with `_after` on its bytes."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    def _before(self, operation: str, key: str) -> None:
        """Called first; may raise or wait."""

    def _after(self, operation: str, sent: int, received: int) -> None:
        """Called when the operation is done, with the bytes that went each way."""

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """See ObjectStore.put."""
        self._before("put", key)
        self.inner.put(key, data, durable=durable)
        self._after("put", len(data), 0)

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """See ObjectStore.put_file."""
        self._before("put_file", key)
        self.inner.put_file(key, path, durable=durable, sha256=sha256)
        self._after("put_file", path.stat().st_size, 0)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore.put_if_absent."""
        self._before("put_if_absent", key)
        written = self.inner.put_if_absent(key, data)
        self._after("put_if_absent", len(data), 0)
        return written

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """See ObjectStore.settle."""
        self._before("settle", key)
        self.inner.ensure_durable(key, durable=durable)
        self._after("settle", 0, 0)

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        self._before("get", key)
        data = self.inner.get(key)
        self._after("get", 0, len(data))
        return data

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore.get_range."""
        self._before("get_range", key)
        data = self.inner.get_range(key, start, length)
        self._after("get_range", 0, len(data))
        return data

    def size(self, key: str) -> int:
        """See ObjectStore.size."""
        self._before("size", key)
        size = self.inner.size(key)
        self._after("size", 0, 0)
        return size

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        self._before("exists", key)
        found = self.inner.exists(key)
        self._after("exists", 0, 0)
        return found

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list."""
        self._before("list", prefix)
        yield from self.inner.list(prefix)
        self._after("list", 0, 0)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        self._before("delete", key)
        self.inner.delete(key)
        self._after("delete", 0, 0)

    def free_bytes(self) -> int | None:
        """See ObjectStore.room_bytes; never disturbed."""
        return self.inner.free_bytes()

    def flush(self) -> None:
        """See ObjectStore.flush."""
        self._before("flush", "")
        self.inner.flush()
        self._after("flush", 0, 0)

    def close(self) -> None:
        """See ObjectStore.close; never disturbed."""
        self.inner.close()


class FaultyStore(_Wrapper):
    """Raises what `trouble(operation, key)` returns, before the store inside has done anything.

    With `after=True` it raises when the work is done: the answer that got lost on the way back.
    """

    def __init__(self, inner: ObjectStore, trouble: Trouble, *, after: bool = False) -> None:
        super().__init__(inner)
        self._trouble = trouble
        self._late = after
        self._due = threading.local()

    def _before(self, operation: str, key: str) -> None:
        error = self._trouble(operation, key)
        self._due.error = error if self._late else None
        if error is not None and not self._late:
            raise error

    def _after(self, operation: str, sent: int, received: int) -> None:
        error: Exception | None = self._due.error
        if error is not None:
            raise error


class SlowStore(_Wrapper):
    """Waits `delay_s` before each operation and as long as its bytes take at `bytes_per_s`."""

    def __init__(
        self, inner: ObjectStore, *, delay_s: float = 0.0, bytes_per_s: float = float("inf")
    ) -> None:
        super().__init__(inner)
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s

    def _before(self, operation: str, key: str) -> None:
        time.sleep(self._delay_s)

    def _after(self, operation: str, sent: int, received: int) -> None:
        time.sleep((sent + received) / self._bytes_per_s)


class CountingStore(_Wrapper):
    """Counts operations that succeeded (`calls["put"]`), `bytes_sent` and `bytes_received`."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()
        self.bytes_sent = 0
        self.bytes_received = 0
        self._lock = threading.Lock()

    def _after(self, operation: str, sent: int, received: int) -> None:
        with self._lock:
            self.calls[operation] += 1
            self.bytes_sent += sent
            self.bytes_received += received


class CorruptingStore(_Wrapper):
    """Gives back objects that `is_rotten(key)` names with one bit changed, always the same one."""

    def __init__(self, inner: ObjectStore, is_rotten: Callable[[str], bool]) -> None:
        super().__init__(inner)
        self._is_rotten = is_rotten

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        return self._rotten(key, super().get(key), 0)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore.get_range."""
        return self._rotten(key, super().get_range(key, start, length), start)

    def _rotten(self, key: str, data: bytes, start: int) -> bytes:
        if not data or not self._is_rotten(key):
            return data
        at = zlib.crc32(key.encode()) % self.inner.size(key) - start
        if not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


class FullStore(_Wrapper):
    """Has room for so many bytes of what is written through it, of the keys that `counts(key)` names, and
    says DiskFull beyond; what is deleted, or replaced, gives its room back."""

    def __init__(
        self, inner: ObjectStore, room_bytes: int, counts: Callable[[str], bool] = lambda _key: True
    ) -> None:
        super().__init__(inner)
        self._room_bytes, self._counts = room_bytes, counts
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """See ObjectStore.put."""
        self._take(key, len(data))
        super().put(key, data, durable=durable)

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """See ObjectStore.put_file."""
        if path.is_file():
            self._take(key, path.stat().st_size)
        super().put_file(key, path, durable=durable, sha256=sha256)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore.put_if_absent."""
        if not self.inner.exists(key):
            self._take(key, len(data))
        return super().put_if_absent(key, data)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        super().delete(key)
        with self._lock:
            self._sizes.pop(key, None)

    def _take(self, key: str, size: int) -> None:
        if not self._counts(key):
            return
        with self._lock:
            others = sum(self._sizes.values()) - self._sizes.get(key, 0)
            if others + size > self._room_bytes:
                raise DiskFull(
                    pair(f"{key}: no space left on the store; free some", f"{key}: kho lưu trữ không còn chỗ")
                )
            self._sizes[key] = size
