"""One place at several dates: a slide that grows, a flood that falls.

Changes of one kind that lie on each other are one place. Each was found between two pictures, whose dates are
those of their flights: areas can be compared where they were measured against the same picture before. A date
at which no change was found is not told: that may be because nobody looked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.records import MosaicInfo
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import NotFound
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.pipeline.workspace import Workspace

COUNTED = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED})
_LEAST_SHARED = 0.1  # of the smaller of two: less is a neighbour


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPoint:
    """The place as one pair of pictures shows it.

    before, after  as `ChangeLine` has them; before_ns, after_ns: when those flights ended, None where it is a
                   picture without a date, or drawn by hand
    area_m2        of its changes together, in their UTM zone
    growth_pct     since the earlier date that was measured against the same picture; None: there is none
    is_confirmed   whether analysts have accepted all of it
    """

    before: str
    after: str
    before_ns: int | None
    after_ns: int | None
    area_m2: float
    growth_pct: float | None
    is_confirmed: bool
    change_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One place, the earliest date first, what has none last; commune of its largest change."""

    kind: ChangeKind
    commune: str
    points: tuple[SeriesPoint, ...]


def series_of(
    workspace: Workspace,
    event: Event,
    statuses: Collection[ChangeStatus] = COUNTED,
    withholding: Withholding = NOTHING_WITHHELD,
) -> list[Series]:
    """Every place of an event that more than one pair of pictures shows, the largest first; of changes that
    stand as one of `statuses` and are not withheld."""
    found = [_series(workspace, lines) for lines in _places(_lines(workspace, event, statuses, withholding))]
    several = [one for one in found if len(one.points) > 1]
    return sorted(several, key=lambda one: -max(point.area_m2 for point in one.points))


def series_at(
    workspace: Workspace,
    change_id: str,
    statuses: Collection[ChangeStatus] = COUNTED,
    withholding: Withholding = NOTHING_WITHHELD,
) -> Series:
    """The place of one change, be it shown by one pair of pictures only. Raises NotFound."""
    (line,) = workspace.catalog.changes.last([change_id])
    event = workspace.catalog.flights.event(line.event_id)
    for lines in _places(_lines(workspace, event, statuses, withholding)):
        if any(one.change_id == change_id for one in lines):
            return _series(workspace, lines)
    raise NotFound(
        f"{change_id[:40]}: there is no such change that stands; load the list again",
        vi=f"{change_id[:40]}: không có thay đổi nào như vậy còn hiệu lực; hãy tải lại danh sách",
    )


def _lines(
    workspace: Workspace, event: Event, statuses: Collection[ChangeStatus], withholding: Withholding
) -> list[ChangeLine]:
    found = workspace.catalog.changes.current(event.event_id, statuses=statuses)
    return [one for one in found if not withholding.hides_change(one)]


def _places(lines: Sequence[ChangeLine]) -> list[list[ChangeLine]]:
    """Changes of one kind that lie on each other, also through others."""
    if not lines:
        return []
    shapes = shapely.make_valid(shapely.from_wkb(np.array([line.wkb for line in lines], dtype=object)))
    kinds = np.array([line.kind.value for line in lines])
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    same = (kinds[one] == kinds[other]) & (one < other)
    one, other = one[same], other[same]
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))  # shares: degrees will do
    smaller = np.minimum(shapely.area(shapes[one]), shapely.area(shapes[other]))
    lie_on = shared >= _LEAST_SHARED * smaller
    one, other = one[lie_on], other[lie_on]
    net = coo_array((np.ones(len(one)), (one, other)), shape=(len(lines), len(lines)))
    count, place = connected_components(net, directed=False)
    return [[lines[n] for n in np.flatnonzero(place == number).tolist()] for number in range(count)]


def _series(workspace: Workspace, lines: Sequence[ChangeLine]) -> Series:
    ends = _ends(workspace)
    pairs: dict[tuple[str, str], list[ChangeLine]] = {}
    for line in lines:
        pairs.setdefault((_mosaic(line.before_shown), _mosaic(line.after_shown)), []).append(line)
    points = [_point(some, ends) for some in pairs.values()]
    points.sort(key=lambda one: (one.after_ns is None, one.after_ns or 0, one.before_ns or 0, one.after))
    largest = max(lines, key=lambda line: (line.area_m2, line.change_id))
    return Series(kind=largest.kind, commune=largest.commune, points=tuple(_grown(points)))


def _mosaic(shown: str) -> str:
    """Whatever its revision; a picture's name as it is."""
    return shown.rpartition("@")[0] or shown


def _ends(workspace: Workspace) -> Mapping[str, int]:
    """When the flight of each mosaic ended."""
    flights = {one.flight_id: one.last_ns for one in workspace.catalog.flights.flights()}
    mosaics: Sequence[MosaicInfo] = workspace.catalog.tiles.mosaics()
    return {one.mosaic_id: flights[one.flight_id] for one in mosaics if one.flight_id in flights}


def _point(lines: Sequence[ChangeLine], ends: Mapping[str, int]) -> SeriesPoint:
    """Ground under several counts once."""
    shapes = [shapely.from_wkb(line.wkb) for line in lines]
    middle = shapes[0].representative_point()
    onto = point_transform(WGS84, work_crs_for(middle.x, middle.y))
    area = lines[0].area_m2
    if len(lines) > 1:
        area = float(shapely.union_all(shapely.make_valid(shapely.transform(shapes, onto))).area)
    first = lines[0]
    return SeriesPoint(
        before=first.before_shown,
        after=first.after_shown,
        before_ns=ends.get(_mosaic(first.before_shown)),
        after_ns=ends.get(_mosaic(first.after_shown)),
        area_m2=area,
        growth_pct=None,
        is_confirmed=all(line.status is ChangeStatus.ACCEPTED for line in lines),
        change_ids=tuple(line.change_id for line in lines),
    )


def _grown(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    """Each with its growth since the one before that was measured against the same picture."""
    last: dict[str, float] = {}
    grown = []
    for one in points:
        earlier = last.get(_mosaic(one.before)) if one.after_ns is not None and one.before else None
        growth = None if earlier is None else 100.0 * (one.area_m2 - earlier) / earlier
        if one.after_ns is not None and one.before:
            last[_mosaic(one.before)] = one.area_m2
        grown.append(replace(one, growth_pct=growth))
    return grown
