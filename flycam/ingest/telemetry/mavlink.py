"""MAVLink telemetry logs (.tlog): a 64-bit big-endian time in microseconds before every packet.

`Link` sorts messages by aircraft, from a file here or from a live link; `mavlink_aircraft` makes a flight log
of one aircraft's; `mavlink_clock` says what time a message is of.
Source: MAVLink common message definitions; the tlog layout is described in the MAVLink developer guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymavlink import mavutil

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.mavlink_aircraft import EARLIEST_US, LATEST_US, WANTED, Aircraft

_DAY_S = 86_400.0


@dataclass(slots=True)
class Link:
    """Every aircraft heard on one link, by its system id."""

    aircraft: dict[int, Aircraft] = field(default_factory=dict)

    def add(self, arrival_s: float, message: Any) -> None:
        """Gives a message to its aircraft. arrival_s: the receiver's UTC."""
        if message.get_type() in WANTED:
            system = int(message.get_srcSystem())
            self.aircraft.setdefault(system, Aircraft(system)).add(arrival_s, message)

    def flying(self) -> list[Aircraft]:
        """Those that send positions, the one that sends most first: ground stations send none."""
        placed = [a for a in self.aircraft.values() if a.positions]
        return sorted(placed, key=lambda a: (-a.positions, a.system))


def read_tlog(path: Path) -> FlightLog:
    """The aircraft that reports most in a tlog. Raises SourceUnreadable if none reports a position."""
    return next(iter(read_tlog_aircraft(path, most=1).values()))


def read_tlog_aircraft(path: Path, most: int | None = None) -> dict[int, FlightLog]:
    """Every aircraft of a tlog by its system id, or the `most` busiest; SourceUnreadable if there is none.

    Each log's remarks say what was left out and which other aircraft the file holds.
    """
    link, corrupt = _heard(path)
    flying = link.flying()
    if not flying and corrupt:
        raise SourceUnreadable(
            f"{path}: none of its positions has a possible time ({corrupt} records lie before 2005 or "
            "after 2100): set the ground station's clock and give the log of another receiver of this flight",
            vi=f"{path}: không vị trí nào có giờ hợp lý; hãy chỉnh giờ trạm mặt đất và đưa nhật ký khác",
        )
    if not flying:
        raise SourceUnreadable(
            f"{path}: holds no GLOBAL_POSITION_INT message: give the aircraft's complete telemetry log "
            "(.tlog)",
            vi=f"{path}: không có vị trí nào; hãy đưa nhật ký đầy đủ (.tlog) của máy bay",
        )
    logs: dict[int, FlightLog] = {}
    for aircraft in flying[:most]:
        log = aircraft.flight_log(path.name)
        told = list(log.remarks)
        others = [a for a in flying if a is not aircraft]
        if others:
            told.append(_others(aircraft, others))
        if corrupt:
            told.append(
                (
                    f"{corrupt} records with an impossible time were skipped",
                    f"bỏ qua {corrupt} bản ghi có thời gian vô lý",
                )
            )
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


def _heard(path: Path) -> tuple[Link, int]:
    """The file's messages by aircraft; how many carried an impossible time or one a day from the rest."""
    kept: list[tuple[float, Any]] = []
    corrupt = 0
    for message in _iterate(path):
        if not EARLIEST_US < message._timestamp * 1e6 < LATEST_US:
            corrupt += 1
        elif message.get_type() in WANTED:
            kept.append((message._timestamp, message))
    middle = float(np.median([stamp for stamp, _ in kept])) if kept else 0.0
    link = Link()
    for stamp, message in kept:
        if abs(stamp - middle) < _DAY_S:
            link.add(stamp, message)
        else:
            corrupt += 1
    return link, corrupt


def _iterate(path: Path) -> Iterator[Any]:
    try:
        connection = mavutil.mavlogfile(str(path), robust_parsing=True)
    except OSError as error:
        raise SourceUnreadable(
            f"{path}: cannot be opened ({error.strerror}): check the path",
            vi=f"{path}: không mở được tệp; hãy kiểm tra đường dẫn",
        ) from error
    try:
        while (message := connection.recv_msg()) is not None:
            yield message
    finally:
        connection.close()


def _others(used: Aircraft, others: list[Aircraft]) -> tuple[str, str]:
    names = ", ".join(f"{a.system} ({a.positions} positions)" for a in others)
    ten = ", ".join(f"{a.system} ({a.positions} vị trí)" for a in others)
    return (
        f"{len(others) + 1} aircraft fly on this link: system {used.system} is used, not {names}",
        f"có {len(others) + 1} máy bay trên cùng đường truyền: dùng máy số {used.system}, không dùng {ten}",
    )
