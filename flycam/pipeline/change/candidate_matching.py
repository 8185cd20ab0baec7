"""Match new candidates with changes in the catalogue from the same image pair.

Finds which candidates are known already, and which waiting changes they replace. Shares of small shapes are
computed in degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.changes import Changes
from flycam.frame.change import ChangeStatus
from flycam.pipeline.change.change_outlines import to_valid_shapes
from flycam.pipeline.change.overlapping_decisions import DECIDED
from flycam.pipeline.change.superseded_candidates import is_older_revision, is_untouched

# Share of the union of both: with as much in common they are one finding.
_SAME_SHARE = 0.5
# Share of the smaller of two: one is a part of the other.
_LIES_ON = 0.5
# Share of a waiting change: with as much of it found again, replacing it loses nothing.
_COVERED = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateMatch:
    """The candidates to write, and the changes that they replace.

    fresh     first versions of candidates that are not known yet; `origins` are the changes that they replace
    replaced  last versions of these changes
    decided   number of candidates skipped because they were decided on in another outline
    """

    fresh: Sequence[ChangeVersion]
    replaced: Sequence[ChangeVersion]
    decided: int


def match_candidates(changes: Changes, found: Sequence[ChangeVersion]) -> CandidateMatch:
    """Match one comparison's candidates with changes of the same image pair.

    A candidate is known if its id is, or if it shares half of the union with a change of its kind that was
    decided on, edited, or that waits since a revision which is not older. An untouched change that waits
    since an older revision is replaced where half of it was found again; so is one found without terrain by
    one found with it. Without terrain kinds cannot be told apart, so there any two kinds match.
    """
    if not found:
        return CandidateMatch(fresh=[], replaced=[], decided=0)
    current = changes.current(found[0].event_id)
    here = {line.change_id for line in current}
    names, sides = {one.change_id for one in found}, found[0].pair
    others = [line for line in current if line.pair == sides and line.change_id not in names]
    decided = [line.change_id for line in others if line.status in DECIDED]
    waiting = [line for line in others if line.status is ChangeStatus.PROPOSED]
    older: list[ChangeVersion] = []
    staying: list[ChangeVersion] = []
    for line in waiting:
        (older if _gives_way(line, found) else staying).append(line)
    touched = {line.change_id for line in staying if not is_untouched(line)}
    # In every outline it ever had: a reviewer may have decided on an earlier one.
    histories = changes.histories({*decided, *touched})
    on_decided = _alike(found, [line for name in decided for line in histories[name]])
    waits = [line for name in sorted(touched) for line in histories[name]]
    known = on_decided | _alike(found, [*staying, *waits])
    fresh = [line for number, line in enumerate(found) if number not in known and line.change_id not in here]
    heirs = _heirs(fresh, older)
    origins: dict[int, list[str]] = {}
    for old, numbers in heirs.items():
        for number in numbers:
            origins.setdefault(number, []).append(older[old].change_id)
    return CandidateMatch(
        fresh=[
            replace(line, origins=tuple(sorted(origins.get(number, ())))) for number, line in enumerate(fresh)
        ],
        replaced=[older[old] for old in heirs],
        decided=len(on_decided),
    )


def _gives_way(line: ChangeVersion, found: Sequence[ChangeVersion]) -> bool:
    """Return True if a waiting change may be replaced by what was found.

    Nobody has edited it, and one of its revisions is older than now and none newer; or it was found without
    terrain, and now there is some.
    """
    if not is_untouched(line):
        return False
    is_judged_now = not line.is_kind_sure and any(one.is_kind_sure for one in found)
    return is_older_revision(line, found[0]) or (is_judged_now and not is_older_revision(found[0], line))


def _alike(found: Sequence[ChangeVersion], there: Sequence[ChangeVersion]) -> set[int]:
    """Return indices of candidates that are one finding with a change."""
    one, other, shared, areas = _overlaps(found, there)
    both = areas[0][one] + areas[1][other] - shared
    return set(one[shared >= _SAME_SHARE * both].tolist())


def _heirs(fresh: Sequence[ChangeVersion], older: Sequence[ChangeVersion]) -> dict[int, list[int]]:
    """Return indices of the candidates that replace a waiting change, by its index."""
    one, other, shared, areas = _overlaps(fresh, older)
    lies_on = shared >= _LIES_ON * np.minimum(areas[0][one], areas[1][other])
    shapes = to_valid_shapes(fresh), to_valid_shapes(older)
    heirs: dict[int, list[int]] = {}
    for new, old in zip(one[lies_on].tolist(), other[lies_on].tolist(), strict=True):
        heirs.setdefault(old, []).append(new)
    return {
        old: sorted(numbers)
        for old, numbers in sorted(heirs.items())
        if shapely.intersection(shapely.union_all(shapes[0][numbers]), shapes[1][old]).area
        >= _COVERED * areas[1][old]
    }


def _overlaps(
    found: Sequence[ChangeVersion], there: Sequence[ChangeVersion]
) -> tuple[Any, Any, Any, list[Any]]:
    """Return intersecting pairs of one kind: indices, shared areas, areas of all.

    A kind that could not be determined matches any.
    """
    shapes, old = to_valid_shapes(found), to_valid_shapes(there)
    one, other = shapely.STRtree(old).query(shapes, predicate="intersects")
    kinds = [np.array([line.kind.value for line in some], dtype=object) for some in (found, there)]
    sure = [np.array([line.is_kind_sure for line in some], dtype=bool) for some in (found, there)]
    same = (kinds[0][one] == kinds[1][other]) | ~sure[0][one] | ~sure[1][other]
    one, other = one[same], other[same]
    shared = shapely.area(shapely.intersection(shapes[one], old[other]))
    return one, other, shared, [shapely.area(shapes), shapely.area(old)]
