"""Text that people wrote, as XML takes it."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

_NOT_HELD = re.compile("[^\\t\\n -~\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What XML 1.0 cannot hold at all (2.2, Char), and control characters."""


def escape_xml(text: str) -> str:
    """Escaped, for an element or between double quotes; without what XML cannot hold."""
    return escape(_NOT_HELD.sub("", text), {'"': "&quot;"})
