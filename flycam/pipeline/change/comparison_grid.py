"""The pixel grid on which two sides are compared."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.analysis import coregistration_errors
from flycam.analysis.coregistration import REACH_M
from flycam.analysis.window_matching import WINDOW_PX
from flycam.errors import InputUnusable
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geometry.planar_map import Bounds
from flycam.messages import Message, _
from flycam.mosaic.output_grid import OutputGrid, transform_bounds
from flycam.mosaic.polygon_mask import PolygonMask
from flycam.pipeline.change.image_sources import ImageSource

Mask = NDArray[np.bool_]

MAX_COARSENING = 15.0
"""Ratio of the pixel sizes of both sides: beyond it, a pixel of the coarser says nothing about what a drone
sees in it."""
MAX_PIXELS = 64_000_000
"""Of the common grid, some 1.4 km² at 15 cm; more ground is compared at a coarser pixel, with a remark."""
_LITTLE_SHARE = 0.1
_COUNTED_PX = 256
# Ground around an area that helps to coregister the images.
_AOI_MARGIN_M = 150.0
# Of coarse images, ground that holds enough windows however small the area is.
_AOI_MARGIN_PX = 6 * WINDOW_PX
_STRIP_ROWS = 1024


def select_comparison_crs(before: ImageSource, after: ImageSource) -> str:
    """Return the work CRS of the flight before or after, else the UTM zone."""
    for side in (before, after):
        if side.flight is not None:
            return side.flight.work_crs
    west, south, east, north = before.bounds(WGS84)
    return choose_work_crs((west + east) / 2.0, (south + north) / 2.0)


def build_common_grid(
    before: ImageSource, after: ImageSource, crs: str, area: BaseGeometry | None, area_name: str
) -> tuple[OutputGrid, list[Message]]:
    """Return the pixels that both may show, and remarks on them.

    Corners are on multiples of the coarser GSD. The rim is as wide as AFTER may be off. Raises
    CoregistrationFailed, InputUnusable.
    """
    names = before.name, after.name
    bounds = _intersection(before.bounds(crs), after.bounds(crs))
    if bounds is None:
        raise coregistration_errors.make_no_overlap_error(names)
    gsds = before.gsd_m(crs), after.gsd_m(crs)
    coarse, fine = (before, after) if gsds[0] >= gsds[1] else (after, before)
    if max(gsds) > MAX_COARSENING * min(gsds):
        least_m = _rounded_up(max(gsds) / MAX_COARSENING)
        times, is_file = max(gsds) / min(gsds), fine.file is not None
        raise coregistration_errors.make_resolution_mismatch_error(
            coarse.name, fine.name, times, least_m, is_file=is_file
        )
    remarks = [*before.remarks, *(one for one in after.remarks if one not in before.remarks)]
    share = _common_share(before, after, crs, bounds)
    if share < _LITTLE_SHARE:
        remarks.append(_make_little_overlap_note(share))
    bounds = _grown(bounds, REACH_M)
    if area is not None:
        margin = max(_AOI_MARGIN_M, _AOI_MARGIN_PX * max(gsds))
        around = _grown(transform_bounds(area.bounds, make_point_transform(WGS84, crs)), margin)
        inside = None if area.is_empty else _intersection(bounds, around)
        if inside is None:
            raise _make_no_overlap_error(
                area_name, names, area.bounds, transform_bounds(bounds, make_point_transform(crs, WGS84))
            )
        bounds = inside
    gsd, ground_m2 = max(gsds), _size(bounds)
    if ground_m2 > MAX_PIXELS * gsd**2:
        gsd = _rounded_up(math.sqrt(ground_m2 / MAX_PIXELS))
        remarks.append(_coarsened(ground_m2, gsd))
    left, top = math.floor(bounds[0] / gsd), math.ceil(bounds[3] / gsd)
    grid = OutputGrid(
        west=left * gsd,
        north=top * gsd,
        step_x=gsd,
        step_y=gsd,
        rows=top - math.floor(bounds[1] / gsd),
        cols=math.ceil(bounds[2] / gsd) - left,
    )
    return grid, remarks


def _common_share(before: ImageSource, after: ImageSource, crs: str, bounds: Bounds) -> float:
    """Return the share of common ground, 0 to 1, of the side that shows less.

    Counted by pixel, not by bounding rectangles, of which two slanted strips share next to nothing. bounds:
    what the rectangles have in common. Raises CoregistrationFailed where a side shows nothing anywhere.
    """
    shown = [_shown_m2(side, crs, side.bounds(crs)) for side in (before, after)]
    for side, ground_m2 in zip((before, after), shown, strict=True):
        if ground_m2 == 0.0:
            raise coregistration_errors.make_empty_image_error(side.name)
    return _shown_m2(before, crs, bounds, after) / min(shown)


def _shown_m2(side: ImageSource, crs: str, bounds: Bounds, other: ImageSource | None = None) -> float:
    """Return the ground, square metres, that a side, or both, show within bounds.

    Counted on some hundred pixels across.
    """
    step = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / _COUNTED_PX
    rows, cols = (math.ceil((bounds[n + 2] - bounds[n]) / step) for n in (1, 0))
    grid = OutputGrid(west=bounds[0], north=bounds[3], step_x=step, step_y=step, rows=rows, cols=cols)
    seen = side.read_window(grid, crs, (0, 0), (rows, cols))[1]
    if other is not None:
        seen = seen & other.read_window(grid, crs, (0, 0), (rows, cols))[1]
    return float(np.count_nonzero(seen)) * step**2


def clip_to_area(area: BaseGeometry, grid: OutputGrid, crs: str, *seen: Mask) -> None:
    """Clear the masks outside the area."""
    to_crs = make_point_transform(WGS84, crs)
    outline = PolygonMask.from_polygon(area, lambda lonlat: grid.to_pixels(to_crs(lonlat)))
    for top in range(0, grid.rows, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, grid.rows - top)
        inside = outline.mask(top, 0, (rows, grid.cols))
        for mask in seen:
            mask[top : top + rows] &= inside


def _make_little_overlap_note(share: float) -> Message:
    return _(
        "only some {share:.0%} of the smaller picture has ground in common; nothing is said of the rest",
        share=share,
    )


def _coarsened(ground_m2: float, gsd_m: float) -> Message:
    return _(
        "{area_km2:.1f} km² are compared at {gsd_m:,g} m a pixel; give a part with --aoi to compare it "
        "sharper",
        area_km2=ground_m2 / 1e6,
        gsd_m=gsd_m,
    )


def _make_no_overlap_error(
    area_name: str, names: tuple[str, str], area: Bounds, common: Bounds
) -> InputUnusable:
    """Return the error for an area without common ground.

    area, common: in degrees; their positions tell a wrong place from a missing CRS.
    """
    before, after = names
    # NaN: the bounds of an empty area
    if np.isnan(area).any():
        return InputUnusable(
            _(
                "{area_name}: this area holds no ground that {before} and {after} have in common; draw it "
                "over them; a file that does not name its coordinate reference system is read as degrees",
                area_name=area_name,
                before=before,
                after=after,
            )
        )
    return InputUnusable(
        _(
            "{area_name}: this area holds no ground that {before} and {after} have in common (it lies around "
            "{area_lat_lon}, they around {common_lat_lon}); draw it over them; a file that does not name its "
            "coordinate reference system is read as degrees",
            area_name=area_name,
            before=before,
            after=after,
            area_lat_lon=_middle(area),
            common_lat_lon=_middle(common),
        )
    )


def _middle(bounds: Bounds) -> str:
    """Format the centre as latitude, longitude, as map searches take it."""
    lon, lat = (bounds[0] + bounds[2]) / 2.0, (bounds[1] + bounds[3]) / 2.0
    return f"{lat:.4f}, {lon:.4f}"


def _intersection(one: Bounds, other: Bounds) -> Bounds | None:
    west, south = max(one[0], other[0]), max(one[1], other[1])
    east, north = min(one[2], other[2]), min(one[3], other[3])
    return (west, south, east, north) if west < east and south < north else None


def _size(bounds: Bounds) -> float:
    return (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])


def _grown(bounds: Bounds, margin: float) -> Bounds:
    return bounds[0] - margin, bounds[1] - margin, bounds[2] + margin, bounds[3] + margin


def _rounded_up(value: float) -> float:
    """Round up to two significant figures."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit
