"""How one warning is said, in both languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """`brief` fits on the map; `sentence` says what it means and the cure. {names} are filled in.

    `finished` is `brief` for a finished revision, where that needs other words.
    """

    brief_vi: str
    brief_en: str
    sentence_vi: str
    sentence_en: str
    finished_vi: str = ""
    finished_en: str = ""
