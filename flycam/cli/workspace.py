"""Workspace of a command, options common to several, and the job journal."""

from __future__ import annotations

import ctypes
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import ProgressBar, StopRequests, get_command_words, print_line
from flycam.config import Settings, read_settings
from flycam.errors import FlycamError, OptionUnusable
from flycam.messages import _
from flycam.model.flight import Classification
from flycam.model.text import is_encodable, to_visible
from flycam.storage.files import make_not_regular

if TYPE_CHECKING:
    from flycam.retry import ProgressProbe
    from flycam.workspace import Workspace


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

    waits  wait for the store's disk, for as long as it takes; the other options as of `open_node`

    Raises NotFound, StorageFailed.
    """
    from flycam.operations.node import open_node

    settings = read_settings(os.environ, data_dir)
    with open_node(
        settings,
        creates=creates,
        is_store_new=is_store_new,
        serves_originals=serves_originals,
        notify_wait=print_line if waits else None,
    ) as workspace:
        yield workspace, settings


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
    words_left, is_folder = [], False
    for word in words:
        if is_folder or word == "--json" or word.startswith("--data="):
            is_folder = False
        elif word == "--data":
            is_folder = True
        else:
            words_left.append(word)
    return tuple(words_left)
