"""MISB metadata embedded in a video's MPEG transport stream.

Aircraft send such streams. The demuxer yields metadata streams and the beginning of each video frame.

The metadata are in UTC. When the video's first frame was taken by that clock follows from the frames' own
stamps (ST 0604), else from the metadata's presentation times (synchronous metadata), else from their position
in the file, which is right to a second or two: then image motion gives a better estimate.

Sources: MISB ST 0604 (stamps in frames), ST 1402 (metadata in a transport stream).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.klv import KlvSamples, make_klv_log, make_packet_remarks
from flycam.messages import Message, _, join, ngettext
from flycam.model.telemetry import TelemetrySample
from flycam.model.time import EARLIEST_NS, LATEST_NS
from flycam.storage.files import make_unopenable

# -- MPEG transport stream demuxer: metadata streams, and starts of video frames -------------------
#
# A metadata stream is recognised by the stream id of its PES packets (private stream 1, or metadata stream),
# so a file cut out of the middle, or with damaged tables, is read like a complete one. Every length is
# checked against the data present, a PES packet is bounded, and the time taken is proportional to the bytes.
#
# Source: ISO/IEC 13818-1, 2.4.3.2 (transport packets), 2.4.3.6 (PES packets), 2.12.4 (metadata AU wrapper).


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
    pending, stride = b"", 0
    with path.open("rb") as file:
        while True:
            piece = file.read(_CHUNK)
            data = pending + piece
            at = 0
            while True:
                if not stride:
                    at, stride = _found_step(data, at)
                if not stride:
                    pending = data[max(at, len(data) - _IN_STEP * _LAYOUTS[-1][0]) :]
                    break
                count = (len(data) - at + stride - _PACKET) // stride
                if count <= 0:
                    pending = data[at:]
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
        for stride, __ in _LAYOUTS:
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


# -- Flight log of embedded MISB metadata, dated against the video ---------------------------------


_STAMP_NS = {
    b"MISPmicrosectime": 1000,
    bytes.fromhex("a8687dd4d7593758a5cef0338b6545f1"): 1000,  # H.265
    bytes.fromhex("cf848278ee23306c9265e8fef22fb8b8"): 1,  # nanoseconds
}
"""Marker of a stamp in a frame, and its unit in nanoseconds."""

_STAMP_BYTES = 12
# A stamp has 0xff there, so that it never looks like a start code.
_FILLED_AT = (3, 6, 9)
_STAMP_SIGMA_S, _BESIDE_SIGMA_S = 0.01, 1.0
_SAME_CLOCK_S = 60.0
_MAX_MOMENTS = 20_000
_MAX_STREAMS = 64


@dataclass(slots=True)
class _Moments:
    """Pairs of UTC and video time, by which the video's first frame is dated."""

    utc_ns: list[int] = field(default_factory=list)
    film_s: list[float] = field(default_factory=list)

    def add(self, utc_ns: int | None, pts: int | None, first_pts: int | None) -> None:
        if utc_ns is None or pts is None or first_pts is None or len(self.utc_ns) >= _MAX_MOMENTS:
            return
        if EARLIEST_NS < utc_ns < LATEST_NS:
            self.utc_ns.append(utc_ns)
            self.film_s.append(compute_pts_interval_s(first_pts, pts))

    def zero(self, min_sigma_s: float) -> tuple[int, float] | None:
        """Return UTC ns of the first frame and its sigma in seconds; None if unknown."""
        if not self.utc_ns:
            return None
        base_ns = self.utc_ns[0]
        zeros_s = (np.array(self.utc_ns) - base_ns) / 1e9 - np.array(self.film_s)
        middle_s = float(np.median(zeros_s))
        spread_s = 1.4826 * float(np.median(np.abs(zeros_s - middle_s)))
        return base_ns + round(middle_s * 1e9), float(np.hypot(min_sigma_s, spread_s))


@dataclass(slots=True)
class _Stream:
    """One metadata stream: its samples, and its packets' times against the video's."""

    samples: KlvSamples
    stated: _Moments = field(default_factory=_Moments)
    nearby: _Moments = field(default_factory=_Moments)

    def feed(self, pes: PesPacket, first_pts: int | None) -> None:
        utc_ns = self.samples.feed(pes.payload)
        self.stated.add(utc_ns, pes.pts, first_pts)
        self.nearby.add(utc_ns, pes.near_pts, first_pts)


def read_klv_video(path: Path) -> FlightLog:
    """Read the flight log in a transport stream's metadata.

    Of several metadata streams the one that locates most frames is used. Raises SourceUnreadable where none
    has a position.
    """
    streams: dict[int, _Stream] = {}
    stamped, first_pts = _Moments(), None
    try:
        for pes in read_pes_packets(path):
            if pes.is_picture:
                first_pts = pes.pts if first_pts is None else first_pts
                stamped.add(read_frame_stamp_ns(pes.payload), pes.pts, first_pts)
            elif pes.pid in streams or len(streams) < _MAX_STREAMS:
                stream = streams.setdefault(pes.pid, _Stream(KlvSamples(path)))
                stream.feed(pes, first_pts)
    except OSError as error:
        raise make_unopenable(path, error) from error
    parsed = {pid: stream.samples.finish() for pid, stream in streams.items()}
    best = max(parsed, key=lambda pid: (*_worth(parsed[pid][0]), -pid), default=None)
    if best is None or not parsed[best][0]:
        raise _no_position(path, parsed)
    samples, counts = parsed[best]
    others = [pid for pid in parsed if pid != best and parsed[pid][0]]
    remarks = [*make_packet_remarks(counts), *_not_used(best, len(samples), others, parsed)]
    zero = _zero(samples, stamped, streams[best])
    return make_klv_log(path, samples, remarks, *(zero or ()))


def read_frame_stamp_ns(head: bytes) -> int | None:
    """Return the time stamp in a frame's first bytes, UTC ns; None without one."""
    for mark, unit_ns in _STAMP_NS.items():
        at = head.find(mark)
        stamp = head[at + len(mark) :][:_STAMP_BYTES] if at >= 0 else b""
        if len(stamp) == _STAMP_BYTES and all(stamp[k] == 0xFF for k in _FILLED_AT):
            return int.from_bytes(stamp[1:3] + stamp[4:6] + stamp[7:9] + stamp[10:], "big") * unit_ns
    return None


def _zero(
    samples: tuple[TelemetrySample, ...], stamped: _Moments, stream: _Stream
) -> tuple[int, float] | None:
    """Return UTC ns of the first frame by the metadata's clock, and its sigma.

    Stamps of another clock than the metadata's (an encoder that was never set) are ignored.
    """
    for moments, sigma_s in (
        (stamped, _STAMP_SIGMA_S),
        (stream.stated, _STAMP_SIGMA_S),
        (stream.nearby, _BESIDE_SIGMA_S),
    ):
        zero = moments.zero(sigma_s)
        if zero is None:
            continue
        last_ns = zero[0] + round(max(moments.film_s) * 1e9)
        spare_ns = round(_SAME_CLOCK_S * 1e9)
        if samples[0].t_utc_ns - spare_ns <= last_ns and zero[0] <= samples[-1].t_utc_ns + spare_ns:
            return zero
    return None


def _worth(samples: tuple[TelemetrySample, ...]) -> tuple[int, int]:
    """Return the numbers of samples with position and direction, and with position."""
    return sum(np.isfinite(one.gimbal_pitch_deg) for one in samples), len(samples)


def _not_used(
    best: int,
    count: int,
    others: list[int],
    parsed: dict[int, tuple[tuple[TelemetrySample, ...], Counter[str]]],
) -> list[Message]:
    if not others:
        return []
    return [
        ngettext(
            "of several metadata streams PID {best} ({count} position) is used, not {others}",
            "of several metadata streams PID {best} ({count} positions) is used, not {others}",
            count,
            best=best,
            others=", ".join(f"PID {pid} ({len(parsed[pid][0])})" for pid in others),
        )
    ]


def _no_position(
    path: Path, parsed: dict[int, tuple[tuple[TelemetrySample, ...], Counter[str]]]
) -> SourceUnreadable:
    counts = sum((counts for __, counts in parsed.values()), Counter[str]())
    remarks = make_packet_remarks(counts)
    if not remarks and not counts["packets"]:
        return SourceUnreadable(
            _(
                "{path}: is a video without MISB metadata (ST 0601, 0104): give the flight's log beside it",
                path=path,
            )
        )
    return SourceUnreadable(
        _(
            "{path}: its metadata tell no position ({why}): give the flight's log beside it",
            path=path,
            why=join(remarks, "; "),
        )
    )
