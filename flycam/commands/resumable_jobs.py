"""Journal entries of running commands, by which a node resumes them after a power cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.console import ProgressBar, StopRequests, get_command_words
from flycam.errors import FlycamError
from flycam.settings import Settings

if TYPE_CHECKING:  # for annotations; loaded when a command runs
    from flycam.pipeline.retry import ProgressProbe


@contextmanager
def register_resumable_job(
    settings: Settings, stop_requests: StopRequests | None = None
) -> Iterator[ProgressProbe]:
    """Register the running command so that `flycam serve` can resume it.

    It resumes a command that does not end here: killed, cut off, its machine shut down, its store or database
    away for too long, its flight locked by another process. Ctrl-C, and an error whose message says what to
    do, are ends. Yields the probe to which the command reports its progress.
    """
    from flycam.pipeline.job_journal import CommandRecord, finish_job, hash_inputs, record_job
    from flycam.pipeline.retry import ProgressProbe

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
    from flycam.pipeline.job_journal import RETRYABLE_ERRORS

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
