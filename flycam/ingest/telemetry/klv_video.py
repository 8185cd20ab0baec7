"""MISB metadata embedded in their video: an MPEG transport stream as aircraft send it.

The metadata are in UTC. When the video's first frame was taken by that clock follows from the frames' own
stamps (ST 0604), else from the metadata's presentation times (synchronous metadata), else from their position
in the file, which is right to a second or two: then image motion gives a better estimate.

Sources: MISB ST 0604 (stamps in frames), ST 1402 (metadata in a transport stream).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample
from flycam.frame.timestamp import EARLIEST_NS, LATEST_NS
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.klv import KlvSamples, make_klv_log, make_packet_remarks
from flycam.ingest.telemetry.transport_stream import PesPacket, compute_pts_interval_s, read_pes_packets
from flycam.messages import Message, _, join
from flycam.store.regular_file import make_unopenable

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

    first_pts: int | None = None
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
    told = {pid: stream.samples.finish() for pid, stream in streams.items()}
    best = max(told, key=lambda pid: (*_worth(told[pid][0]), -pid), default=None)
    if best is None or not told[best][0]:
        raise _no_position(path, told)
    samples, counts = told[best]
    others = [pid for pid in told if pid != best and told[pid][0]]
    remarks = [*make_packet_remarks(counts), *_not_used(best, len(samples), others, told)]
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
        _(
            "of several metadata streams PID {best} ({count} positions) is used, not {others}",
            best=best,
            count=count,
            others=", ".join(f"PID {pid} ({len(parsed[pid][0])})" for pid in others),
        )
    ]


def _no_position(
    path: Path, parsed: dict[int, tuple[tuple[TelemetrySample, ...], Counter[str]]]
) -> SourceUnreadable:
    counts = sum((counts for __, counts in parsed.values()), Counter[str]())
    said = make_packet_remarks(counts)
    if not said and not counts["packets"]:
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
            why=join(said, "; "),
        )
    )
