"""Road connectivity: places that a road net joins, before and after parts of it are cut.

Roads are lines that join where they end or cross: an overpass is taken for a crossing. The main net is the
component with most road in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.geometry.connected_components import label_components

Shapes = NDArray[np.object_]
Mask = NDArray[np.bool_]
Ints = NDArray[np.intp]

_GRID_M = 1.0
"""Ends within this distance of another road are joined to it: the precision of drawn roads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoadAccess:
    """Road access of each place (N).

    has_road       a road comes near it
    before, after  one of those belongs to the main net, as the roads are drawn and as they are cut
    """

    has_road: Mask
    before: Mask
    after: Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class RoadNet:
    """Pieces of road (N, metres of one plane) that meet at their ends only.

    is_main  those of the main net
    """

    pieces: Shapes
    is_main: Mask


def build_road_net(roads: Shapes) -> RoadNet:
    """Build the net of roads (lines, metres of one plane) as they are drawn."""
    pieces = _noded(roads)
    return RoadNet(pieces=pieces, is_main=_largest(pieces, np.ones(len(pieces), np.bool_)))


def find_road_access(net: RoadNet, cuts: Shapes, places: Shapes, reach_m: float) -> RoadAccess:
    """Find places that roads join to the main net.

    cuts  areas (valid, in the net's plane) that no road passes

    After cutting, the main net is the largest part of the former one.
    """
    pieces, is_main = net.pieces, net.is_main
    has_road = np.zeros(len(places), np.bool_)
    if not len(pieces) or not len(places):
        return RoadAccess(has_road=has_road, before=has_road.copy(), after=has_road.copy())
    left, origin = (
        _without(pieces, shapely.union_all(cuts)) if len(cuts) else (pieces, np.arange(len(pieces)))
    )
    is_left_main = _largest(left, is_main[origin])
    has_road, before = _near(pieces, is_main, places, reach_m)
    _, after = _near(left, is_left_main, places, reach_m)
    return RoadAccess(has_road=has_road, before=before, after=after & before)


def _noded(roads: Shapes) -> Shapes:
    """Split roads into pieces that meet at their ends only."""
    lines = shapely.get_parts(shapely.union_all(roads, grid_size=_GRID_M)) if len(roads) else roads
    return lines[(shapely.get_dimensions(lines) == 1) & ~shapely.is_empty(lines)] if len(lines) else lines


def _without(pieces: Shapes, cut: BaseGeometry) -> tuple[Shapes, Ints]:
    """Return the remainder of pieces beside a cut, and the original piece of each.

    Only pieces that meet the cut are cut.
    """
    shapely.prepare(cut)
    met = shapely.intersects(cut, pieces)  # only the first is prepared
    parts, of = shapely.get_parts(shapely.difference(pieces[met], cut), return_index=True)
    keep = ~shapely.is_empty(parts)
    left = np.concatenate([pieces[~met], parts[keep]])
    return left, np.concatenate([np.flatnonzero(~met), np.flatnonzero(met)[of[keep]]])


def _largest(pieces: Shapes, among: Mask) -> Mask:
    """Return the pieces of the longest component of those in `among`."""
    if not among.any():
        return np.zeros(len(pieces), np.bool_)
    ends = np.stack([_ends(pieces, 0), _ends(pieces, -1)])
    _, nodes = np.unique(ends, return_inverse=True)
    first, last = nodes.reshape(2, -1)
    component = label_components(int(nodes.max()) + 1, first, last)[first]
    length = np.bincount(component, weights=np.where(among, shapely.length(pieces), 0.0))
    return np.asarray(among & (component == length.argmax()))


def _ends(pieces: Shapes, which: int) -> NDArray[np.complex128]:
    """Return first or last places as east + north·i.

    One complex number is compared many times faster than two real ones.
    """
    points = shapely.get_point(pieces, which)
    return np.asarray(shapely.get_x(points) + 1j * shapely.get_y(points))


def _near(pieces: Shapes, is_main: Mask, places: Shapes, reach_m: float) -> tuple[Mask, Mask]:
    """Return places within reach of any piece, and of one of the main net."""
    any_road, main_road = np.zeros(len(places), np.bool_), np.zeros(len(places), np.bool_)
    if len(pieces):
        place, piece = shapely.STRtree(pieces).query(places, predicate="dwithin", distance=reach_m)
        any_road[place] = True
        main_road[place[is_main[piece]]] = True
    return any_road, main_road
