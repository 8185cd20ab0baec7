"""Record of a live link's packets as a tlog, as ground stations write it: whole packets or nothing.

A full disk loses packets of the record, which are counted, and nothing else: the link goes on, and so does
the record once there is room.

Source: the tlog layout of the MAVLink developer guide (64-bit big-endian microseconds, then the packet).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from flycam.messages import Message, _


class TlogWriter:
    """Single-threaded writer; its file stays open from the first packet until closed.

    on_loss  called with the number of packets not written so far whenever it grows, and with a sentence about
             trouble, once until it is over
    """

    def __init__(self, path: Path, on_loss: Callable[[int, Message | None], None]) -> None:
        self._path, self._on_loss = path, on_loss
        self._file: FileIO | None = None
        self._whole_bytes = 0
        self._is_torn = self._in_trouble = False
        self._lost = 0

    def write(self, arrival_s: float, packet: bytes) -> None:
        """Write a packet that came at this UTC (s).

        Never raises OSError: losses are reported to `on_loss`.
        """
        try:
            self._append(struct.pack(">Q", round(arrival_s * 1e6)) + packet)
        except OSError as error:
            self._mend()
            self._lost += 1
            self._on_loss(self._lost, None if self._in_trouble else self._loss_reason(error))
            self._in_trouble = True
        else:
            self._in_trouble = False

    def close(self) -> None:
        """Close the file."""
        self._mend()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = FileIO(self._path, "ab")
            self._whole_bytes = self._file.seek(0, 2)
        if self._is_torn:
            self._file.truncate(self._whole_bytes)
        self._is_torn = True
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._is_torn = False
        self._whole_bytes += len(data)

    def _mend(self) -> None:
        """Truncate a partly written packet; if that fails too, before the next packet."""
        if self._file is not None and self._is_torn:
            with suppress(OSError):
                self._file.truncate(self._whole_bytes)
                self._is_torn = False

    def _loss_reason(self, error: OSError) -> Message:
        return _(
            "{folder}: the telemetry is not recorded at this moment ({why}); the map goes on; make room "
            "there",
            folder=self._path.parent,
            why=error.strerror or error,
        )
