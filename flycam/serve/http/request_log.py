"""Request log: one line of JSON each, with time, account, status and duration.

Never a credential: of an address only its template is written, of all else nothing.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from flycam.errors import OptionUnusable
from flycam.frame.text_normalization import to_json_line
from flycam.messages import _

STANDARD_OUTPUT = "-"
_MAX_QUEUED = 20_000
_LOG = logging.getLogger("flycam.serve")


class RequestLog:
    """Request log, written behind the requests by a thread of its own.

    A slow disk delays no request, and a full one ends nothing. Lines that could not be written are counted. A
    file that was moved away (by logrotate) is reopened under its name.
    """

    def __init__(self, to: str) -> None:
        """Open the log `to`: "-" or a file, which is appended to.

        Raises OptionUnusable where it cannot be opened.
        """
        self._path = None if to == STANDARD_OUTPUT else Path(to)
        self._file = self._open_file()
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(_MAX_QUEUED)
        self._has_complained = False
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def note(self, line: dict[str, Any]) -> None:
        """Queue a line to be written."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and close."""
        self._waiting.put(None)
        self._thread.join(10.0)
        if self._path is not None:
            self._file.close()

    def _open_file(self) -> TextIO:
        if self._path is None:
            return sys.stdout
        try:
            return self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise OptionUnusable(
                _(
                    "{path}: the log of requests cannot be written ({strerror}); name a file "
                    "in a folder that is there, or - for standard output",
                    path=self._path,
                    strerror=error.strerror,
                )
            ) from error

    def _run(self) -> None:
        is_over = False
        while not is_over:
            lines = [self._waiting.get()]
            while len(lines) < 1000 and not self._waiting.empty():
                lines.append(self._waiting.get_nowait())
            is_over = lines[-1] is None
            said = [line for line in lines if line is not None]
            try:
                self._reopen_if_rotated()
                self._file.write("".join(f"{to_json_line(line)}\n" for line in said))
                self._file.flush()
            except (OSError, OptionUnusable, ValueError) as error:
                self.lost += len(said)
                if not self._has_complained:
                    self._has_complained = True
                    _LOG.warning("lines of the log of requests are lost: %s", error)

    def _reopen_if_rotated(self) -> None:
        if self._path is None:
            return
        try:
            is_same = os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            self._file.close()
            self._file = self._open_file()
