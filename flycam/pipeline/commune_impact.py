"""What changes do, commune by commune: each thing in the commune where it is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from flycam.catalog.boundaries import Boundaries
from flycam.frame.change import ChangeStatus
from flycam.frame.specialist import LayerKind
from flycam.pipeline.change_impact import ChangeImpact, Count, Touched, counted

_SLIVER = 0.01  # of a change: less beyond a boundary is how finely both are drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Of some changes in one commune.

    changes    that touch it: one across a border counts in both
    area_m2    of their ground in it, ground under several counted for each
    counts     things by kind; None: no layer of the kind covers any of them, so that nothing is known
    roads_cut  in it; one that is cut in several places stands once for each
    """

    changes: int
    area_m2: float
    counts: Mapping[LayerKind, Count | None]
    roads_cut: tuple[Touched, ...]

    @property
    def road_cut_m(self) -> float:
        """Length of road under changes, as far as roads are lines."""
        return sum(one.under_m or 0.0 for one in self.roads_cut)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneImpact:
    """One commune; code "": ground outside of all boundaries that are known.

    confirmed, waiting  by what analysts have accepted, and by what nobody has decided on yet
    """

    code: str
    name: str
    confirmed: Tally
    waiting: Tally


def impact_by_commune(boundaries: Boundaries, changes: Sequence[ChangeImpact]) -> list[CommuneImpact]:
    """A row for each commune that holds ground of a change or a thing that is touched, the most confirmed
    ground first."""
    shares = _shares(boundaries, changes)
    codes = {code for share in shares for code in share}
    codes |= {one.commune for change in changes for one in change.touched}
    names = boundaries.names()
    rows = [
        CommuneImpact(
            code=code,
            name=names.get(code, ""),
            confirmed=_tally(code, changes, shares, ChangeStatus.ACCEPTED),
            waiting=_tally(code, changes, shares, ChangeStatus.PROPOSED),
        )
        for code in codes
    ]
    return sorted(rows, key=lambda row: (-row.confirmed.area_m2, -row.waiting.area_m2, row.code))


def _tally(
    code: str, changes: Sequence[ChangeImpact], shares: Sequence[Mapping[str, float]], status: ChangeStatus
) -> Tally:
    """A change counts for the things it touches in a commune also where its own ground lies beside it."""
    of_status = [
        (one, share.get(code))
        for one, share in zip(changes, shares, strict=True)
        if one.line.status is status and (code in share or any(at.commune == code for at in one.touched))
    ]
    here = [one for one, _ in of_status]
    touched = [at for one in here for at in one.touched if at.commune == code]
    return Tally(
        changes=sum(share is not None for _, share in of_status),
        area_m2=sum(one.line.area_m2 * share for one, share in of_status if share is not None),
        counts={kind: counted(kind, here, touched) for kind in LayerKind},
        roads_cut=tuple(at for one in here for at in one.roads_cut if at.commune == code),
    )


def _shares(boundaries: Boundaries, changes: Sequence[ChangeImpact]) -> list[dict[str, float]]:
    """Of each change which part of its ground (0-1) lies in which commune; "" is beyond known boundaries.

    Shares of one small shape: degrees will do.
    """
    shares: list[dict[str, float]] = [{} for _ in changes]
    if not changes:
        return shares
    shapes = shapely.from_wkb(np.array([one.line.wkb for one in changes], dtype=object))
    west, south, east, north = (float(side) for side in shapely.total_bounds(shapes))
    communes = boundaries.communes(None, (west, south, east, north))
    if communes:
        outlines = shapely.make_valid(shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object)))
        of, holders = shapely.STRtree(outlines).query(shapes, predicate="intersects")
        parts = shapely.area(shapely.intersection(shapes[of], outlines[holders])) / shapely.area(shapes[of])
        for change, holder, part in zip(of.tolist(), holders.tolist(), parts.tolist(), strict=True):
            if part >= _SLIVER:
                shares[change][communes[holder].code] = part
    for share in shares:
        beyond = 1.0 - sum(share.values())
        if beyond >= _SLIVER:
            share[""] = beyond
    return shares
