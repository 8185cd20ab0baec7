"""One upload on disk: a card's files as they arrive, with journal and lock.

Acknowledged bytes are synced to disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flycam.errors import DiskFull, NotFound, StorageFailed
from flycam.ingest.photos.photo_search import FileKind, detect_file_kind
from flycam.ingest.upload.memory_card import (
    NO_SKIPPED_FILES,
    SkippedFiles,
    UploadFile,
    make_damaged_file_error,
)
from flycam.messages import _, decode_message, encode_message, pgettext
from flycam.storage.files import DISK_FULL_ERRNOS, get_free_bytes, replace_file, require_free_space

# -- Journal of acknowledgements, each line synced before it counts --------------------------------
#
# A line is `CRC WORD NUMBER VALUE`, the CRC-32 of the rest in hex. What a power cut leaves behind the last
# complete line (half a line, zeros) is truncated before the next append, so that no later line joins it.


JournalLine = tuple[str, int, str]
"""(word, number of the file, value)"""


class Journal:
    """Journal of one upload. Not thread-safe: callers hold the upload's lock."""

    def __init__(self, path: Path) -> None:
        """Read the complete lines. Raises OSError."""
        self._path = path
        self.lines: list[JournalLine] = []
        self._end = 0
        if path.exists():
            data = path.read_bytes()
            for line, end in _read_complete_lines(data):
                self.lines.append(line)
                self._end = end

    def append(self, lines: Iterable[JournalLine]) -> None:
        """Append lines durably. Raises OSError: then none of them counts."""
        data = b"".join(_encoded(line) for line in lines)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(fd, self._end)  # left by a failed or torn write
            written = 0
            while written < len(data):
                written += os.pwrite(fd, data[written:], self._end + written)
            os.fsync(fd)
        finally:
            os.close(fd)
        self._end += len(data)


def _encoded(line: JournalLine) -> bytes:
    body = f"{line[0]} {line[1]} {line[2]}".encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _read_complete_lines(data: bytes) -> Iterator[tuple[JournalLine, int]]:
    """Yield every line before the first incomplete one, with its end offset."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        check, __, body = data[start:end].partition(b" ")
        parts = body.split(b" ")
        if check != b"%08x" % zlib.crc32(body) or len(parts) != 3:
            return
        start = end + 1
        yield (parts[0].decode(), int(parts[1]), parts[2].decode()), start


# -- Small files beside an upload's bytes, and errors of the disk under them -----------------------


MANIFEST_FILE, PREVIEW_FILE, PROGRESS_FILE = "manifest.json", "look.json", "progress.json"
# results of the photos, and of the videos
PHOTOS_RESULT_FILE, VIDEOS_RESULT_FILE = (
    "laid.json",
    "filmed.json",
)
# the file being read now, in which a decoder may hang
READING_FILE = "reading.json"
JOURNAL_FILE = "journal"


def write_json(path: Path, value: Any) -> None:
    """Write JSON durably and atomically. Raises OSError."""
    with replace_file(path) as out:
        out.write(json.dumps(value, ensure_ascii=False).encode())


def read_json_file(folder: Path, name: str) -> dict[str, Any] | None:
    """Read a JSON file beside an upload; None if it is missing or unreadable."""
    try:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def write_result_file(path: Path, answer: Any) -> None:
    """Write JSON as `write_json`, without the path of the upload's folder.

    Raises StorageFailed.
    """
    card = str(path.parent / "card") + "/"
    text = json.dumps(answer, ensure_ascii=False).replace(json.dumps(card, ensure_ascii=False)[1:-1], "")
    try:
        write_json(path, json.loads(text))
    except OSError as error:
        raise make_storage_error(path.parent, error) from error


def note_reading(folder: Path, file: str) -> None:
    """Note the file that is read next, in case the process hangs on it."""
    # on a full disk the flight matters more than this note
    with suppress(OSError):
        write_json(folder / READING_FILE, {"file": file})


@contextmanager
def lock_upload(folder: Path) -> Iterator[None]:
    """Lock an upload for one process at a time.

    Also if its server was killed and another starts anew. Raises NotFound, StorageFailed.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise make_upload_not_found()
    try:
        fd = os.open(folder / "work.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise make_storage_error(folder, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_upload_not_found() -> NotFound:
    """Make the error for an unknown upload, also for accounts that may not see it."""
    return NotFound(_("there is no such upload here any more; choose the same files again to resume"))


def require_upload_space(place: Path, free: int, more: int) -> None:
    """Raise DiskFull, with the cure, if flights would lack space.

    It is raised if `more` bytes would leave less of `free` than flights need.
    """
    require_free_space(place, free, more, pgettext("uploading", "resumes by itself"))


def make_storage_error(place: Path, error: OSError) -> StorageFailed:
    """Make the error for a disk failure, with the cure."""
    if error.errno in DISK_FULL_ERRNOS:
        return DiskFull(
            _(
                "{place}: no space left on the server for this upload; free some, then it resumes by itself",
                place=place,
            )
        )
    return StorageFailed(
        _(
            "{place}: the upload cannot be written ({strerror}); check the server's disk",
            place=place,
            strerror=error.strerror,
        )
    )


# -- Upload on disk, and the writers of its files --------------------------------------------------


ARRIVED, STORED, _DAMAGED, _PROCESSED = "at", "stored", "damaged", "laid"
# limits the files that one request holds open
_HEADS_AT_ONCE = 16
# a writer that was silent for so long is replaced by the next
_STALE_TIMEOUT_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadManifest:
    """Announced content of an upload.

    label        folder of the files, which names the flight where `name` does not
    telemetry    which of the files is the flight log, if one is
    files        in the order of their numbers
    passed_over  files that the card holds besides, and that will not be here
    """

    upload_id: str
    owner: str
    created_s: float
    label: str
    name: str | None
    event: str | None
    telemetry: str | None
    files: tuple[UploadFile, ...]
    passed_over: SkippedFiles = NO_SKIPPED_FILES

    def list_numbers(self, kind: FileKind) -> list[int]:
        """List the numbers of files of one kind.

        The file that `telemetry` names is a log.
        """
        return [n for n, one in enumerate(self.files) if self._kind(one.path) is kind]

    def list_paths(self, kind: FileKind) -> list[str]:
        """List the paths of files of one kind, as `list_numbers`."""
        return [self.files[number].path for number in self.list_numbers(kind)]

    def _kind(self, path: str) -> FileKind | None:
        return FileKind.LOG if path == self.telemetry else detect_file_kind(path)

    def write(self, folder: Path) -> None:
        """Write the manifest durably and atomically. Raises OSError."""
        over = self.passed_over
        messages = [encode_message(one) for one in over.said]
        write_json(
            folder / MANIFEST_FILE, {**asdict(self), "passed_over": {"count": over.count, "said": messages}}
        )

    @staticmethod
    def read(folder: Path) -> UploadManifest:
        """Read a manifest. Raises OSError, ValueError, KeyError, TypeError."""
        record = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        files = tuple(UploadFile(**one) for one in record["files"])
        over = record["passed_over"]
        passed_over = SkippedFiles(count=over["count"], said=tuple(map(decode_message, over["said"])))
        return UploadManifest(**{**record, "files": files, "passed_over": passed_over})


class Upload:
    """An upload on disk. Thread-safe within the one process that receives.

    numbers  of its files, by kind
    """

    def __init__(self, folder: Path) -> None:
        """Open an existing upload.

        Raises OSError, ValueError, KeyError, TypeError where it is damaged.
        """
        self.folder = folder
        self.manifest = UploadManifest.read(folder)
        self.lock = threading.RLock()
        # One is held while a file is stored as an original, so that its path does not change. Videos have
        # their own: they take so long that photos of the card would wait for them.
        self.reading, self.reading_films = threading.Lock(), threading.Lock()
        self.numbers = {kind: self.manifest.list_numbers(kind) for kind in FileKind}
        self._journal = Journal(folder / JOURNAL_FILE)
        self._writers: dict[int, Writer] = {}
        self.offsets = [0] * len(self.manifest.files)
        self.stored: dict[int, str] = {}
        self.damaged: set[int] = set()  # of those that are stored
        self.is_laid = False
        # removed: its folder may be another upload's by now
        self.is_gone = False
        for word, number, value in self._journal.lines:
            if word == ARRIVED:
                self.offsets[number] = int(value)
            elif word == STORED:
                self.stored[number] = value
            elif word == _DAMAGED:
                self.damaged.add(number)
            elif word == _PROCESSED:
                self.is_laid = True
        self._journal.lines.clear()
        if self.is_laid:
            shutil.rmtree(folder / "card", ignore_errors=True)  # left by a kill
        self.touched_s = self.manifest.created_s  # time of the last arrival
        with suppress(FileNotFoundError):
            self.touched_s = max(self.touched_s, (folder / JOURNAL_FILE).stat().st_mtime)

    @property
    def upload_id(self) -> str:
        return self.manifest.upload_id

    @property
    def card(self) -> Path:
        """Folder that an ingest reads."""
        return self.folder / "card" / self.manifest.label

    def path(self, number: int) -> Path:
        """Return the path of a file's bytes.

        Raises NotFound for a number that was not announced.
        """
        if not 0 <= number < len(self.manifest.files):
            raise make_upload_not_found()
        return self.card / self.manifest.files[number].path

    def size(self, number: int) -> int:
        """Return the announced bytes of a file."""
        return self.manifest.files[number].size

    @property
    def is_received(self) -> bool:
        """True if every byte was acknowledged."""
        return all(at == file.size for at, file in zip(self.offsets, self.manifest.files, strict=True))

    @property
    def has_heads(self) -> bool:
        """True if a header of every photo is here; always for a card without photos."""
        return all(self.offsets[number] for number in self.numbers[FileKind.PHOTO])

    @property
    def has_logs(self) -> bool:
        """True if every flight log is complete."""
        return all(self.offsets[n] == self.size(n) for n in self.numbers[FileKind.LOG])

    @property
    def is_saved(self) -> bool:
        """True if every file is hashed and stored as an original.

        The card may then be erased if nothing else is on it (`missing_files`).
        """
        return len(self.stored) == len(self.manifest.files)

    @property
    def missing_files(self) -> SkippedFiles:
        """Files that are not here, or damaged, each with its name and cure.

        The card must be kept.
        """
        broken = SkippedFiles.from_errors(
            [make_damaged_file_error(self.manifest.files[number].path) for number in sorted(self.damaged)]
        )
        return self.manifest.passed_over.combine(broken)

    @property
    def has_photos_saved(self) -> bool:
        """True if all files but videos are stored as originals.

        Photos do not wait for videos.
        """
        films = set(self.numbers[FileKind.FILM])
        return all(n in self.stored or n in films for n in range(len(self.manifest.files)))

    def list_unstored(self, *, videos: bool) -> list[int]:
        """List complete files that are not stored as originals yet.

        Videos, or all others.
        """
        video_numbers = set(self.numbers[FileKind.FILM])
        complete = [n for n, file in enumerate(self.manifest.files) if self.offsets[n] == file.size]
        return [n for n in complete if n not in self.stored and (n in video_numbers) is videos]

    def get_reading_lock(self, number: int) -> threading.Lock:
        """Return the lock that is held while this file is stored as an original."""
        return self.reading_films if number in self.numbers[FileKind.FILM] else self.reading

    def update_announcement(self, name: str | None, event: str | None, passed_over: SkippedFiles) -> None:
        """Update the flight's name and event, and the skipped files.

        Name and event only while it is not on the map. Raises StorageFailed.
        """
        with self.lock:
            wished = replace(self.manifest, passed_over=passed_over)
            if not self.is_laid:
                wished = replace(wished, name=name or wished.name, event=event or wished.event)
            if wished == self.manifest:
                return
            try:
                wished.write(self.folder)
            except OSError as error:
                raise make_storage_error(self.folder, error) from error
            self.manifest = wished

    def note_stored(self, number: int, sha256: str, *, is_damaged: bool = False) -> None:
        """Note that a file is stored as an original, and whether it is damaged.

        Damaged includes truncated. Raises NotFound, StorageFailed.
        """
        self._note([*([(_DAMAGED, number, "-")] if is_damaged else []), (STORED, number, sha256)])
        if is_damaged:
            self.damaged.add(number)
        self.stored[number] = sha256

    def note_processed(self) -> None:
        """Note that the flight is on the map, and delete the bytes here.

        They are stored as originals.
        """
        # also around the deletion: removed and announced again, the folder would be another upload's
        with self.lock:
            self._note([(_PROCESSED, 0, "-")])
            self.is_laid = True
            shutil.rmtree(self.folder / "card", ignore_errors=True)

    def note_arrived(self, offsets: Sequence[tuple[int, int]]) -> None:
        """Acknowledge (number, offset) of files whose bytes are synced.

        Raises NotFound, StorageFailed.
        """
        with self.lock:
            self._note([(ARRIVED, number, str(offset)) for number, offset in offsets])
            for number, offset in offsets:
                self.offsets[number] = offset
            self.touched_s = time.time()

    def touch(self, now_s: float) -> None:
        """Restart the time to expiry, also after a restart. now_s: seconds since 1970."""
        self.touched_s = now_s
        with suppress(OSError):
            os.utime(self.folder / JOURNAL_FILE, (now_s, now_s))

    def end(self) -> None:
        """Stop all writing by holders of this upload, before its folder is deleted.

        The same card announced again makes another upload in the same place.
        """
        with self.lock:
            self.is_gone = True
            writers = list(self._writers.values())
        # without the lock: a writer is locked first, the upload after it
        for writer in writers:
            writer.drop()

    def _note(self, lines: Sequence[tuple[str, int, str]]) -> None:
        with self.lock:
            if self.is_gone:
                raise make_upload_not_found()
            try:
                self._journal.append(lines)
            except OSError as error:
                raise make_storage_error(self.folder, error) from error

    def writer(self, number: int, offset: int) -> Writer | None:
        """Return a writer for a file.

        None while another writes, or if `offset` is not its end. A writer that went silent (its connection
        was cut without notice) keeps what it wrote and is released. Raises NotFound, also once the upload is
        removed, StorageFailed.
        """
        path = self.path(number)
        # before the lock: a writer is locked first, the upload after it
        self.release_stale(number)
        with self.lock:
            if self.is_gone:
                raise make_upload_not_found()
            if number in self._writers or self.offsets[number] != offset:
                return None
            writer = self._writers[number] = Writer(self, number, path, offset)
            return writer

    def add_heads(self, heads: Sequence[tuple[int, bytes]]) -> None:
        """Add headers (number, bytes) of files that have no bytes yet.

        Others are left alone. The journal is synced once for many of them. Raises NotFound, StorageFailed.
        """
        for start in range(0, len(heads), _HEADS_AT_ONCE):
            writers: list[Writer] = []
            try:
                for number, head in heads[start : start + _HEADS_AT_ONCE]:
                    writer = self.writer(number, 0) if head else None
                    if writer is not None:
                        writers.append(writer)
                        writer.keeps_parts = False
                        writer.write(head)
                sealed = [(one.number, one.seal()) for one in writers]
                self.note_arrived([(number, offset) for number, offset in sealed if offset])
            finally:
                for one in writers:
                    one.drop()
                    self.release_writer(one)

    def is_written(self, number: int) -> bool:
        """Return True if a writer has this file now."""
        return number in self._writers

    @property
    def has_writers(self) -> bool:
        """True if any file has a writer now."""
        return bool(self._writers)

    def release_stale(self, number: int) -> None:
        """Release a writer that was silent for a while. Raises StorageFailed."""
        writer = self._writers.get(number)
        if writer is not None and time.monotonic() - writer.heard_s > _STALE_TIMEOUT_S:
            writer.close()

    def release_writer(self, writer: Writer) -> None:
        """Forget a writer that is done."""
        with self.lock:
            if self._writers.get(writer.number) is writer:
                del self._writers[writer.number]


class Writer:
    """Appends to one file.

    Bytes count after `commit`; uncommitted ones are overwritten later.
    """

    def __init__(self, upload: Upload, number: int, path: Path, offset: int) -> None:
        self.number = number
        self.heard_s = time.monotonic()
        self._upload = upload
        self._lock = threading.Lock()
        self._committed = self._at = offset
        self._open = True
        self.keeps_parts = True
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise make_storage_error(path, error) from error

    @property
    def remaining_bytes(self) -> int:
        """Bytes that remain of the announced size."""
        return self._upload.size(self.number) - self._at

    @property
    def uncommitted_bytes(self) -> int:
        """Bytes written and not committed."""
        return self._at - self._committed

    def write(self, data: bytes) -> bool:
        """Append bytes; return False, and write nothing, if another writer took over.

        Raises StorageFailed; DiskFull, before anything is written, where they would use up the space reserved
        for flights.
        """
        with self._lock:
            if not self._open:
                return False
            self.heard_s = time.monotonic()
            try:
                # it was checked at the announcement, but others have written since
                require_upload_space(self._upload.folder, get_free_bytes(self._upload.folder), len(data))
                done = 0
                while done < len(data):
                    done += os.pwrite(self._fd, data[done:], self._at + done)
            except OSError as error:
                raise make_storage_error(self._upload.folder, error) from error
            self._at += len(data)
            return True

    def commit(self) -> int:
        """Sync and acknowledge what was written; return the file's offset.

        Raises NotFound, StorageFailed.
        """
        with self._lock:
            return self._commit()

    def close(self) -> None:
        """Close the file, keeping what was written unless it had to be complete.

        Raises NotFound, StorageFailed.
        """
        with self._lock:
            if not self._open:
                return
            try:
                if self.keeps_parts:
                    self._commit()
            finally:
                self._open = False
                os.close(self._fd)
                self._upload.release_writer(self)

    def seal(self) -> int:
        """Sync and close the file, but keep its place until it is acknowledged.

        So nobody else appends before. Returns the file's offset; 0 if another took over. Raises
        StorageFailed.
        """
        with self._lock:
            if not self._open:
                return 0
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise make_storage_error(self._upload.folder, error) from error
            self._open = False
            os.close(self._fd)
            return self._at

    def drop(self) -> None:
        """Close the file without what was written since the last commit."""
        self.keeps_parts = False
        self.close()

    def _commit(self) -> int:
        if self._open and self._at > self._committed:
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise make_storage_error(self._upload.folder, error) from error
            self._upload.note_arrived([(self.number, self._at)])
            self._committed = self._at
        return self._committed
