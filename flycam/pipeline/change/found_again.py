"""Candidates that a newer revision did not show again: told from what stands, marked, and ranked below.

Such a candidate stays, for whoever looks may see what the detector did not; it is marked, and ranks below.
Shares of small shapes: degrees will do.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_line import ChangeLine, revision_of
from flycam.catalog.comparisons import Comparison
from flycam.frame.change import ChangeAction, ChangeStatus
from flycam.pipeline.change.compared_keeping import pair_of
from flycam.pipeline.change.shapes import shapes_of

_LEAST_COMPARED = 0.9  # of a candidate: outlines differ at the rim


def not_found_again(lines: Sequence[ChangeLine], comparisons: Sequence[Comparison]) -> frozenset[str]:
    """Ids of those changes that wait, that nobody touched, and whose ground a newer revision of the same
    pictures was compared on: had it been found there again, they would have given way (`matching`).

    lines: as they stand; comparisons: of their events.
    """
    shown: dict[tuple[str, str, str], list[ChangeLine]] = {}
    for line in lines:
        if is_untouched(line):
            shown.setdefault((line.event_id, line.before_shown, line.after_shown), []).append(line)
    found: set[str] = set()
    for alike in shown.values():
        ground = _compared_since(alike[0], comparisons)
        if ground is None:
            continue
        shapes = shapes_of(alike)
        shares = shapely.area(shapely.intersection(shapes, ground)) / shapely.area(shapes)
        found |= {
            line.change_id for line, share in zip(alike, shares, strict=True) if share >= _LEAST_COMPARED
        }
    return frozenset(found)


def is_untouched(line: ChangeLine) -> bool:
    """Whether it waits as the detector found it, and nobody has said anything of it."""
    return line.status is ChangeStatus.PROPOSED and line.action is ChangeAction.FOUND and line.version == 1


def is_older(line: ChangeLine, other: ChangeLine | Comparison) -> bool:
    """Whether one of its revisions is older and none newer than those of the other, of the same pictures."""
    before = revision_of(line.before_shown) - revision_of(other.before_shown)
    after = revision_of(line.after_shown) - revision_of(other.after_shown)
    return max(before, after) <= 0 and min(before, after) < 0


def _compared_since(line: ChangeLine, comparisons: Sequence[Comparison]) -> BaseGeometry | None:
    """Ground that newer revisions of its pictures were compared on; None: they were not."""
    since = [
        shapely.make_valid(shapely.from_wkb(one.wkb))
        for one in comparisons
        if one.event_id == line.event_id and pair_of(one) in line.pairs and is_older(line, one)
    ]
    return shapely.union_all(since) if since else None
