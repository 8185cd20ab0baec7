"""Roads under several changes that lie on each other: cut once, and as long as they lie under any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.pipeline.change.impact import LEAST_CUT_M, ChangeImpact
from flycam.pipeline.change.places import own_ground
from flycam.pipeline.change.touched_things import Touched


def cut_once(changes: Sequence[ChangeImpact]) -> list[tuple[Touched, ...]]:
    """Of each change what it cuts of roads on ground where no larger one of those that cut does.

    A road that lies there for less than `LEAST_CUT_M` is cut by the larger one only.
    """
    cutting = [one for one in changes if one.cut]
    own = {
        one.line.change_id: ground
        for one, ground in zip(cutting, own_ground([one.line for one in cutting]), strict=True)
    }
    found = []
    for one in changes:
        ground = own.get(one.line.change_id)
        found.append(one.cut if ground is None else _on(one.cut, ground))
    return found


def _on(cut: Sequence[Touched], ground: BaseGeometry) -> tuple[Touched, ...]:
    """What of roads that a change cuts lies on this part of its ground."""
    if ground.is_empty:
        return ()
    middle = ground.representative_point()
    onto = point_transform(WGS84, work_crs_for(middle.x, middle.y))
    flat = shapely.make_valid(shapely.transform(ground, onto))
    left = []
    for at in cut:
        road = shapely.make_valid(shapely.transform(shapely.from_wkb(at.thing.wkb), onto)).intersection(flat)
        if at.under_m is not None and road.length >= LEAST_CUT_M:
            left.append(replace(at, under_m=road.length))
        elif at.under_m is None and road.area > 0.0:
            left.append(at)
    return tuple(left)
