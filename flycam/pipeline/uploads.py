"""All uploads of a house, in a folder of its own beside store and catalogue.

    UPLOADS/ID/manifest.json   who brings what
    UPLOADS/ID/journal         what was acknowledged, stored, laid
    UPLOADS/ID/card/LABEL/…    the bytes, until the flight is on the map
    UPLOADS/ID/look.json, laid.json, progress.json   what `upload_work` says of it

The id is made of who brings which files, so the same card offered again, by a new page, from a new address or
after a power cut, is the same upload and goes on where it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from flycam.errors import DiskFull, InputUnusable, StorageTrouble
from flycam.pipeline.upload import Manifest, Upload, UploadFile
from flycam.pipeline.upload_files import MANIFEST, no_such_upload, storage_trouble
from flycam.pipeline.upload_names import check_all_fit, checked_path, checked_photo_path, label_of
from flycam.store.syncing import sync_path

MAX_FILES = 5_000
MAX_FILE_BYTES = 2 << 30
MAX_UPLOAD_BYTES = 500 << 30
MAX_UNFINISHED = 50
UNFINISHED_S = 14 * 86_400.0
FINISHED_S = 30 * 86_400.0
_SPARE_BYTES = 1 << 30
_COPIES = 2  # a file lies here and in the evidence store until it is on the map
_ID = re.compile(r"[0-9a-f]{32}\Z")


class Uploads:
    """Opens, finds and forgets uploads. One process at a time receives; the others are told so."""

    def __init__(self, folder: Path, clock_s: Callable[[], float] = time.time) -> None:
        """Raises StorageTrouble when another process receives here, or the folder cannot be used."""
        self.folder = folder
        self._clock_s = clock_s
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise StorageTrouble(
                f"{folder}: another server of this house receives uploads; send them to that one",
                vi=f"{folder}: một máy chủ khác của hệ thống này đang nhận tải lên; hãy gửi tới máy chủ đó",
            ) from error
        except OSError as error:
            raise storage_trouble(folder, error) from error
        self._uploads: dict[str, Upload] = {}
        for found in sorted(folder.iterdir()):
            if _ID.match(found.name) and (found / MANIFEST).is_file():
                with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
                    self._uploads[found.name] = Upload(found)

    def close(self) -> None:
        """Let another process receive."""
        os.close(self._fd)

    def all(self) -> list[Upload]:
        """Every upload, the newest first."""
        return sorted(self._uploads.values(), key=lambda one: -one.manifest.created_s)

    def get(self, upload_id: str) -> Upload:
        """Raises NotFound."""
        found = self._uploads.get(upload_id)
        if found is None:
            raise no_such_upload()
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
    ) -> Upload:
        """The upload of these files by this person, begun if it is new.

        folder  what the files' folder is called; telemetry: which of the files is the flight's log

        Raises InputUnusable for names, sizes or numbers that cannot be meant, DiskFull, StorageTrouble.
        """
        checked = tuple(
            UploadFile(
                path=checked_path(one.path) if one.path == telemetry else checked_photo_path(one.path),
                size=one.size,
                modified_ms=one.modified_ms,
            )
            for one in sorted(files, key=lambda one: one.path)
        )
        _check_amount(checked)
        if telemetry is not None and telemetry not in {one.path for one in files}:
            raise InputUnusable(
                "the flight log is not among the files of the upload; announce it too",
                vi="nhật ký bay không nằm trong các tệp tải lên; hãy khai báo cả tệp đó",
            )
        check_all_fit(one.path for one in checked)
        upload_id = _id_of(owner, checked)
        with self._lock:
            known = self._uploads.get(upload_id)
            if known is not None:
                known.relabel(name, event)
                return known
            self._check_room(owner, checked)
            manifest = Manifest(
                upload_id=upload_id,
                owner=owner,
                created_s=self._clock_s(),
                label=label_of(name or folder) or self._dated(),
                name=name,
                event=event,
                telemetry=checked_path(telemetry) if telemetry is not None else None,
                files=checked,
            )
            upload = self._make(manifest)
            self._uploads[upload_id] = upload
            return upload

    def remove(self, upload: Upload) -> None:
        """Forget an upload; what is in the evidence store stays there. Whoever still holds it hears NotFound.
        Raises StorageTrouble where it cannot be taken away."""
        with self._lock:
            if upload.is_gone:
                return  # its folder may be another's by now
            upload.end()
            self._uploads.pop(upload.upload_id, None)
            self._erase(upload.folder)

    def expires_s(self, upload: Upload) -> float:
        """When an upload is forgotten if nothing more happens, seconds since 1970."""
        return upload.touched_s + (FINISHED_S if upload.is_laid else UNFINISHED_S)

    def expire(self) -> list[str]:
        """Forget what nobody went on with; the ids."""
        late = [one for one in self.all() if self.expires_s(one) < self._clock_s()]
        for one in late:
            self.remove(one)
        return [one.upload_id for one in late]

    def _erase(self, folder: Path) -> None:
        """Take an upload off the disk, the manifest first: what is left of it never was. Raises StorageTrouble."""
        try:
            (folder / MANIFEST).unlink(missing_ok=True)
            sync_path(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_trouble(folder, error) from error
        shutil.rmtree(folder, ignore_errors=True)

    def _make(self, manifest: Manifest) -> Upload:
        """Files of their full size without bytes, so that a head says as much as the whole file; then the
        manifest: an upload cut off here never was."""
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
            for path in made:
                sync_path(path)
            manifest.write(folder)
            sync_path(self.folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise storage_trouble(folder, error) from error
        return Upload(folder)

    def _check_room(self, owner: str, files: Sequence[UploadFile]) -> None:
        unfinished = [one for one in self._uploads.values() if not one.is_laid]
        if sum(one.manifest.owner == owner for one in unfinished) >= MAX_UNFINISHED:
            raise InputUnusable(
                f"{owner}: {MAX_UNFINISHED} uploads are begun and not ended; go on with them or delete some",
                vi=f"{owner}: đã có {MAX_UNFINISHED} lượt tải lên dở dang; hãy tải tiếp hoặc xoá bớt",
            )
        promised = sum(
            file.size - at
            for one in unfinished
            for file, at in zip(one.manifest.files, one.offsets, strict=True)
        )
        needed = _COPIES * (promised + sum(one.size for one in files)) + _SPARE_BYTES
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            gb, gb_free = needed / 1e9, free / 1e9
            raise DiskFull(
                f"the server has {gb_free:.1f} GB left and this upload needs {gb:.1f} GB; free some there or"
                " choose fewer photos",
                vi=f"máy chủ còn {gb_free:.1f} GB, lượt tải lên này cần {gb:.1f} GB; hãy giải phóng bớt chỗ "
                "trên máy chủ hoặc chọn ít ảnh hơn",
            )

    def _dated(self) -> str:
        return time.strftime("Tải lên %Y-%m-%d %Hh%M", time.gmtime(self._clock_s() + 7 * 3600))


def _check_amount(files: Sequence[UploadFile]) -> None:
    if not 1 <= len(files) <= MAX_FILES:
        raise InputUnusable(
            f"{len(files)} files: an upload brings 1 to {MAX_FILES}; send the card in parts",
            vi=f"{len(files)} tệp: mỗi lượt tải lên được từ 1 đến {MAX_FILES} tệp; hãy chia nhỏ ra",
        )
    for one in files:
        if not 1 <= one.size <= MAX_FILE_BYTES:
            raise InputUnusable(
                f"{one.path}: has {one.size} bytes; a file may have 1 to {MAX_FILE_BYTES}: leave it out",
                vi=f"{one.path}: có {one.size} byte; mỗi tệp có từ 1 đến {MAX_FILE_BYTES} byte: hãy bỏ ra",
            )
    if sum(one.size for one in files) > MAX_UPLOAD_BYTES:
        raise InputUnusable(
            f"more than {MAX_UPLOAD_BYTES >> 30} GiB in one upload; send the card in parts",
            vi=f"một lượt tải lên không quá {MAX_UPLOAD_BYTES >> 30} GiB; hãy chia nhỏ ra",
        )


def _id_of(owner: str, files: Sequence[UploadFile]) -> str:
    said = json.dumps([owner, [[one.path, one.size, one.modified_ms] for one in files]], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]
