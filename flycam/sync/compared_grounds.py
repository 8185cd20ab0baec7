"""What a server tells boxes of ground that was compared: only where it tells all that was found on it.

Otherwise a box would read "nothing found" where an analyst has yet to decide, or where what was found is
withheld from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flycam.catalog.comparisons import Comparison
from flycam.catalog.withholding import Withholding
from flycam.frame.change import FOUND
from flycam.sync.house import House


def told_grounds(
    house: House, event_id: str, told: Collection[str], sees: Withholding
) -> Iterator[Comparison]:
    """Comparisons of an event, the first first. told: ids of changes that are told as they stand."""
    standing = house.catalog.changes.current(event_id, statuses=FOUND)
    untold = {line.pair for line in standing if line.change_id not in told}
    for one in house.catalog.comparisons.of_event(event_id):
        is_hidden = any(sees.hides_mosaic(name) for name in one.mosaics) or sees.is_outside(one.wkb)
        if not is_hidden and one.pair not in untold:
            yield one
