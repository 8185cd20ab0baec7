"""Last use of tokens, written by a background thread: no request waits."""

from __future__ import annotations

import logging
import threading

from flycam.errors import FlycamError
from flycam.pipeline.workspace import Workspace

USAGE_INTERVAL_NS = 600 * 10**9
"""Shortest time between two writes for a token that is used all the time."""
_log = logging.getLogger(__name__)


class TokenUsage:
    """Last uses of tokens that wait to be written. Safe to use from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._noted: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._is_writing = False

    def note(self, token_id: str) -> None:
        """Note that a token was used now; "": none."""
        now_ns = self._workspace.clock_ns()
        with self._lock:
            noted = self._noted.get(token_id)
            if not token_id or (noted is not None and abs(now_ns - noted) < USAGE_INTERVAL_NS):
                return
            self._noted[token_id] = self._waiting[token_id] = now_ns
            if self._is_writing:
                return
            self._is_writing = True
        threading.Thread(target=self._write, name="token uses", daemon=True).start()

    def _write(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_writing = False
                    return
                token_id, at_ns = self._waiting.popitem()
            try:
                self._workspace.catalog.tokens.note_use(token_id, at_ns)
            except FlycamError as error:
                # lost: the next use, ten minutes on, is written again
                _log.warning("%s: its last use is not written down: %s", token_id, error)
