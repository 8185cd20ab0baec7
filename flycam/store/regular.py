"""Regular files alone: a pipe that is called like a photo or a part of a bundle is waited at for ever, and a
link in the place of a file that is to be written leads to another. And readers of what others wrote."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import wraps
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, Concatenate, ParamSpec, TypeVar

from flycam.errors import FlycamError, SourceUnforeseen, SourceUnreadable
from flycam.frame.spelling import to_visible

P = ParamSpec("P")
R = TypeVar("R")


def open_regular(path: Path) -> FileIO:
    """Open a file for unbuffered reading, links followed.

    Raises OSError, also for a folder; SourceUnreadable for a pipe, a socket or a device, which is not opened:
    that may wait for another end, or set a machine to work.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise not_regular(path)
    return path.open("rb", buffering=0)


def new_file(path: Path) -> BinaryIO:
    """Open a file of this name for writing, in the place of what lay there: no link is followed.

    Nobody but its owner may write it, whatever the umask. Raises OSError.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o644), "wb")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read a file whole, links followed.

    Raises OSError; SourceUnreadable where there are more than `most_bytes`, and as `open_regular`.
    """
    with BufferedReader(open_regular(path)) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        most = f"{most_bytes >> 20} MB" if most_bytes >> 20 else f"{most_bytes >> 10} KB"
        raise SourceUnreadable(
            f"{path.name}: is larger than the {most} that such a file may be: check that it is the right one",
            vi=f"{path.name}: lớn hơn mức {most} của loại tệp này; hãy kiểm tra có đúng tệp không",
        )
    return data


def require_regular(folder: Path, beginning: str = "") -> None:
    """Raise SourceUnreadable where a pipe or a device lies among the files of a folder.

    A socket may lie there: opening it fails at once.

    beginning  of their names, in any case: what opens `a.shp` opens `a.shp.xml`, `a.prj`, `A.CPG` as well
    """
    with os.scandir(folder) as found:
        # told without asking the disk again, but for links: rasters lie among thousands of others
        strange = [one for one in found if not (one.is_file() or one.is_dir())]
    for path in (Path(one) for one in strange if one.name.lower().startswith(beginning.lower())):
        if path.exists() and not path.is_socket():
            raise not_regular(path)


def not_regular(path: Path) -> SourceUnreadable:
    """Make the error of a pipe, a socket or a device in the place of a file."""
    shown = to_visible(str(path))
    return SourceUnreadable(
        f"{shown}: is a pipe, a socket or a device; give a file",
        vi=f"{shown}: là đường ống, socket hoặc thiết bị; hãy đưa một tệp",
    )


def reads_foreign(reader: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
    """A reader of a file of others that raises SourceUnforeseen, which names the file, for what nobody
    foresaw: one odd log or table ends no ingest with an internal error. That a disk or memory fails is no
    fault of the file's."""

    @wraps(reader)
    def read(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return reader(path, *args, **kwargs)
        except (FlycamError, OSError, MemoryError):
            raise
        except Exception as error:
            raise SourceUnforeseen(
                f"{path}: is damaged, or not what its name says: copy it from its source again, or leave it "
                "out",
                vi=f"{path}: tệp bị hỏng hoặc không đúng loại; hãy chép lại từ nguồn, hoặc bỏ tệp này ra",
            ) from error

    return read
