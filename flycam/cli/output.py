"""What every command shares: its workspace, progress, answer as text or JSON, and errors.

Progress goes to stderr, one JSON object comes at the end, and an error is one sentence.

Everything printed to a terminal goes through `print_line`, and every log record through `_VisibleRecord`:
names on memory cards, of other nodes and in requests may hold characters that move the cursor, begin a line
or reorder what is read.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flycam.config import Settings, read_settings
from flycam.errors import Cancelled, FlycamError, OptionUnusable, format_error, get_exit_code
from flycam.messages import Message, _, join, pgettext, verbatim
from flycam.model.flight import Classification
from flycam.model.text import SecretText, is_encodable, to_json_line, to_visible
from flycam.model.warning import describe_warning
from flycam.storage.files import make_not_regular

if TYPE_CHECKING:
    from flycam.retry import ProgressProbe
    from flycam.workspace import Workspace

Answer = Mapping[str, Any]
Output = tuple[Answer, Sequence[Message | str]]
"""One object for programs, and lines for people."""


def format_warnings(notes: Iterable[str], key: str = "warnings") -> dict[str, list[str]]:
    """Return `key` and `key`_vi: notes of `flycam.model.warning` in words."""
    described = [describe_warning(one) for one in notes]
    return {key: list(map(str, described)), f"{key}_vi": [one.in_language("vi") for one in described]}


# -- Run of a command: its answer, its errors, its progress ----------------------------------------

_BAR_CHARS = 24
_QUARTERS = 4
# frames of a stream: about every half minute
_ENDLESS_STEP = 1000
_STAGES: Mapping[str, Message] = {
    "render": pgettext("stage", "render"),
    "stream": pgettext("stage", "stream"),
    "look": pgettext("stage", "look"),
    "rectify": pgettext("stage", "rectify"),
    "live": pgettext("stage", "live"),
    "clock": pgettext("stage", "clock"),
    "check": pgettext("stage", "check"),
    "refold": pgettext("stage", "refold"),
    "verify": pgettext("stage", "verify"),
    "communes": pgettext("stage", "communes"),
    "sharpen": pgettext("stage", "sharpen"),
    "features": pgettext("stage", "features"),
    "matches": pgettext("stage", "matches"),
    "ties": pgettext("stage", "ties"),
    "adjust": pgettext("stage", "adjust"),
    "reference": pgettext("stage", "reference"),
    "surface": pgettext("stage", "surface"),
    "overviews": pgettext("stage", "overviews"),
    "radiometry": pgettext("stage", "radiometry"),
    "seams": pgettext("stage", "seams"),
    "blend": pgettext("stage", "blend"),
    "report": pgettext("stage", "report"),
    "lay": pgettext("stage", "lay"),
    "coregister": pgettext("stage", "coregister"),
    "change": pgettext("stage", "change"),
    "compare": pgettext("stage", "compare"),
    "collect": pgettext("stage", "collect"),
    "backup": pgettext("stage", "backup"),
    "restore": pgettext("stage", "restore"),
    "heads": pgettext("stage", "heads"),
    "send": pgettext("stage", "send"),
    "keep": pgettext("stage", "keep"),
    "maps": pgettext("stage", "maps"),
    "tiles": pgettext("stage", "tiles"),
    "documents": pgettext("stage", "documents"),
    "wheels": pgettext("stage", "wheels"),
}
"""Stages that pipelines report, as a terminal shows them."""


class PartialFailure(Exception):
    """A command that has an answer and still fails.

    Both are printed; the exit code is the error's.
    """

    def __init__(self, answer: Answer, lines: Sequence[Message | str], error: FlycamError) -> None:
        super().__init__(str(error))
        self.answer, self.lines, self.error = answer, lines, error


class CommandGroup(click.Group):
    """Click group whose usage errors print as flycam's other errors do.

    They are a sentence, an exit code, and JSON if requested.
    """

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command and exit with its code.

        A second Ctrl-C, or one outside a pipeline, exits with 130.
        """
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        try:
            logging.setLogRecordFactory(_VisibleRecord)
            # warnings of libraries repeat names of files and layers: as records they are escaped
            logging.captureWarnings(True)
            extra |= {"standalone_mode": False, "obj": tuple(words)}
            sys.exit(super().main(words, *more, **extra) or 0)
        except click.exceptions.NoArgsIsHelpError as error:
            _print_text(error.format_message())
            _fail(
                OptionUnusable(_("a command is missing; they are listed above")),
                as_json,
            )
        except FlycamError as error:  # from words before the command
            _fail(error, as_json)
        except click.UsageError as error:
            _fail(_usage(error), as_json)
        except click.ClickException as error:
            _fail(OptionUnusable(error.format_message()), as_json)
        except click.Abort:
            _fail(Cancelled(_("run the same command to resume")), as_json)


def _usage(error: click.UsageError) -> OptionUnusable:
    """Convert click's usage error, and add where the usage is described."""
    path = error.ctx.command_path if error.ctx else "flycam"
    # an option of every command that stands before the command
    is_before = error.ctx is not None and isinstance(error.ctx.command, click.Group)
    if is_before and isinstance(error, click.NoSuchOption) and error.option_name in ("--data", "--json"):
        name = error.option_name
        return OptionUnusable(_("{name} goes after the command: {path} COMMAND {name}", name=name, path=path))
    return OptionUnusable(_("{what}; see '{path} --help'", what=_describe_usage_error(error), path=path))


def _describe_usage_error(error: click.UsageError) -> Message:
    """Return click's own words; other languages name the kind of error instead."""
    text = error.format_message().rstrip(".")
    match error:
        case click.NoSuchOption():
            return pgettext("usage: no such option", "{text}", text=text, vi_option=error.option_name)
        case click.MissingParameter():
            return pgettext("usage: missing", "{text}", text=text, vi_name=_parameter(error))
        case click.BadParameter():
            return _describe_bad_value(text, _parameter(error), error.param.type if error.param else None)
    if extra := re.findall(r"unexpected extra arguments? \((.*)\)", text):
        return pgettext("usage: extra arguments", "{text}", text=text, vi_extra=extra[0])
    typed = "".join(re.findall("'(.*)'", text))
    return pgettext("usage: not understood", "{text}", text=text, vi_typed=typed) if typed else verbatim(text)


def _describe_bad_value(text: str, name: str, kind: click.ParamType[Any] | None) -> Message:
    """Describe a value by what its option or argument takes."""
    match kind:
        case click.Choice():
            choices = ", ".join(map(str, kind.choices))
            return pgettext("usage: value, of choices", "{text}", text=text, vi_name=name, vi_choices=choices)
        case click.DateTime():
            return pgettext("usage: value, a date", "{text}", text=text, vi_name=name)
        case click.IntRange(min=int(minimum)):
            return pgettext(
                "usage: value, from a minimum", "{text}", text=text, vi_name=name, vi_minimum=minimum
            )
    match kind.name if kind else "":
        case "float":
            return pgettext("usage: value, a number", "{text}", text=text, vi_name=name)
        case "integer":
            return pgettext("usage: value, a whole number", "{text}", text=text, vi_name=name)
    return pgettext("usage: value", "{text}", text=text, vi_name=name)


def _parameter(error: click.BadParameter) -> str:
    hint = error.param_hint or (error.param.get_error_hint(error.ctx) if error.param and error.ctx else "")
    return hint if isinstance(hint, str) else " / ".join(hint)


def wrap_command(run: Callable[..., tuple[Answer, Sequence[Message | str]]]) -> Callable[..., None]:
    """Turn a function into the body of a click command.

    The function returns (JSON answer, lines for people). Adds --data and --json. A FlycamError becomes one
    sentence on stderr and its exit code; anything else is an internal error: a trace on stderr and exit code
    1.
    """

    @click.option("--data", "data_dir", metavar="DIR", help="Where everything is kept (FLYCAM_DATA).")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
    @wraps(run)
    def body(*, as_json: bool, **options: Any) -> None:
        try:
            answer, lines = run(**options)
        except FlycamError as error:
            _fail(error, as_json)
        except PartialFailure as failure:
            _print_lines(failure.lines, as_json)
            _fail(failure.error, as_json, failure.answer)
        except click.ClickException:
            raise
        except Exception as error:  # noqa: BLE001  the last line of defence: say it and end with code 1
            _print_text(traceback.format_exc())
            _fail(error, as_json)
        _print_lines(lines, as_json)
        if as_json:
            click.echo(to_json_line(answer))

    return body


def _print_lines(lines: Sequence[Message | str], as_json: bool) -> None:
    for line in lines:
        if as_json and _has_secret(line):
            # once is enough: the answer has it
            continue
        print_line(line, err=as_json)


def _has_secret(line: object) -> bool:
    if isinstance(line, Message):
        return any(map(_has_secret, line.values.values()))
    return isinstance(line, SecretText)


def print_line(line: Message | str, *, err: bool = True) -> None:
    """Print one line in the terminal's language, non-printable characters escaped."""
    text = line.in_language(get_terminal_language()) if isinstance(line, Message) else line
    click.echo(to_visible(text), err=err)


def _print_text(text: str) -> None:
    for line in text.rstrip("\n").split("\n"):
        print_line(line)


class _VisibleRecord(logging.LogRecord):
    """Log record of any logger, escaped as by `print_line`, its traceback too."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.exc_info and self.exc_info[0] is not None:
            trace = "".join(traceback.format_exception(*self.exc_info)).rstrip("\n")
            self.exc_text = "\n".join(map(to_visible, trace.split("\n")))

    def getMessage(self) -> str:  # noqa: N802  the name that logging gives it
        return to_visible(super().getMessage())


def _fail(error: BaseException, as_json: bool, answer: Answer = MappingProxyType({})) -> NoReturn:
    code = get_exit_code(error)
    print_line(join(("flycam:", format_error(error))))
    if as_json:
        failure = {"error": type(error).__name__, "sentence": str(format_error(error)), "exit_code": code}
        answer = {**answer, **failure}
        click.echo(to_json_line(answer))
    sys.exit(code)


def get_terminal_language() -> str:
    """Return "vi" if the terminal's locale is Vietnamese, else "en".

    The first of LC_ALL, LC_MESSAGES and LANG that is set decides.
    """
    spoken = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "vi" if spoken.startswith("vi") else "en"


def get_command_words() -> tuple[str, ...]:
    """Return the words of the running command, as typed after `flycam`."""
    words: tuple[str, ...] = click.get_current_context().find_root().obj or ()
    return words


class StopRequests:
    """A flag that is set by a request to stop.

    by_kill  set by SIGTERM, as when the machine shuts down, not by Ctrl-C
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.by_kill = False

    def __call__(self) -> bool:
        return self._asked.is_set()

    def request(self, *, by_kill: bool) -> None:
        """Ask to stop; the first request decides `by_kill`."""
        if not self():
            self.by_kill = by_kill
            self._asked.set()


@contextmanager
def watch_stop_requests() -> Iterator[StopRequests]:
    """Yield a flag that Ctrl-C or SIGTERM sets; the second one stops at once."""
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        # only the main thread receives signals
        yield requests
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        requests.request(by_kill=number == signal.SIGTERM)
        signal.signal(number, before[signal.Signals(number)])
        line = _("stopping; once more to stop at once").in_language(get_terminal_language())
        # past the stream: the signal may have come in the middle of a write to it
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), f"\n{to_visible(line)}\n".encode(sys.stderr.encoding, "replace"))

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_logged(done: int, total: int, before: int) -> bool:
    """Check whether a log gets a line for this step.

    It does at every quarter of a stage, or every so many steps of a stage without an end.
    """
    if not total:
        return done % _ENDLESS_STEP == 0
    return _QUARTERS * done // total > _QUARTERS * before // total


class ProgressBar:
    """Progress as one line on a terminal.

    In a log it is a line at each quarter of a stage, or now and then of one without end. Called as a
    `Progress` (`flycam.workspace`).
    """

    def __init__(self) -> None:
        self._last = ("", -1, -1)
        self._terminal = sys.stderr.isatty()

    def __call__(self, stage: str, done: int, total: int) -> None:
        before, self._last = self._last, (stage, done, total)
        if before == self._last:
            return
        words = _STAGES.get(stage, verbatim(stage)).in_language(get_terminal_language())
        of = f"{done}/{total}" if total else str(done)
        if not self._terminal:
            if stage != before[0] or _is_logged(done, total, before[1] if before[2] == total else 0):
                click.echo(f"{words} {of}", err=True)
        else:
            filled = _BAR_CHARS * done // max(total, 1) if total else 0
            bar = "█" * filled + "·" * (_BAR_CHARS - filled)
            end = "\n" if done == total else ""
            click.echo(f"\r{words:<12} {bar} {of}{end}", nl=False, err=True)


# -- The workspace of a command, options common to several, and the job journal --------------------


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
