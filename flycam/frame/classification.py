"""Classification of a flight, a layer or a pack: how widely it may be shown.

Names, and their order by strictness; who may see a level is decided in `catalog.access_policy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Classification(StrEnum):
    """Audience of a flight, a layer or a pack.

    OPEN: everyone who may look at the map, guests too; INTERNAL: accounts, no guest; RESTRICTED: analysts and
    administrators.
    """

    OPEN = "open"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


_NAMES_VI = {
    Classification.OPEN: "công khai",
    Classification.INTERNAL: "nội bộ",
    Classification.RESTRICTED: "hạn chế",
}


def format_classification(level: Classification, language: str = "vi") -> str:
    """Return the name of a level in "vi" or another language."""
    return _NAMES_VI[level] if language == "vi" else level.value


def find_strictest(levels: Iterable[Classification]) -> Classification:
    """Return the strictest of the levels; OPEN where there are none."""
    order = list(Classification)
    return max(levels, key=order.index, default=Classification.OPEN)
