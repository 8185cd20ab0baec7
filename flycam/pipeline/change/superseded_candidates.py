"""Candidates that a newer revision did not show again: told from what stands, marked, and ranked below.

Such a candidate stays, for whoever looks may see what the detector did not; it is marked, and ranks below.
Shares of small shapes: degrees will do.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.comparisons import Comparison
from flycam.catalog.image_reference import parse_revision, strip_location
from flycam.frame.change import ChangeAction, ChangeStatus
from flycam.pipeline.change.change_outlines import to_valid_shapes
from flycam.pipeline.change.comparison_store import MIN_COMPARED, unite_ground


def find_superseded_candidates(
    lines: Sequence[ChangeVersion], comparisons: Sequence[Comparison]
) -> frozenset[str]:
    """Ids of those changes that wait, that nobody touched, and whose ground a newer revision of the same
    pictures was compared on: had it been found there again, they would have given way (`matching`). So it is
    with what was found without terrain, once the same pictures were compared with it.

    lines: as they stand; comparisons: of their events.
    """
    shown: dict[tuple[str, str, str, bool], list[ChangeVersion]] = {}
    for line in lines:
        if is_untouched(line):
            shown.setdefault((*_shown(line), line.is_kind_sure), []).append(line)
    judged = [line for line in lines if line.score is not None and line.slope_deg is not None]
    found: set[str] = set()
    for alike in shown.values():
        ground = _compared_since(alike[0], comparisons, judged)
        if ground is None:
            continue
        shapes = to_valid_shapes(alike)
        shares = shapely.area(shapely.intersection(shapes, ground)) / shapely.area(shapes)
        found |= {line.change_id for line, share in zip(alike, shares, strict=True) if share >= MIN_COMPARED}
    return frozenset(found)


def is_untouched(line: ChangeVersion) -> bool:
    """Whether it waits as the detector found it, and nobody has said anything of it."""
    return line.status is ChangeStatus.PROPOSED and line.action is ChangeAction.FOUND and line.version == 1


def is_older_revision(line: ChangeVersion, other: ChangeVersion | Comparison) -> bool:
    """Whether one of its revisions is older and none newer than those of the other, of the same pictures."""
    before = parse_revision(line.before_shown) - parse_revision(other.before_shown)
    after = parse_revision(line.after_shown) - parse_revision(other.after_shown)
    return max(before, after) <= 0 and min(before, after) < 0


def _compared_since(
    line: ChangeVersion, comparisons: Sequence[Comparison], judged: Sequence[ChangeVersion]
) -> BaseGeometry | None:
    """Ground that newer revisions of its pictures were compared on; None: they were not.

    judged  what was found with terrain: where that came of the same pictures later than a line that was found
            without any, they were compared again
    """
    is_judged_now = not line.is_kind_sure and any(
        _shown(one) == _shown(line) and one.at_ns > line.at_ns for one in judged
    )
    since = [
        one
        for one in comparisons
        if one.event_id == line.event_id
        and one.pair == line.pair
        and (is_older_revision(line, one) or (is_judged_now and _shown(one) == _shown(line)))
    ]
    return unite_ground(since) if since else None


def _shown(one: ChangeVersion | Comparison) -> tuple[str, str, str]:
    """Of which event and which pictures, revisions included, wherever files lay."""
    return one.event_id, strip_location(one.before_shown), strip_location(one.after_shown)
