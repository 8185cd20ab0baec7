"""Escaping of free text in XML."""

from __future__ import annotations

import re
from xml.sax import saxutils

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, not even escaped (production 2 of its grammar)."""


def escape_text(text: str) -> str:
    """Escape text between tags."""
    return saxutils.escape(_NOT_XML.sub("\ufffd", text))


def quote_attribute(text: str) -> str:
    """Return the value of an attribute, escaped and in quotes."""
    return saxutils.quoteattr(_NOT_XML.sub("\ufffd", text))
