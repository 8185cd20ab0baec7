"""What a box or a server says over a line that it keeps to, or answers; one of before says less, and is told
and asked less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASKS, WITHDRAWALS, HEADS, RECORD_CHANGES = "masks", "withdrawals", "heads", "record_changes"
KNOWS = (MASKS, WITHDRAWALS, HEADS, RECORD_CHANGES)

QUERY = f"knows={MASKS}&also={WITHDRAWALS}"
"""What is kept to, in an address: a server of before reads the first alone, and as one word."""


def known_of(said: Mapping[str, Any]) -> frozenset[str]:
    """What who said this keeps to."""
    known = said.get("knows")
    return frozenset(one for one in KNOWS if isinstance(known, list) and one in known)


def known_in(knows: str, also: str) -> frozenset[str]:
    """As `QUERY` says it."""
    return frozenset(KNOWS) & {knows, also}
