"""Opening, creating and checking regular files, and guards for readers of foreign files.

A pipe that is named like a photo or a part of a bundle would block for ever, and a link in the place of a
file that is to be written leads to another one.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from functools import wraps
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Concatenate, ParamSpec, Self, TypeVar

from flycam.errors import FlycamError, SourceUnreadable, UnexpectedSource
from flycam.frame.text_normalization import to_visible
from flycam.messages import _

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


def create_regular(path: Path) -> BinaryIO:
    """Create a file for writing in place of any that is there; follow no link.

    Only its owner may write it, whatever the umask. Raises OSError.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o644), "wb")


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
