"""Staging of a drill's folder, so that it appears whole or not at all."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flycam.drill.ground_truth import TRUTH_FILE
from flycam.errors import DiskFull, InputUnusable, StorageFailed
from flycam.messages import _, pgettext

_FREE_MARGIN_BYTES = 1 << 20
_REASONS = {
    errno.ENOSPC: pgettext("folder of a drill", "No space left on device"),
    errno.EEXIST: pgettext("folder of a drill", "File exists"),
    errno.ENOTDIR: pgettext("folder of a drill", "Not a directory"),
    errno.EACCES: pgettext("folder of a drill", "Permission denied"),
    errno.EPERM: pgettext("folder of a drill", "Operation not permitted"),
    errno.EROFS: pgettext("folder of a drill", "Read-only file system"),
    errno.ENAMETOOLONG: pgettext("folder of a drill", "File name too long"),
}


@contextmanager
def stage_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out` that replaces it on success.

    An older drill there is replaced. Raises InputUnusable where `out` holds something that is not a
    drill, DiskFull or StorageFailed where it cannot be written; nothing half-written is left in any case.
    """
    _refuse_other(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise _unmade(out, error) from error
    try:
        yield staging
        staging.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        staging.rename(out)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, OSError):
            raise _trouble(out, error) from error
        raise


def _unmade(out: Path, error: OSError) -> StorageFailed:
    kind = DiskFull if error.errno == errno.ENOSPC else StorageFailed
    other = pgettext("other trouble of the disk", "{strerror}", strerror=error.strerror)
    return kind(
        _(
            "{out}: cannot be made ({strerror}): choose another place",
            out=out,
            strerror=_REASONS.get(error.errno or 0, other),
        )
    )


def _trouble(out: Path, error: OSError) -> StorageFailed:
    if error.errno == errno.ENOSPC or shutil.disk_usage(out.parent).free < _FREE_MARGIN_BYTES:
        return DiskFull(
            _("{out}: no space left on the disk: free some and run again; nothing was left behind", out=out)
        )
    return StorageFailed(
        _(
            "{out}: cannot be written ({error}): check that the folder exists and is yours",
            out=out,
            error=error,
        )
    )


def _refuse_other(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / TRUTH_FILE).is_file())):
        raise InputUnusable(
            _("{out}: holds something that is not a drill: choose an empty or new folder", out=out)
        )
