"""The shape of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Answer = Mapping[str, Any]
Answered = tuple[Answer, Sequence[str]]
"""One object for programs, and lines for people."""
