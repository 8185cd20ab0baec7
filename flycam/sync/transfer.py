"""Limits and report of a transfer."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

REQUEST_OVERHEAD_BYTES = 1000
"""Of a request and its response, as they are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferLimits:
    """Limits of a connection.

    rate_bytes_s, budget_bytes  None: unlimited
    metered                     no tiles, no photos
    originals                   photos too
    """

    rate_bytes_s: float | None = None
    budget_bytes: int | None = None
    metered: bool = False
    originals: bool = False


@dataclass(kw_only=True, slots=True)
class SyncReport:
    """Result of synchronising, summed over rounds.

    sent_bytes  handed to the connection, retransmissions included; received_bytes: what came back
    step_bytes  of them, of steps: without queries
    left_bytes  of tiles and photos that the peer still lacks, or was not asked about
    conflicts   flights that the peer could not merge, in its words
    skipped     keys of what is lost or damaged here and was therefore not sent
    ended_by    why it ended before all was sent: "budget", "metered" or ""
    """

    peer: str = ""
    steps: int = 0
    tiles: int = 0
    views: int = 0
    originals: int = 0
    sent_bytes: int = 0
    step_bytes: int = 0
    received_bytes: int = 0
    tile_bytes: int = 0
    left_bytes: int = 0
    conflicts: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    ended_by: str = ""


def compute_budget_left(limits: TransferLimits, report: SyncReport) -> int:
    """Return the bytes left of the budget, which counts both ways; maxsize if none."""
    budget = limits.budget_bytes
    return sys.maxsize if budget is None else budget - report.sent_bytes - report.received_bytes
