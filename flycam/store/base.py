"""The contract of every object store. `tests/suites/store_suite.py` is its executable form.

Keys are '/'-separated, made in `flycam.store.keys` only; no key begins with '/' or holds '..'.
Objects are immutable: a key is written once, or again with the very same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Bytes by key.

    Errors every implementation raises, and no others: StoreUnavailable (cannot be reached),
    StoreDenied (credentials), BucketMissing, DiskFull, ObjectMissing (get of an absent key).
    """

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Write atomically: a reader sees all of it or nothing. Idempotent.

        durable=True returns only when the bytes survive a power cut (evidence). Otherwise they may wait
        for `flush`.
        """

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """As `put`, from a file of any size, in bounded memory.

        sha256  of the bytes that are meant: where the file holds others by now, SourceUnreadable is raised
                and nothing is put
        """

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write only if the key is new; True if this call wrote it. Atomic between processes, and durable:
        who lost may rely on the winner's bytes."""

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """Rely on a key that is there, which somebody else may have put a moment ago and not flushed: as if
        its bytes were put again, with what `durable` means there."""

    def get(self, key: str) -> bytes:
        """All bytes of a key; ObjectMissing if there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Bytes start..start+length (shorter at the end); ObjectMissing."""

    def size(self, key: str) -> int:
        """Bytes held under a key; ObjectMissing."""

    def exists(self, key: str) -> bool:
        """Whether the key is there."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix` (plain string prefix), in sorted order; no half-written ones."""

    def delete(self, key: str) -> None:
        """Remove; nothing happens if it is not there."""

    def free_bytes(self) -> int | None:
        """Bytes that can still be put; None where nobody can tell."""

    def flush(self) -> None:
        """Return when everything put or deleted before survives a power cut."""

    def close(self) -> None:
        """Flush, and give descriptors and connections back, also where flushing fails."""
