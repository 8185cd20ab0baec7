"""Plane sweep in ground space: views, their agreement, and the plan of a surface.

The sweep gives the agreement of the views at each height. All heights count from a base surface, so the
windows that are compared follow its slopes. For every height the views are sampled over the posts (Collins, A
space-sweep approach to true multi-image matching, CVPR 1996); their agreement is the mean correlation over
all pairs of views, which one window over the square of their sum gives: with T the sum of n views and Q the
sum of their squares, the mean product of two of them is (T² - Q) / (n (n - 1)).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameRejected, OutsideTerrain
from flycam.geometry.camera import (
    InteriorOrientation,
    compute_valid_radius,
    correct_rolling_shutter,
    distort,
    is_in_image,
    project,
    scale_interior,
    transform_to_camera,
    undistort,
)
from flycam.geometry.footprint import Footprint, compute_footprint
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_en
from flycam.messages import _

# -- Images prepared for matching: grey, undistorted and locally normalised ------------------------
#
# Reduced to the posts' spacing; the correlation of two images around a ground point is then a plain mean of
# products. Local normalisation once an image instead of once a window: Faugeras et al., Real time
# correlation-based stereo, INRIA report 2013, 1993; here the images are pinholes, so that a change of height
# is two additions and a division.


Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
PixelsOf = Callable[[str], Bytes]

# Ground seen more obliquely than this does not help to find heights: tan of 60° off the axis.
_MAX_TANGENT = 1.73
# Window of the local mean and deviation, in reduced pixels (Gaussian sigma).
_NORMALISE_SIGMA_PX = 3.0
# Floor added to deviations, in grey levels: noise in a smooth place must not look like texture.
_NOISE_GREY = 2.5
_CLIP = 2.5
_MIN_WIDTH_PX = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceView:
    """One frame of the surface refinement: adjusted pose, final camera.

    pixels_of(frame_id) returns its pixels.
    """

    frame_id: str
    interior: InteriorOrientation
    exterior: ExteriorOrientation


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchImage:
    """Normalised pinhole image.

    values     H×W float32, 0 outside the source image
    seen       H×W uint8, 255 inside the source image
    focal_px, centre_px (u, v): x/z, y/z in camera axes to its pixels
    """

    values: Singles
    seen: NDArray[np.uint8]
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.values.nbytes + self.seen.nbytes)


def make_match_image(grey: Bytes, interior: InteriorOrientation, width_px: int) -> MatchImage:
    """Make a normalised pinhole image of `width_px` columns before undistortion.

    grey  H×W uint8 with the content of interior.image_size_px, of any size not below `width_px`
    """
    width, height = interior.image_size_px
    size = (width_px, max(round(height * width_px / width), 2))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    camera = scale_interior(interior, size)
    low, high = _tangent_bounds(camera)
    focal = camera.focal_length_px
    shape = tuple(int(np.ceil((high[k] - low[k]) * focal[k])) + 1 for k in (0, 1))
    centre = (-low[0] * focal[0], -low[1] * focal[1])
    x = (np.arange(shape[0]) - centre[0]) / focal[0]
    y = (np.arange(shape[1]) - centre[1]) / focal[1]
    xs, ys = np.meshgrid(x, y)
    believed = xs * xs + ys * ys <= compute_valid_radius(camera) ** 2
    u, v = distort(camera, np.where(believed, xs, np.nan), np.where(believed, ys, np.nan))
    inside = (u >= -0.5) & (u <= size[0] - 0.5) & (v >= -0.5) & (v <= size[1] - 0.5)
    maps = [np.where(inside, m, -1.0).astype(np.float32) for m in (u, v)]
    plain = cv2.remap(small, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = inside.astype(np.uint8) * np.uint8(255)
    return MatchImage(
        values=_normalised(np.asarray(plain, np.float32), inside.astype(np.float32)),
        seen=seen,
        focal_px=focal,
        centre_px=centre,
    )


def _normalised(grey: Singles, inside: Singles) -> Singles:
    """Return (grey - local mean) / local deviation inside; 0 elsewhere."""

    def blur(values: Singles) -> Singles:
        blurred = cv2.GaussianBlur(values, (0, 0), _NORMALISE_SIGMA_PX, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, np.float32)

    share = np.maximum(blur(inside), np.float32(1e-3))
    mean = blur(grey * inside) / share
    centred = np.asarray((grey - mean) * inside, np.float32)
    deviation = np.sqrt(np.maximum(blur(centred * centred) / share, 0.0) + np.float32(_NOISE_GREY**2))
    return np.asarray(np.clip(centred / deviation, -_CLIP, _CLIP), np.float32)


def _tangent_bounds(camera: InteriorOrientation) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the smallest and largest (x/z, y/z) along the image's border.

    Not beyond `_MAX_TANGENT`.
    """
    width, height = camera.image_size_px
    k = np.linspace(0.0, 1.0, 33)
    zero, one = np.zeros_like(k), np.ones_like(k)
    u = np.concatenate([k, k, zero, one]) * width - 0.5
    v = np.concatenate([zero, one, k, k]) * height - 0.5
    x, y = undistort(camera, u, v)
    x, y = (np.clip(np.nan_to_num(a, nan=_MAX_TANGENT), -_MAX_TANGENT, _MAX_TANGENT) for a in (x, y))
    return (float(x.min()), float(y.min())), (float(x.max()), float(y.max()))


class MatchImageCache:
    """Cache of the images in use, bounded in memory.

    The least recently used are evicted. An image is kept grey, and in the reductions that were requested:
    each is smaller than the one before by the root of two, so that ground seen from near and from far is
    compared at about the same pixel size.

    Thread-safe; an image that two threads request is read once.
    """

    def __init__(
        self, views: Sequence[SurfaceView], pixels_of: PixelsOf, finest_px: Sequence[int], max_bytes: int
    ) -> None:
        """Start empty; finest_px are, for every view, its columns when it is read."""
        self._views, self._pixels_of, self._finest = views, pixels_of, finest_px
        self._most_bytes = max_bytes
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._lock = threading.Lock()
        # one lock a view: an image that two threads request is read once, without blocking other images
        self._making = [threading.Lock() for _ in views]

    def get(self, number: int, focal_px: float) -> MatchImage:
        """Return the reduction of a view whose focal length is nearest to `focal_px`.

        In the reduction's own pixels (infinite: the finest).
        """
        with self._making[number]:
            with self._lock:
                cached = self._held.get(number)
                if cached is not None:
                    self._held.move_to_end(number)
            if cached is None:
                cached = self._read(number)
            interior = self._views[number].interior
            width = cached.grey.shape[1]
            finest = interior.focal_length_px[0] * width / interior.image_size_px[0]
            level = round(2.0 * np.log2(finest / min(focal_px, finest)))
            if level not in cached.levels:
                reduced = max(round(width * 2.0 ** (-0.5 * level)), _MIN_WIDTH_PX)
                cached.levels[level] = make_match_image(cached.grey, interior, reduced)
            made = cached.levels[level]
            with self._lock:
                self._trim(number)
            return made

    def clear(self) -> None:
        """Drop all images; they are read again where they are requested."""
        with self._lock:
            self._held.clear()

    def _read(self, number: int) -> _Held:
        view, width = self._views[number], self._finest[number]
        grey = cv2.cvtColor(self._pixels_of(view.frame_id), cv2.COLOR_RGB2GRAY)
        if width < grey.shape[1]:
            size = (width, max(round(grey.shape[0] * width / grey.shape[1]), 2))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        entry = _Held(np.asarray(grey, np.uint8), {})
        with self._lock:
            self._held[number] = entry
        return entry

    def _trim(self, keep: int) -> None:
        total = sum(entry.nbytes for entry in self._held.values())
        for number in list(self._held):
            if total <= self._most_bytes:
                return
            if number != keep:
                total -= self._held.pop(number).nbytes


@dataclass(frozen=True, slots=True)
class _Held:
    grey: Bytes
    levels: dict[int, MatchImage]

    @property
    def nbytes(self) -> int:
        return int(self.grey.nbytes) + sum(picture.nbytes for picture in list(self.levels.values()))


# -- Agreement of the views at each height ---------------------------------------------------------


# Ground nearer to a camera than this along its axis, or behind it, is not sampled.
_MIN_DEPTH_M = 1.0
_NOWHERE_PX = -1000.0


@dataclass(frozen=True, slots=True)
class ViewSampler:
    """One view over the posts of a block (rows×cols).

    Base camera coordinates x, y, z are in image units. The image point of a post raised by dz is
    ((x + a dz) / (z + c dz) + u0, (y + b dz) / (z + c dz) + v0) with (a, b, c) = per_metre.
    A rolling shutter's rows are taken at the times of the base: raised by dz a post falls on a row that
    was read (rows moved × row time) apart, during which the camera moved some centimetres for ten metres of
    dz; the fine sweep stays within a few metres.
    """

    picture: MatchImage
    x: Singles
    y: Singles
    z: Singles
    per_metre: tuple[float, float, float]

    @classmethod
    def from_posts(
        cls,
        picture: MatchImage,
        view: SurfaceView,
        east: Floats,
        north: Floats,
        base_m: Floats,
    ) -> ViewSampler:
        """Make a sampler of posts at height 0 over the base.

        east, north, base_m  rows×cols, none of them NaN
        """
        exterior = view.exterior
        place = transform_to_camera(exterior, east, north, base_m)
        x, y, z = correct_rolling_shutter(view.interior, exterior, *place)
        fx, fy = picture.focal_px
        a, b, c = (row[2] * exterior.grid_scale for row in exterior.rotation)
        single = np.float32
        return cls(
            picture, (x * fx).astype(single), (y * fy).astype(single), z.astype(single), (a * fx, b * fy, c)
        )

    def maps(self, dz: Singles | float) -> tuple[Singles, Singles]:
        """Return image points of the posts raised by dz metres.

        dz is one number, or rows×cols.
        """
        a, b, c = self.per_metre
        dz = np.asarray(dz, np.float32)
        depth = self.z + np.float32(c) * dz
        behind = depth < _MIN_DEPTH_M
        if behind.any():
            depth = np.where(behind, np.float32(_MIN_DEPTH_M), depth)
        inverse = np.float32(1.0) / depth
        u0, v0 = self.picture.centre_px
        u = (self.x + np.float32(a) * dz) * inverse
        u += np.float32(u0)
        v = (self.y + np.float32(b) * dz) * inverse
        v += np.float32(v0)
        if behind.any():
            u = np.where(behind, np.float32(_NOWHERE_PX), u)
        return np.asarray(u, np.float32), np.asarray(v, np.float32)

    def values(self, dz: Singles | float) -> Singles:
        """Return normalised values at the posts raised by dz; 0 outside the image."""
        u, v = self.maps(dz)
        sampled = cv2.remap(self.picture.values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(sampled, np.float32)

    def sees(self, dz: Singles | float) -> NDArray[np.bool_]:
        """Return True for posts that, raised by dz, are in the image."""
        u, v = self.maps(dz)
        seen = cv2.remap(self.picture.seen, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(seen, np.uint8) > 0


def count_views(samplers: Sequence[ViewSampler], dz: Singles | float) -> NDArray[np.uint8]:
    """Count the views that see each post, rows×cols."""
    return np.asarray(np.sum([s.sees(dz) for s in samplers], axis=0, dtype=np.uint8))


def compute_agreement(samplers: Sequence[ViewSampler], heights_m: Singles, window: int) -> Singles:
    """Compute the agreement volume heights×rows×cols.

    About -1 … 1, higher is better. 0 where less than two views see a post.
    """
    rows, cols = samplers[0].z.shape
    pairs = _per_pair(count_views(samplers, float(heights_m[heights_m.size // 2])))
    volume = np.empty((heights_m.size, rows, cols), np.float32)
    for number, dz in enumerate(heights_m):
        volume[number] = _agreement_at(samplers, float(dz), pairs, window)
    return volume


def compute_likeness(samplers: Sequence[ViewSampler], dz: Singles, window: int) -> Singles:
    """Return the correlation -1 … 1 of the views at the posts raised by dz.

    In a square of posts: the mean over all pairs of views, each weighted by its energy (rows×cols; 0 where
    less than two see).
    """

    def over(values: Singles) -> Singles:
        return np.asarray(cv2.blur(values, (window, window), borderType=cv2.BORDER_REPLICATE), np.float32)

    total, squares, roots, energies = (np.zeros_like(dz) for _ in range(4))
    for sampler in samplers:
        values = sampler.values(dz)
        energy = over(values * values)
        total += values
        squares += values * values
        roots += np.sqrt(np.maximum(energy, np.float32(0.0)))
        energies += energy
    pairs = np.maximum(roots * roots - energies, np.float32(1e-6))
    return np.asarray(np.clip(over(total * total - squares) / pairs, -1.0, 1.0), np.float32)


def _per_pair(views: NDArray[np.uint8]) -> Singles:
    n = views.astype(np.float32)
    pairs = n * (n - 1.0)
    return np.where(pairs > 0.0, 1.0 / np.maximum(pairs, 1.0), 0.0).astype(np.float32)


def _agreement_at(samplers: Sequence[ViewSampler], dz: float, per_pair: Singles, window: int) -> Singles:
    total = np.zeros_like(samplers[0].z)
    squares = np.zeros_like(total)
    for sampler in samplers:
        values = sampler.values(dz)
        total += values
        cv2.accumulateSquare(values, squares)
    products = (total * total - squares) * per_pair
    blurred = cv2.blur(products, (window, window), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


# -- Selection of the views of a ground block: near nadir, and from different sides ----------------
#
# Two views from one place agree on every height; two from far apart see different sides of a tree. So views
# are selected one after the other, each the one that adds most: by the difference of its direction from those
# selected, its steepness, and its share of the block.


# A larger angle between directions (base over height) is no better.
_MAX_USEFUL_ANGLE = 0.25
# A view this far off nadir (tangent) counts half.
_HALF_WORTH_TANGENT = 0.45
# A smaller spread of directions determines no height.
MIN_SPREAD = 0.04
# A view that shows a smaller share of the block is not used.
_MIN_COVER = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewSelection:
    """Views of a block (ascending indices) and the spread of their directions.

    RMS distance from their mean, in metres of base per metre of height.
    """

    views: tuple[int, ...]
    spread: float


def choose_views(
    views: Sequence[SurfaceView], candidates: Sequence[int], points_m: Floats, max_views: int
) -> ViewSelection | None:
    """Choose the best `max_views` views for a block; None where no two make a base.

    points_m M×3: places all over the block, at the heights known so far.
    """
    middle = points_m.mean(axis=0)
    numbers, cover, tangents = [], [], []
    for number in candidates:
        view = views[number]
        uv, _ = project(view.interior, view.exterior, points_m)
        share = float(is_in_image(view.interior, uv[:, 0], uv[:, 1]).mean())
        east, north, height = view.exterior.projection_centre_m
        drop = height - middle[2]
        if share < _MIN_COVER or drop <= 0.0:
            continue
        numbers.append(number)
        cover.append(share)
        tangents.append(((east - middle[0]) / drop, (north - middle[1]) / drop))
    if len(numbers) < 2:
        return None
    taken = _greedy(np.array(cover), np.array(tangents), max_views)
    directions = np.array(tangents)[taken]
    spread = float(np.sqrt(np.square(directions - directions.mean(axis=0)).sum(axis=1).mean()))
    if spread < MIN_SPREAD:
        return None
    return ViewSelection(views=tuple(sorted(numbers[k] for k in taken)), spread=spread)


def _greedy(cover: Floats, tangents: Floats, most: int) -> list[int]:
    steepness = np.linalg.norm(tangents, axis=1)
    worth = cover / (1.0 + ((steepness - steepness.min()) / _HALF_WORTH_TANGENT) ** 2)
    taken = [int(np.argmax(worth))]
    separation = np.linalg.norm(tangents - tangents[taken[0]], axis=1)
    while len(taken) < min(most, cover.size):
        gain = worth * np.minimum(separation / _MAX_USEFUL_ANGLE, 1.0)
        gain[taken] = -1.0
        best = int(np.argmax(gain))
        if gain[best] <= 0.0:
            break
        taken.append(best)
        separation = np.minimum(separation, np.linalg.norm(tangents - tangents[best], axis=1))
    return taken


# -- Plan of a surface: options, posts and blocks, reach and scale of views ------------------------
#
# The posts cover all visible ground.


# -- Options of a surface refinement, by default those that measured best --------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceOptions:
    """Options of `refine_surface`.

    views             most views that are used for a block of ground
    window_posts      side of the square of posts that is compared (odd)
    below_m, above_m  search range below and above the terrain where there are no tie points
    min_agreement     correlation of the views below which a post has no support
    blend_m           distance from the support within which the surface is blended into the terrain
    max_posts         the spacing is doubled while the area has more posts
    cache_bytes       memory for images prepared for matching
    terrain_sigma_m   (vertical, horizontal) 1-sigma of the terrain as a whole: its height and its horizontal
                      shift
    """

    views: int = 8
    window_posts: int = 5
    below_m: float = 10.0
    above_m: float = 25.0
    min_agreement: float = 0.2
    blend_m: float = 4.0
    max_posts: int = 16_000_000
    cache_bytes: int = 300_000_000
    terrain_sigma_m: tuple[float, float] = (3.0, 5.0)


# -- Post grid of the refined surface, and its blocks ----------------------------------------------
#
# Work is done block by block: memory does not grow with the flight.


Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PostGrid:
    """Regular grid of posts: (r, c) is at (west + c * spacing, north - r * spacing)."""

    west_m: float
    north_m: float
    spacing_m: float
    shape: tuple[int, int]

    def axes(self, rows: slice, cols: slice) -> tuple[Floats, Floats]:
        """Return eastings and northings of rows and columns.

        They may be outside the grid.
        """
        east = self.west_m + self.spacing_m * np.arange(cols.start, cols.stop)
        north = self.north_m - self.spacing_m * np.arange(rows.start, rows.stop)
        return east, north

    def mesh(self, rows: slice, cols: slice) -> tuple[Floats, Floats]:
        """Return eastings and northings of every post of a window, rows×cols each."""
        east, north = np.meshgrid(*self.axes(rows, cols))
        return east, north


@dataclass(frozen=True, slots=True)
class PostBlock:
    """Rows and columns of posts: the core that is written, in the window of work."""

    rows: slice
    cols: slice
    core_rows: slice
    core_cols: slice

    @property
    def core(self) -> tuple[slice, slice]:
        """Core in the whole grid."""
        return self.core_rows, self.core_cols

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """Core in the window."""
        return (
            slice(self.core_rows.start - self.rows.start, self.core_rows.stop - self.rows.start),
            slice(self.core_cols.start - self.cols.start, self.core_cols.stop - self.cols.start),
        )


def make_post_grid(bounds_m: Bounds, spacing_m: float, max_posts: int) -> PostGrid:
    """Make posts over (west, south, east, north), on multiples of the spacing.

    The spacing is doubled while there would be more than `max_posts`.
    """
    west, south, east, north = bounds_m
    while (np.ceil((east - west) / spacing_m) + 2) * (np.ceil((north - south) / spacing_m) + 2) > max_posts:
        spacing_m *= 2.0
    first_col, last_col = int(np.floor(west / spacing_m)), int(np.ceil(east / spacing_m))
    first_row, last_row = int(np.ceil(north / spacing_m)), int(np.floor(south / spacing_m))
    return PostGrid(
        west_m=first_col * spacing_m,
        north_m=first_row * spacing_m,
        spacing_m=spacing_m,
        shape=(max(first_row - last_row + 1, 2), max(last_col - first_col + 1, 2)),
    )


def split_blocks(posts: PostGrid, core: int, margin: int) -> list[PostBlock]:
    """Split the grid into blocks, in rows of alternating direction.

    So neighbours follow each other.
    """
    rows, cols = posts.shape
    blocks = []
    for turn, row in enumerate(range(0, rows, core)):
        across = range(0, cols, core)
        for col in across if turn % 2 == 0 else reversed(across):
            core_rows, core_cols = slice(row, min(row + core, rows)), slice(col, min(col + core, cols))
            blocks.append(
                PostBlock(
                    slice(core_rows.start - margin, core_rows.stop + margin),
                    slice(core_cols.start - margin, core_cols.stop + margin),
                    core_rows,
                    core_cols,
                )
            )
    return blocks


def count_odd_posts(length_m: float, spacing_m: float, min_posts: int = 3) -> int:
    """Return the side of a square of about `length_m` around a post, in posts.

    Odd, `min_posts` at least.
    """
    return max(2 * round(length_m / spacing_m / 2.0) + 1, min_posts)


# -- Surface plan: posts of both sweeps, reach and scale of the views ------------------------------


COARSER = 2
# Ground farther from a view than this many times its height gives no useful height.
_REACH_HEIGHTS = 1.73
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class SurfacePlan:
    """Posts of both sweeps, and the views' scale and useful ground.

    finest_px  sufficient columns of pixels of every view
    reach_m    V×4 (west, south, east, north), NaN for a view that sees no terrain
    """

    fine: PostGrid
    coarse: PostGrid
    finest_px: tuple[int, ...]
    reach_m: Floats

    def find_views(self, places_m: Floats) -> list[int]:
        """Return the views whose useful ground touches the bounds of places M×(2 or 3)."""
        west, south = places_m[:, :2].min(axis=0)
        east, north = places_m[:, :2].max(axis=0)
        box = self.reach_m
        with np.errstate(invalid="ignore"):
            touch = (box[:, 0] <= east) & (box[:, 2] >= west) & (box[:, 1] <= north) & (box[:, 3] >= south)
        return [int(n) for n in np.flatnonzero(touch)]


def plan_surface(
    views: Sequence[SurfaceView], terrain: TerrainGrid, spacing_m: float, max_posts: int
) -> SurfacePlan:
    """Plan a surface. Raises OutsideTerrain where no view sees the terrain."""
    seen = [_seen(view, terrain) for view in views]
    known = [f.bounds_m for f in seen if f is not None]
    if not known:
        raise OutsideTerrain(
            _("no frame of the flight looks at ground that the terrain knows; register a DEM that covers it")
        )
    boxes = np.array(known)
    west, south, east, north = terrain.bounds_m
    bounds = (
        max(float(boxes[:, 0].min()), west),
        max(float(boxes[:, 1].min()), south),
        min(float(boxes[:, 2].max()), east),
        min(float(boxes[:, 3].max()), north),
    )
    fine = make_post_grid(bounds, spacing_m, max_posts)
    coarse = make_post_grid(bounds, fine.spacing_m * COARSER, max_posts)
    return SurfacePlan(
        fine=fine,
        coarse=coarse,
        finest_px=tuple(_enough_px(v, f, fine.spacing_m) for v, f in zip(views, seen, strict=True)),
        reach_m=np.array([_reach(v, f) for v, f in zip(views, seen, strict=True)]),
    )


def sample_terrain_posts(terrain: TerrainGrid, posts: PostGrid) -> Singles:
    """Return heights of the terrain at the posts, rows×cols; NaN where not known."""
    rows, cols = posts.shape
    heights = np.empty(posts.shape, np.float32)
    for row in range(0, rows, _ROWS_AT_ONCE):
        part = slice(row, min(row + _ROWS_AT_ONCE, rows))
        heights[part] = interpolate_heights_en(terrain, *posts.mesh(part, slice(0, cols)))
    return heights


def _seen(view: SurfaceView, terrain: TerrainGrid) -> Footprint | None:
    try:
        return compute_footprint(view.interior, view.exterior, terrain)
    except FrameRejected:
        return None


def _enough_px(view: SurfaceView, seen: Footprint | None, spacing_m: float) -> int:
    """Return the columns at which a pixel is half a spacing on the ground.

    At the image centre.
    """
    width = view.interior.image_size_px[0]
    if seen is None:
        return width
    return min(max(round(width * seen.gsd_m / (0.5 * spacing_m)), 1), width)


def _reach(view: SurfaceView, seen: Footprint | None) -> tuple[float, float, float, float]:
    if seen is None:
        return (np.nan, np.nan, np.nan, np.nan)
    (east, north, _), far = view.exterior.projection_centre_m, _REACH_HEIGHTS * seen.height_above_ground_m
    west_m, south_m, east_m, north_m = seen.bounds_m
    return (
        max(west_m, east - far),
        max(south_m, north - far),
        min(east_m, east + far),
        min(north_m, north + far),
    )
