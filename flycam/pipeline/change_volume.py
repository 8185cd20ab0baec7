"""Volumes of landslides: what the surfaces of the two flights that were compared differ by.

Only where both dates are finished flights with a surface of their own, and its heights are supported there. A
terrain model is no earlier date: it is without the trees that the ground around the scar has, so that the two
could not be laid on each other any better than trees are tall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.analysis.volume import Floats, Heights, NoVolume, Volume, volume
from flycam.catalog.change_line import ChangeLine
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import NotFound, ObjectMissing, TileCorrupt
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.frame.terraincodec import decode_terrain
from flycam.geodata.crs import WGS84, point_transform
from flycam.geometry.terrain import TerrainGrid, nearest_posts, surface_heights
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Workspace

_AROUND_M = 80.0
_NEAR_CHANGE_M = 4.0
_MOST_POSTS = 1_500_000


class NoSurfaces(StrEnum):
    """Why there are no two surfaces to subtract."""

    DRAWN = "drawn"
    """drawn by hand, of no two flights"""
    PICTURE = "picture"
    """one of the two that were compared is a picture, which has no heights"""
    NOT_FINISHED = "not_finished"
    """one of the two flights was not finished when they were compared"""
    NO_SURFACE = "no_surface"
    """one of the two flights was finished without a surface of its own, or that is gone"""


WhyNot = NoSurfaces | NoVolume


@dataclass(frozen=True, kw_only=True, slots=True)
class _Surface:
    """A finished revision's surface: its heights, and the sigma of those that are its own (NaN elsewhere)."""

    terrain: TerrainGrid
    sigma: TerrainGrid


def volumes_of(workspace: Workspace, lines: Sequence[ChangeLine]) -> dict[str, Volume | WhyNot]:
    """Of every landslide among changes, by its id: the volume, or why none is told.

    Ground of any change between the same two is no stable ground for another.
    """
    surfaces: dict[str, _Surface | NoSurfaces] = {}
    told: dict[str, Volume | WhyNot] = {}
    for line in lines:
        if line.kind is not ChangeKind.LANDSLIDE:
            continue
        sides = []
        for shown in (line.before_shown, line.after_shown):
            if shown not in surfaces:
                surfaces[shown] = _surface(workspace, shown)
            sides.append(surfaces[shown])
        before, after = sides
        if isinstance(before, NoSurfaces):
            told[line.change_id] = before
        elif isinstance(after, NoSurfaces):
            told[line.change_id] = after
        else:
            told[line.change_id] = _of_one(workspace, line, before, after)
    return told


def _surface(workspace: Workspace, shown: str) -> _Surface | NoSurfaces:
    """What a side of a comparison ("mosaic@revision", a picture's name, "") has of heights."""
    if not shown:
        return NoSurfaces.DRAWN
    mosaic_id, _, number = shown.rpartition("@")
    if not (mosaic_id and number.isdigit()):
        return NoSurfaces.PICTURE
    if int(number) == LIVE_REVISION:
        return NoSurfaces.NOT_FINISHED
    try:
        record = workspace.catalog.revisions.get(mosaic_id, int(number))
        measured = record.stats.get("surface")
        if record.support_key is None or measured is None:
            return NoSurfaces.NO_SURFACE
        return _Surface(
            terrain=recorded_terrain(workspace, measured["terrain_id"]),
            sigma=decode_terrain(workspace.store.get(record.support_key)),
        )
    except (NotFound, ObjectMissing, TileCorrupt):
        return NoSurfaces.NO_SURFACE  # of a revision that was retired, or damaged: the change stands without


def _of_one(workspace: Workspace, line: ChangeLine, before: _Surface, after: _Surface) -> Volume | NoVolume:
    """On the posts of the later surface; the work CRS is its flight's."""
    crs = after.terrain.work_crs
    onto = point_transform(WGS84, crs)
    scar = shapely.make_valid(shapely.transform(shapely.from_wkb(line.wkb), onto))
    east, north, spacing = _posts(after.terrain, scar)
    heights = _both_heights(before, after, east, north, spacing)
    changed = shapely.transform(_changed_around(workspace, line), onto)
    shapely.prepare(scar)
    near = shapely.union_all(shapely.buffer(np.append(shapely.make_valid(changed), scar), _NEAR_CHANGE_M))
    shapely.prepare(near)
    return volume(heights, shapely.contains_xy(scar, east, north), ~shapely.contains_xy(near, east, north))


def _posts(terrain: TerrainGrid, scar: BaseGeometry) -> tuple[Floats, Floats, float]:
    """East and north (rows×cols each) of posts around a scar, and their distance: the surface's own, wider
    apart where those would be too many."""
    west, south, east, north = shapely.box(*scar.bounds).buffer(_AROUND_M).bounds
    spacing = max(*terrain.post_spacing_m, math.sqrt((east - west) * (north - south) / _MOST_POSTS))
    grid = np.meshgrid(np.arange(west, east, spacing), np.arange(north, south, -spacing))
    return grid[0], grid[1], spacing


def _both_heights(
    before: _Surface, after: _Surface, east: Floats, north: Floats, spacing_m: float
) -> Heights:
    """Both surfaces at the same places; a height is known where the nearest post is the surface's own."""
    heights, sigmas = [], []
    for one in (before, after):
        x, y = east, north
        if one.terrain.work_crs != after.terrain.work_crs:
            across = point_transform(after.terrain.work_crs, one.terrain.work_crs)
            x, y = np.moveaxis(across(np.stack([east, north], axis=-1).reshape(-1, 2)), -1, 0)
            x, y = x.reshape(east.shape), y.reshape(east.shape)
        post, is_on = nearest_posts(one.sigma, x, y)
        sigmas.append(np.where(is_on, one.sigma.heights_m.reshape(-1)[post], np.nan))
        heights.append(np.asarray(surface_heights(one.terrain, x, y), np.float64))
    sigma = np.hypot(*sigmas)
    known = np.isfinite(sigma) & np.isfinite(heights[0]) & np.isfinite(heights[1])
    return Heights(before_m=heights[0], after_m=heights[1], known=known, sigma_m=sigma, spacing_m=spacing_m)


def _changed_around(workspace: Workspace, line: ChangeLine) -> np.ndarray:
    """Outlines of all that changed near a change, or may have: whatever an analyst has not rejected."""
    reach = 2.0 * _AROUND_M / 100_000.0  # of a degree, more than enough
    west, south, east, north = line.bounds_lonlat_deg
    around = west - reach, south - reach, east + reach, north + reach
    standing = (ChangeStatus.PROPOSED, ChangeStatus.ACCEPTED)
    others = workspace.catalog.changes.current(line.event_id, around, statuses=standing)
    return np.asarray(shapely.from_wkb(np.array([one.wkb for one in others], dtype=object)))
