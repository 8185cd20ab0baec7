"""Upload service: reception and processing of uploads while the server runs.

Five threads: one stores complete files as originals, except videos; one stores videos, one at a time and only
while no photo waits; one has headers checked; one has photos orthorectified; one has videos processed, which
takes so long that photos must not wait for it. The last three start a process for each piece of work, and
kill one that makes no progress or takes the machine's memory. All find their work on the disk, so that they
resume after a kill.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from weakref import WeakKeyDictionary

import psutil

from flycam.catalog.retention import UploadedFile
from flycam.errors import (
    EXIT_STORAGE,
    FlycamError,
    FrameUnreadable,
    NotFound,
    OriginalPurged,
    StorageFailed,
    format_error,
)
from flycam.http.guards import Principal, Services
from flycam.http.protocol import Refused
from flycam.ingest.photos.photo_search import FileKind, detect_file_kind
from flycam.ingest.upload.memory_card import UploadFile
from flycam.ingest.upload.registry import UploadRegistry
from flycam.ingest.upload.upload import (
    PHOTOS_RESULT_FILE,
    PREVIEW_FILE,
    PROGRESS_FILE,
    READING_FILE,
    VIDEOS_RESULT_FILE,
    Upload,
    make_upload_not_found,
    read_json_file,
    require_upload_space,
    write_json,
)
from flycam.media.mp4 import is_complete_movie
from flycam.media.pixels import read_pixel_checks
from flycam.messages import Message, _
from flycam.model.access import Role
from flycam.originals import store_original
from flycam.storage.files import compute_sha256
from flycam.workspace import Workspace

# -- Storage of an upload's files as originals -----------------------------------------------------


_MOVIES = frozenset({".mp4", ".mov", ".m4v"})


def store_upload_file(workspace: Workspace, upload: Upload, number: int) -> None:
    """Store a complete file as an original, under its hash.

    Raises NotFound, StorageFailed, SourceUnreadable; DiskFull, before anything is written, where it would use
    up the space reserved for flights.

    Bytes that another process has stored but not flushed are safe all the same: the upload's own copy is
    synced, and stays until the flight is on the map. A purged original is not stored again: the processing
    reports it.
    """

    def check_room() -> None:
        free = workspace.store.free_bytes()
        if free is not None:
            require_upload_space(upload.folder, free, upload.size(number))

    # otherwise zeros of the same card, announced again, could be stored under the hash of its bytes
    with upload.get_reading_lock(number):
        if upload.is_gone:
            raise make_upload_not_found()
        try:
            sha256 = store_original(workspace, upload.path(number), before_put=check_room)
            _note(workspace, upload, number, sha256)
        except OriginalPurged:
            sha256 = compute_sha256(upload.path(number))
        upload.note_stored(number, sha256, is_damaged=_is_damaged(upload.path(number)))


def _is_damaged(path: Path) -> bool:
    """Return True if a photo does not decode, or a video is truncated.

    Then only the card may have it intact. MPEG-TS and Matroska, which play up to where they end, are not
    checked.
    """
    if detect_file_kind(path.name) is FileKind.PHOTO:
        try:
            read_pixel_checks(path)
        except FrameUnreadable:
            return True
    if path.suffix.lower() in _MOVIES:
        with path.open("rb") as file:

            def read_at(offset: int, length: int) -> bytes:
                return os.pread(file.fileno(), length, offset)

            return not is_complete_movie(read_at, path.stat().st_size)
    return False


def _note(workspace: Workspace, upload: Upload, number: int, sha256: str) -> None:
    """Note that an upload brought a photo or video.

    Its own term applies if no flight uses it.
    """
    manifest = upload.manifest
    if number in manifest.list_numbers(FileKind.LOG):
        return
    file = UploadedFile(
        sha256=sha256,
        name=PurePosixPath(manifest.files[number].path).name,
        event_id=_event_id(workspace, manifest.event),
        came_ns=workspace.clock_ns(),
    )
    workspace.catalog.retention.note_uploaded(file)


def _event_id(workspace: Workspace, event: str | None) -> str:
    """Return the id of the event that an upload names, if it is on record by now."""
    try:
        return workspace.catalog.flights.event(event).event_id if event else ""
    except NotFound:
        return ""


# -- Upload service, and the watchdog of its processes ---------------------------------------------


MAX_WRITERS = 32
_LOG = logging.getLogger("flycam.serve")
_POLL_S = 1.0
_RETRY_S = 5.0
_EXPIRE_S = 3600.0
_MAX_TRIES = 3
_TERMINATE_TIMEOUT_S = 5.0
# no step of an ingest is silent for so long on the slowest machine
_SILENCE_TIMEOUT_S = 20 * 60.0
_MAX_TERMINATIONS = 2
_MAX_MEMORY_SHARE = 0.75  # of the machine's memory
_MAX_LOG_BYTES, _KEPT_LOG_BYTES = 4 << 20, 1 << 20
# counts of ended processes by kind of work, kept over restarts
_TERMINATIONS_FILE = "ended.json"


@dataclass(slots=True)
class _WorkBackoff:
    """Delay of one piece of work on an upload.

    Forgotten with the upload: the same memory card announced again starts anew.
    """

    tries: int = 0
    not_before_s: float = 0.0
    why: Message | None = None


class UploadService:
    """Uploads of one server. `start` before, `stop` after serving."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._uploads: UploadRegistry | None = None
        self._refusal: FlycamError | None = None
        self._stop = threading.Event()
        self._news = {name: threading.Event() for name in ("keep", "keep-films", "look", "lay", "film")}
        self._threads: list[threading.Thread] = []
        self._writers: Counter[str] = Counter()
        self._holds: WeakKeyDictionary[Upload, dict[str, _WorkBackoff]] = WeakKeyDictionary()
        # uploads whose lock a process holds
        self._worked: set[str] = set()
        self._worked_lock = threading.Lock()

    @property
    def uploads(self) -> UploadRegistry:
        """Registry of uploads.

        Raises StorageFailed, with the reason, where none are received.
        """
        if self._uploads is not None:
            return self._uploads
        raise self._refusal or StorageFailed(
            _("this server receives no uploads; start it with 'flycam serve'")
        )

    def start(self) -> None:
        """Start to receive uploads.

        If that is impossible, the rest is served all the same.
        """
        if self._services.uploads_dir is None:
            return
        self._stop.clear()
        try:
            self._uploads = UploadRegistry(self._services.uploads_dir)
        except StorageFailed as error:
            self._refusal = error
            return
        lanes: list[tuple[str, Callable[[Upload], bool]]] = [
            ("keep", self._store_files),
            ("keep-films", self._store_videos),
        ]
        if self._services.upload_work:
            lanes += [
                ("look", self._preview_photos),
                ("lay", self._ingest_photos),
                ("film", self._ingest_videos),
            ]
        for name, work in lanes:
            thread = threading.Thread(target=self._run, args=(name, work), name=f"upload-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the work and let another process receive."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(_TERMINATE_TIMEOUT_S)
        self._threads.clear()
        if self._uploads is not None:
            self._uploads.close()
            self._uploads = None

    def wake(self) -> None:
        """Wake the threads: something arrived."""
        for news in self._news.values():
            news.set()

    def open(
        self,
        visitor: Principal,
        files: Sequence[UploadFile],
        *,
        folder: str = "",
        name: str | None = None,
        event: str | None = None,
        telemetry: str | None = None,
        is_new: bool = False,
    ) -> Upload:
        """Open an upload as `UploadRegistry.open`; audit a new one."""

        def began(upload: Upload) -> None:
            taken = upload.manifest.files
            summary = f"{len(taken)} files, {sum(one.size for one in taken)} bytes"
            self._services.workspace.catalog.audit.append(visitor.name, "upload", upload.upload_id, summary)

        return self.uploads.open(
            visitor.name,
            files,
            folder=folder,
            name=name,
            event=event,
            telemetry=telemetry,
            is_new=is_new,
            began=began,
        )

    def find_upload(self, upload_id: str, visitor: Principal) -> Upload:
        """Return an upload of the principal's own, or any for an administrator.

        Raises NotFound for all others.
        """
        upload = self.uploads.get(upload_id)
        if upload.manifest.owner != visitor.name and not visitor.has_role(Role.ADMIN):
            raise make_upload_not_found()
        return upload

    @contextmanager
    def place(self, visitor: Principal) -> Iterator[None]:
        """Hold one of the principal's places for bodies on their way. Raises Refused 429."""
        if self._writers[visitor.name] >= MAX_WRITERS:
            raise Refused(
                429,
                _("{count} files are being sent at once already: send fewer at a time", count=MAX_WRITERS),
                {"Retry-After": "2"},
            )
        self._writers[visitor.name] += 1
        try:
            yield
        finally:
            self._writers[visitor.name] -= 1

    def retry_failed(self, upload: Upload) -> None:
        """Try failed work once more."""
        for name, file in (("lay", PHOTOS_RESULT_FILE), ("film", VIDEOS_RESULT_FILE)):
            hold = self._get_backoff(upload, name)
            if "error" in (read_json_file(upload.folder, file) or {}):
                (upload.folder / file).unlink(missing_ok=True)
                (upload.folder / _TERMINATIONS_FILE).unlink(missing_ok=True)
                hold.tries = 0
            hold.not_before_s = 0.0
        self.wake()

    def get_trouble(self, upload: Upload) -> Message | None:
        """Return what delays an upload now; None: nothing."""
        whys = (self._get_backoff(upload, name).why for name in ("lay", "film", "keep", "keep-films", "look"))
        return next(filter(None, whys), None)

    def _get_backoff(self, upload: Upload, name: str) -> _WorkBackoff:
        return self._holds.setdefault(upload, {}).setdefault(name, _WorkBackoff())

    # -- the threads ----------------------------------------------------------------------------

    def _run(self, name: str, work: Callable[[Upload], bool]) -> None:
        # not at once: the clock of a machine that just started may not be set yet
        expired_s = time.monotonic()
        while not self._stop.is_set():
            self._news[name].clear()
            if name == "keep" and time.monotonic() - expired_s > _EXPIRE_S:
                expired_s = time.monotonic()
                self._expire()
            is_busy = False
            for upload in reversed(self.uploads.list_uploads()):
                if self._stop.is_set():
                    return
                hold = self._get_backoff(upload, name)
                if hold.not_before_s > time.monotonic():
                    continue
                try:
                    if work(upload):
                        is_busy, hold.why = True, None
                except Exception as error:  # noqa: BLE001  one upload's trouble must not end the work on the others
                    if upload.is_gone:
                        continue
                    if not isinstance(error, (FlycamError, OSError)):
                        _LOG.exception("upload %s, %s", upload.upload_id, name)
                    self._postpone(upload, name, format_error(error))
            if not is_busy:
                self._news[name].wait(_POLL_S)

    def remove(self, upload: Upload, visitor: Principal) -> None:
        """Remove an upload as `UploadRegistry.remove`, audited before it goes."""
        audit, upload_id = self._services.workspace.catalog.audit, upload.upload_id
        self.uploads.remove(
            upload,
            note=lambda __: audit.append(visitor.name, "upload removed", upload_id),
            stays=lambda __: audit.append(visitor.name, "upload not removed", upload_id),
        )

    def _expire(self) -> None:
        audit = self._services.workspace.catalog.audit

        def note(upload: Upload) -> None:
            manifest = upload.manifest
            entry = f"{manifest.owner}: {manifest.label}, {len(upload.stored)} of {len(manifest.files)} files"
            audit.append("flycam", "upload expired", upload.upload_id, entry)

        def stays(upload: Upload) -> None:
            audit.append("flycam", "upload not removed", upload.upload_id)

        try:
            self.uploads.expire(note, stays)
        except Exception:  # noqa: BLE001  it is looked at again in an hour; what arrives must be kept meanwhile
            _LOG.exception("uploads that nobody went on with could not be forgotten")

    def _postpone(self, upload: Upload, name: str, why: Message) -> None:
        hold = self._get_backoff(upload, name)
        hold.not_before_s = time.monotonic() + _RETRY_S
        hold.why = why

    def _store_files(self, upload: Upload) -> bool:
        """Store complete files, except videos, as originals; return True if any waited."""
        waiting = upload.list_unstored(videos=False) if not upload.is_laid else []
        for number in waiting:
            store_upload_file(self._services.workspace, upload, number)
            self._get_backoff(upload, "keep").why = None
        if waiting and upload.has_photos_saved:
            self._news["lay"].set()
            self._news["film"].set()
            self._news["keep-films"].set()
        return bool(waiting)

    def _store_videos(self, upload: Upload) -> bool:
        """Store whole videos, while no photo of any memory card waits to be stored."""
        waiting = upload.list_unstored(videos=True) if not upload.is_laid else []
        for number in waiting:
            if self._stop.is_set() or self._has_waiting_photos():
                return False
            store_upload_file(self._services.workspace, upload, number)
            self._get_backoff(upload, "keep-films").why = None
        if waiting and upload.is_saved:
            self._news["film"].set()
        return bool(waiting)

    def _has_waiting_photos(self) -> bool:
        """Return True if photos can be stored now; cards that are delayed do not count."""
        now_s = time.monotonic()
        return any(
            not one.is_laid
            and one.list_unstored(videos=False)
            and self._get_backoff(one, "keep").not_before_s <= now_s
            for one in self.uploads.list_uploads()
        )

    def _preview_photos(self, upload: Upload) -> bool:
        if not upload.has_heads or upload.is_laid:
            return False
        preview = read_json_file(upload.folder, PREVIEW_FILE)
        if preview is not None and not (preview.get("awaits_logs") and upload.has_logs):
            return False
        (upload.folder / PREVIEW_FILE).unlink(missing_ok=True)
        return self._run_work(upload, "look", PREVIEW_FILE)

    def _ingest_photos(self, upload: Upload) -> bool:
        if not upload.has_photos_saved or upload.is_laid or not upload.numbers[FileKind.PHOTO]:
            return False
        if read_json_file(upload.folder, PHOTOS_RESULT_FILE) is None:
            is_done = self._run_work(upload, "lay", PHOTOS_RESULT_FILE)
            self._news["film"].set()
            return self._finish_upload(upload) or is_done
        return self._finish_upload(upload)

    def _ingest_videos(self, upload: Upload) -> bool:
        if not upload.is_saved or upload.is_laid or not upload.numbers[FileKind.FILM]:
            return False
        if upload.numbers[FileKind.PHOTO] and read_json_file(upload.folder, PHOTOS_RESULT_FILE) is None:
            # the videos belong to the photos' flight
            return False
        if read_json_file(upload.folder, VIDEOS_RESULT_FILE) is None:
            is_done = self._run_work(upload, "film", VIDEOS_RESULT_FILE)
            return self._finish_upload(upload) or is_done
        return self._finish_upload(upload)

    def _finish_upload(self, upload: Upload) -> bool:
        """Delete the card's bytes once all that can be is on the map; return True if so.

        Where photos or videos failed as a whole they stay, to be tried again.
        """
        is_failed = any(
            "error" in (read_json_file(upload.folder, file) or {})
            for file in (PHOTOS_RESULT_FILE, VIDEOS_RESULT_FILE)
        )
        if not upload.is_saved or is_failed or "flight_id" not in (get_upload_result(upload) or {}):
            return False
        upload.note_processed()
        return True

    def _run_work(self, upload: Upload, what: str, result: str) -> bool:
        """Let a process do the work, to its end or to the server's.

        Not while another works on the same upload, for which it would wait and delay the others.
        """
        with self._worked_lock:
            if upload.upload_id in self._worked:
                return False
            self._worked.add(upload.upload_id)
        try:
            return self._run_work_process(upload, what, result)
        finally:
            with self._worked_lock:
                self._worked.discard(upload.upload_id)
            self.wake()

    def _run_work_process(self, upload: Upload, what: str, result: str) -> bool:
        command = [*self._services.upload_work, upload.upload_id, what]
        why: Message | None = None
        with (upload.folder / "work.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603  our own
            self._services.workspace.power.release_process(process.pid)
            watch = _WorkWatchdog(upload, what, process.pid)
            try:
                while process.poll() is None and not (upload.is_gone or self._stop.wait(0.1)):
                    _truncate_log(log.fileno())
                    if (why := watch.find_trouble()) is not None:
                        break
            finally:
                if process.poll() is None:
                    process.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_TERMINATE_TIMEOUT_S)
                if why is not None:
                    # it holds the upload's lock, and may ignore SIGTERM where it hangs
                    process.kill()
                    process.wait()
                _truncate_log(log.fileno())
        if upload.is_gone or self._stop.is_set() or (upload.folder / result).exists():
            return True
        if process.returncode == EXIT_STORAGE:
            self._postpone(upload, what, _STORAGE_REASON)
            return False
        hold = self._get_backoff(upload, what)
        hold.tries += 1
        if why is not None:
            ended = read_json_file(upload.folder, _TERMINATIONS_FILE) or {}
            ended[what] = ended.get(what, 0) + 1
            write_json(upload.folder / _TERMINATIONS_FILE, ended)
        if hold.tries >= _MAX_TRIES or (why is not None and ended[what] >= _MAX_TERMINATIONS):
            # failed: the upload is no longer delayed
            hold.why = None
            write_json(upload.folder / result, {"error": "Ended", **(why or _ENDED_REASON).to_fields()})
        else:
            self._postpone(upload, what, why or _ENDED_REASON)
        return False


class _WorkWatchdog:
    """Watchdog of a process that works on an upload: its progress and its memory."""

    def __init__(self, upload: Upload, what: str, pid: int) -> None:
        self._upload, self._what, self._pid = upload, what, pid
        self._begun_s = time.time()
        self._last_signs: tuple[float, ...] = ()
        self._last_sign_s = self._looked_s = time.monotonic()

    def find_trouble(self) -> Message | None:
        """Return why it is to be ended, with the file it was reading; None: it works on."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _POLL_S:
            return None
        self._looked_s = now_s
        signs = tuple(_read_modified_s(self._upload, name) for name in (PROGRESS_FILE, READING_FILE))
        if signs != self._last_signs:
            self._last_signs, self._last_sign_s = signs, now_s
        if now_s - self._last_sign_s > _SILENCE_TIMEOUT_S:
            return self._describe_trouble(
                _(
                    "the program that read it got no further for {minutes} minutes",
                    minutes=round(_SILENCE_TIMEOUT_S / 60),
                )
            )
        if _measure_memory(self._pid) > _MAX_MEMORY_SHARE * psutil.virtual_memory().total:
            return self._describe_trouble(
                _("the program that read it took more memory than this machine can spare")
            )
        return None

    def _describe_trouble(self, why: Message) -> Message:
        """Format the reason with the file that was last read.

        The memory card's label where that file is unknown.
        """
        read_s = _read_modified_s(self._upload, READING_FILE)
        # photos' flight logs are read before the first progress, a video's while it is orthorectified
        later_s = 0.0 if self._what == "film" else _read_modified_s(self._upload, PROGRESS_FILE)
        file = (read_json_file(self._upload.folder, READING_FILE) or {}).get("file")
        is_known = bool(file) and read_s >= max(later_s, self._begun_s)
        return _(
            "{name}: {why} and was ended; all files are kept: send the card again {cure}",
            name=file if is_known else self._upload.manifest.label,
            why=why,
            cure=_("without this file") if is_known else _("in smaller parts"),
        )


def _read_modified_s(upload: Upload, name: str) -> float:
    try:
        return (upload.folder / name).stat().st_mtime
    except OSError:
        return 0.0


def _measure_memory(pid: int) -> int:
    """Return the memory of a process and its children, in bytes.

    Without shared pages: files that they map belong to the system's cache.
    """
    used_bytes = 0
    # the process may have ended
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                memory = one.memory_info()
                used_bytes += memory.rss - getattr(memory, "shared", 0)
    return used_bytes


def _truncate_log(log: int) -> None:
    """Truncate a log to its beginning, which says how it began to go wrong.

    A log of the input may be as long as that input.
    """
    if os.fstat(log).st_size > _MAX_LOG_BYTES:
        os.truncate(log, _KEPT_LOG_BYTES)


_STORAGE_REASON = _(
    "store or database did not answer while the upload was worked on; it is tried again by itself"
)
_ENDED_REASON = _(
    "the program that worked on it ended without a message; the files are safe: see work.log of the upload"
)


def get_upload_result(upload: Upload) -> dict[str, Any] | None:
    """Return the result of an upload, photos and videos together.

    It has `flight_id` or `error`; None: not all of it was tried.
    """
    photos, films = (
        read_json_file(upload.folder, PHOTOS_RESULT_FILE),
        read_json_file(upload.folder, VIDEOS_RESULT_FILE),
    )
    has_photos = bool(upload.numbers[FileKind.PHOTO])
    if (has_photos and photos is None) or (upload.numbers[FileKind.FILM] and films is None):
        return None
    photos, films = photos or {}, films or {}
    # the videos' process died: the photos are on the map
    if "error" in films and "flight_id" in photos:
        sentences = {key: films[key] for key in ("sentence", "sentence_vi")}
        return {**photos, "films": [{"name": "", "frames": 0, **sentences}]}
    return films if "error" in photos and films else {**photos, **films}


def is_in_progress(upload: Upload) -> bool:
    """Return True if the upload is being orthorectified, or soon will be.

    Photos do not wait for the videos.
    """
    if upload.is_laid or not upload.has_photos_saved:
        return False
    is_due = (
        bool(upload.numbers[FileKind.PHOTO]) and read_json_file(upload.folder, PHOTOS_RESULT_FILE) is None
    )
    return is_due or (upload.is_saved and get_upload_result(upload) is None)


def get_upload_result_so_far(upload: Upload) -> dict[str, Any] | None:
    """Return `get_upload_result`; before videos were tried, the result of the photos."""
    return get_upload_result(upload) or read_json_file(upload.folder, PHOTOS_RESULT_FILE)


def get_upload_progress(upload: Upload) -> dict[str, Any] | None:
    """Return the progress of orthorectification."""
    return None if upload.is_laid else read_json_file(upload.folder, PROGRESS_FILE)
