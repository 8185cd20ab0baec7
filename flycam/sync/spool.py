"""Spool of incoming steps: one step a sender, kept between attempts.

    SHA256.part   what came so far; its length is where the sender resumes
    SHA256.done   the answer, once the step was imported: the sender may have missed it

Nothing here is the only copy: a step is acknowledged when it was imported, and until then its sender has
it. So the bytes are not synced; what a power cut leaves is compared with the SHA-256 and sent again if it
differs. An answer is synced before the bytes are deleted, and an unreadable one counts as none: the step
is sent again, and importing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flycam.errors import FlightBusy, StorageFailed
from flycam.messages import _, pgettext
from flycam.store.disk_space import RESERVED_BYTES, SPARE_BYTES, get_free_bytes, require_free_space
from flycam.store.fsync import move_into_place

_SMALL_BYTES = 8 << 20
"""Steps up to this size are accepted while there is any room: records, among them withdrawals and
redactions, are in such.
"""


class Spool:
    """One sender's folder. Thread-safe; only the latest attempt may write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._turn = 0
        self._left_free = SPARE_BYTES
        self._taking = threading.Lock()

    @contextmanager
    def lock_for_import(self) -> Iterator[None]:
        """Hold while a step of this sender is imported: meanwhile no other begins.

        Nor does this one begin again. Raises FlightBusy at once if one is held: senders retry by
        themselves, and hold no thread here.
        """
        if not self._taking.acquire(blocking=False):
            raise _build_busy_error()
        try:
            yield
        finally:
            self._taking.release()

    def offset(self, sha256: str, size: int) -> int:
        """Return the byte at which the step resumes; `size` if all came."""
        if self.find_answer(sha256) is not None:
            return size
        try:
            at = self._part(sha256).stat().st_size
        except FileNotFoundError:
            return 0
        return at if at <= size else 0

    def begin(self, sha256: str, at: int, size: int = 0) -> int | None:
        """Take the turn to add bytes from `at` on; None if the step resumes elsewhere.

        Other steps of this sender are deleted.

        size  of the whole step, bytes

        Raises FlightBusy if that would delete bytes that are being imported, DiskFull if the rest of it
        would leave less room than flights need (a small one: than the catalogue needs), StorageFailed.
        """
        with self._lock, _storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            left_free = RESERVED_BYTES if size <= _SMALL_BYTES else SPARE_BYTES
            self._require_room(size - at, left_free)
            part = self._part(sha256)
            here = part.stat().st_size if part.exists() else 0
            if self._taking.locked() and (at == 0 or not here):
                raise _build_busy_error()
            for other in self._folder.iterdir():
                if other.name.partition(".")[0] != sha256:
                    other.unlink(missing_ok=True)
            if at not in (here, 0):
                return None
            if at == 0:
                part.write_bytes(b"")
            self._turn, self._left_free = self._turn + 1, left_free
            return self._turn

    def add(self, turn: int, sha256: str, data: bytes) -> bool:
        """Add bytes; False if a later attempt has the turn.

        Raises DiskFull, StorageFailed.
        """
        with self._lock, _storage_errors(self._folder):
            if turn != self._turn:
                return False
            self._require_room(len(data), self._left_free)
            with self._part(sha256).open("ab") as file:
                file.write(data)
            return True

    def find_complete(self, sha256: str) -> Path | None:
        """Return the step's file if it matches its name; else delete it and return None."""
        part = self._part(sha256)
        with _storage_errors(self._folder):
            try:
                # without the lock, for hashing gigabytes would delay other requests
                with part.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                        return part
            except FileNotFoundError:
                return None
            with self._lock:
                part.unlink(missing_ok=True)
            return None

    def find_answer(self, sha256: str) -> dict[str, Any] | None:
        """Return the answer given when the step was imported; None if it was not."""
        try:
            said = json.loads(self._done(sha256).read_bytes())
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    def finish(self, sha256: str, said: dict[str, Any]) -> None:
        """Store the answer and delete the bytes.

        An answer with conflicts is not stored: the next may differ, for the conflict may be resolved
        meanwhile.
        """
        if said.get("apart"):
            self.forget(sha256)
            return
        with self._lock, _storage_errors(self._folder):
            done = self._done(sha256)
            fresh = done.with_name(f"{done.name}.new")
            fresh.write_text(json.dumps(said), encoding="utf-8")
            move_into_place(fresh, done)
            self._part(sha256).unlink(missing_ok=True)

    def forget(self, sha256: str) -> None:
        """Delete a step that cannot be imported."""
        with self._lock, suppress(OSError):
            self._part(sha256).unlink(missing_ok=True)

    def require_free_bytes(self, more_bytes: int) -> None:
        """Raise DiskFull if a step's contents would leave less room than flights need."""
        with _storage_errors(self._folder):
            self._require_room(more_bytes, SPARE_BYTES)

    def _require_room(self, more_bytes: int, left_free: int) -> None:
        if more_bytes > 0:
            free = get_free_bytes(self._folder)
            require_free_space(
                self._folder, free, more_bytes, pgettext("sending", "goes on by itself"), left_free
            )

    def _part(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.part"

    def _done(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.done"


def _build_busy_error() -> FlightBusy:
    return FlightBusy(_("what this box sent before is still being taken in; it goes on by itself"))


class _storage_errors:  # noqa: N801  used as a function
    """Context manager that turns OSError into StorageFailed naming the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise StorageFailed(
                _(
                    "{folder}: what comes in cannot be kept ({strerror}); make room there",
                    folder=self._folder,
                    strerror=error.strerror,
                )
            ) from error
