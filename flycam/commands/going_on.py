"""That a command is under way, for whoever starts this box after a power cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.console import ProgressBar, StopRequests, typed_words
from flycam.errors import FlycamError
from flycam.settings import Settings

if TYPE_CHECKING:  # what it needs is loaded where a command runs
    from flycam.pipeline.outlasting import Begun


@contextmanager
def gone_on_with(settings: Settings, asked: StopRequests | None = None) -> Iterator[Begun]:
    """The command that runs in this, and tells its progress to what this gives, is gone on with by
    `flycam serve` where it does not come to an end here: killed, cut off, its machine shut down, its store or
    database away for too long, its flight held by somebody else. A person who presses Ctrl-C, and an error
    that told what to do, are ends."""
    from flycam.pipeline.outlasting import Begun
    from flycam.pipeline.under_way import Typed, entered, looks_of, over

    progress = Begun(ProgressBar())
    with ExitStack() as stack:
        try:
            words, place = _lasting(typed_words()), Path.cwd()
            typed = Typed(
                words=words, place=place, operator=settings.operator or "", looks=looks_of(words, place)
            )
            entry = stack.enter_context(entered(settings.data_dir, typed))
        except OSError:  # a full disk, a folder that is gone: told by the work itself, in better words
            yield progress
            return
        try:
            yield progress
        except KeyboardInterrupt:
            over(entry)
            raise
        except FlycamError as error:
            if _is_end(error, asked):
                over(entry)
            elif not progress.is_so:  # told at once to whoever gave it; what was left before stays
                entry.unlink(missing_ok=True)
            raise
        if not (asked is not None and asked() and asked.by_kill):  # a film ends well where it is stopped
            over(entry)


def _is_end(error: FlycamError, asked: StopRequests | None) -> bool:
    from flycam.pipeline.under_way import NO_ENDS

    if asked is not None and asked():
        return not asked.by_kill
    return not isinstance(error, NO_ENDS)


def _lasting(words: tuple[str, ...]) -> tuple[str, ...]:
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
