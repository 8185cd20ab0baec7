"""Classification of a flight, a layer or a pack: how widely it may be shown.

Names, and their order by strictness; who may see a level is decided in `catalog.access_policy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from flycam.messages import Message, pgettext


class Classification(StrEnum):
    """Audience of a flight, a layer or a pack.

    OPEN: everyone who may look at the map, guests too; INTERNAL: accounts, no guest; RESTRICTED: analysts and
    administrators.
    """

    OPEN = "open"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


CLASSIFICATION_NAMES: Mapping[Classification, Message] = {
    Classification.OPEN: pgettext("classification", "open"),
    Classification.INTERNAL: pgettext("classification", "internal"),
    Classification.RESTRICTED: pgettext("classification", "restricted"),
}


def find_strictest(levels: Iterable[Classification]) -> Classification:
    """Return the strictest of the levels; OPEN where there are none."""
    order = list(Classification)
    return max(levels, key=order.index, default=Classification.OPEN)
