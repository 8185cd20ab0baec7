"""MAVLink telemetry logs (.tlog): a 64-bit big-endian time in microseconds before every packet.

`AircraftRegistry` sorts messages by aircraft, from a file here or from a live link; `mavlink_aircraft` makes
a flight log of one aircraft's; `mavlink_clock` dates messages.

Source: MAVLink common message definitions; the tlog layout is described in the MAVLink developer guide.
"""

from __future__ import annotations

import mmap
import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog, require_bounded_log
from flycam.ingest.telemetry.mavlink_aircraft import EARLIEST_US, LATEST_US, WANTED, MavlinkAircraft
from flycam.messages import Message, _, join
from flycam.store.regular_file import make_unopenable

_DAY_S = 86_400.0
_STAMP = struct.Struct(">Q")
_MARK = re.compile(b"[\xfd\xfe]")  # MAVLink 2 and 1
_HEAD_BYTES = 10
_NUMBERS = frozenset(number for number, kind in mavlink.mavlink_map.items() if kind.msgname in WANTED)


@dataclass(slots=True)
class AircraftRegistry:
    """All aircraft heard on one link, by system id."""

    aircraft: dict[int, MavlinkAircraft] = field(default_factory=dict)

    def add(self, arrival_s: float, message: Any) -> None:
        """Pass a message to its aircraft. arrival_s: the receiver's UTC."""
        if message.get_type() in WANTED:
            system = int(message.get_srcSystem())
            self.aircraft.setdefault(system, MavlinkAircraft(system)).add(arrival_s, message)

    def active_aircraft(self) -> list[MavlinkAircraft]:
        """Return the aircraft that send positions, the busiest first.

        Ground stations send none.
        """
        placed = [a for a in self.aircraft.values() if a.positions]
        return sorted(placed, key=lambda a: (-a.positions, a.system))


def read_tlog(path: Path) -> FlightLog:
    """Read the log of the aircraft that reports most in a tlog.

    Raises SourceUnreadable if none reports a position.
    """
    return next(iter(read_tlog_aircraft(path, max_count=1).values()))


def read_tlog_aircraft(path: Path, max_count: int | None = None) -> dict[int, FlightLog]:
    """Read the logs of a tlog's aircraft by system id, or of the `max_count` busiest.

    Each log's remarks state skipped records and which other aircraft the file holds. Raises SourceUnreadable
    if there is none.
    """
    link, corrupt = _collect_aircraft(path)
    flying = link.active_aircraft()
    if not flying and corrupt:
        raise SourceUnreadable(
            _(
                "{path}: none of its positions has a possible time ({corrupt} records lie "
                "before 2005 or after 2100): set the ground station's clock and give the log "
                "of another receiver of this flight",
                path=path,
                corrupt=corrupt,
            )
        )
    if not flying:
        raise SourceUnreadable(
            _(
                "{path}: holds no GLOBAL_POSITION_INT message: give the aircraft's complete "
                "telemetry log (.tlog)",
                path=path,
            )
        )
    logs: dict[int, FlightLog] = {}
    for aircraft in flying[:max_count]:
        log = aircraft.flight_log(path.name)
        told = list(log.remarks)
        others = [a for a in flying if a is not aircraft]
        if others:
            told.append(_others(aircraft, others))
        if corrupt:
            told.append(_("{count} records with an impossible time were skipped", count=corrupt))
        logs[aircraft.system] = FlightLog(
            name=log.name,
            track=log.track,
            clock=log.clock,
            shift_other_ns=log.shift_other_ns,
            camera_events=log.camera_events,
            home=log.home,
            remarks=tuple(told),
        )
    return logs


def _collect_aircraft(path: Path) -> tuple[AircraftRegistry, int]:
    """Return the file's messages by aircraft, and how many had an impossible time.

    A time is impossible also a day or more from the median.
    """
    link, stamps, corrupt = AircraftRegistry(), array("d"), 0
    for stamp_s, message in _messages(path):
        if not EARLIEST_US < stamp_s * 1e6 < LATEST_US:
            corrupt += 1
            continue
        if message is None:
            continue
        stamps.append(stamp_s)
        link.add(stamp_s, message)
        positions = link.aircraft[message.get_srcSystem()].positions
        require_bounded_log(path, samples=positions, rows=len(stamps))
    middle = float(np.median(stamps)) if stamps else 0.0
    for aircraft in link.aircraft.values():
        for rows in aircraft.rows.values():
            near = [row for row in rows if abs(row[0] - middle) < _DAY_S]
            corrupt += len(rows) - len(near)
            rows[:] = near
    return link, corrupt


def _messages(path: Path) -> Iterator[tuple[float, Any]]:
    """Yield every packet's stamp and its message.

    The stamp is the receiver's UTC (s), however impossible; the message None if unused or damaged.
    """
    decoder = mavlink.MAVLink(None)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            due = at = 0
            while (found := _MARK.search(data, at + _STAMP.size)) is not None:
                at, begin = found.start() - _STAMP.size, found.start()
                end, message = _packet(data, begin, decoder, is_due=at == due)
                if end is None:
                    at += 1
                    continue
                if at > due:
                    yield _stamp_s(data, due), None
                yield _stamp_s(data, at), message
                due = at = end
    except OSError as error:
        raise make_unopenable(path, error) from error


def _stamp_s(data: mmap.mmap, at: int) -> float:
    return float(_STAMP.unpack_from(data, at)[0] * 1e-6)


def _packet(data: mmap.mmap, begin: int, decoder: mavlink.MAVLink, *, is_due: bool) -> tuple[int | None, Any]:
    """Return the end of the packet at a mark and its message.

    The end is None without a packet, the message None if unused.

    is_due  a packet must begin here: one of an unknown type is then accepted if another follows it
    """
    size, number = _size_and_number(data, begin)
    end = begin + size
    if size == 0 or end > len(data):
        return None, None
    if number not in mavlink.mavlink_map:
        follows = data[end + _STAMP.size : end + _STAMP.size + 1]
        return (end if is_due and (not follows or _MARK.match(follows)) else None), None
    try:
        message = decoder.decode(bytearray(data[begin:end]))
    except mavlink.MAVError:  # wrong checksum: perhaps no packet begins here
        return None, None
    return end, message if number in _NUMBERS else None


def _size_and_number(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Return packet size in bytes and message number at a mark; size 0: no packet."""
    head = data[at : at + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES:
        return 0, 0
    if head[0] == mavlink.PROTOCOL_MARKER_V1:
        return 6 + head[1] + 2, head[5]
    if head[2] & ~mavlink.MAVLINK_IFLAG_SIGNED:
        # MAVLink: packets with unknown flags must not be read
        return 0, 0
    signature = mavlink.MAVLINK_SIGNATURE_BLOCK_LEN if head[2] else 0
    return _HEAD_BYTES + head[1] + 2 + signature, int.from_bytes(head[7:], "little")


def _others(used: MavlinkAircraft, others: list[MavlinkAircraft]) -> Message:
    unused = [_("{system} ({count} positions)", system=a.system, count=a.positions) for a in others]
    return _(
        "{count} aircraft fly on this link: system {system} is used, not {unused}",
        count=len(others) + 1,
        system=used.system,
        unused=join(unused, ", "),
    )
