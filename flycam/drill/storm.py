"""The synthetic storm: landslides, and a river that filled its valley."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import Bounds, CellWindow
from flycam.drill.land_cover import LandCover
from flycam.drill.spatial_noise import Floats, Singles, generate_smooth_noise, hash_unit
from flycam.drill.valley import FIELD_STEP_M, ValleyFields, build_valley_fields

FLOOD_DEPTH_M = 3.4
_START_STEP_M = 62.0
_START_SLOPE = 0.72
_STEP_M = 2.0
_MAX_PATH_M = 320.0
_MIN_SLOPE = 0.16
# `scar` of nodes without a slide near
_FAR_M = -20.0
_CUT_M = 2.2
_PILE_M = 1.6


def with_scars(fields: ValleyFields, storm_over: Bounds | None = None) -> ValleyFields:
    """Add `scar` and `moved` (metres of ground gained) of a storm.

    scar is metres inside a landslide, negative outside. A slide's size, and which slopes fail, depend on
    the window that they are computed for.

    storm_over  the window whose slides these are, so that another window shows the same: identical there,
                with more only beyond it
    """
    height = fields.values["height"]
    scar = np.full(height.shape, _FAR_M, np.float32)
    moved = np.zeros(height.shape, np.float32)
    if storm_over is None:
        _slide(fields, scar, moved, _starts(fields), 0)
        return fields.with_values(scar=scar, moved=moved)
    theirs = build_valley_fields(fields.valley, storm_over)
    starts = _starts(theirs)
    easts, norths = theirs.node_coordinates
    beyond = [
        (east, north)
        for east, north in _starts(fields, fails_somewhere=False)
        if not (easts[0] <= east <= easts[-1] and norths[0] <= north <= norths[-1])
    ]
    _slide(fields, scar, moved, beyond, len(starts))
    there = with_scars(theirs).values
    ours, of_theirs = _in_common(fields, theirs)
    scar[ours], moved[ours] = there["scar"][of_theirs], there["moved"][of_theirs]
    return fields.with_values(scar=scar, moved=moved)


def _slide(
    fields: ValleyFields, scar: Singles, moved: Singles, starts: list[tuple[float, float]], first: int
) -> None:
    """Draw slides from these heads into the fields, in place; numbered from `first`."""
    easts, norths = fields.node_coordinates
    for number, (east, north) in enumerate(starts, first):
        path = trace_flow_path(fields, east, north)
        share = np.linspace(0.0, 1.0, len(path))
        size = 0.75 + 0.6 * hash_unit(np.array([number]), np.array([3]), fields.valley.seed, "size")[0]
        width = size * (
            4.5 + 7.0 * np.minimum(share * 4.0, 1.0) + 7.0 * np.clip(share - 0.75, 0.0, 1.0) * 4.0
        )
        widen_path(scar, moved, easts, norths, path, width, share)


def _in_common(one: ValleyFields, other: ValleyFields) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the nodes that two fields have in common, as a window of each.

    Empty where there are none.
    """
    spans = []
    for axis in (0, 1):
        start = max(one.first[axis], other.first[axis])
        ends = [some.first[axis] + some.values["height"].shape[axis] for some in (one, other)]
        stop = max(min(ends), start)
        spans.append([slice(start - some.first[axis], stop - some.first[axis]) for some in (one, other)])
    (rows, of_rows), (cols, of_cols) = spans
    return (rows, cols), (of_rows, of_cols)


def apply_storm(
    height: Singles,
    cover: NDArray[np.uint8],
    fields: ValleyFields,
    window: CellWindow,
    flood_m: float = FLOOD_DEPTH_M,
) -> tuple[Singles, NDArray[np.uint8]]:
    """Return height and cover of one band's ground after the storm.

    fields   with the scars
    flood_m  height of the river above its usual level, metres; 0: no flood
    """
    east, north = window.eastings, window.northings
    seed = fields.valley.seed
    along, _ = fields.valley.to_valley(east[None, :], north[:, None])
    edge = 1.1 * generate_smooth_noise(east, north, 7.0, seed, "scar edge") + 0.5 * generate_smooth_noise(
        east, north, 2.2, seed, "scar fray"
    )
    inside = fields.interpolate("scar", east, north) + edge > 0.0
    rubble = 0.12 * generate_smooth_noise(east, north, 3.0, seed, "rubble")
    failed = fields.interpolate("height", east, north) + fields.interpolate("moved", east, north) + rubble
    height = np.where(inside, failed, height)
    cover = np.where(inside, np.uint8(LandCover.SCAR), cover)
    if flood_m <= 0.0:
        return height.astype(np.float32), cover
    level = np.asarray(fields.valley.river_height(along) + flood_m, np.float32)
    low = (height < level) & (np.abs(fields.interpolate("river", east, north)) < 120.0)
    return np.where(low, level, height).astype(np.float32), np.where(low, np.uint8(LandCover.FLOOD), cover)


def _starts(fields: ValleyFields, *, fails_somewhere: bool = True) -> list[tuple[float, float]]:
    """Return heads of slides at steep places, one candidate per square.

    With `fails_somewhere` the steepest place is one if no other is.
    """
    easts, norths = fields.node_coordinates
    i, j = (
        x.ravel()
        for x in np.meshgrid(
            np.arange(int(easts[0] // _START_STEP_M) + 1, int(easts[-1] // _START_STEP_M)),
            np.arange(int(norths[0] // _START_STEP_M) + 1, int(norths[-1] // _START_STEP_M)),
        )
    )
    seed = fields.valley.seed
    east = (i + hash_unit(i, j, seed, "slide east")) * _START_STEP_M
    north = (j + hash_unit(i, j, seed, "slide north")) * _START_STEP_M
    slope = fields.sample("slope", east, north)
    far_up = np.maximum(fields.sample("left", east, north), fields.sample("right", east, north) - 100.0)
    fails = (slope > _START_SLOPE) & (far_up > 48.0) & (hash_unit(i, j, seed, "fails") < 0.6)
    if fails_somewhere and not fails.any() and len(slope):
        fails = slope == slope.max()
    return list(zip(east[fails].tolist(), north[fails].tolist(), strict=True))


def trace_flow_path(
    fields: ValleyFields, east: float, north: float, longest_m: float = _MAX_PATH_M
) -> Floats:
    """Return the path of a slide, K×2, from its head down the steepest slope.

    It has some momentum.
    """
    height = fields.values["height"]
    easts, norths = fields.node_coordinates
    heading = np.zeros(2)
    path = [(east, north)]
    for _ in range(round(longest_m / _STEP_M)):
        col = int((path[-1][0] - easts[0]) / FIELD_STEP_M)
        row = int((path[-1][1] - norths[0]) / FIELD_STEP_M)
        if not (3 <= row < height.shape[0] - 4 and 3 <= col < height.shape[1] - 4):
            break
        around = height[row - 3 : row + 4, col - 3 : col + 4]
        fall = (
            np.array([around[:, :3].mean() - around[:, 4:].mean(), around[:3].mean() - around[4:].mean()])
            / 8.0
        )
        if len(path) > 12 and np.hypot(*fall) < _MIN_SLOPE:
            break
        heading = 0.55 * heading + fall / max(float(np.hypot(*fall)), 1e-6)
        heading /= max(float(np.hypot(*heading)), 1e-6)
        path.append((path[-1][0] + _STEP_M * heading[0], path[-1][1] + _STEP_M * heading[1]))
    return np.array(path)


def widen_path(
    scar: Singles, moved: Singles, easts: Floats, norths: Floats, path: Floats, width: Floats, share: Floats
) -> None:
    """Widen a path into the fields, in place; only nodes around it are changed."""
    reach = float(width.max()) + 12.0
    rows = slice(*np.searchsorted(norths, [path[:, 1].min() - reach, path[:, 1].max() + reach]))
    cols = slice(*np.searchsorted(easts, [path[:, 0].min() - reach, path[:, 0].max() + reach]))
    east, north = np.meshgrid(easts[cols], norths[rows])
    distance = np.hypot(east[..., None] - path[:, 0], north[..., None] - path[:, 1])
    inside = width - distance
    nearest = inside.argmax(-1)
    depth = np.take_along_axis(inside, nearest[..., None], -1)[..., 0]
    shape = np.clip(depth / 6.0, 0.0, 1.0)
    # the upper part loses ground, the foot gains it
    change = np.interp(share[nearest], [0.0, 0.6, 0.8, 1.0], [-_CUT_M, -_CUT_M, 0.3, _PILE_M]) * shape
    deeper = depth > scar[rows, cols]
    moved[rows, cols] = np.where(deeper, change, moved[rows, cols])
    scar[rows, cols] = np.maximum(scar[rows, cols], depth)
