"""Capabilities that nodes announce to each other.

An older peer announces fewer and is sent and asked less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASKS, WITHDRAWALS, HEADS, RECORD_CHANGES = "masks", "withdrawals", "heads", "record_changes"
CAPABILITIES = (MASKS, WITHDRAWALS, HEADS, RECORD_CHANGES)

CAPABILITIES_QUERY = f"knows={MASKS}&also={WITHDRAWALS}"
"""Capabilities in a URL; an older server reads only the first parameter, and as one word."""


def parse_capabilities(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the capabilities that a peer's message announces."""
    known = values.get("knows")
    return frozenset(one for one in CAPABILITIES if isinstance(known, list) and one in known)


def parse_capabilities_query(capabilities: str, further: str) -> frozenset[str]:
    """Return the capabilities that the parameters of `CAPABILITIES_QUERY` announce."""
    return frozenset(CAPABILITIES) & {capabilities, further}
