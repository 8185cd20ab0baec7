"""Escaping of user text for XML."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

_NOT_HELD = re.compile("[^\\t\\n -~\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 cannot hold at all (2.2, Char), and control characters."""


def escape_xml(text: str) -> str:
    """Escape text for an element or a double-quoted attribute.

    Characters that XML cannot hold are dropped.
    """
    return escape(_NOT_HELD.sub("", text), {'"': "&quot;"})
