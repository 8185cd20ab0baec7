"""What was decided on the ground of a change that waits. Of other two pictures a place comes up again, and
whoever looks at it has to know that somebody has decided there.

Shares of small shapes: degrees will do.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from flycam.catalog.change_line import ChangeLine
from flycam.frame.change import ChangeStatus
from flycam.pipeline.change.places import are_one_place
from flycam.pipeline.change.shapes import shapes_of

DECIDED = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.REJECTED})


def decided_beside(lines: Sequence[ChangeLine], decided: Sequence[ChangeLine]) -> dict[str, list[ChangeLine]]:
    """By the id of each of `lines` that waits: those decided on, of its event and whatever their kind, that
    share a tenth of the smaller of the two with it, the last decided first. Without any: not in it."""
    waiting = [line for line in lines if line.status is ChangeStatus.PROPOSED]
    if not waiting or not decided:
        return {}
    shapes, others = shapes_of(waiting), shapes_of(decided)
    one, other = shapely.STRtree(others).query(shapes, predicate="intersects")
    lies_on = are_one_place(shapes[one], others[other])
    found: dict[str, list[ChangeLine]] = {}
    for number, its in zip(one[lies_on].tolist(), other[lies_on].tolist(), strict=True):
        if decided[its].event_id == waiting[number].event_id:
            found.setdefault(waiting[number].change_id, []).append(decided[its])
    return {
        name: sorted(some, key=lambda line: (-line.at_ns, line.change_id)) for name, some in found.items()
    }
