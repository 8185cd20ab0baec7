"""Roads under overlapping changes, counted once.

A road is as long as it lies under any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.pipeline.change.affected_features import AffectedFeature
from flycam.pipeline.change.change_overlap import compute_own_ground
from flycam.pipeline.change.impact import MIN_CUT_M, ChangeImpact


def deduplicate_road_cuts(changes: Sequence[ChangeImpact]) -> list[tuple[AffectedFeature, ...]]:
    """Return the roads that each change cuts where no larger one cuts them.

    A road that lies there for less than `MIN_CUT_M` is cut by the larger one only.
    """
    cutting = [one for one in changes if one.cut]
    own = {
        one.line.change_id: ground
        for one, ground in zip(cutting, compute_own_ground([one.line for one in cutting]), strict=True)
    }
    found = []
    for one in changes:
        ground = own.get(one.line.change_id)
        found.append(one.cut if ground is None else _on(one.cut, ground))
    return found


def _on(cut: Sequence[AffectedFeature], ground: BaseGeometry) -> tuple[AffectedFeature, ...]:
    """Return the parts of cut roads on this part of a change's ground."""
    if ground.is_empty:
        return ()
    middle = ground.representative_point()
    onto = make_point_transform(WGS84, choose_work_crs(middle.x, middle.y))
    flat = shapely.make_valid(shapely.transform(ground, onto))
    left = []
    for at in cut:
        road = shapely.make_valid(shapely.transform(shapely.from_wkb(at.feature.wkb), onto)).intersection(
            flat
        )
        if at.under_m is not None and road.length >= MIN_CUT_M:
            left.append(replace(at, under_m=road.length))
        elif at.under_m is None and road.area > 0.0:
            left.append(at)
    return tuple(left)
