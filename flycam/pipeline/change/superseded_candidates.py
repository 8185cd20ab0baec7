"""Candidates that a newer revision did not show again: marked, and ranked below.

Such a candidate stays, for an analyst may see what the detector did not. Shares of small shapes are computed
in degrees.
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
    """Return ids of untouched waiting changes that were compared again but not found.

    Their ground was compared on a newer revision of the same images: had they been found there again, they
    would have been replaced (`candidate_matching`). Likewise candidates found without terrain, once the same
    images were compared with it. lines: current versions; comparisons: of their events.
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
    """Return True if it waits as detected, without an edit or a comment."""
    return line.status is ChangeStatus.PROPOSED and line.action is ChangeAction.FOUND and line.version == 1


def is_older_revision(line: ChangeVersion, other: ChangeVersion | Comparison) -> bool:
    """Return True if one of its revisions is older than the other's and none newer.

    Both are of the same mosaics.
    """
    before = parse_revision(line.before_shown) - parse_revision(other.before_shown)
    after = parse_revision(line.after_shown) - parse_revision(other.after_shown)
    return max(before, after) <= 0 and min(before, after) < 0


def _compared_since(
    line: ChangeVersion, comparisons: Sequence[Comparison], judged: Sequence[ChangeVersion]
) -> BaseGeometry | None:
    """Return ground compared since on newer revisions of its images; None: none.

    judged  changes found with terrain: one of the same images later than a candidate found without shows that
        they were compared again
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
    """Return its event and image references, revisions included, without folders."""
    return one.event_id, strip_location(one.before_shown), strip_location(one.after_shown)
