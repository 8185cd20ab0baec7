"""What other services know of the ground (power lines, masts, roads …): kinds, and what a status says."""

from __future__ import annotations

import re
from enum import StrEnum

from flycam.frame.spelling import search_key


class LayerKind(StrEnum):
    """What a layer holds; each has its sign on the map."""

    POWER = "power"
    MAST = "mast"
    ROAD = "road"
    SCHOOL = "school"
    HOUSE = "house"
    HYDROLOGY = "hydrology"
    OTHER = "other"


class Condition(StrEnum):
    """What the owner's own words about a feature come to. The words are always shown beside it."""

    UNKNOWN = "unknown"
    WORKING = "working"
    NO_POWER = "no_power"
    NO_SIGNAL = "no_signal"
    BLOCKED = "blocked"
    DAMAGED = "damaged"
    OTHER = "other"

    @property
    def is_trouble(self) -> bool:
        """Whether a command room must see it first."""
        return self in _TROUBLE


_TROUBLE = frozenset({Condition.NO_POWER, Condition.NO_SIGNAL, Condition.BLOCKED, Condition.DAMAGED})

# In this order: what is repaired, or denied, names the trouble too.
_GOOD, _BAD = Condition.WORKING, Condition.DAMAGED
_SAID = tuple(
    (re.compile(rf"\b(?:{words})\b"), condition)
    for words, condition in (
        (r"(?:chua|sap|dang) (?:khoi phuc|thong)|(?:chua|khong) hoat dong|not (?:restored|working)", _BAD),
        (r"khong (?:bi )?(?:mat|tac|hong|hu|ngap|sap|do)|khoi phuc|da thong|restored|repaired", _GOOD),
        (r"mat dien|cat dien|khong co dien|no power|power out|outage|de ?energi[sz]ed", Condition.NO_POWER),
        (r"mat song|mat lien lac|mat tin hieu|khong co song|no signal|offline", Condition.NO_SIGNAL),
        (r"tac|chia cat|cam duong|ngap|blocked|closed|impassable|flooded", Condition.BLOCKED),
        (r"hong|hu hai|sap|bi do|do cot|gay|dut|sat lo|ngung|damaged|destroyed|down|collapsed", _BAD),
        (r"binh thuong|hoat dong|tot|thong|ok|normal|working|open|in service|on", _GOOD),
    )
)  # fmt: skip


def condition_of(status: str) -> Condition:
    """The condition that an owner's words name, accents and case aside; OTHER for words not known here."""
    words = search_key(status).replace("_", " ").replace("-", " ")
    if not words:
        return Condition.UNKNOWN
    return next((condition for said, condition in _SAID if said.search(words)), Condition.OTHER)


_NS = 1_000_000_000
_STATUS_STALE_S, _PLACE_STALE_S = 6 * 3600, 365 * 86_400


def stale_after_s(*, has_status: bool) -> int:
    """Seconds after which a layer counts as old: six hours for one that says how things stand, which a storm
    changes by the hour; a year for one that says only where they are."""
    return _STATUS_STALE_S if has_status else _PLACE_STALE_S


def is_stale(valid_ns: int | None, now_ns: int, *, has_status: bool) -> bool:
    """Whether what stood so at `valid_ns` counts as old by now; of what nobody dated, always."""
    return valid_ns is None or now_ns - valid_ns > stale_after_s(has_status=has_status) * _NS
