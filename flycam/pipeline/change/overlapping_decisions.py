"""Decisions on the ground of a change that waits for review.

A place comes up again in another image pair, and its reviewer has to know of earlier decisions there. Shares
of small shapes are computed in degrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from flycam.catalog.change_version import ChangeVersion
from flycam.frame.change import ChangeStatus
from flycam.pipeline.change.change_outlines import to_valid_shapes
from flycam.pipeline.change.change_overlap import are_same_place

DECIDED = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.REJECTED})


def find_overlapping_decisions(
    lines: Sequence[ChangeVersion], decided: Sequence[ChangeVersion]
) -> dict[str, list[ChangeVersion]]:
    """Return the decided changes that overlap each waiting one of `lines`, by its id.

    Of its event and of any kind, sharing a tenth of the smaller of the two, the last decided first. Changes
    without any are left out.
    """
    waiting = [line for line in lines if line.status is ChangeStatus.PROPOSED]
    if not waiting or not decided:
        return {}
    shapes, others = to_valid_shapes(waiting), to_valid_shapes(decided)
    one, other = shapely.STRtree(others).query(shapes, predicate="intersects")
    lies_on = are_same_place(shapes[one], others[other])
    found: dict[str, list[ChangeVersion]] = {}
    for number, its in zip(one[lies_on].tolist(), other[lies_on].tolist(), strict=True):
        if decided[its].event_id == waiting[number].event_id:
            found.setdefault(waiting[number].change_id, []).append(decided[its])
    return {
        name: sorted(some, key=lambda line: (-line.at_ns, line.change_id)) for name, some in found.items()
    }
