"""That a command is under way, for whoever starts this box after a power cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.console import ProgressBar, StopRequests, get_command_words
from flycam.errors import FlycamError
from flycam.settings import Settings

if TYPE_CHECKING:  # what it needs is loaded where a command runs
    from flycam.pipeline.retry import ProgressProbe


@contextmanager
def register_resumable_job(
    settings: Settings, stop_requests: StopRequests | None = None
) -> Iterator[ProgressProbe]:
    """The command that runs in this, and tells its progress to what this gives, is gone on with by
    `flycam serve` where it does not come to an end here: killed, cut off, its machine shut down, its store or
    database away for too long, its flight held by somebody else. A person who presses Ctrl-C, and an error
    that told what to do, are ends."""
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
        except OSError:  # a full disk, a folder that is gone: told by the work itself, in better words
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
            elif not progress.is_so:  # told at once to whoever gave it; what was left before stays
                entry.unlink(missing_ok=True)
            raise
        if not (
            stop_requests is not None and stop_requests() and stop_requests.by_kill
        ):  # a film ends well where it is stopped
            finish_job(entry)


def _is_final(error: FlycamError, stop_requests: StopRequests | None) -> bool:
    from flycam.pipeline.job_journal import RETRYABLE_ERRORS

    if stop_requests is not None and stop_requests():
        return not stop_requests.by_kill
    return not isinstance(error, RETRYABLE_ERRORS)


def _strip_local_options(words: tuple[str, ...]) -> tuple[str, ...]:
    """Without where the house is, which is where the entry lies, and without how it answers."""
    kept, is_folder = [], False
    for word in words:
        if is_folder or word == "--json" or word.startswith("--data="):
            is_folder = False
        elif word == "--data":
            is_folder = True
        else:
            kept.append(word)
    return tuple(kept)
