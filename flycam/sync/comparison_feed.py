"""Comparisons that a server shares: those whose changes are all shared too.

Otherwise a node would read "nothing found" where an analyst has yet to decide, or where a change is
withheld from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.comparisons import Comparison
from flycam.frame.change import POSITIVE_STATUSES
from flycam.sync.node import Node


def list_shared_comparisons(
    node: Node, event_id: str, shared_change_ids: Collection[str], access_policy: AccessPolicy
) -> Iterator[Comparison]:
    """Yield the comparisons of an event that the account may see, oldest first.

    shared_change_ids  ids of changes that are sent in their current version
    """
    standing = node.catalog.changes.current(event_id, statuses=POSITIVE_STATUSES)
    untold = {line.pair for line in standing if line.change_id not in shared_change_ids}
    for one in node.catalog.comparisons.list_for_event(event_id):
        is_hidden = any(access_policy.hides_mosaic(name) for name in one.mosaics) or access_policy.is_outside(
            one.wkb
        )
        if not is_hidden and one.pair not in untold:
            yield one
