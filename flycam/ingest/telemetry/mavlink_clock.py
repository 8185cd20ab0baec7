"""Conversion between MAVLink's two clocks: packet arrival, and the autopilot's time since boot.

A link delays packets, so a message's time is its boot time plus the least delay within a second of it: a
packet cannot arrive before it was sent. Where the two do not run at the same rate, packets were replayed from
a buffer: their times are useless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.messages import Message, _

Floats = NDArray[np.float64]
Row = tuple[float, Any]  # arrival UTC in seconds, message

_DELAY_WINDOW_S = 1.0
_REBOOT_S = 5.0
# Packets are replayed if arrival and boot time differ by this factor over 15 messages either way.
_RATE_SPAN = 15
_RATE_TOLERANCE = 2.0
# A radio, or a busy receiver, holds packets up for so long and then delivers them at once.
_HELD_UP_S = 1.0
_MAX_SENDERS = 3


@dataclass(frozen=True, slots=True)
class BootClock:
    """Times since boot (s, increasing) and the receiver's clock at them (UTC s)."""

    boot_s: Floats
    utc_s: Floats

    def to_utc(self, boot_s: Floats | float) -> Floats:
        """Convert boot times to UTC seconds.

        Beyond the ends the nearest offset holds.
        """
        return np.asarray(boot_s) + np.interp(boot_s, self.boot_s, self.utc_s - self.boot_s)

    def to_boot(self, utc_s: Floats | float) -> Floats:
        """Convert UTC seconds to boot times, the inverse of `to_utc`."""
        return np.asarray(utc_s) - np.interp(utc_s, self.utc_s, self.utc_s - self.boot_s)


def extract_boot_s(rows: list[Row]) -> Floats:
    """Return the messages' seconds since boot."""
    return np.array([m.time_boot_ms for __, m in rows], dtype=np.float64) / 1e3


def estimate_boot_clock(positions: list[Row]) -> BootClock:
    """Estimate the clock as boot time plus the least delay within a second.

    So jitter is removed and slow drift kept.

    positions  in order of time since boot
    """
    boot = extract_boot_s(positions)
    delay = np.array([stamp for stamp, __ in positions]) - boot
    low = np.searchsorted(boot, boot - _DELAY_WINDOW_S)
    high = np.searchsorted(boot, boot + _DELAY_WINDOW_S, side="right")
    least = np.array([delay[a:b].min() for a, b in zip(low, high, strict=True)])
    return BootClock(boot, boot + least)


def select_busiest_sender(positions: list[Row]) -> tuple[list[Row], float | None]:
    """Return the positions of the busiest sender, where several share a system id.

    Time since boot that goes back once is a reboot; back and forth it is two autopilots. Each position goes
    to the sender whose time since boot advanced as the receiver's clock did. The second value is that
    sender's arrival minus boot time (s), None if there is only one.
    """
    if (np.diff(extract_boot_s(positions)) < -_REBOOT_S).sum() < _MAX_SENDERS:
        return positions, None
    voices: list[list[Row]] = []
    for row in positions:
        mine = min(voices, key=lambda v: _strays(v[-1], row), default=None)
        if mine is None or _strays(mine[-1], row) > _REBOOT_S:
            voices.append([row])
        else:
            mine.append(row)
    most = max(voices, key=len)
    return most, float(np.median(np.array([stamp for stamp, __ in most]) - extract_boot_s(most)))


def filter_sender(rows: list[Row], offset_s: float | None) -> list[Row]:
    """Return the rows of one sender, identified by arrival minus boot time.

    All rows where there is only one sender.
    """
    if offset_s is None or not rows or not hasattr(rows[0][1], "time_boot_ms"):
        return rows
    return [row for row in rows if abs(row[0] - row[1].time_boot_ms / 1e3 - offset_s) <= _REBOOT_S]


def _strays(last: Row, row: Row) -> float:
    """Return by how much boot time and arrival advanced differently between rows, s."""
    return float(abs((row[1].time_boot_ms - last[1].time_boot_ms) / 1e3 - (row[0] - last[0])))


def select_last_boot(positions: list[Row]) -> list[Row]:
    """Return the positions since the last reboot, in order of time since boot."""
    back = np.flatnonzero(np.diff(extract_boot_s(positions)) < -_REBOOT_S)
    rows = positions[int(back[-1]) + 1 if back.size else 0 :]
    return sorted(rows, key=lambda row: row[1].time_boot_ms)


def select_live_rows(rows: list[Row]) -> tuple[list[Row], list[Message]]:
    """Return the positions that arrived as fast as they were made; empty if none did.

    rows  in order of time since boot
    """
    arrival, boot = np.array([stamp for stamp, __ in rows]), extract_boot_s(rows)
    k = min(_RATE_SPAN, max(len(rows) - 1, 1) // 2)
    if k < 1:
        return rows, []
    ends = np.clip(np.arange(len(rows)) + k, 0, len(rows) - 1)
    begins = np.clip(np.arange(len(rows)) - k, 0, len(rows) - 1)
    took_s, made_s = arrival[ends] - arrival[begins], boot[ends] - boot[begins]
    rate = took_s / np.maximum(made_s, 1e-3)
    live = (rate > 1.0 / _RATE_TOLERANCE) & (rate < _RATE_TOLERANCE) | (np.abs(took_s - made_s) < _HELD_UP_S)
    if live.all():
        return rows, []
    seconds = float(boot[~live].max() - boot[~live].min())
    took = float(arrival[~live].max() - arrival[~live].min())
    dropped = int((~live).sum())
    return [row for row, ok in zip(rows, live, strict=True) if ok], [
        _(
            "{count} positions that span {flown_s:.0f} s of flight arrived within {took_s:.0f} s: replayed "
            "from a buffer, they are not used",
            count=dropped,
            flown_s=seconds,
            took_s=took,
        )
    ]
