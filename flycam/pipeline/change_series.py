"""One place at several dates: a slide that grows, a flood that falls.

Changes of one kind that lie on each other are one place. Each was found between two pictures, whose dates are
those of their flights. Areas can be compared where they were measured against the same picture before: those
against the earliest are how large the place was, those against a later one only what came since. A date at
which no change was found is not told: that may be because nobody looked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import shapely

from flycam.catalog.change_line import ChangeLine, mosaic_of
from flycam.catalog.records import MosaicInfo
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import NotFound
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.pipeline.change_places import places_of
from flycam.pipeline.workspace import Workspace

COUNTED = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED})


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPoint:
    """The place as one pair of pictures shows it.

    before, after  as `ChangeLine` has them; before_ns, after_ns: when those flights ended, None where it is a
                   picture without a date, or drawn by hand
    area_m2        of its changes together, in their UTM zone
    is_new         not the place's size, but what is new since `before`, which is not the earliest picture
    growth_pct     since the earlier date; None: there is none, or it is new ground only
    is_confirmed   whether analysts have accepted all of it
    """

    before: str
    after: str
    before_ns: int | None
    after_ns: int | None
    area_m2: float
    is_new: bool
    growth_pct: float | None
    is_confirmed: bool
    change_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One place: its size, the earliest date first, what has none last, then what is new since later
    pictures; commune of its largest change."""

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
    found = [
        _series(workspace, lines) for lines in places_of(_lines(workspace, event, statuses, withholding))
    ]
    several = [one for one in found if len(one.points) > 1]
    return sorted(several, key=lambda one: -max(point.area_m2 for point in one.points if not point.is_new))


def series_at(
    workspace: Workspace,
    change_id: str,
    statuses: Collection[ChangeStatus] = COUNTED,
    withholding: Withholding = NOTHING_WITHHELD,
) -> Series:
    """The place of one change, be it shown by one pair of pictures only. Raises NotFound."""
    (line,) = workspace.catalog.changes.last([change_id])
    event = workspace.catalog.flights.event(line.event_id)
    for lines in places_of(_lines(workspace, event, statuses, withholding)):
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


def _series(workspace: Workspace, lines: Sequence[ChangeLine]) -> Series:
    ends = _ends(workspace)
    pairs: dict[tuple[str, str], list[ChangeLine]] = {}
    for line in lines:
        pairs.setdefault((mosaic_of(line.before_shown), mosaic_of(line.after_shown)), []).append(line)
    first = _earliest([before for before, _ in pairs if before], ends)
    points = [_point(some, ends, is_new=before not in ("", first)) for (before, _), some in pairs.items()]
    points.sort(key=_order)
    largest = max(lines, key=lambda line: (line.area_m2, line.change_id))
    return Series(kind=largest.kind, commune=largest.commune, points=tuple(_grown(points)))


def _earliest(befores: Sequence[str], ends: Mapping[str, int]) -> str:
    """The earliest picture before; of those without a date, which nobody can order, the first by name where
    none has one; "" where there is none."""
    return min(befores, key=lambda one: (one not in ends, ends.get(one, 0), one), default="")


def _order(point: SeriesPoint) -> tuple[bool, bool, int, int, str]:
    return (
        point.is_new,
        point.after_ns is None,
        point.after_ns or 0,
        point.before_ns or 0,
        point.after,
    )


def _ends(workspace: Workspace) -> Mapping[str, int]:
    """When the flight of each mosaic ended."""
    flights = {one.flight_id: one.last_ns for one in workspace.catalog.flights.flights()}
    mosaics: Sequence[MosaicInfo] = workspace.catalog.tiles.mosaics()
    return {one.mosaic_id: flights[one.flight_id] for one in mosaics if one.flight_id in flights}


def _point(lines: Sequence[ChangeLine], ends: Mapping[str, int], *, is_new: bool) -> SeriesPoint:
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
        before_ns=ends.get(mosaic_of(first.before_shown)),
        after_ns=ends.get(mosaic_of(first.after_shown)),
        area_m2=area,
        is_new=is_new,
        growth_pct=None,
        is_confirmed=all(line.status is ChangeStatus.ACCEPTED for line in lines),
        change_ids=tuple(line.change_id for line in lines),
    )


def _grown(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    """Each with its growth since the date before; what was drawn, or has no date, has none."""
    earlier: float | None = None
    grown = []
    for one in points:
        if one.is_new or one.after_ns is None or not one.before:
            grown.append(one)
            continue
        growth = None if earlier is None else 100.0 * (one.area_m2 - earlier) / earlier
        grown.append(replace(one, growth_pct=growth))
        earlier = one.area_m2
    return grown
