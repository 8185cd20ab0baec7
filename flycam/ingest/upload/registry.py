"""Registry of all uploads of a node, in a folder beside store and catalogue.

    UPLOADS/ID/manifest.json   sender and announced files
    UPLOADS/ID/journal         what was acknowledged, stored, processed
    UPLOADS/ID/card/LABEL/…    the bytes, until the flight is on the map
    UPLOADS/ID/look.json, laid.json, progress.json   preview, result and progress of its processing

The id is derived from the sender and the files, so the same card announced again, by a new page, from a new
address or after a power cut, is the same upload and resumes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flycam.errors import DiskFull, InputUnusable, StorageFailed
from flycam.ingest.upload.memory_card import UploadFile, format_label, select_files
from flycam.ingest.upload.upload import (
    JOURNAL_FILE,
    MANIFEST_FILE,
    Journal,
    Upload,
    UploadManifest,
    make_storage_error,
    make_upload_not_found,
)
from flycam.messages import _
from flycam.model.text import validate_name
from flycam.storage.files import SPARE_BYTES, get_free_bytes, make_folder, sync_path

MAX_UNFINISHED = 50
UNFINISHED_TTL_S = 14 * 86_400.0
FINISHED_TTL_S = 30 * 86_400.0
RESERVATION_TTL_S = 3600.0
"""Time without arrivals after which space is no longer reserved for an upload's remaining bytes."""

UploadListener = Callable[[Upload], object]
"""Receives an upload."""

_JUMP_S = 60.0
_READ_S = 10.0
_LOG = logging.getLogger("flycam.uploads")
# a file is here and in the object store until it is on the map
_COPIES = 2
_ID = re.compile(r"[0-9a-f]{32}\Z")


def read_uptime() -> float:
    """Return seconds since the machine started.

    Suspension is included where the system counts it.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _ignore_upload(_upload: Upload) -> None:
    pass


class UploadRegistry:
    """Opens, finds and removes uploads.

    One process at a time receives; others get an error.
    """

    def __init__(
        self,
        folder: Path,
        clock_s: Callable[[], float] = time.time,
        uptime_s: Callable[[], float] = read_uptime,
    ) -> None:
        """Lock the folder and open the uploads in it.

        clock_s: seconds since 1970, which may jump; uptime_s: since some moment, which never does.

        Raises StorageFailed when another process receives here, or the folder cannot be used.
        """
        self.folder = folder
        self._clock_s = clock_s
        self._uptime_s = uptime_s
        # when these uploads were first seen, by a clock that has not jumped since
        self._seen_s = clock_s()
        self._booted_s = self._seen_s - uptime_s()
        self._lock = threading.Lock()
        try:
            make_folder(folder)
            self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise StorageFailed(
                _(
                    "{folder}: another server of this data folder receives uploads; send them to that one",
                    folder=folder,
                )
            ) from error
        except OSError as error:
            raise make_storage_error(folder, error) from error
        self._uploads: dict[str, Upload] = {}
        # present but not readable: their bytes must not be erased
        self._unread: set[str] = set()
        try:
            there = sorted(one.name for one in folder.iterdir() if _ID.match(one.name))
        except OSError as error:
            os.close(self._fd)
            raise make_storage_error(folder, error) from error
        for name in there:
            self._read(name)

    def close(self) -> None:
        """Let another process receive."""
        os.close(self._fd)

    def list_uploads(self) -> list[Upload]:
        """List every upload, newest first."""
        return sorted(self._uploads.values(), key=lambda one: -one.manifest.created_s)

    def get(self, upload_id: str) -> Upload:
        """Return an upload. Raises NotFound; StorageFailed for one that cannot be opened."""
        found = self._uploads.get(upload_id)
        if found is None and upload_id in self._unread:
            with self._lock:
                found = self._known(upload_id)
        if found is None:
            raise make_upload_not_found()
        return found

    def open(
        self,
        owner: str,
        files: Sequence[UploadFile],
        *,
        folder: str = "",
        name: str | None = None,
        event: str | None = None,
        telemetry: str | None = None,
        is_new: bool = False,
        began: UploadListener = _ignore_upload,
    ) -> Upload:
        """Return the upload of these files by this account, begun if it is new.

        folder  name of the files' folder; telemetry: which of the files is the flight log
        is_new  it is another one even if files of these names, sizes and times are known
        began   is called with a new upload

        Files that cannot be taken are skipped, and the manifest says so. Raises InputUnusable where nothing
        is left, and for implausible numbers; DiskFull, StorageFailed.
        """
        name, event = (validate_name(one) if one else None for one in (name, event))
        chosen = select_files(files, telemetry)
        upload_id = _id_of(owner, chosen.files, secrets.token_hex(16) if is_new else "")
        with self._lock:
            known = self._known(upload_id)
            if known is not None:
                known.update_announcement(name, event, chosen.skipped)
                return known
            self._check_room(owner, chosen.files)
            manifest = UploadManifest(
                upload_id=upload_id,
                owner=owner,
                created_s=self._clock_s(),
                label=format_label(name or folder) or self._dated(),
                name=name,
                event=event,
                telemetry=chosen.telemetry,
                files=chosen.files,
                passed_over=chosen.skipped,
            )
            upload = self._make(manifest)
            self._uploads[upload_id] = upload
        try:
            began(upload)
        except BaseException:
            # an upload whose listener failed did not begin
            self.remove(upload)
            raise
        return upload

    def remove(
        self, upload: Upload, note: UploadListener = _ignore_upload, stays: UploadListener = _ignore_upload
    ) -> None:
        """Remove an upload; its stored originals stay. Holders of it get NotFound.

        note  is called before the deletion, once only the disk can prevent it; stays: is called if it did

        Raises StorageFailed where it cannot be deleted, or not while storing takes so long, and what `note`
        raises: then it stays.
        """
        with _block_reading(upload):
            if upload.is_gone:
                return  # its folder may be another's by now
            note(upload)
            try:
                self._take_away(upload)
            except StorageFailed:
                stays(upload)
                raise

    def _take_away(self, upload: Upload) -> None:
        with self._lock:
            upload.end()
            del self._uploads[upload.upload_id]
            self._unread.add(upload.upload_id)
            self._erase(upload.folder)
            self._unread.discard(upload.upload_id)

    def get_expiry(self, upload: Upload) -> float | None:
        """Return when an upload expires if nothing more happens, seconds since 1970.

        None: never, while it is saved and not on the map, because the card may have been erased since.

        Counted from when this process saw it first, if that is later: earlier times may come from a clock at
        1970, and nobody could resume it while the node was off.
        """
        if upload.is_saved and not upload.is_laid:
            return None
        return max(upload.touched_s, self._seen_s) + (FINISHED_TTL_S if upload.is_laid else UNFINISHED_TTL_S)

    def expire(
        self, note: UploadListener = _ignore_upload, stays: UploadListener = _ignore_upload
    ) -> list[str]:
        """Remove uploads that nobody resumed; return their ids.

        `note` and `stays` are called as in `remove`. If the clock was set since the last check, ages are
        unknown: the time to expiry begins anew for all. Raises StorageFailed, and what `note` raises.
        """
        now_s = self._clock_s()
        booted_s = now_s - self._uptime_s()
        if abs(booted_s - self._booted_s) > _JUMP_S:
            _LOG.warning("the clock jumped by %.0f s: no upload expires by it", booted_s - self._booted_s)
            self._booted_s, self._seen_s = booted_s, now_s
            for one in self.list_uploads():
                one.touch(now_s)
        late = [
            one
            for one in self.list_uploads()
            if not one.has_writers and (self.get_expiry(one) or now_s) < now_s
        ]
        for one in late:
            self.remove(one, note, stays)
        return [one.upload_id for one in late]

    def _known(self, upload_id: str) -> Upload | None:
        """Return an existing upload, also one that could not be opened before.

        Raises StorageFailed.
        """
        if upload_id in self._unread:
            self._read(upload_id)
        if upload_id in self._unread:
            raise _make_unreadable_error(self.folder / upload_id)
        return self._uploads.get(upload_id)

    def _read(self, upload_id: str) -> None:
        """Open the upload in a folder.

        One without manifest never began and is deleted; one that cannot be opened (a failing disk, too many
        open files, a foreign file) stays, and is logged.
        """
        folder = self.folder / upload_id
        self._unread.discard(upload_id)
        try:
            self._uploads[upload_id] = Upload(folder)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            if _is_stillborn(folder):
                shutil.rmtree(folder, ignore_errors=True)
                return
            _LOG.error("upload %s cannot be opened and stays as it is: %r", folder, error)
            self._unread.add(upload_id)

    def _erase(self, folder: Path) -> None:
        """Delete from disk, the manifest first: without one an upload never began.

        Raises StorageFailed.
        """
        try:
            (folder / MANIFEST_FILE).unlink(missing_ok=True)
            sync_path(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise make_storage_error(folder, error) from error
        shutil.rmtree(folder, ignore_errors=True)

    def _make(self, manifest: UploadManifest) -> Upload:
        """Make sparse files of full size, then the manifest.

        So a header can be read as part of a file. The manifest is last: an upload cut off before it never
        began.
        """
        folder = self.folder / manifest.upload_id
        card = folder / "card" / manifest.label
        try:
            shutil.rmtree(folder, ignore_errors=True)
            made = {folder, folder / "card", card}
            for path in sorted(made):
                path.mkdir()
            for one in manifest.files:
                target = card / one.path
                target.parent.mkdir(parents=True, exist_ok=True)
                made.update(parent for parent in target.parents if parent.is_relative_to(card))
                fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                os.ftruncate(fd, one.size)
                os.close(fd)
            # later appends sync its bytes, but not its name
            Journal(folder / JOURNAL_FILE).append(())
            for path in made:
                sync_path(path)
            manifest.write(folder)
            sync_path(self.folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise make_storage_error(folder, error) from error
        return Upload(folder)

    def _check_room(self, owner: str, files: Sequence[UploadFile]) -> None:
        unfinished = [one for one in self._uploads.values() if not one.is_laid]
        if sum(one.manifest.owner == owner for one in unfinished) >= MAX_UNFINISHED:
            raise InputUnusable(
                _(
                    "{owner}: {max_unfinished} uploads are begun and not ended; go on with "
                    "them or delete some",
                    owner=owner,
                    max_unfinished=MAX_UNFINISHED,
                )
            )
        alive_s = self._clock_s() - RESERVATION_TTL_S
        promised = sum(_still_needed(one, one.touched_s > alive_s) for one in unfinished)
        needed = promised + _COPIES * sum(one.size for one in files) + SPARE_BYTES
        free = get_free_bytes(self.folder)
        if needed > free:
            gb, gb_free = needed / 1e9, free / 1e9
            raise DiskFull(
                _(
                    "the server has {gb_free:.1f} GB left and this upload needs {gb:.1f} GB; "
                    "free some there or choose fewer files",
                    gb_free=gb_free,
                    gb=gb,
                )
            )

    def _dated(self) -> str:
        return time.strftime("Tải lên %Y-%m-%d %Hh%M", time.gmtime(self._clock_s() + 7 * 3600))


@contextmanager
def _block_reading(upload: Upload) -> Iterator[None]:
    """Block the storing of this upload's files as originals.

    Raises StorageFailed where storing one takes longer than is waited for.
    """
    until_s = time.monotonic() + _READ_S
    with ExitStack() as locks:
        for lock in (upload.reading, upload.reading_films):
            if not lock.acquire(timeout=max(until_s - time.monotonic(), 0.0)):
                raise StorageFailed(
                    _(
                        "{label}: a file of it is being kept in the evidence store; delete it later",
                        label=upload.manifest.label,
                    )
                )
            locks.callback(lock.release)
        yield


def _still_needed(upload: Upload, is_alive: bool) -> int:
    """Return the bytes that an upload will still take here and in the object store.

    Bytes not received count while it is alive; the second copy of a complete file until it is stored.
    """
    total = 0
    for number, (file, at) in enumerate(zip(upload.manifest.files, upload.offsets, strict=True)):
        if is_alive or at == file.size:
            total += file.size - at + (0 if number in upload.stored else file.size)
    return total


def _is_stillborn(folder: Path) -> bool:
    """Return True if an upload was cut off before its manifest was written."""
    try:
        return MANIFEST_FILE not in os.listdir(folder)  # noqa: PTH208  a name that lies there unreadable counts too
    except FileNotFoundError:
        return True  # it was deleted
    except OSError:
        return False


def _make_unreadable_error(folder: Path) -> StorageFailed:
    return StorageFailed(
        _(
            "{folder}: this upload is here and cannot be opened; check the server's disk and its log; "
            "its files are not touched",
            folder=folder,
        )
    )


def _id_of(owner: str, files: Sequence[UploadFile], nonce: str = "") -> str:
    listed = [[one.path, one.size, one.modified_ms] for one in files]
    serialised = json.dumps([owner, listed, nonce] if nonce else [owner, listed], ensure_ascii=True)
    return hashlib.sha256(serialised.encode()).hexdigest()[:32]
