"""What libraries print on their own, escaped before it reaches the terminal.

libpng, GDAL and their like write to file descriptor 2 past `cli/output.py`, and repeat what a file says: the
name of a PNG's colour profile may move the cursor, or begin a line. So descriptor 2 becomes a pipe to a
process that escapes what comes; what flycam prints goes to the terminal itself, as before.

A process and not a thread: it goes on when this one crashes, so its last words are not lost, and it needs no
interpreter lock, which a library may hold while it waits for room in the pipe.
"""

from __future__ import annotations

import atexit
import codecs
import fcntl
import os
import select
import signal
import sys
import termios
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from flycam.model.text import to_visible

_STDERR = 2
_HELD_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_DRAIN_S = 1.0


def escape_library_messages() -> None:
    """Escape all that is written to descriptor 2 from now on, by this process and those that it starts.

    For a program's first steps: it forks, so there is no other thread yet, and nothing open.
    """
    if sys.stderr is None:  # it was closed
        return
    try:
        terminal = os.dup(_STDERR)
        # a packet a write: line ends within one are a file's, the one at its end is the library's
        source, sink = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        pump = _fork()
    except OSError:  # no room for a process, or a sandbox without such pipes: a map is worth more
        return
    if pump == 0:
        _run_pump(source, terminal)
    os.dup2(sink, _STDERR)
    os.close(source)
    os.close(sink)
    # what nobody caught repeats names too: it goes where libraries print
    sys.excepthook = _print_uncaught
    threading.excepthook = lambda caught: _print_uncaught(*caught[:3])
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    atexit.register(_drain)


def _print_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if not issubclass(kind, SystemExit):  # by which a thread may end
        traceback.print_exception(kind, error, trace, file=sys.__stderr__)


def _fork() -> int:
    """Fork as `os.fork`; signals that stop a whole group are blocked in the child: it ends last."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_SIGNALS)
    child = -1
    try:
        child = os.fork()
    finally:
        if child != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def _drain() -> None:
    """Wait until the pump has taken what was written: where it is killed with us, nothing is lost."""
    ends_s = time.monotonic() + _DRAIN_S
    with suppress(OSError):
        while any(fcntl.ioctl(_STDERR, termios.FIONREAD, bytes(4))) and time.monotonic() < ends_s:
            time.sleep(0.001)


def _run_pump(source: int, terminal: int) -> NoReturn:
    """Write what comes from `source` to `terminal`, escaped, until nobody has the pipe's other end."""
    try:
        # a reader of this program's output waits until the last copy of it is closed
        for other in Path("/proc/self/fd").iterdir():
            if int(other.name) not in (source, terminal):
                with suppress(OSError):
                    os.close(int(other.name))
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        while packet := os.read(source, select.PIPE_BUF):
            _write(terminal, decoder.decode(packet))
        _write(terminal, decoder.decode(b"", final=True))
    finally:
        os._exit(0)


def _write(terminal: int, text: str) -> None:
    line = text.removesuffix("\n")
    data = (to_visible(line) + text[len(line) :]).encode()
    while data:
        data = data[os.write(terminal, data) :]
