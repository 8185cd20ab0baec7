"""Regular files and disk space: guarded opening, atomic writing, syncing, free space.

Readers of foreign files are guarded. A pipe that is named like a photo or a part of a bundle would block for
ever, and a link in the place of a file that is to be written leads to another one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import itertools
import json
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Concatenate, ParamSpec, Self, TypeVar

import zstandard

from flycam.errors import (
    DiskFull,
    FlycamError,
    InputUnusable,
    SourceUnreadable,
    StorageFailed,
    UnexpectedSource,
)
from flycam.messages import Message, _
from flycam.model.text import to_visible
from flycam.model.warning import SPACE_FREED, encode_warning

if TYPE_CHECKING:
    from flycam.storage.keys import ObjectStore

# -- Free disk space: thresholds, consequences of each, and a guard of writes ----------------------
#
# free            what happens
# ------------    ------------
# below 3.2 GB    a flight about to be orthorectified first evicts what can be made again
#                 (`flycam.mosaic.eviction`)
# below 2.1 GB    video recording waits: orthorectified frames and the mosaic are worth more
# below 1.1 GB    uploads, packs and fetches wait, which they can. From other nodes only records (among them
#                 withdrawals and redactions) and overview tiles are accepted; tiles, terrain and photos wait
# below 34 MB     no photo or tile is begun: the rest is the catalogue's, so that it closes what was
#                 begun, and withdrawals, marks and the audit log are still written
# below 4 MB      opening the data folder releases its reserve (`release_reserve`): without room for the
#                 index of SQLite's write-ahead log not even reading works


DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota and a file system's largest file."""


def make_write_error(error: OSError, message: Message) -> StorageFailed:
    """Make DiskFull of a disk or a quota that is full, StorageFailed of other trouble."""
    return (DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed)(message)


LOW_SPACE_BYTES = 3 << 30
"""Below this, what can be made again is evicted for flights."""

RECORDING_BYTES = 2 << 30
"""Left free by video recording."""

SPARE_BYTES = 1 << 30
"""Left free for flights and the catalogue by uploads, packs and fetches."""

RESERVED_BYTES = 32 << 20
"""Left free for the catalogue by flights: some 100,000 lines of the tile log, with their indices."""

RESERVE_NAME = ".reserve"
_RESERVE_BYTES, _MIN_RESERVE_BYTES = 8 << 20, 1 << 20
_FULL_BYTES = 4 << 20
# at most this part of the free space, so that a small disk is not filled by its reserve
_SHARE = 8


def get_free_bytes(folder: Path) -> int:
    """Return the free bytes of a folder's disk; the folder need not exist yet.

    Raises OSError.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


@contextmanager
def release_reserve(folder: Path) -> Iterator[None]:
    """Keep a reserve file in a folder; release it inside the block on a full disk.

    Nothing else that fills the disk can take the reserved space, so it remains possible to read, to sign in
    and to delete. Only writes made while it is released can use it up.
    """
    reserve, released = folder / RESERVE_NAME, 0
    # the disk may be read-only, or filled by others meanwhile
    with suppress(OSError):
        free = get_free_bytes(folder)
        if free >= _FULL_BYTES:
            _hold(reserve, min(_RESERVE_BYTES, free // _SHARE))
        elif reserve.exists():
            released = reserve.stat().st_size
            reserve.unlink(missing_ok=True)
    try:
        yield
    finally:
        if released:
            with suppress(OSError):
                _hold(reserve, min(released, get_free_bytes(folder)))


def _hold(reserve: Path, size: int) -> None:
    """Make the reserve file, or enlarge it. Raises OSError."""
    if size < _MIN_RESERVE_BYTES or (reserve.exists() and reserve.stat().st_size >= size):
        return
    with reserve.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def require_free_space(
    place: Path, free: int, more_bytes: int, resume: Message, min_free_bytes: int = SPARE_BYTES
) -> None:
    """Raise DiskFull, with the cure, unless `more_bytes` fit into the free space.

    They do not fit if they leave less than `min_free_bytes` of the `free` bytes of another machine.
    resume: that the transfer resumes by itself.
    """
    if free - more_bytes >= min_free_bytes:
        return
    gb, gb_spare = free / 1e9, SPARE_BYTES / 1e9
    raise DiskFull(
        _(
            "{place}: the server has {gb:.1f} GB left, of which {gb_spare:.1f} GB stay free "
            "for flights; free some there, then it {resume} from where it is",
            place=place,
            gb=gb,
            gb_spare=gb_spare,
            resume=resume,
        )
    )


# -- Guard of free disk space ----------------------------------------------------------------------
#
# Checked before photos and groups of tiles are written: the disks of a local store and of the catalogue's
# file (a system call each). An S3 store and a database server do not report free space: they raise when they
# are full.


GROUP_BYTES = 16 << 20
"""Upper estimate of the bytes of a group of tiles with its ancestors."""

# between two searches for what can be evicted
_PAUSE_S, _PAUSE_IN_NEED_S = 60.0, 5.0


@dataclass(frozen=True, slots=True)
class Freed:
    """Evicted data, all of which can be made again, and its size.

    tiles       old tile states; clips: old clips; copies: local copies and stage files
    size_bytes  of all of it
    """

    tiles: int = 0
    clips: int = 0
    copies: int = 0
    size_bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        return Freed(
            self.tiles + other.tiles,
            self.clips + other.clips,
            self.copies + other.copies,
            self.size_bytes + other.size_bytes,
        )

    def __bool__(self) -> bool:
        return self.tiles + self.clips + self.copies > 0


@dataclass(frozen=True, slots=True)
class DiskVolume:
    """A disk that is written to, under a name that people know, with its free bytes."""

    name: str
    free_bytes: int


FreeSpace = Callable[[int, str | None], Freed]
"""Frees space until so many bytes are free; takes the name of the flight's lock that the caller holds, if
any.
"""


class DiskSpaceGuard:
    """Guard of free disk space for one command. Thread-safe.

    free   frees space; None: nothing is deleted, and only the reserve is guarded
    freed  what was evicted so far
    """

    def __init__(self, free: FreeSpace | None = None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._free, self._clock_s = free, clock_s
        self._tried: dict[str | None, float] = {}
        self._pause_s = _PAUSE_S
        self._guard = threading.Lock()
        self.freed = Freed()

    def require_space(
        self, look: Callable[[], DiskVolume | None], more_bytes: int = 0, *, held_lock: str | None = None
    ) -> None:
        """Free space where it is low; raise DiskFull if too little remains.

        It is raised if the write would use up the reserve. The reserve is kept for the catalogue
        (`RESERVED_BYTES`).

        look        the disk with the least free space, None where it is unknown
        more_bytes  that are about to be written
        held_lock   the lock under which the caller writes a flight's tiles, if he alone does and writes none
                    before this returns: then old states of that flight may be evicted too
        """
        low, least = LOW_SPACE_BYTES + more_bytes, RESERVED_BYTES + more_bytes
        place = look()
        if place is None or place.free_bytes >= low:
            return
        with self._guard:
            if self._free is not None and self._is_time(held_lock, is_needed=place.free_bytes < least):
                began_s = self._clock_s()
                self.freed += self._free(low, held_lock)
                self._tried[held_lock] = ended_s = self._clock_s()
                # a search through a large node takes long: most of the time belongs to flights
                self._pause_s = max(_PAUSE_S, 10.0 * (ended_s - began_s))
            place = look()
        if place is not None and place.free_bytes < least:
            raise make_disk_full_error(place)

    def free_space(self, wanted_bytes: int) -> None:
        """Free space until so many bytes are free, as far as possible."""
        if self._free is not None:
            with self._guard:
                self.freed += self._free(wanted_bytes, None)

    def _is_time(self, holding: str | None, *, is_needed: bool) -> bool:
        before_s = self._tried.get(holding)
        pause_s = _PAUSE_IN_NEED_S if is_needed else self._pause_s
        return before_s is None or self._clock_s() >= before_s + pause_s

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about evicted data, as `flycam.model.warning` encodes them.

        Empty if nothing was.
        """
        return (describe_freed(self.freed),) if self.freed else ()


def describe_freed(freed: Freed) -> str:
    """Encode evicted data as a warning of `flycam.model.warning`."""
    return encode_warning(
        SPACE_FREED,
        mb=f"{freed.size_bytes / 1e6:.1f}",
        tiles=freed.tiles,
        clips=freed.clips,
        copies=freed.copies,
    )


def list_disks(store: ObjectStore, catalogue: Path | None) -> list[DiskVolume]:
    """List the disks of the store and of the catalogue's folder, as far as known.

    Raises StorageFailed.
    """
    found = []
    in_store = store.free_bytes()
    if in_store is not None:
        found.append(DiskVolume(str(store), in_store))
    if catalogue is not None:
        # a disk that cannot be queried raises at the first write
        with suppress(OSError):
            found.append(DiskVolume(str(catalogue), get_free_bytes(catalogue)))
    return found


def make_disk_full_error(place: DiskVolume) -> DiskFull:
    """Make the error for flights, which must leave the catalogue its reserve."""
    left, kept = f"{place.free_bytes / 1e6:.0f} MB", f"{RESERVED_BYTES / 1e6:.0f} MB"
    return DiskFull(
        _(
            "{name}: no space left for flights: {left} are free, and the last {kept} are "
            "kept for the catalogue; nothing is lost: free some there ('flycam collect', a "
            "smaller --keep-video, or a larger disk) and run again",
            name=place.name,
            left=left,
            kept=kept,
        )
    )


# -- Regular files: opening, checks, syncing, atomic writing, bounded decoding, scratch files ------


# -- Bounded decoding of data from others: one Zstandard frame, JSON -------------------------------


_MIN_BYTES_PER_VALUE, _FEW = 6, 10_000
"""Bytes a value of JSON that a program writes: messages between nodes take more than twice as much."""


def decompress_zstd(data: bytes) -> bytes:
    """Decompress the only Zstandard frame in `data`; raise ZstdError.

    The caller has checked the size that it declares.
    """
    return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)


def read_decompressed_size(data: bytes) -> int:
    """Return the decompressed size that the frame header states; 0 if it states none."""
    try:
        return max(0, zstandard.frame_content_size(data))
    except zstandard.ZstdError:
        return 0


def decompress_bounded(data: bytes, max_bytes: int) -> bytes:
    """Decompress `data`.

    ValueError if the result would be larger than `max_bytes` or its size is not stated; ZstdError for
    damage.
    """
    size = read_decompressed_size(data)
    if not 0 < size <= max_bytes:
        raise ValueError(f"{size} bytes")
    return decompress_zstd(data)


def parse_bounded_json(data: bytes, max_values: int) -> Any:
    """Parse JSON of at most `max_values` values.

    Each value takes some 100 bytes of memory, however few it takes in the text. Raises ValueError, before
    parsing, where there may be more values than that, or more than a program writes in so many bytes; also
    where it is nested too deep.
    """
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > max_values or values * _MIN_BYTES_PER_VALUE > len(data) + _FEW * _MIN_BYTES_PER_VALUE:
        raise ValueError(f"{values} values in {len(data)} bytes")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


# -- Syncing to disk: one file or folder, or a whole file system at once ---------------------------


_libc = ctypes.CDLL(None, use_errno=True)
_syncfs = getattr(_libc, "syncfs", None)


def sync_path(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, survive a power cut.

    Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents; their names survive a power cut.

    Raises OSError.
    """
    missing = []
    above = folder
    while not above.is_dir() and above != above.parent:
        missing.append(above)
        above = above.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        # a folder that is writable but not readable cannot be opened to be synced
        with suppress(PermissionError):
            sync_path(made.parent)


def move_into_place(part: Path, target: Path) -> None:
    """Sync a file, then rename it to its final name.

    After a power cut there is the whole file or what was there before, never a name without bytes.
    Raises OSError.
    """
    sync_path(part)
    part.replace(target)
    # some file systems of USB sticks cannot sync folders
    with suppress(OSError):
        sync_path(target.parent)


def sync_filesystem(fd: int) -> bool:
    """Sync the whole file system of `fd` at once; return False if unsupported.

    One call for hundreds of files costs about as much as one fsync; Linux also reports write-back errors
    that happened since `fd` was opened. Raises OSError.
    """
    if _syncfs is None:
        return False
    if _syncfs(fd) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number))


# -- Opening, creation and checks of regular files, and guards for readers of foreign files --------


P = ParamSpec("P")
R = TypeVar("R")


def open_regular(path: Path) -> FileIO:
    """Open a file for unbuffered reading, links followed.

    Raises OSError, also for a folder; SourceUnreadable for a pipe, a socket or a device, which is not opened:
    that may wait for its other end, or start a machine.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise make_not_regular(path)
    return path.open("rb", buffering=0)


def create_regular(path: Path, mode: int = 0o644) -> BinaryIO:
    """Create a file for writing in place of any that is there; follow no link.

    Only its owner may write it, whatever the umask. Raises OSError.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, mode), "wb")


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a whole file, links followed.

    Raises OSError; SourceUnreadable if it is longer than `max_bytes`, and as `open_regular`.
    """
    with BufferedReader(open_regular(path)) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        most = f"{max_bytes >> 20} MB" if max_bytes >> 20 else f"{max_bytes >> 10} KB"
        raise SourceUnreadable(
            _(
                "{name}: is larger than the {most} that such a file may be: check that it is the right one",
                name=path.name,
                most=most,
            )
        )
    return data


class HashCheckedFile:
    """A file opened once, read to the end only if it has the expected bytes.

    sha256  of them; None accepts any. Raises OSError, and SourceUnreadable as `open_regular`
    """

    def __init__(self, path: Path, sha256: str | None) -> None:
        self._file = open_regular(path)
        self._name = path.name
        self._expected, self._digest = sha256, hashlib.sha256()
        self.size_bytes, self._read_bytes = os.fstat(self._file.fileno()).st_size, 0

    def __enter__(self) -> Self:
        if not self.size_bytes:
            # an empty file may never be read by the caller, so check its hash here
            self.read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, max_bytes: int = -1, /) -> bytes:
        """Return the next bytes, b"" at the end.

        Raises SourceUnreadable at the end if the file's hash is not the expected one.
        """
        data = self._file.read(max_bytes)
        self._digest.update(data)
        self._read_bytes += len(data)
        # a caller that knows the size does not read past it
        is_last = not data or self._read_bytes >= self.size_bytes
        if is_last and self._expected not in (None, self._digest.hexdigest()):
            raise make_file_changed(self._name)
        return data


def make_file_changed(name: str) -> SourceUnreadable:
    """Make the error of a file that changed since it was inspected."""
    shown = to_visible(name)
    return SourceUnreadable(
        _("{shown}: changed while it was read; leave the card alone and run again", shown=shown)
    )


def make_unopenable(path: Path | str, error: OSError) -> SourceUnreadable:
    """Make the error of a file that cannot be opened."""
    return SourceUnreadable(
        _("{path}: cannot be opened ({strerror}): check the path", path=path, strerror=error.strerror)
    )


def require_regular(folder: Path, prefix: str = "") -> None:
    """Raise SourceUnreadable for a pipe or device among the files of a folder.

    A socket is allowed: opening it fails at once.

    prefix     of their names, in any case: what opens `a.shp` opens `a.shp.xml`, `a.prj`, `A.CPG` as well
    """
    with os.scandir(folder) as found:
        # no further system call but for links: rasters lie among thousands of other files
        strange = [one for one in found if not (one.is_file() or one.is_dir())]
    for path in (Path(one) for one in strange if one.name.lower().startswith(prefix.lower())):
        if path.exists() and not path.is_socket():
            raise make_not_regular(path)


def make_not_regular(path: Path) -> SourceUnreadable:
    """Make the error of a pipe, a socket or a device in place of a file."""
    shown = to_visible(str(path))
    return SourceUnreadable(_("{shown}: is a pipe, a socket or a device; give a file", shown=shown))


def guard_foreign_reader(reader: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
    """Wrap a reader of foreign files so that unforeseen errors name the file.

    They become UnexpectedSource, so that one odd log or table does not end an ingest with an internal error.
    Failures of disk or memory pass through: they are not the file's fault.
    """

    @wraps(reader)
    def read(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return reader(path, *args, **kwargs)
        except (FlycamError, OSError, MemoryError):
            raise
        except Exception as error:
            raise UnexpectedSource(
                _(
                    "{path}: is damaged, or not what its name says: copy it from its source "
                    "again, or leave it out",
                    path=path,
                )
            ) from error

    return read


def compute_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes.

    Raises SourceUnreadable if it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceUnreadable(
            _(
                "{path}: cannot be read ({strerror}); check the card and run again",
                path=path,
                strerror=error.strerror or error,
            )
        ) from error


# -- Atomic writing of a file ----------------------------------------------------------------------


@contextmanager
def replace_file(path: Path, mode: int = 0o644, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a new file, which takes the place of `path` when the block ends, a link too.

    So no reader meets half a file, and nothing is left where the block raises.

    durable  False: after a power cut there may be the older file, or none. Raises OSError.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with create_regular(part, mode) as file:
            yield file
        if durable:
            move_into_place(part, path)
        else:
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_file_atomically(out: Path, data: bytes) -> None:
    """Replace a file, or a link, with these bytes. Raises DiskFull, StorageFailed."""
    try:
        with replace_file(out) as file:
            file.write(data)
    except OSError as error:
        raise make_write_error(
            error,
            _(
                "{out}: cannot be written ({strerror}); choose another place",
                out=out,
                strerror=error.strerror,
            ),
        ) from error


# -- Locks on folders in which one process works ---------------------------------------------------
#
# The kernel drops a lock when its process dies.


def lock_folder(folder: Path) -> int:
    """Return a descriptor that locks the folder until it is closed. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def probe_folder_lock(folder: Path) -> Iterator[bool]:
    """Yield True if no living process holds the folder's lock.

    None can take it meanwhile. Raises OSError.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


# -- Atomic writing of a folder --------------------------------------------------------------------


@contextmanager
def replace_folder(out: Path, find_foreign_file: Callable[[Path], str | None]) -> Iterator[Path]:
    """Yield a new folder to write into, which replaces `out` when the block ends.

    find_foreign_file  names something in a folder that an older one does not hold; such a folder is never
                       replaced

    What a killed run left is deleted. Between the two renames of a replacement a reader may find no folder
    for a moment; a program killed there leaves the older one aside, and the next run puts it back. Raises
    InputUnusable (not a place for a folder), DiskFull, StorageFailed, and whatever the block raises.
    """
    try:
        place = out.expanduser().resolve()  # a link stays; its target is replaced
        if place.name:
            _recover_interrupted(place, find_foreign_file)
        _require_replaceable(out, place, find_foreign_file)
        part = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.part")
        part.mkdir()
        lock_fd = lock_folder(part)
        try:
            yield part
            # checked again: minutes have passed, and people may have put files there
            _require_replaceable(out, place, find_foreign_file)
            # the files are on disk before the folder gets its name
            sync_filesystem(lock_fd)
            _exchange(part, place, find_foreign_file)
        finally:
            os.close(lock_fd)
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise make_unwritable(out, error) from error


def make_unwritable(out: Path, error: OSError) -> StorageFailed:
    """Make the error of a folder that cannot be written."""
    return make_write_error(
        error,
        _(
            "{out}: cannot be written ({strerror}); free some space there or choose another place",
            out=out,
            strerror=error.strerror,
        ),
    )


def _recover_interrupted(place: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    """Delete leftovers of killed runs, and put back what they had set aside."""
    if not place.parent.is_dir():
        return
    aside = _aside(place)
    if aside.is_dir() and not place.exists():
        aside.rename(place)
    _delete_replaced(aside, find_foreign_file)
    for sibling in place.parent.iterdir():
        if sibling.name.startswith(f".{place.name}.") and sibling.name.endswith(".part") and sibling.is_dir():
            # a folder that is still locked belongs to a process that is alive
            with probe_folder_lock(sibling) as is_free:
                if is_free:
                    shutil.rmtree(sibling, ignore_errors=True)


def _require_replaceable(out: Path, place: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    if not place.parent.is_dir():
        raise InputUnusable(_("{out}: its folder does not exist; create it or choose another place", out=out))
    if place.exists() and not place.is_dir():
        raise InputUnusable(_("{out}: is a file; give the name of a folder", out=out))
    stranger = None
    if place.is_dir():
        stranger = find_foreign_file(place) if place.name else "/"
    if stranger is not None:
        raise InputUnusable(
            _(
                "{out}: holds other things ({stranger}), not replaced; move them away or give a new folder",
                out=out,
                stranger=stranger,
            )
        )


def _exchange(part: Path, place: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    aside = _aside(place)
    if place.exists():
        place.rename(aside)
    part.rename(place)
    # some file systems of USB sticks cannot sync folders
    with suppress(OSError):
        sync_path(place.parent)  # before the older one is deleted
    _delete_replaced(aside, find_foreign_file)


def _delete_replaced(aside: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    """Delete an older folder that was set aside.

    Files put into it at the last moment stay, under a name that no later run deletes.
    """
    if not aside.is_dir():
        return
    if find_foreign_file(aside) is None:
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(aside.with_name(f"{aside.name.lstrip('.')}-{uuid.uuid4().hex[:8]}"))


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


# -- Scratch files of one process, which vanish with it --------------------------------------------
#
# Each process has a folder of its own and holds a lock on it. The lock dies with the process, so a process
# that can take it knows that nobody writes there any more, also when process numbers are reused or hidden.


SCRATCH_NAME = ".tmp"


class Scratch:
    """Scratch files below `folder`, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._own: Path | None = None
        self._own_fd = -1
        self._owner = 0

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Yield a path for one new file; remove it at the end. Raises OSError."""
        path = self._own_folder() / str(next(self._numbers))
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def sweep(self) -> None:
        """Remove what dead processes left; do nothing if that is not permitted."""
        if not self._folder.is_dir():
            return
        with suppress(OSError), _locked(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for folder in self._folder.iterdir():
                with suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(folder)

    def close(self) -> None:
        """Remove this process's folder."""
        with self._lock:
            if self._own is not None and self._owner == os.getpid():
                shutil.rmtree(self._own, ignore_errors=True)
                os.close(self._own_fd)
            self._own = None

    def _own_folder(self) -> Path:
        with self._lock:
            # a forked child must not write into its parent's folder
            if self._own is None or self._owner != os.getpid():
                self._folder.mkdir(parents=True, exist_ok=True)
                # shared lock: no other process sweeps between making the folder and locking it
                with _locked(self._folder, fcntl.LOCK_SH):
                    self._own = Path(tempfile.mkdtemp(dir=self._folder))
                    self._own_fd = os.open(self._own, os.O_RDONLY | os.O_DIRECTORY)
                    fcntl.flock(self._own_fd, fcntl.LOCK_EX)
                self._owner = os.getpid()
            return self._own


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)
