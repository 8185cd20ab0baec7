"""Output of commands: progress on stderr, one JSON object at the end, an error as one sentence.

Everything printed to a terminal goes through `print_line`, and every log record through `_VisibleRecord`:
names on memory cards, of other nodes and in requests may hold characters that move the cursor, begin a line
or reorder what is read.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from types import FrameType, MappingProxyType
from typing import Any, NoReturn, TypeGuard

import click

from flycam.errors import Cancelled, FlycamError, OptionUnusable
from flycam.frame.pluralization import correct_singular
from flycam.frame.secret_text import SecretText
from flycam.frame.text_normalization import to_json_line, to_visible
from flycam.messages import Bilingual, Message, _, verbatim
from flycam.outcomes import format_error, get_exit_code

Answer = Mapping[str, Any]
_BAR_CHARS = 24
_QUARTERS = 4
# frames of a stream: about every half minute
_ENDLESS_STEP = 1000
_STAGES_VI = {
    "render": "dựng ảnh",
    "stream": "phát video",
    "look": "xem ảnh",
    "rectify": "nắn ảnh",
    "live": "video lên bản đồ",
    "clock": "so đồng hồ",
    "check": "kiểm tra",
    "refold": "ghép lại",
    "verify": "đọc kiểm tra",
    "communes": "cắt theo xã",
    "features": "tìm đặc trưng",
    "matches": "so khớp đặc trưng",
    "ties": "tìm điểm nối",
    "adjust": "bình sai",
    "reference": "đối chiếu",
    "surface": "dựng bề mặt",
    "overviews": "ảnh thu nhỏ",
    "radiometry": "cân màu",
    "seams": "đường ghép",
    "blend": "ghép ảnh",
    "report": "báo cáo",
    "lay": "trải ảnh",
    "coregister": "đặt chồng",
    "change": "tìm thay đổi",
    "compare": "so trước và sau",
    "collect": "dọn kho",
    "backup": "sao lưu",
    "restore": "khôi phục",
    "heads": "gửi phần đầu ảnh",
    "send": "gửi ảnh gốc",
    "keep": "lưu ảnh",
    "maps": "vẽ bản đồ",
    "tiles": "chép mảnh bản đồ",
    "documents": "soạn văn bản",
    "wheels": "gói cài đặt",
}
"""Stages that pipelines report, as a Vietnamese terminal shows them."""


class PartialFailure(Exception):
    """A command that has an answer and still fails.

    Both are printed; the exit code is the error's.
    """

    def __init__(self, answer: Answer, lines: Sequence[Message | str], error: FlycamError) -> None:
        super().__init__(str(error))
        self.answer, self.lines, self.error = answer, lines, error


class CommandGroup(click.Group):
    """Click group whose usage errors print as flycam's other errors do.

    They are a sentence, an exit code, and JSON if asked for.
    """

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command and exit with its code.

        A second Ctrl-C, or one outside a pipeline, exits with 130.
        """
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        try:
            logging.setLogRecordFactory(_VisibleRecord)
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
            _fail(Cancelled(_("run the same command to go on")), as_json)


def _usage(error: click.UsageError) -> OptionUnusable:
    """Convert click's usage error, and add where the usage is described."""
    path = error.ctx.command_path if error.ctx else "flycam"
    if _is_too_early(error):
        name = error.option_name
        return OptionUnusable(
            _("{name} stands behind the command: {path} COMMAND {name}", name=name, path=path)
        )
    vi = f"{_wrong_vi(error)}; xem '{path} --help'"
    return OptionUnusable(
        verbatim(Bilingual(f"{error.format_message().rstrip('.')}; see '{path} --help'", vi))
    )


def _is_too_early(error: click.UsageError) -> TypeGuard[click.NoSuchOption]:
    """Check for an option of every command that stands before the command."""
    is_before = error.ctx is not None and isinstance(error.ctx.command, click.Group)
    return is_before and isinstance(error, click.NoSuchOption) and error.option_name in ("--data", "--json")


def _wrong_vi(error: click.UsageError) -> str:
    match error:
        case click.NoSuchOption():
            return f"không có tuỳ chọn {error.option_name}"
        case click.MissingParameter():
            return f"thiếu {_parameter(error)}"
        case click.BadParameter():
            kind = error.param.type if error.param else None
            return f"giá trị của {_parameter(error)} không dùng được{_wanted_vi(kind)}"
    if extra := re.findall(r"unexpected extra arguments? \((.*)\)", error.format_message()):
        return f"thừa '{extra[0]}'"
    typed = "".join(re.findall("'(.*)'", error.format_message()))
    return f"không hiểu '{typed}'" if typed else error.format_message().rstrip(".")


def _wanted_vi(kind: click.ParamType[Any] | None) -> str:
    """Describe in Vietnamese the values that an option or argument takes."""
    match kind:
        case click.Choice():
            return f"; chọn: {', '.join(map(str, kind.choices))}"
        case click.DateTime():
            return "; ghi ngày như 2025-07-01 hoặc 01/07/2025"
        case click.IntRange(min=int()):
            return f"; ghi số nguyên từ {kind.min:g} trở lên"
    return {"float": "; phải là số", "integer": "; phải là số nguyên"}.get(kind.name if kind else "", "")


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
        except PartialFailure as told:
            _print_lines(told.lines, as_json)
            _fail(told.error, as_json, told.answer)
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
        if as_json and isinstance(line, SecretText):
            # once is enough: the answer has it
            continue
        print_line(line, err=as_json)


def print_line(line: Message | str, *, err: bool = True) -> None:
    """Print one line in the terminal's language, with every non-printable character escaped."""
    text = line.in_language(get_terminal_language()) if isinstance(line, Message) else line
    click.echo(to_visible(correct_singular(text)), err=err)


def _print_text(text: str) -> None:
    for line in text.rstrip("\n").split("\n"):
        print_line(line)


class _VisibleRecord(logging.LogRecord):
    """Log record of any logger, escaped as by `print_line`, its traceback too."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        if self.exc_info and self.exc_info[0] is not None:
            trace = "".join(traceback.format_exception(*self.exc_info)).rstrip("\n")
            self.exc_text = "\n".join(map(to_visible, trace.split("\n")))

    def getMessage(self) -> str:  # noqa: N802  the name that logging gives it
        return to_visible(super().getMessage())


def _fail(error: BaseException, as_json: bool, answer: Answer = MappingProxyType({})) -> NoReturn:
    code = get_exit_code(error)
    print_line(f"flycam: {format_error(error, get_terminal_language())}")
    if as_json:
        told = {"error": type(error).__name__, "sentence": format_error(error), "exit_code": code}
        answer = {**answer, **told}
        click.echo(to_json_line(answer))
    sys.exit(code)


def print_notice(message: Message) -> None:
    """Print a sentence beside the progress, in the terminal's language."""
    print_line(message)


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
    asked = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        # only the main thread receives signals
        yield asked
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.request(by_kill=number == signal.SIGTERM)
        signal.signal(number, before[signal.Signals(number)])
        print_line("")
        print_notice(_("stopping; once more to stop at once"))

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
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
    `Progress` (`flycam.pipeline.workspace`).
    """

    def __init__(self) -> None:
        self._last = ("", -1, -1)
        self._terminal = sys.stderr.isatty()
        self._words = _STAGES_VI if get_terminal_language() == "vi" else {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        before, self._last = self._last, (stage, done, total)
        if before == self._last:
            return
        words, of = self._words.get(stage, stage), f"{done}/{total}" if total else str(done)
        if not self._terminal:
            if stage != before[0] or _is_logged(done, total, before[1] if before[2] == total else 0):
                click.echo(f"{words} {of}", err=True)
        else:
            filled = _BAR_CHARS * done // max(total, 1) if total else 0
            bar = "█" * filled + "·" * (_BAR_CHARS - filled)
            end = "\n" if done == total else ""
            click.echo(f"\r{words:<12} {bar} {of}{end}", nl=False, err=True)
