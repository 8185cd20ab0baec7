"""One place at several dates: a slide that grows, a flood that falls.

Changes of one kind that lie on each other are one place. Each was found between two pictures, whose dates are
those of their flights. Areas can be compared where they were measured against the same picture before: those
against the earliest are how large the place was, those against a later one only what came since.

A date at which nothing was found there is told where the place was compared (`flycam.catalog.comparisons`);
where it was not (not imaged, under a cloud, beyond the area asked for), that is told instead. What was found
and then rejected is neither: who rejected it is told, to whom candidates are told.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.pictures_shown import pictures_of
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.errors import NotFound
from flycam.frame.change import FOUND, ChangeKind, ChangeStatus
from flycam.frame.flight import Event
from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.pipeline.change.compared_keeping import LEAST_COMPARED, Pair, by_pair, share_of, told_comparisons
from flycam.pipeline.change.picture_dates import dates_of, ends_of
from flycam.pipeline.change.places import LEAST_SHARED, places_of
from flycam.pipeline.change.shapes import area_error_of, shapes_of
from flycam.pipeline.workspace import Workspace

_ALIKE, _INDEPENDENT = 1.0, 2.0
"""Sigmas of both areas together (in quadrature) that growth has to be beyond. The detector errs alike on two
dates of one place: of drills photographed twice after one storm its errors of both correlate by 0.70 (slides)
and 0.93 (floods), and 98 of 100 areas that did not grow lie within one sigma (docs/evidence, 27 November).
Where a hand drew one of the two, or photos of a live mosaic lie off each other, nothing says that they err
alike: two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPoint:
    """The place as one pair of pictures shows it.

    before, after  as `ChangeLine` has them; before_ns, after_ns: when those flights ended, None where it is a
                   picture without a date, or drawn by hand
    area_m2        of its changes together, in their UTM zone; 0: nothing was found though it was compared;
                   None: nothing was found, and less than `LEAST_COMPARED` of it was compared
    area_error_m2  1 sigma, of its changes' errors together, as if all erred alike; 0.0 where nothing was
                   found
    compared       of the whole place what was compared between the two, 0 to 1; None: nobody kept that
    is_new         not the place's size, but what is new since `before`, which is not the earliest picture
    growth_pct     since the earlier date; None: there is none, or it is new ground only, or one of the two
                   shows a part of the place only, or it is no more than errors come to (`_growth_pct`)
    is_confirmed   whether analysts have accepted all of it; also where nothing was found
    is_live        whether one of the two pictures was a live mosaic, whose photos lie metres off each other
    is_by_hand     whether a person drew, or redrew, any of it
    rejected_by    who rejected what was found there, where nothing else was
    """

    before: str
    after: str
    before_ns: int | None
    after_ns: int | None
    area_m2: float | None
    area_error_m2: float
    compared: float | None
    is_new: bool
    growth_pct: float | None
    is_confirmed: bool
    change_ids: tuple[str, ...]
    is_live: bool = False
    is_by_hand: bool = False
    rejected_by: tuple[str, ...] = ()

    @property
    def is_part(self) -> bool:
        """Whether a part of the place was not compared."""
        return self.compared is not None and self.compared < LEAST_COMPARED


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One place: its size, the earliest date first, what has none last, then what is new since later
    pictures; commune of its largest change."""

    kind: ChangeKind
    commune: str
    points: tuple[SeriesPoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What is known of an event: changes that are told, all that stand (told or not), those rejected that are
    told with who rejected each, ground that was compared, pictures by pair as they were called, and when each
    flight ended."""

    told: Sequence[ChangeLine]
    standing: Sequence[ChangeLine]
    rejected: Sequence[tuple[ChangeLine, str]]
    compared: Mapping[Pair, BaseGeometry]
    shown: Mapping[Pair, tuple[str, str]]
    ends: Mapping[str, int]


def series_of(
    workspace: Workspace,
    event: Event,
    statuses: Collection[ChangeStatus] = FOUND,
    withholding: Withholding = NOTHING_WITHHELD,
) -> list[Series]:
    """Every place of an event that was looked at by more than one pair of pictures, the largest first; of
    changes that stand as one of `statuses` and are not withheld."""
    known = _known(workspace, event, statuses, withholding)
    found = [_series(known, lines) for lines in places_of(known.told)]
    several = [one for one in found if sum(point.area_m2 is not None for point in one.points) > 1]
    return sorted(several, key=lambda one: -max(point.area_m2 or 0.0 for point in one.points))


def series_at(
    workspace: Workspace,
    change_id: str,
    statuses: Collection[ChangeStatus] = FOUND,
    withholding: Withholding = NOTHING_WITHHELD,
) -> Series:
    """The place of one change, be it shown by one pair of pictures only. Raises NotFound."""
    (line,) = workspace.catalog.changes.last([change_id])
    event = workspace.catalog.flights.event(line.event_id)
    known = _known(workspace, event, statuses, withholding)
    for lines in places_of(known.told):
        if any(one.change_id == change_id for one in lines):
            return _series(known, lines)
    raise NotFound(
        f"{change_id[:40]}: there is no such change that stands; load the list again",
        vi=f"{change_id[:40]}: không có thay đổi nào như vậy còn hiệu lực; hãy tải lại danh sách",
    )


def _known(
    workspace: Workspace, event: Event, statuses: Collection[ChangeStatus], withholding: Withholding
) -> _Known:
    standing = workspace.catalog.changes.current(event.event_id, statuses=FOUND)
    compared = told_comparisons(workspace.catalog, event.event_id, withholding)
    return _Known(
        told=[
            _of_its_pair(one)
            for one in standing
            if one.status in statuses and not withholding.hides_change(one)
        ],
        standing=standing,
        rejected=_rejected(workspace, event, withholding) if ChangeStatus.PROPOSED in statuses else [],
        compared=by_pair(compared),
        shown={one.pair: (one.before_shown, one.after_shown) for one in compared},
        ends=ends_of(workspace),
    )


def _of_its_pair(line: ChangeLine) -> ChangeLine:
    """What a person drew is of no pair, whatever it was drawn over: of it a detector's dates say nothing."""
    return replace(line, before_shown="", after_shown="") if line.is_drawn else line


def _rejected(workspace: Workspace, event: Event, withholding: Withholding) -> list[tuple[ChangeLine, str]]:
    changes = workspace.catalog.changes
    lines = changes.current(event.event_id, statuses={ChangeStatus.REJECTED})
    told = [one for one in lines if not withholding.hides_change(one)]
    return [(line, sign.decided_by) for line, sign in zip(told, changes.signatures(told), strict=True)]


def _series(known: _Known, lines: Sequence[ChangeLine]) -> Series:
    pairs: dict[Pair, list[ChangeLine]] = {}
    for line in lines:
        pairs.setdefault(line.pair, []).append(line)
    first = _earliest([before for before, _ in pairs if before], known.ends)
    place = shapely.union_all(shapes_of(lines))
    points = [
        _found(some, known.ends, share_of(place, known.compared, pair), is_new=pair[0] not in ("", first))
        for pair, some in pairs.items()
    ]
    if all(before for before, _ in pairs):  # of what people drew, a detector that found nothing says nothing
        by = _rejected_by(known, place, lines[0].kind)
        points += [
            _nothing_found(known, pair, share, by.get(pair, ()), is_new=pair[0] != first)
            for pair, share in _looked_at(known, place, lines[0].kind, pairs)
            if pair[0] == first or share >= LEAST_COMPARED or pair in by
        ]
    points.sort(key=_order)
    largest = max(lines, key=lambda line: (line.area_m2, line.change_id))
    return Series(kind=largest.kind, commune=largest.commune, points=tuple(_grown(points)))


def _looked_at(
    known: _Known, place: BaseGeometry, kind: ChangeKind, found: Collection[Pair]
) -> list[tuple[Pair, float]]:
    """Pairs of pictures that were compared and have no change of the place, with what of it they show.

    Without those that have one of its kind there that is not told: it waits, or is withheld.
    """
    here = [line for line in known.standing if line.kind is kind]
    untold = {
        pair
        for line, shape in zip(here, shapes_of(here), strict=True)
        if shapely.intersects(shape, place)
        for pair in line.pairs
    }
    return [
        (pair, shapely.intersection(place, ground).area / place.area)
        for pair, ground in known.compared.items()
        if pair not in untold and pair not in found
    ]


def _rejected_by(known: _Known, place: BaseGeometry, kind: ChangeKind) -> dict[Pair, tuple[str, ...]]:
    """By pair of pictures who rejected what was found of a place between them."""
    here = [(line, by) for line, by in known.rejected if line.kind is kind]
    names: dict[Pair, set[str]] = {}
    for (line, by), shape in zip(here, shapes_of([line for line, _ in here]), strict=True):
        shared = shapely.intersection(shape, place).area
        if shared >= LEAST_SHARED * min(shape.area, place.area):
            for pair in line.pairs:
                names.setdefault(pair, set()).add(by)
    return {pair: tuple(sorted(some)) for pair, some in names.items()}


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


def _found(
    lines: Sequence[ChangeLine], ends: Mapping[str, int], compared: float | None, *, is_new: bool
) -> SeriesPoint:
    """Ground under several counts once."""
    shapes = shapes_of(lines)
    middle = shapes[0].representative_point()
    onto = point_transform(WGS84, work_crs_for(middle.x, middle.y))
    area = lines[0].area_m2
    if len(lines) > 1:
        area = float(shapely.union_all(shapely.make_valid(shapely.transform(shapes, onto))).area)
    first = lines[0]
    before_ns, after_ns = dates_of(first.before_shown, first.after_shown, ends)
    return SeriesPoint(
        before=first.before_shown,
        after=first.after_shown,
        before_ns=before_ns,
        after_ns=after_ns,
        area_m2=area,
        area_error_m2=sum(area_error_of(line) for line in lines),
        compared=compared,
        is_new=is_new,
        growth_pct=None,
        is_confirmed=all(line.status is ChangeStatus.ACCEPTED for line in lines),
        change_ids=tuple(line.change_id for line in lines),
        is_live=any(_is_live(line.before_shown, line.after_shown) for line in lines),
        is_by_hand=any(line.score is None for line in lines),
    )


def _is_live(*shown: str) -> bool:
    """Whether any of some pictures is a live mosaic."""
    return any(part.revision == LIVE_REVISION for one in shown for part in pictures_of(one))


def _nothing_found(
    known: _Known, pair: Pair, compared: float, rejected_by: tuple[str, ...], *, is_new: bool
) -> SeriesPoint:
    before, after = known.shown[pair]
    return SeriesPoint(
        before=before,
        after=after,
        before_ns=known.ends.get(pair[0]),
        after_ns=known.ends.get(pair[1]),
        area_m2=0.0 if compared >= LEAST_COMPARED else None,
        area_error_m2=0.0,
        compared=compared,
        is_new=is_new,
        growth_pct=None,
        is_confirmed=True,
        change_ids=(),
        is_live=_is_live(before, after),
        rejected_by=rejected_by,
    )


def _grown(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    """Each with its growth since the date before; what was drawn, or has no date, has none, nor what was
    compared in part or rejected, nor what may be as large as it was."""
    earlier: SeriesPoint | None = None
    grown = []
    for one in points:
        is_other = one.is_new or one.after_ns is None or not one.before
        if is_other or one.area_m2 is None or one.is_part or one.rejected_by:
            grown.append(one)
            continue
        grown.append(replace(one, growth_pct=_growth_pct(earlier, one)))
        earlier = one
    return grown


def _growth_pct(earlier: SeriesPoint | None, now: SeriesPoint) -> float | None:
    """Growth in per cent where it is more than errors come to: √(σ₁² + σ₂²), times `_ALIKE` or
    `_INDEPENDENT`. Where nothing was found, which is no area that errs, all of it is gone if there was more
    than its own error."""
    if earlier is None or not earlier.area_m2 or now.area_m2 is None:
        return None
    both = earlier, now
    is_alike = not any(one.is_live or one.is_by_hand for one in both)
    error_m2 = math.hypot(*(one.area_error_m2 for one in both))
    more_m2 = now.area_m2 - earlier.area_m2
    if abs(more_m2) <= (_ALIKE if is_alike else _INDEPENDENT) * error_m2:
        return None
    return 100.0 * more_m2 / earlier.area_m2
