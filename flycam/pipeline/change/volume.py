"""Volumes of landslides: the difference of the DSMs of the two compared flights.

Only where both are finished flights with a DSM whose heights are supported there. A terrain model cannot
stand for the earlier date: it lacks the trees around the scar, so that the two could be coregistered no
better than trees are tall.

A volume takes seconds, and the page asks for all of them at every decision: results are cached under all
their inputs (outline, both surfaces, other changes around), so that none is ever out of date.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.analysis.volume import Floats, HeightPair, Volume, VolumeUnavailable, compute_volume
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.image_reference import parse_image_reference
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import NotFound, ObjectMissing, TileCorrupt
from flycam.frame.change import POSITIVE_STATUSES, REVIEWABLE_STATUSES, ChangeKind
from flycam.frame.terrain_codec import decode_terrain
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.geometry.terrain import TerrainGrid, find_nearest_posts, interpolate_heights_en
from flycam.pipeline.terrain import load_recorded_terrain
from flycam.pipeline.workspace import Workspace

_AROUND_M = 80.0
_NEAR_CHANGE_M = 4.0
_MAX_POSTS = 1_500_000
_MAX_CACHED = 2_000


class NoSurfaces(StrEnum):
    """Reason why there are no two surfaces to subtract."""

    DRAWN = "drawn"
    """drawn by hand, without flights"""
    PICTURE = "picture"
    """one of the two sides is a file, which has no heights"""
    NOT_FINISHED = "not_finished"
    """one of the two flights was not finished when they were compared"""
    NO_SURFACE = "no_surface"
    """one of the two flights was finished without a DSM, or that is gone"""


VolumeFailure = NoSurfaces | VolumeUnavailable


@dataclass(frozen=True, kw_only=True, slots=True)
class _SurfaceKeys:
    """Object keys of a finished revision's surface, never overwritten."""

    terrain_id: str
    support_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Surface:
    """Heights, and the sigma of those from the flight's own DSM (NaN elsewhere)."""

    terrain: TerrainGrid
    sigma: TerrainGrid


@dataclass(frozen=True, kw_only=True, slots=True)
class _VolumeInputs:
    """All inputs of a volume.

    The scar, the surfaces, outlines around it of confirmed and waiting changes, and of rejected ones.
    """

    scar_wkb: bytes
    before: _SurfaceKeys
    after: _SurfaceKeys
    changed_wkb: tuple[bytes, ...]
    rejected_wkb: tuple[bytes, ...]


class _VolumeCache:
    """Cache of the most recent volumes, safe for use from any thread."""

    def __init__(self) -> None:
        self._told: OrderedDict[_VolumeInputs, Volume | VolumeUnavailable] = OrderedDict()
        self._lock = Lock()

    def get(self, made: _VolumeInputs) -> Volume | VolumeUnavailable | None:
        with self._lock:
            if made in self._told:
                self._told.move_to_end(made)
            return self._told.get(made)

    def put(self, made: _VolumeInputs, volume: Volume | VolumeUnavailable) -> None:
        with self._lock:
            self._told[made] = volume
            while len(self._told) > _MAX_CACHED:
                self._told.popitem(last=False)


_remembered = _VolumeCache()


def compute_volumes(
    workspace: Workspace, lines: Sequence[ChangeVersion]
) -> dict[str, Volume | VolumeFailure]:
    """Compute the volume of each landslide, by change id, or why there is none.

    Ground of any change around, rejected ones included, is not stable ground for another: so a decision does
    not change a neighbour's volume. Only where too little stable ground is left otherwise, rejected ground
    counts as stable, and there is a volume where there was none before.
    """
    told: dict[str, Volume | VolumeFailure] = {}
    pairs: dict[tuple[_SurfaceKeys, _SurfaceKeys], list[ChangeVersion]] = {}
    for line in (one for one in lines if one.kind is ChangeKind.LANDSLIDE):
        before, after = (_named(workspace, shown) for shown in (line.before_shown, line.after_shown))
        if isinstance(before, NoSurfaces):
            told[line.change_id] = before
        elif isinstance(after, NoSurfaces):
            told[line.change_id] = after
        else:
            pairs.setdefault((before, after), []).append(line)
    around = _changed_around(workspace, [line for slides in pairs.values() for line in slides])
    # One pair after the other: surfaces of all together would be gigabytes.
    for pair, slides in pairs.items():
        told |= _of_pair(workspace, pair, slides, around)
    return told


def _of_pair(
    workspace: Workspace,
    pair: tuple[_SurfaceKeys, _SurfaceKeys],
    slides: Sequence[ChangeVersion],
    around: Mapping[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]],
) -> dict[str, Volume | VolumeFailure]:
    """Compute volumes of landslides between the same two surfaces.

    They are read once, and only if a volume is not cached.
    """
    told: dict[str, Volume | VolumeFailure] = {}
    surfaces: list[_Surface | NoSurfaces] = []
    for line in slides:
        changed, rejected = around[line.change_id]
        made = _VolumeInputs(
            scar_wkb=line.wkb, before=pair[0], after=pair[1], changed_wkb=changed, rejected_wkb=rejected
        )
        if (known := _remembered.get(made)) is not None:
            told[line.change_id] = known
            continue
        surfaces = surfaces or [_surface(workspace, side) for side in pair]
        before, after = surfaces
        if isinstance(before, NoSurfaces):
            # Not cached: a lost object may be restored.
            told[line.change_id] = before
        elif isinstance(after, NoSurfaces):
            told[line.change_id] = after
        else:
            told[line.change_id] = found = _computed(made, before, after)
            _remembered.put(made, found)
    return told


def _named(workspace: Workspace, shown: str) -> _SurfaceKeys | NoSurfaces:
    """Return the keys of a side's surface, or why it has none."""
    picture = parse_image_reference(shown)
    if not picture.source:
        return NoSurfaces.DRAWN
    if picture.revision is None:
        return NoSurfaces.PICTURE
    if picture.revision == LIVE_REVISION:
        return NoSurfaces.NOT_FINISHED
    try:
        record = workspace.catalog.revisions.get(picture.source, picture.revision)
    except NotFound:
        # The revision was retired; the change remains.
        return NoSurfaces.NO_SURFACE
    measured = record.stats.get("surface")
    if record.support_key is None or measured is None:
        return NoSurfaces.NO_SURFACE
    return _SurfaceKeys(terrain_id=measured["terrain_id"], support_key=record.support_key)


def _surface(workspace: Workspace, named: _SurfaceKeys) -> _Surface | NoSurfaces:
    """Read a surface; NO_SURFACE where it is gone or damaged: the change remains."""
    try:
        return _Surface(
            terrain=load_recorded_terrain(workspace, named.terrain_id),
            sigma=decode_terrain(workspace.store.get(named.support_key)),
        )
    except (ObjectMissing, TileCorrupt):
        return NoSurfaces.NO_SURFACE


def _computed(made: _VolumeInputs, before: _Surface, after: _Surface) -> Volume | VolumeUnavailable:
    """Compute on the posts of the later surface; the work CRS is its flight's."""
    crs = after.terrain.work_crs
    onto = make_point_transform(WGS84, crs)
    scar = shapely.make_valid(shapely.transform(shapely.from_wkb(made.scar_wkb), onto))
    east, north, spacing = _posts(after.terrain, scar)
    heights = _both_heights(before, after, east, north, spacing)
    shapely.prepare(scar)
    inside = shapely.contains_xy(scar, east, north)
    told: Volume | VolumeUnavailable = VolumeUnavailable.LITTLE_STABLE
    for some in dict.fromkeys(((*made.changed_wkb, *made.rejected_wkb), made.changed_wkb)):
        around = np.asarray(shapely.from_wkb(np.array(some, dtype=object)))
        changed = shapely.make_valid(shapely.transform(around, onto))
        near = shapely.union_all(shapely.buffer(np.append(changed, scar), _NEAR_CHANGE_M))
        shapely.prepare(near)
        told = compute_volume(heights, inside, ~shapely.contains_xy(near, east, north))
        if told is not VolumeUnavailable.LITTLE_STABLE:
            break
    return told


def _posts(terrain: TerrainGrid, scar: BaseGeometry) -> tuple[Floats, Floats, float]:
    """Return east and north (rows×cols each) of posts around a scar, and spacing.

    The surface's own spacing, wider where there would be too many.
    """
    west, south, east, north = shapely.box(*scar.bounds).buffer(_AROUND_M).bounds
    spacing = max(*terrain.post_spacing_m, math.sqrt((east - west) * (north - south) / _MAX_POSTS))
    grid = np.meshgrid(np.arange(west, east, spacing), np.arange(north, south, -spacing))
    return grid[0], grid[1], spacing


def _both_heights(
    before: _Surface, after: _Surface, east: Floats, north: Floats, spacing_m: float
) -> HeightPair:
    """Interpolate both surfaces at the same points.

    A height is known where the nearest post is the surface's own.
    """
    heights, sigmas = [], []
    for one in (before, after):
        x, y = east, north
        if one.terrain.work_crs != after.terrain.work_crs:
            across = make_point_transform(after.terrain.work_crs, one.terrain.work_crs)
            x, y = np.moveaxis(across(np.stack([east, north], axis=-1).reshape(-1, 2)), -1, 0)
            x, y = x.reshape(east.shape), y.reshape(east.shape)
        post, is_on = find_nearest_posts(one.sigma, x, y)
        sigmas.append(np.where(is_on, one.sigma.heights_m.reshape(-1)[post], np.nan))
        heights.append(np.asarray(interpolate_heights_en(one.terrain, x, y), np.float64))
    sigma = np.hypot(*sigmas)
    known = np.isfinite(sigma) & np.isfinite(heights[0]) & np.isfinite(heights[1])
    return HeightPair(
        before_m=heights[0], after_m=heights[1], known=known, sigma_m=sigma, spacing_m=spacing_m
    )


def _changed_around(
    workspace: Workspace, slides: Sequence[ChangeVersion]
) -> dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]]:
    """Return outlines near each landslide: of changes, and of rejected ones.

    Confirmed and waiting changes count alike. One catalogue query for each event.
    """
    # of a degree, more than enough
    reach = 2.0 * _AROUND_M / 100_000.0
    around: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {}
    for event_id in sorted({line.event_id for line in slides}):
        standing = workspace.catalog.changes.current(event_id, statuses=REVIEWABLE_STATUSES)
        tree = shapely.STRtree([shapely.box(*one.bounds_lonlat_deg) for one in standing])
        for line in (one for one in slides if one.event_id == event_id):
            west, south, east, north = line.bounds_lonlat_deg
            near = tree.query(shapely.box(west - reach, south - reach, east + reach, north + reach))
            found, rejected = (
                tuple(
                    sorted(
                        one.wkb
                        for one in map(standing.__getitem__, near)
                        if (one.status in POSITIVE_STATUSES) is so
                    )
                )
                for so in (True, False)
            )
            around[line.change_id] = found, rejected
    return around
