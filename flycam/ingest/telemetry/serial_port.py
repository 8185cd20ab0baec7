"""Serial line (a telemetry radio on USB, a pseudo-terminal) read like a socket.

Raw, 8 bits, no parity. Uses the system's terminal interface (POSIX termios), so no further library is needed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios
from pathlib import Path

DEFAULT_BAUD = 57_600
"""Factory setting of telemetry radios."""

_SPEEDS = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name[0] == "B" and name[1:].isdecimal()
}
# Indexes in termios' attribute list: iflag, oflag, cflag, lflag, ispeed, ospeed, cc.
_CONTROL = 2
_LOCAL_SPEEDS = (4, 5)


class SerialPort:
    """Serial port, open from its construction.

    timeout_s  how long `recv` waits

    Raises OSError where it cannot be opened, or is no serial line.
    """

    def __init__(self, path: Path, baud: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # nonblocking: a line without carrier would keep the opener waiting
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _make_raw(self._fd, _SPEEDS[baud])
            # two readers would each get half of every packet
            fcntl.ioctl(self._fd, termios.TIOCEXCL)
        except termios.error as error:
            os.close(self._fd)
            raise OSError(*error.args) from error
        except BaseException:
            os.close(self._fd)
            raise
        # select() takes no descriptor above 1,023, and a server has more open
        self._waiting = select.poll()
        self._waiting.register(self._fd, select.POLLIN)

    def recv(self, max_bytes: int) -> bytes:
        """Return the received bytes, at most max_bytes; b"" once the line is gone.

        Raises TimeoutError while nothing comes.
        """
        if not self._waiting.poll(1000.0 * self._timeout_s):
            raise TimeoutError
        try:
            return os.read(self._fd, max_bytes)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise TimeoutError from error
            return b""  # pulled out

    def close(self) -> None:
        """Close the port."""
        os.close(self._fd)


def is_supported_baud(baud: int) -> bool:
    """Return True if this system supports such a speed."""
    return baud in _SPEEDS and baud > 0


def _make_raw(fd: int, speed: int) -> None:
    """Pass bytes as they come: no echo, no line editing, no flow control by bytes."""
    settings = termios.tcgetattr(fd)
    flags = termios.CS8 | termios.CREAD | termios.CLOCAL
    settings[0] = settings[1] = settings[3] = 0
    settings[_CONTROL] = flags
    for at in _LOCAL_SPEEDS:
        settings[at] = speed
    settings[6][termios.VMIN], settings[6][termios.VTIME] = 0, 0
    termios.tcsetattr(fd, termios.TCSANOW, settings)
    termios.tcflush(fd, termios.TCIFLUSH)
