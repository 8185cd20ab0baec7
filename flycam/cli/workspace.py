"""Workspace of a command, options common to several, and the job journal."""

from __future__ import annotations

import ctypes
import getpass
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import Answer, ProgressBar, StopRequests, get_command_words, print_notice
from flycam.config import Settings, read_settings
from flycam.errors import FlycamError, NotFound, OptionUnusable, StorageFailed
from flycam.messages import Message, _
from flycam.model.flight import Classification
from flycam.model.text import is_encodable, to_visible
from flycam.model.time import set_local_zone
from flycam.storage.disk_space import release_reserve
from flycam.storage.files import make_folder, make_not_regular

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.retry import ProgressProbe
    from flycam.storage.base import ObjectStore
    from flycam.workspace import Workspace

CommandOutput = tuple[Answer, Sequence[Message | str]]


class _File(click.Path):
    """A file or folder whose name can be written down.

    No pipe, socket or device: reading it might never end.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Any = super().convert(value, param, ctx)
        shown = to_visible(str(path))
        if not is_encodable(str(path)):
            raise OptionUnusable(_("{shown}: the name is not UTF-8; rename it and run again", shown=shown))
        if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
            raise make_not_regular(Path(path))
        return path


FILE_PATH = _File(path_type=Path)
FILE_OR_URL = _File(path_type=str)
"""A file, or a URL, which is no file's name."""
SECRET_FILE = click.Path(path_type=Path)
"""A file with a secret; also a pipe, by which shells hand one over."""
CLASSIFICATION_CHOICE = click.Choice([level.value for level in Classification])
_AUDIT_KEY = "audit.key"
DATUM_CHOICE = click.Choice(["EGM96", "EGM2008", "ELLIPSOID", "LOCAL"])


def get_operator_name(settings: Settings) -> str:
    """Return the name that a command's edits carry.

    It is the operator's, else that of the user signed in here.
    """
    return settings.operator or getpass.getuser()


@contextmanager
def open_workspace(
    data_dir: str | None,
    *,
    creates: bool = False,
    is_store_new: bool = False,
    waits: bool = False,
    serves_originals: bool = False,
) -> Iterator[tuple[Workspace, Settings]]:
    """Open the workspace at --data DIR, else FLYCAM_DATA.

    creates       make a missing data folder: for commands that bring something in, or check a new machine
    is_store_new  the store begins anew, on purpose, whatever the catalogue names in it
    waits         wait for the store's disk, for as long as it takes
    serves_originals  a file is written for others: the umask of this shell decides who may read it, and
                  nobody else may write it

    Raises NotFound, StorageFailed.
    """
    from flycam.catalog.catalog import open_catalog
    from flycam.catalog.database import parse_database_path
    from flycam.power import Power
    from flycam.workspace import Workspace

    settings = read_settings(os.environ, data_dir)
    set_local_zone(settings.time_zone)
    if not creates:
        _require_existing(settings)
    create_private_folder(settings.data_dir)
    key = settings.data_dir / _AUDIT_KEY
    file = parse_database_path(settings.database_url)
    with (
        _restrict_umask(
            0o022 if serves_originals else 0o077 & ~stat.S_IMODE(settings.data_dir.stat().st_mode)
        ),
        release_reserve(settings.data_dir if file is None else file.parent),
        open_catalog(settings.database_url, key, settings.audit_keys) as catalog,
        closing(_open_store(settings, catalog, is_new=is_store_new, waits=waits)) as store,
        Power(settings.power).monitor() as power,
    ):
        workspace = Workspace(
            store=store,
            catalog=catalog,
            box=settings.node_name,
            cache_dir=settings.data_dir / "cache",
            operator=settings.operator,
            power=power,
            cap_sender=settings.cap_sender,
        )
        yield workspace, settings


def create_private_folder(folder: Path) -> None:
    """Make a data folder that only its owner can enter. Raises StorageFailed.

    An empty one that was made beforehand is restricted too, unless it is closed to others already: then its
    maker has decided who else may enter. One that is in use stays as it is; `flycam doctor` reports where it
    is open.
    """
    try:
        is_new = not folder.exists()
        make_folder(folder)
        if is_new or (stat.S_IMODE(folder.stat().st_mode) & 0o007 and not any(folder.iterdir())):
            # another user's folder, or a file system without modes
            with suppress(PermissionError):
                folder.chmod(0o700)
    except OSError as error:
        raise StorageFailed(
            _(
                "{folder}: cannot be made or used as data folder ({strerror}); choose another with --data",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error


@contextmanager
def _restrict_umask(mask: int) -> Iterator[None]:
    """Add to the umask inside the block, for child processes too.

    Files made in it lack these permissions.
    """
    before = os.umask(0o077)
    os.umask(before | mask)
    try:
        yield
    finally:
        os.umask(before)


def _require_existing(settings: Settings) -> None:
    """Raise NotFound if there is no catalogue.

    A read-only command would find nothing wrong with a data folder that it has just made. A database server
    is checked when it is opened.
    """
    from flycam.catalog.database import parse_database_path

    file = parse_database_path(settings.database_url)
    if file is not None and not file.exists():
        raise NotFound(
            _(
                "{file}: there is no catalogue here; name the data folder that is meant with "
                "--data or FLYCAM_DATA, put one back that was lost with 'flycam restore', or "
                "begin one with 'flycam serve'",
                file=file,
            )
        )


def _open_store(settings: Settings, catalog: Catalog, *, is_new: bool, waits: bool) -> ObjectStore:
    from flycam.operations.store_mount import require_store_mounted, wait_for_store_mount
    from flycam.storage.address import open_store

    if waits:
        wait_for_store_mount(settings.store_url, catalog, print_notice)
    else:
        require_store_mounted(settings.store_url, catalog, is_new=is_new)
    return open_store(settings.store_url)


# -- Memory allocation of the C library: one heap for all threads, and pages that are reused -------


_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # from glibc's malloc.h
_MMAP_THRESHOLD_BYTES = 64 << 20
_TRIM_THRESHOLD_BYTES = 128 << 20


def limit_to_one_arena() -> None:
    """Let threads share one heap that holds pixel arrays too.

    Call it before threads are started. By default each thread has a heap of its own that keeps what it once
    needed, and large arrays are mapped and returned every time: an ingest then takes 65 MB more and twice as
    many page faults. Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


# -- Journal entries of running commands, by which a node resumes them after a power cut -----------


@contextmanager
def register_resumable_job(
    settings: Settings, stop_requests: StopRequests | None = None
) -> Iterator[ProgressProbe]:
    """Register the running command so that `flycam serve` can resume it.

    It resumes a command that does not end here: killed, cut off, its machine shut down, its store or database
    away for too long, its flight locked by another process. Ctrl-C, and an error whose message says what to
    do, are ends. Yields the probe to which the command reports its progress.
    """
    from flycam.operations.jobs import CommandRecord, finish_job, hash_inputs, record_job
    from flycam.retry import ProgressProbe

    progress = ProgressProbe(ProgressBar())
    with ExitStack() as stack:
        try:
            words, place = _strip_local_options(get_command_words()), Path.cwd()
            typed = CommandRecord(
                words=words,
                working_dir=place,
                operator=settings.operator or "",
                input_digests=hash_inputs(words, place),
            )
            entry = stack.enter_context(record_job(settings.data_dir, typed))
        except OSError:
            # a full disk or a missing folder: the command itself reports it in better words
            yield progress
            return
        try:
            yield progress
        except KeyboardInterrupt:
            finish_job(entry)
            raise
        except FlycamError as error:
            if _is_final(error, stop_requests):
                finish_job(entry)
            elif not progress.is_so:
                # the caller learns of the error at once; entries of earlier runs stay
                entry.unlink(missing_ok=True)
            raise
        if not (
            stop_requests is not None and stop_requests() and stop_requests.by_kill
        ):  # a stopped video is a complete one
            finish_job(entry)


def _is_final(error: FlycamError, stop_requests: StopRequests | None) -> bool:
    from flycam.operations.jobs import RETRYABLE_ERRORS

    if stop_requests is not None and stop_requests():
        return not stop_requests.by_kill
    return not isinstance(error, RETRYABLE_ERRORS)


def _strip_local_options(words: tuple[str, ...]) -> tuple[str, ...]:
    """Drop --data, whose folder holds the entry, and --json, the output form."""
    kept, is_folder = [], False
    for word in words:
        if is_folder or word == "--json" or word.startswith("--data="):
            is_folder = False
        elif word == "--data":
            is_folder = True
        else:
            kept.append(word)
    return tuple(kept)
