"""What changes do, commune by commune: each thing in the commune where it is touched."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from flycam.catalog.boundaries import Boundaries
from flycam.catalog.records import CommuneRecord
from flycam.frame.change import ChangeStatus
from flycam.frame.specialist import LayerKind
from flycam.pipeline.change_impact import ChangeImpact, counted
from flycam.pipeline.touched_things import Count, Touched, length_cut, named_once

_SLIVER = 0.01  # of a change: less beyond a boundary is how finely both are drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Of some changes in one commune.

    changes    that touch it: one across a border counts in both
    area_m2    of their ground in it, ground under several counted for each
    counts     things by kind; None: no layer of the kind covers any of them, so that nothing is known
    roads_cut  in it; one that is cut in several places stands once for each
    road_cut_m length of road under changes, as far as roads are lines; what lies under several, for each
    """

    changes: int
    area_m2: float
    counts: Mapping[LayerKind, Count | None]
    roads_cut: tuple[Touched, ...]
    road_cut_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneImpact:
    """One commune; code "": ground outside of all boundaries that are known.

    confirmed, waiting  by what analysts have accepted, and by what nobody has decided on yet
    """

    code: str
    name: str
    confirmed: Tally
    waiting: Tally


def impact_by_commune(
    communes: Sequence[CommuneRecord], changes: Sequence[ChangeImpact]
) -> list[CommuneImpact]:
    """A row for each of the communes that holds ground of a change or a thing that is touched, the most
    confirmed ground first; what lies in none of them is a row of its own, with the code ""."""
    outlines = shapely.make_valid(shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object)))
    codes = [one.code for one in communes]
    shares = _shares(outlines, codes, changes)
    holders = _holders(outlines, codes, changes)
    names = {one.code: one.name for one in communes}
    found = {code for share in shares for code in share} | {code for held in holders for code in held}
    rows = [
        CommuneImpact(
            code=code,
            name=names.get(code, ""),
            confirmed=_tally(code, changes, shares, holders, ChangeStatus.ACCEPTED),
            waiting=_tally(code, changes, shares, holders, ChangeStatus.PROPOSED),
        )
        for code in found
    ]
    return sorted(rows, key=lambda row: (-row.confirmed.area_m2, -row.waiting.area_m2, row.code))


def communes_around(boundaries: Boundaries, changes: Sequence[ChangeImpact]) -> list[CommuneRecord]:
    """The communes of today around changes and all that they touch."""
    if not changes:
        return []
    boxes = [one.line.bounds_lonlat_deg for one in changes]
    boxes += [(*at.lonlat_deg, *at.lonlat_deg) for one in changes for at in one.touched]
    west, south = np.min(boxes, axis=0)[:2].tolist()
    east, north = np.max(boxes, axis=0)[2:].tolist()
    return boundaries.communes(None, (west, south, east, north))


def _tally(
    code: str,
    changes: Sequence[ChangeImpact],
    shares: Sequence[Mapping[str, float]],
    holders: Sequence[Sequence[str]],
    status: ChangeStatus,
) -> Tally:
    """A change counts for the things it touches in a commune also where its own ground lies beside it."""
    here, touched = [], []
    roads: list[Touched] = []
    number, area_m2, road_cut_m = 0, 0.0, 0.0
    for one, share, held in zip(changes, shares, holders, strict=True):
        if one.line.status is not status or not (code in share or code in held):
            continue
        here.append(one)
        number += code in share
        area_m2 += one.line.area_m2 * share.get(code, 0.0)
        inside = [at for at, holder in zip(one.touched, held, strict=True) if holder == code]
        touched.append(inside)
        cut = [at for at in one.cut if at in inside]
        roads += named_once(cut)
        road_cut_m += length_cut(cut)
    return Tally(
        changes=number,
        area_m2=area_m2,
        counts={kind: counted(kind, here, touched) for kind in LayerKind},
        roads_cut=tuple(roads),
        road_cut_m=road_cut_m,
    )


def _shares(
    outlines: np.ndarray, codes: Sequence[str], changes: Sequence[ChangeImpact]
) -> list[dict[str, float]]:
    """Of each change which part of its ground (0-1) lies in which commune; "" is what lies in none.

    Shares of one small shape: degrees will do.
    """
    shares: list[dict[str, float]] = [{} for _ in changes]
    shapes = shapely.from_wkb(np.array([one.line.wkb for one in changes], dtype=object))
    of, holders = shapely.STRtree(outlines).query(shapes, predicate="intersects")
    parts = shapely.area(shapely.intersection(shapes[of], outlines[holders])) / shapely.area(shapes[of])
    for change, holder, part in zip(of.tolist(), holders.tolist(), parts.tolist(), strict=True):
        if part >= _SLIVER:
            shares[change][codes[holder]] = part
    for share in shares:
        beyond = 1.0 - sum(share.values())
        if beyond >= _SLIVER:
            share[""] = beyond
    return shares


def _holders(outlines: np.ndarray, codes: Sequence[str], changes: Sequence[ChangeImpact]) -> list[list[str]]:
    """Of each change the commune of each thing that it touches; "": none of them holds it."""
    places = np.array([at.lonlat_deg for one in changes for at in one.touched]).reshape(-1, 2)
    held = [""] * len(places)
    found, holders = shapely.STRtree(outlines).query(shapely.points(places), predicate="intersects")
    for place, holder in zip(found.tolist(), holders.tolist(), strict=True):
        held[place] = codes[holder]
    ends = np.cumsum([0, *(len(one.touched) for one in changes)]).tolist()
    return [held[start:end] for start, end in itertools.pairwise(ends)]
