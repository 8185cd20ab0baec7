"""How a command speaks: progress on stderr, one JSON object at the end, an error as one sentence."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import click

from flycam.errors import FlycamError
from flycam.outcomes import EXIT_INTERNAL, exit_code, sentence

Answer = Mapping[str, Any]
_BAR_CHARS = 24


def command(run: Callable[..., tuple[Answer, Sequence[str]]]) -> Callable[..., None]:
    """Make a function that returns (JSON answer, lines for people) into the body of a click command.

    Adds --data and --json. A FlycamError becomes one sentence on stderr and its exit code; anything else is
    an internal error: a trace on stderr and exit code 1.
    """

    @click.option("--data", "data_dir", metavar="DIR", help="Where everything is kept (FLYCAM_DATA).")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
    @wraps(run)
    def body(*, as_json: bool, **options: Any) -> None:
        try:
            answer, lines = run(**options)
        except FlycamError as error:
            _fail(error, as_json, exit_code(error))
        except click.ClickException:
            raise
        except Exception as error:  # noqa: BLE001  the last line of defence: say it and end with code 1
            traceback.print_exc()
            _fail(error, as_json, EXIT_INTERNAL)
        for line in lines:
            click.echo(line, err=as_json)
        if as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))

    return body


def _fail(error: BaseException, as_json: bool, code: int) -> None:
    click.echo(f"flycam: {sentence(error, _language())}", err=True)
    if as_json:
        answer = {"error": type(error).__name__, "sentence": sentence(error), "exit_code": code}
        click.echo(json.dumps(answer, ensure_ascii=False))
    sys.exit(code)


def _language() -> str:
    """Vietnamese where the terminal speaks it, else English."""
    return "vi" if os.environ.get("LANG", "").startswith("vi") else "en"


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a polite kill has asked to stop, while this is open. The second stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # signals come to the main thread only
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])
        click.echo("\nstopping; once more to stop at once", err=True)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProgressBar:
    """One line on a terminal; one line a stage in a log. Listens as `Progress`."""

    def __init__(self) -> None:
        self._stage = ""
        self._terminal = sys.stderr.isatty()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self._terminal:
            if stage != self._stage or done == total:
                click.echo(f"{stage} {done}/{total}", err=True)
            self._stage = stage
            return
        filled = _BAR_CHARS * done // max(total, 1)
        bar = "█" * filled + "·" * (_BAR_CHARS - filled)
        end = "\n" if done == total else ""
        click.echo(f"\r{stage:<10} {bar} {done}/{total}{end}", nl=False, err=True)
        self._stage = stage
