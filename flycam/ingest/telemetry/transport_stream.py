"""MPEG transport stream demuxer: complete metadata streams, and the beginning of each video frame.

A metadata stream is recognised by the stream id of its PES packets (private stream 1, or metadata stream), so
a file cut out of the middle, or with damaged tables, is read like a complete one. Every length is checked
against the data present, a PES packet is bounded, and the time taken is proportional to the bytes.

Source: ISO/IEC 13818-1, 2.4.3.2 (transport packets), 2.4.3.6 (PES packets), 2.12.4 (metadata AU wrapper).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PTS_HZ = 90_000
_PTS_PERIOD = 1 << 33

_PACKET, _SYNC = 188, 0x47
# (bytes from packet to packet, before each): plain, M2TS, with parity
_LAYOUTS = (
    (188, 0),
    (192, 4),
    (204, 0),
)
_IN_STEP = 4  # packets whose sync bytes must agree
_CHUNK = 1 << 20
_PRIVATE_1, _METADATA = 0xBD, 0xFC
_VIDEO = range(0xE0, 0xF0)
# Packets at the beginning of a frame: parameter sets and SEI messages precede its slices.
_HEAD_PACKETS = 4
_MAX_PES_BYTES = 1 << 18
_CELL_HEAD = 5
_KLV = b"\x06\x0e\x2b\x34"


@dataclass(frozen=True, kw_only=True, slots=True)
class PesPacket:
    """One PES packet.

    payload   complete for metadata, without AU cell headers; of a frame the beginning
    pts       in 1/PTS_HZ s, modulo 2³³; None: not stated
    near_pts  of the last frame that began before it in the file; None: none did
    """

    pid: int
    is_picture: bool
    pts: int | None
    near_pts: int | None
    payload: bytes


@dataclass(slots=True)
class _OpenPes:
    """PES packet whose end has not come.

    `length` is as stated, 0: until the next begins.
    """

    is_picture: bool
    is_wrapped: bool
    near_pts: int | None
    data: bytearray
    counter: int = 0
    packets: int = 1
    length: int = field(init=False)

    def __post_init__(self) -> None:
        stated = int.from_bytes(self.data[4:6], "big")
        self.length = 6 + stated if stated else 0

    @property
    def is_complete(self) -> bool:
        if self.is_picture:
            return self.packets == _HEAD_PACKETS
        return 0 < self.length <= len(self.data)


def is_transport_stream(head: bytes) -> bool:
    """Return True if a file begins with a whole transport stream packet."""
    return any(_is_in_step(head, before, stride) for stride, before in _LAYOUTS)


def compute_pts_interval_s(pts: int, later_pts: int) -> float:
    """Return the time from one PTS to another, at most 13 hours either way.

    They count modulo 2³³.
    """
    ticks = (later_pts - pts + _PTS_PERIOD // 2) % _PTS_PERIOD - _PTS_PERIOD // 2
    return ticks / PTS_HZ


def read_pes_packets(path: Path) -> Iterator[PesPacket]:
    """Yield PES packets of all metadata streams and the first video stream.

    In the order of their ends; packets with a lost part are dropped. Raises OSError.
    """
    demuxer = _Demuxer()
    for rows in _packets(path):
        yield from demuxer.feed(rows)
    yield from demuxer.finish()


def _is_in_step(data: bytes, at: int, stride: int) -> bool:
    syncs = data[at : at + _IN_STEP * stride : stride]
    return len(syncs) >= 3 and syncs == bytes([_SYNC]) * len(syncs)


def _packets(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield transport packets, N×188, in pieces."""
    held, stride = b"", 0
    with path.open("rb") as file:
        while True:
            piece = file.read(_CHUNK)
            data = held + piece
            at = 0
            while True:
                if not stride:
                    at, stride = _found_step(data, at)
                if not stride:
                    held = data[max(at, len(data) - _IN_STEP * _LAYOUTS[-1][0]) :]
                    break
                count = (len(data) - at + stride - _PACKET) // stride
                if count <= 0:
                    held = data[at:]
                    break
                rows = np.lib.stride_tricks.as_strided(
                    np.frombuffer(data, np.uint8, offset=at), (count, _PACKET), (stride, 1), writeable=False
                )
                lost = np.flatnonzero(rows[:, 0] != _SYNC)
                good = int(lost[0]) if lost.size else count
                if good:
                    yield rows[:good]
                at += good * stride
                if lost.size:
                    stride, at = 0, at + 1
            if not piece:
                return


def _found_step(data: bytes, at: int) -> tuple[int, int]:
    """Return (offset, stride) of the next aligned packets; stride 0 if none."""
    while (at := data.find(_SYNC, at)) >= 0:
        if at + 2 * _LAYOUTS[-1][0] >= len(data):
            return at, 0
        for stride, _ in _LAYOUTS:
            if _is_in_step(data, at, stride):
                return at, stride
        at += 1
    return len(data), 0


class _Demuxer:
    """Demuxer of transport packets; holds one bounded PES packet per stream."""

    def __init__(self) -> None:
        self._open: dict[int, _OpenPes] = {}
        self._is_metadata = np.zeros(1 << 13, dtype=bool)
        self._video_pid = -1
        self._since_begin = _HEAD_PACKETS
        self._near_pts: int | None = None

    def feed(self, rows: NDArray[np.uint8]) -> Iterator[PesPacket]:
        pid = (rows[:, 1].astype(np.int64) & 0x1F) << 8 | rows[:, 2]
        control = rows[:, 3] >> 4 & 3
        at = 4 + np.where(control & 2, 1 + rows[:, 4].astype(np.int64), 0)
        # no payload, an error marked on the way, or scrambled
        is_used = (control & 1 == 1) & (rows[:, 1] < 0x80) & (rows[:, 3] < 0x40) & (at < _PACKET)
        begins = is_used & (rows[:, 1] & 0x40 > 0) & (at <= _PACKET - 9)
        head = np.take_along_axis(rows, np.minimum(at[:, None] + np.arange(4), _PACKET - 1), axis=1)
        begins &= (head[:, 0] == 0) & (head[:, 1] == 0) & (head[:, 2] == 1)
        stream_id = head[:, 3]
        is_metadata = begins & ((stream_id == _PRIVATE_1) | (stream_id == _METADATA))
        is_video = begins & (stream_id >= _VIDEO.start) & (stream_id < _VIDEO.stop)
        self._is_metadata[pid[is_metadata]] = True
        if self._video_pid < 0 and is_video.any():
            self._video_pid = int(pid[np.argmax(is_video)])
        is_taken = is_used & (
            self._is_metadata[pid] | self._heads(is_used & (pid == self._video_pid), begins)
        )
        for row in np.flatnonzero(is_taken):
            yield from self._add(int(pid[row]), rows[row], int(at[row]), begins=bool(begins[row]))

    def finish(self) -> Iterator[PesPacket]:
        for pid in sorted(self._open):
            yield from self._close(pid)

    def _heads(self, is_video: NDArray[np.bool_], begins: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of the video's packets are among the first of a frame."""
        rows = np.flatnonzero(is_video)
        count = np.arange(len(rows)) + self._since_begin
        began = np.maximum.accumulate(np.where(begins[rows], count, 0))
        since = count - began
        if len(rows):
            self._since_begin = int(since[-1]) + 1
        found = np.zeros(len(is_video), dtype=bool)
        found[rows[since < _HEAD_PACKETS]] = True
        return found

    def _add(self, pid: int, packet: NDArray[np.uint8], at: int, *, begins: bool) -> Iterator[PesPacket]:
        data, counter = packet[at:].tobytes(), int(packet[3]) & 0x0F
        before = self._open.get(pid)
        if begins:
            yield from self._close(pid)
            opened = _OpenPes(
                pid == self._video_pid, data[3] == _METADATA, self._near_pts, bytearray(data), counter
            )
            self._open[pid] = opened
            if opened.is_picture and (pts := _pts(data)) is not None:
                self._near_pts = pts
        elif before is None or counter == before.counter:
            # its beginning was lost, or it is a duplicate
            return
        elif counter != (before.counter + 1) % 16 or len(before.data) > _MAX_PES_BYTES:
            del self._open[pid]
            return
        else:
            before.data += data
            before.counter, before.packets = counter, before.packets + 1
        if self._open[pid].is_complete:
            yield from self._close(pid)

    def _close(self, pid: int) -> Iterator[PesPacket]:
        done = self._open.pop(pid, None)
        if done is None:
            return
        data = bytes(done.data[: done.length or None])
        payload = data[9 + data[8] :] if len(data) > 8 else b""
        if done.is_wrapped and not payload.startswith(_KLV):
            payload = _unwrapped(payload)
        is_cut = not done.is_picture and len(done.data) < done.length
        if payload and not is_cut:
            yield PesPacket(
                pid=pid,
                is_picture=done.is_picture,
                pts=_pts(data),
                near_pts=done.near_pts,
                payload=payload,
            )


def _pts(pes: bytes) -> int | None:
    """Return the PTS in a PES packet's header, or None."""
    if len(pes) < 14 or pes[7] < 0x80 or pes[8] < 5:
        return None
    return (pes[9] >> 1 & 7) << 30 | pes[10] << 22 | pes[11] >> 1 << 15 | pes[12] << 7 | pes[13] >> 1


def _unwrapped(payload: bytes) -> bytes:
    """Return the concatenated data of metadata AU cells.

    A cell is service id, number, flags, length (2), data.
    """
    data, at = [], 0
    while at + _CELL_HEAD <= len(payload):
        end = at + _CELL_HEAD + int.from_bytes(payload[at + 3 : at + _CELL_HEAD], "big")
        data.append(payload[at + _CELL_HEAD : end])
        at = end
    return b"".join(data)
