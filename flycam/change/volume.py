"""Volume that a slide removed and deposited, by the difference of two surfaces.

The surfaces are coregistered first. Surfaces of two flights lie off each other by metres where nothing ties
them down. The later one is first shifted onto the earlier one by the ground around that did not change (Nuth
and Kääb 2011, The Cryosphere 5, equation 3, in its linear form: dh = up - east · dz/de - north · dz/dn). The
remaining difference is the change.

Errors of heights are of two kinds. Each post's own error averages out, though only from one matching window
to the next. The error that neighbours share does not, and no single height reveals it: it is estimated from
how far the means of unchanged pieces as large as the ground in question lie off zero (Rolstad, Haug and Denby
2009, Journal of Glaciology 55, argue the same from variograms). Where ground did not move it also makes up
loss and gain, as much as unchanged ground comes to.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.changes import ChangeVersion, parse_image_reference
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.errors import NotFound, ObjectMissing, TileCorrupt
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.geometry.terrain import TerrainGrid, find_nearest_posts, interpolate_heights_en
from flycam.model.board import POSITIVE_STATUSES, REVIEWABLE_STATUSES, ChangeKind
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.workspace import Workspace

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW_M = 5.0
"""Heights of posts closer than this come from much the same pixels: their errors are shared."""

_MIN_KNOWN = 0.5
_MIN_BLOCKS = 8
_MIN_BLOCK_M, _MAX_BLOCK_M = 5.0, 25.0
_SIGN_M, _RISE_M = 5.0, 4.0
_SURE_SIGMAS, _MIN_REPORTED_M3 = 2.0, 0.5
# 4.685: Beaton and Tukey 1974, 95 % efficient for normal errors
_ROUNDS, _TUKEY, _MIN_SCALE_M = 12, 4.685, 0.02
# 1-sigma of normal errors from their median absolute deviation
_SIGMA_PER_MAD = 1.4826


class VolumeUnavailable(StrEnum):
    """Reason why two surfaces give no volume."""

    LITTLE_KNOWN = "little_known"
    """the heights of less than half of the scar are known on both dates"""
    LITTLE_STABLE = "little_stable"
    """too little unchanged ground with heights around, by which to coregister one surface on the other"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeightPair:
    """Two dates' heights on one north-up grid of posts, metres above any datums.

    before_m, after_m  float64 rows×cols
    known              bool rows×cols: measured on both dates; a height elsewhere is only good for a slope
    sigma_m            1-sigma of each post's own difference, where known
    spacing_m          between posts
    """

    before_m: Floats
    after_m: Floats
    known: Mask
    sigma_m: Floats
    spacing_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """Volume lost and gained, cubic metres of surface, including what stood on it.

    lost_m3, gained_m3, each with its 1-sigma; their difference has `net_sigma_m3`. Where errors may have
                   moved ground that did not move, that is in both sigmas: both volumes are biased outwards by
                   no more
    measured_m2    ground of the scar whose heights are known on both dates: nothing is claimed about the rest
    shift_m        (east, north, up) by which the later surface lay off the earlier one; on ground that slopes
                   one way, only a step down it and one up together are determined
    level_sigma_m  1-sigma of the mean difference of a piece as large as the scar: the part that does not
                   average out
    """

    lost_m3: float
    lost_sigma_m3: float
    gained_m3: float
    gained_sigma_m3: float
    net_sigma_m3: float
    measured_m2: float
    shift_m: tuple[float, float, float]
    level_sigma_m: float

    @property
    def is_nothing(self) -> bool:
        """True if neither is beyond two sigma: errors alone may come to as much."""
        return (
            self.lost_m3 <= _SURE_SIGMAS * self.lost_sigma_m3
            and self.gained_m3 <= _SURE_SIGMAS * self.gained_sigma_m3
        )

    @property
    def has_gained(self) -> bool:
        """True if any ground rose that makes a cubic metre, or may have."""
        return self.gained_m3 + self.gained_sigma_m3 >= _MIN_REPORTED_M3


def compute_volume(heights: HeightPair, scar: Mask, stable: Mask) -> Volume | VolumeUnavailable:
    """Compute the volume of a scar.

    scar, stable  bool rows×cols; the second is unchanged ground around the first
    """
    inside, around = scar & heights.known, stable & heights.known
    if not scar.any() or inside.sum() < _MIN_KNOWN * scar.sum():
        return VolumeUnavailable.LITTLE_KNOWN
    side_m = _side_m(scar, heights.spacing_m)
    # rise per metre to the east and north, 2×rows×cols, of heights smoothed over a few metres
    smooth = cv2.GaussianBlur(heights.before_m, (0, 0), max(_RISE_M / heights.spacing_m, 0.5))
    south, east = np.gradient(smooth, heights.spacing_m)
    rises = np.stack([east, -south])
    difference = heights.after_m - heights.before_m
    usable = around & np.isfinite(rises).all(axis=0)
    if _block_means(difference, usable, side_m / heights.spacing_m).size < _MIN_BLOCKS:
        return VolumeUnavailable.LITTLE_STABLE
    shift = _fitted_shift(difference[usable], rises[:, usable])
    change = difference - _explained(shift, np.nan_to_num(rises))
    # Compute lost and gained volume by the sign of most posts within a few metres.
    # So the noise of posts, which has both signs, counts as neither. What neighbours share over those
    # metres still counts as both where the ground did not move. Where means are not beyond such errors, as
    # much as unchanged ground comes to may be made up: that is in both sigmas, and not in that of the
    # difference, where it cancels.
    spacing_m, post_m2 = heights.spacing_m, heights.spacing_m**2
    means = _mean_around(change, inside, _SIGN_M / spacing_m)
    fell = _fell(change, inside, spacing_m)
    rose = inside & ~fell
    sides = [_side_m(where, spacing_m) / spacing_m for where in (fell, rose, inside)]
    if any(_block_means(change, usable, side).size < _MIN_BLOCKS for side in sides):
        return VolumeUnavailable.LITTLE_STABLE
    nothing = _split_of_nothing(change, usable, _side_m(inside, spacing_m), spacing_m)
    unsure = inside & (np.abs(means) <= _SURE_SIGMAS * nothing.mean_sigma_m)
    made_up = nothing.each_m * float(unsure.sum()) * post_m2

    def sigma(where: Mask) -> float:
        own = float((heights.sigma_m[where] ** 2).sum()) * post_m2 * max(WINDOW_M**2, post_m2)
        level = _level_sigma(change, usable, _side_m(where, spacing_m) / spacing_m)
        return math.hypot(level * float(where.sum()) * post_m2, math.sqrt(own))

    return Volume(
        lost_m3=-float(change[fell].sum()) * post_m2,
        lost_sigma_m3=math.hypot(sigma(fell), made_up),
        gained_m3=float(change[rose].sum()) * post_m2,
        gained_sigma_m3=math.hypot(sigma(rose), made_up),
        net_sigma_m3=sigma(inside),
        measured_m2=float(inside.sum()) * post_m2,
        shift_m=(float(shift[0]), float(shift[1]), float(shift[2])),
        level_sigma_m=_level_sigma(change, usable, _side_m(inside, spacing_m) / spacing_m),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Split:
    """Loss and gain of unchanged ground when it is split as a scar is.

    mean_sigma_m  1-sigma of means over a few metres
    each_m        mean height that is taken for lost, and as much for gained, over all of the ground
    """

    mean_sigma_m: float
    each_m: float


def _split_of_nothing(change: Floats, usable: Mask, side_m: float, spacing_m: float) -> _Split:
    """Split the median piece of unchanged ground as large as the scar."""
    means = _mean_around(change, usable, _SIGN_M / spacing_m)
    fell = _fell(change, usable, spacing_m)
    halves = [
        _block_means(np.where(fell == is_lost, change, 0.0), usable, side_m / spacing_m)
        * (-1.0 if is_lost else 1.0)
        for is_lost in (True, False)
    ]
    return _Split(
        mean_sigma_m=_SIGMA_PER_MAD * float(np.median(np.abs(means[usable]))),
        each_m=max(float(np.median(np.concatenate(halves))), 0.0),
    )


def _fell(change: Floats, where: Mask, spacing_m: float) -> Mask:
    """Return ground around which most posts fell.

    Unlike with a mean, no deep scar swallows the deposit's edge.
    """
    return where & (_mean_around(np.sign(change), where, _SIGN_M / spacing_m) < 0.0)


def _side_m(where: Mask, spacing_m: float) -> float:
    """Return the side of pieces of unchanged ground as large as `where`."""
    return float(np.clip(math.sqrt(where.sum()) * spacing_m, _MIN_BLOCK_M, _MAX_BLOCK_M))


def _level_sigma(change: Floats, usable: Mask, side: float) -> float:
    """Return how far the means of unchanged pieces of `side` posts lie off zero."""
    blocks = _block_means(change, usable, side)
    return _SIGMA_PER_MAD * float(np.median(np.abs(blocks))) * math.sqrt(1.0 + 1.0 / blocks.size)


def _fitted_shift(difference: Floats, rises: Floats) -> Floats:
    """Fit (east, north, up) to N differences over ground with rises 2×N.

    Fitted by Tukey's biweight, starting from the median.
    """
    design = np.concatenate([-rises, np.ones((1, difference.size))]).T
    shift = np.array([0.0, 0.0, float(np.median(difference))])
    for _ in range(_ROUNDS):
        left = difference - design @ shift
        scale = max(_SIGMA_PER_MAD * float(np.median(np.abs(left))), _MIN_SCALE_M)
        # the root of Tukey's weights, for lstsq squares them
        weights = np.clip(1.0 - (left / (_TUKEY * scale)) ** 2, 0.0, None)
        shift = np.linalg.lstsq(design * weights[:, None], difference * weights, rcond=None)[0]
    return shift


def _explained(shift: Floats, rises: Floats) -> Floats:
    return np.asarray(shift[2] - shift[0] * rises[0] - shift[1] * rises[1], np.float64)


def _block_means(values: Floats, where: Mask, side: float) -> Floats:
    """Return means of the blocks of `side` posts at least half in `where`."""
    step = max(round(side), 1)
    rows, cols = (-(-n // step) * step for n in values.shape)
    padded = np.zeros((2, rows, cols))
    padded[0, : values.shape[0], : values.shape[1]] = where
    padded[1, : values.shape[0], : values.shape[1]] = np.where(where, values, 0.0)
    counts, sums = padded.reshape(2, rows // step, step, cols // step, step).sum(axis=(2, 4))
    enough = counts >= _MIN_KNOWN * step**2
    return np.asarray(sums[enough] / counts[enough], np.float64)


def _mean_around(values: Floats, where: Mask, side: float) -> Floats:
    """Return the mean over squares of about `side` posts of the values in `where`."""
    width = max(round(side) | 1, 1)
    weights = where.astype(np.float64)
    sums = cv2.blur(np.where(where, values, 0.0), (width, width))
    return np.asarray(sums / np.maximum(cv2.blur(weights, (width, width)), 1e-9), np.float64)


# -- Volumes of landslides: the difference of the DSMs of the two compared flights -----------------
#
# Only where both are finished flights with a DSM whose heights are supported there. A terrain model cannot
# stand for the earlier date: it lacks the trees around the scar, so that the two could be coregistered no
# better than trees are tall.
#
# A volume takes seconds, and the page asks for all of them at every decision: results are cached under all
# their inputs (outline, both surfaces, other changes around), so that none is ever out of date.


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
    volumes: dict[str, Volume | VolumeFailure] = {}
    pairs: dict[tuple[_SurfaceKeys, _SurfaceKeys], list[ChangeVersion]] = {}
    for line in (one for one in lines if one.kind is ChangeKind.LANDSLIDE):
        before, after = (_named(workspace, shown) for shown in (line.before_shown, line.after_shown))
        if isinstance(before, NoSurfaces):
            volumes[line.change_id] = before
        elif isinstance(after, NoSurfaces):
            volumes[line.change_id] = after
        else:
            pairs.setdefault((before, after), []).append(line)
    around = _changed_around(workspace, [line for slides in pairs.values() for line in slides])
    # One pair after the other: surfaces of all together would be gigabytes.
    for pair, slides in pairs.items():
        volumes |= _of_pair(workspace, pair, slides, around)
    return volumes


def _of_pair(
    workspace: Workspace,
    pair: tuple[_SurfaceKeys, _SurfaceKeys],
    slides: Sequence[ChangeVersion],
    around: Mapping[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]],
) -> dict[str, Volume | VolumeFailure]:
    """Compute volumes of landslides between the same two surfaces.

    They are read once, and only if a volume is not cached.
    """
    volumes: dict[str, Volume | VolumeFailure] = {}
    surfaces: list[_Surface | NoSurfaces] = []
    for line in slides:
        changed, rejected = around[line.change_id]
        made = _VolumeInputs(
            scar_wkb=line.wkb, before=pair[0], after=pair[1], changed_wkb=changed, rejected_wkb=rejected
        )
        if (known := _remembered.get(made)) is not None:
            volumes[line.change_id] = known
            continue
        surfaces = surfaces or [_surface(workspace, side) for side in pair]
        before, after = surfaces
        if isinstance(before, NoSurfaces):
            # Not cached: a lost object may be restored.
            volumes[line.change_id] = before
        elif isinstance(after, NoSurfaces):
            volumes[line.change_id] = after
        else:
            volumes[line.change_id] = found = _computed(made, before, after)
            _remembered.put(made, found)
    return volumes


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
    # the surface's own spacing, wider where there would be too many posts
    west, south, east, north = shapely.box(*scar.bounds).buffer(_AROUND_M).bounds
    spacing = max(*after.terrain.post_spacing_m, math.sqrt((east - west) * (north - south) / _MAX_POSTS))
    east, north = np.meshgrid(np.arange(west, east, spacing), np.arange(north, south, -spacing))
    heights = _both_heights(before, after, east, north, spacing)
    shapely.prepare(scar)
    inside = shapely.contains_xy(scar, east, north)
    result: Volume | VolumeUnavailable = VolumeUnavailable.LITTLE_STABLE
    for some in dict.fromkeys(((*made.changed_wkb, *made.rejected_wkb), made.changed_wkb)):
        around = np.asarray(shapely.from_wkb(np.array(some, dtype=object)))
        changed = shapely.make_valid(shapely.transform(around, onto))
        near = shapely.union_all(shapely.buffer(np.append(changed, scar), _NEAR_CHANGE_M))
        shapely.prepare(near)
        result = compute_volume(heights, inside, ~shapely.contains_xy(near, east, north))
        if result is not VolumeUnavailable.LITTLE_STABLE:
            break
    return result


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
        current_changes = workspace.catalog.changes.current(event_id, statuses=REVIEWABLE_STATUSES)
        tree = shapely.STRtree([shapely.box(*one.bounds_lonlat_deg) for one in current_changes])
        for line in (one for one in slides if one.event_id == event_id):
            west, south, east, north = line.bounds_lonlat_deg
            near = tree.query(shapely.box(west - reach, south - reach, east + reach, north + reach))
            found, rejected = (
                tuple(
                    sorted(
                        one.wkb
                        for one in map(current_changes.__getitem__, near)
                        if (one.status in POSITIVE_STATUSES) is so
                    )
                )
                for so in (True, False)
            )
            around[line.change_id] = found, rejected
    return around
