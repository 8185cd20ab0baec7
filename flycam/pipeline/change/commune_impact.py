"""Impact of changes by commune; a feature counts in the one where it is touched."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from flycam.catalog.boundaries import Boundaries
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.records import CommuneRecord
from flycam.frame.change import ChangeStatus
from flycam.frame.specialist_layer import LayerKind
from flycam.pipeline.change.affected_features import (
    AffectedFeature,
    FeatureCount,
    deduplicate_by_name,
    measure_road_cut,
)
from flycam.pipeline.change.change_overlap import compute_own_ground, divide_by_commune, label_places
from flycam.pipeline.change.impact import ChangeImpact, count_features
from flycam.pipeline.change.road_cuts import deduplicate_road_cuts


@dataclass(frozen=True, kw_only=True, slots=True)
class ImpactTotals:
    """Impact of some changes in one commune.

    changes    that touch it, overlapping ones once: one across a border counts in both
    area_m2    of their ground in it, ground under several once
    counts     features by kind; None: no layer of the kind covers any of them, so that nothing is known
    roads_cut  in it; one that is cut in several places is listed once for each
    road_cut_m length of road under changes, as far as roads are lines; under several, once
    """

    changes: int
    area_m2: float
    counts: Mapping[LayerKind, FeatureCount | None]
    roads_cut: tuple[AffectedFeature, ...]
    road_cut_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneImpact:
    """Impact in one commune; code "": ground outside of all known boundaries.

    confirmed, waiting  by changes that analysts accepted, and by those that wait for review
    """

    code: str
    name: str
    confirmed: ImpactTotals
    waiting: ImpactTotals


def sum_impact_by_commune(
    communes: Sequence[CommuneRecord], changes: Sequence[ChangeImpact]
) -> list[CommuneImpact]:
    """Return a row per commune with changes or touched features.

    The most confirmed ground first; what lies outside all of them is a row of its own, with the code "".
    """
    outlines = shapely.make_valid(shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object)))
    codes = [one.code for one in communes]
    confirmed, waiting = (
        _group_changes(outlines, codes, [one for one in changes if one.line.status is status])
        for status in (ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED)
    )
    names = {one.code: one.name for one in communes}
    rows = [
        CommuneImpact(
            code=code,
            name=names.get(code, ""),
            confirmed=_tally(code, confirmed),
            waiting=_tally(code, waiting),
        )
        for code in confirmed.codes | waiting.codes
    ]
    return sorted(rows, key=lambda row: (-row.confirmed.area_m2, -row.waiting.area_m2, row.code))


def find_communes_around(
    boundaries: Boundaries, changes: Sequence[ChangeImpact], *, is_drill: bool
) -> list[CommuneRecord]:
    """Return today's communes around an event's changes and all that they touch.

    A drill's communes in a drill.
    """
    if not changes:
        return []
    boxes = [one.line.bounds_lonlat_deg for one in changes]
    boxes += [(*at.lonlat_deg, *at.lonlat_deg) for one in changes for at in one.touched]
    west, south = np.min(boxes, axis=0)[:2].tolist()
    east, north = np.max(boxes, axis=0)[2:].tolist()
    return boundaries.list_countable(is_drill=is_drill, bounds=(west, south, east, north))


@dataclass(frozen=True, kw_only=True, slots=True)
class _ChangeGroup:
    """Changes of one status, with sequences parallel to `changes`.

    shares   share of its ground (0-1) by commune
    own      the same of the ground that no larger one covers
    holders  the commune of each feature that it touches
    places   the number of the place that it is a part of
    cut      the roads it cuts where no larger one does
    """

    changes: Sequence[ChangeImpact]
    shares: Sequence[Mapping[str, float]]
    own: Sequence[Mapping[str, float]]
    holders: Sequence[Sequence[str]]
    places: Sequence[int]
    cut: Sequence[Sequence[AffectedFeature]]

    @property
    def codes(self) -> set[str]:
        return {code for some in (*self.shares, *self.holders) for code in some}


def _group_changes(
    outlines: np.ndarray, codes: Sequence[str], changes: Sequence[ChangeImpact]
) -> _ChangeGroup:
    lines = [one.line for one in changes]
    shapes = shapely.make_valid(shapely.from_wkb(np.array([line.wkb for line in lines], dtype=object)))
    own = shapes.copy()
    for number, ground in enumerate(compute_own_ground(lines)):
        own[number] = shapes[number] if ground is None else ground
    areas = shapely.area(shapes)
    return _ChangeGroup(
        changes=changes,
        shares=_shares(outlines, codes, lines, shapes, areas),
        own=_shares(outlines, codes, lines, own, areas),
        holders=_holders(outlines, codes, changes),
        places=label_places(lines),
        cut=deduplicate_road_cuts(changes),
    )


def _tally(code: str, some: _ChangeGroup) -> ImpactTotals:
    """Sum the impact of changes in one commune.

    A change counts for the features it touches in a commune also where its own ground lies beside it.
    """
    here, touched, places = [], [], set()
    roads: list[AffectedFeature] = []
    area_m2, road_cut_m = 0.0, 0.0
    for n, one in enumerate(some.changes):
        if not (code in some.shares[n] or code in some.holders[n]):
            continue
        here.append(one)
        if code in some.shares[n]:
            places.add(some.places[n])
        area_m2 += one.line.area_m2 * some.own[n].get(code, 0.0)
        inside = [at for at, holder in zip(one.touched, some.holders[n], strict=True) if holder == code]
        touched.append(inside)
        keys = {(at.key, at.lonlat_deg) for at in inside}
        cut = [at for at in some.cut[n] if (at.key, at.lonlat_deg) in keys]
        roads += deduplicate_by_name(cut)
        road_cut_m += measure_road_cut(cut)
    return ImpactTotals(
        changes=len(places),
        area_m2=area_m2,
        counts={kind: count_features(kind, here, touched) for kind in LayerKind},
        roads_cut=tuple(roads),
        road_cut_m=road_cut_m,
    )


def _shares(
    outlines: np.ndarray,
    codes: Sequence[str],
    lines: Sequence[ChangeVersion],
    shapes: np.ndarray,
    areas: np.ndarray,
) -> list[dict[str, float]]:
    """Return each shape's shares (of `areas`, 0-1) by commune; "": outside all.

    Shares of one small shape: degrees will do.
    """
    shares: list[dict[str, float]] = [{} for _ in shapes]
    of, holders = shapely.STRtree(outlines).query(shapes, predicate="intersects")
    areas_of_all = enumerate(zip(shares, lines, shapes, areas.tolist(), strict=True))
    for number, (share, line, shape, area) in areas_of_all:
        around = holders[of == number].tolist()
        held, outside = divide_by_commune(shape, outlines[around], area, line.area_m2)
        for holder, part in held:
            share[codes[around[holder]]] = part.area / area
        if outside is not None:
            share[""] = outside.area / area
    return shares


def _holders(outlines: np.ndarray, codes: Sequence[str], changes: Sequence[ChangeImpact]) -> list[list[str]]:
    """Return the commune of each touched feature, by change; "": outside all."""
    places = np.array([at.lonlat_deg for one in changes for at in one.touched]).reshape(-1, 2)
    held = [""] * len(places)
    found, holders = shapely.STRtree(outlines).query(shapely.points(places), predicate="intersects")
    for place, holder in zip(found.tolist(), holders.tolist(), strict=True):
        held[place] = codes[holder]
    ends = np.cumsum([0, *(len(one.touched) for one in changes)]).tolist()
    return [held[start:end] for start, end in itertools.pairwise(ends)]
