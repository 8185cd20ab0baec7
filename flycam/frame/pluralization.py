"""Singular forms in English sentences that count: "1 photos are" becomes "1 photo is".

Vietnamese nouns do not change.
"""

from __future__ import annotations

import re

_NOUNS = (
    "photo|frame|tile|flight|commune|place|patch|shot|file number|terrain file|old tile state|old clip"
    "|feature|mark|original|file|confirmed change|change|candidate|settlement|outline|object|part|account"
)
_VERBS = {
    "are": "is",
    "were": "was",
    "have": "has",
    "do": "does",
    "carry": "carries",
    "look": "looks",
    "see": "sees",
    "come": "comes",
    "repeat": "repeats",
    "stand": "stands",
    "match": "matches",
    "hold": "holds",
    "lie": "lies",
    "wait": "waits",
}
_ONE = re.compile(rf"(?<![\w.,-])1 (?:({_NOUNS})e?s|(local cop)ies)\b(?: ({'|'.join(_VERBS)})\b)?")


def correct_singular(sentence: str) -> str:
    """Put noun and verb after a lone 1 in an English sentence into the singular."""
    return _ONE.sub(lambda m: f"1 {m[1] or f'{m[2]}y'}" + (f" {_VERBS[m[3]]}" if m[3] else ""), sentence)
