"""Regular files alone: a pipe that is called like a photo or a part of a bundle is waited at for ever, and a
link in the place of a file that is to be written leads to another. And readers of what others wrote."""

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
    that may wait for another end, or set a machine to work.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise make_not_regular(path)
    return path.open("rb", buffering=0)


def create_regular(path: Path) -> BinaryIO:
    """Open a file of this name for writing, in the place of what lay there: no link is followed.

    Nobody but its owner may write it, whatever the umask. Raises OSError.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o644), "wb")


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a file whole, links followed.

    Raises OSError; SourceUnreadable where there are more than `max_bytes`, and as `open_regular`.
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
    """A file opened once, of which no reader comes to the end unless it has the bytes that it is to have.

    sha256  of them; None: whatever it holds. Raises OSError, and SourceUnreadable as `open_regular`
    """

    def __init__(self, path: Path, sha256: str | None) -> None:
        self._file = open_regular(path)
        self._name = path.name
        self._expected, self._digest = sha256, hashlib.sha256()
        self.size_bytes, self._read_bytes = os.fstat(self._file.fileno()).st_size, 0

    def __enter__(self) -> Self:
        if not self.size_bytes:
            self.read()  # of an empty file nobody else may ask for a byte
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, max_bytes: int = -1, /) -> bytes:
        """Return the next bytes, b"" at the end. Raises SourceUnreadable where the last are read and the file
        is another than was said."""
        data = self._file.read(max_bytes)
        self._digest.update(data)
        self._read_bytes += len(data)
        # who is told the size asks for no byte behind it
        is_last = not data or self._read_bytes >= self.size_bytes
        if is_last and self._expected not in (None, self._digest.hexdigest()):
            raise make_file_changed(self._name)
        return data


def make_file_changed(name: str) -> SourceUnreadable:
    """Make the error of a file that is no longer the one that was looked at before."""
    shown = to_visible(name)
    return SourceUnreadable(
        _("{shown}: changed while it was read; leave the card alone and run again", shown=shown)
    )


def require_regular(folder: Path, prefix: str = "") -> None:
    """Raise SourceUnreadable where a pipe or a device lies among the files of a folder.

    A socket may lie there: opening it fails at once.

    prefix     of their names, in any case: what opens `a.shp` opens `a.shp.xml`, `a.prj`, `A.CPG` as well
    """
    with os.scandir(folder) as found:
        # told without asking the disk again, but for links: rasters lie among thousands of others
        strange = [one for one in found if not (one.is_file() or one.is_dir())]
    for path in (Path(one) for one in strange if one.name.lower().startswith(prefix.lower())):
        if path.exists() and not path.is_socket():
            raise make_not_regular(path)


def make_not_regular(path: Path) -> SourceUnreadable:
    """Make the error of a pipe, a socket or a device in the place of a file."""
    shown = to_visible(str(path))
    return SourceUnreadable(_("{shown}: is a pipe, a socket or a device; give a file", shown=shown))


def guard_foreign_reader(reader: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
    """A reader of a file of others that raises UnexpectedSource, which names the file, for what nobody
    foresaw: one odd log or table ends no ingest with an internal error. That a disk or memory fails is no
    fault of the file's."""

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
