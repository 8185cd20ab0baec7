"""Contract of every object store.

`tests/suites/store_suite.py` is its executable form.

Keys are '/'-separated, made in `flycam.storage.keys` only; no key begins with '/' or holds '..'.
Objects are immutable: a key is written once, or again with the very same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Bytes by key.

    Every implementation raises these errors and no others: StoreUnavailable (cannot be reached),
    StoreDenied (credentials), BucketMissing, DiskFull, ObjectMissing (get of an absent key).
    """

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Write atomically: a reader sees all of it or nothing. Idempotent.

        durable=True returns only when the bytes survive a power cut (originals). Otherwise they may wait
        for `flush`.
        """

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """Write a file of any size as `put` does, in bounded memory.

        sha256  of the expected bytes: if the file no longer holds them, SourceUnreadable is raised and
                nothing is written
        """

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write only if the key is new; return True if this call wrote it.

        Atomic between processes, and durable: the loser may rely on the winner's bytes.
        """

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """Make an existing key as safe as if its bytes were put again.

        Another caller may have put it a moment ago and not flushed. `durable` means the same as in `put`.
        """

    def get(self, key: str) -> bytes:
        """Return all bytes of a key; raise ObjectMissing if there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return bytes start..start+length (shorter at the end), or raise ObjectMissing."""

    def size(self, key: str) -> int:
        """Return the size of an object in bytes, or raise ObjectMissing."""

    def exists(self, key: str) -> bool:
        """Check whether the key is there."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted.

        `prefix` is a plain string prefix. Half-written objects are not listed.
        """

    def delete(self, key: str) -> None:
        """Remove an object; do nothing if it is not there."""

    def free_bytes(self) -> int | None:
        """Return the bytes that can still be written, None if unknown."""

    def flush(self) -> None:
        """Return when everything put or deleted before survives a power cut."""

    def close(self) -> None:
        """Flush and release descriptors and connections, also if flushing fails."""
