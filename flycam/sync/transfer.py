"""What a line may carry, and what it carried."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

REQUEST_OVERHEAD_BYTES = 1000
"""Of a request and its answer, as they are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferLimits:
    """rate_bytes_s, budget_bytes: of the line, None without; metered: no tiles, no
    photos; originals: photos too."""

    rate_bytes_s: float | None = None
    budget_bytes: int | None = None
    metered: bool = False
    originals: bool = False


@dataclass(kw_only=True, slots=True)
class SyncReport:
    """What came of it, added up over rounds.

    sent_bytes  handed to the line, what was sent again included; got_bytes: what came back over it
    step_bytes  of them, of steps: not what was asked
    left_bytes  of tiles and photos that the peer still lacks, or was not asked about
    conflicts   flights that the peer could not join: as it says them
    skipped     keys of what is lost or damaged here and was therefore not sent
    ended_by    why it ended before all was there: "budget", "metered" or ""
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
    """Bytes that are left of the budget, which counts both ways; no end without one."""
    budget = limits.budget_bytes
    return sys.maxsize if budget is None else budget - report.sent_bytes - report.received_bytes
