"""What a box or a server says over a line that it keeps to, or answers; one of before says less, and is told
and asked less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASKS, WITHDRAWALS, HEADS, RECORD_CHANGES = "masks", "withdrawals", "heads", "record_changes"
CAPABILITIES = (MASKS, WITHDRAWALS, HEADS, RECORD_CHANGES)

CAPABILITIES_QUERY = f"knows={MASKS}&also={WITHDRAWALS}"
"""What is kept to, in an address: a server of before reads the first alone, and as one word."""


def parse_capabilities(values: Mapping[str, Any]) -> frozenset[str]:
    """What who said this keeps to."""
    known = values.get("knows")
    return frozenset(one for one in CAPABILITIES if isinstance(known, list) and one in known)


def parse_capabilities_query(capabilities: str, further: str) -> frozenset[str]:
    """As `CAPABILITIES_QUERY` says it."""
    return frozenset(CAPABILITIES) & {capabilities, further}
