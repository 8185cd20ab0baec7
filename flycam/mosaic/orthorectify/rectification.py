"""One frame on the ground: its footprint, tiles, record and orthopatch.

Used by live, batch and replay alike.

An orthopatch is a pure function of the frame's pixels, its recorded pose and the recorded terrain: the map
from the tile grid to the work CRS is fitted over a cell that depends on the pose alone, so that a tile
computed by itself gets the same bytes as inside the whole frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from flycam.errors import CatalogUnavailable, FrameRejected, PoseRejected
from flycam.geodata.crs import fit_mercator_to_work, to_lonlat
from flycam.geodata.dem import DemInfo
from flycam.geometry.camera import scale_interior
from flycam.geometry.footprint import Footprint, compute_footprints
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import (
    PlanarMap,
    TileRange,
    find_range_for_bounds,
    find_tile_at,
    get_parent_range,
    get_range_bounds,
    lonlat_to_mercator,
)
from flycam.geometry.lattice import FrameLattices
from flycam.geometry.orthorectification import orthorectify
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.posts import PostView
from flycam.geometry.quality_bounds import find_wanted_tiles
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.model.diagnosis import Diagnosis
from flycam.model.frame import FrameHeader, OrthoPatch
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.terrain import load_terrain_around
from flycam.workspace import Workspace

# No frame sees as much, but one across the 180th meridian seems to.
_MAX_WIDTH_DEG = 90.0
# cells of about 18 km in Vietnam
_CELL_ZOOM = 11


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFootprint:
    """A frame on the ground, before any pixel is read.

    outline_lonlat  polygon of the footprint, WGS 84 degrees
    lat_deg         of the camera
    """

    header: FrameHeader
    footprint: Footprint
    outline_lonlat: Polygon
    lat_deg: float


def project_frame(header: FrameHeader, terrain: TerrainGrid) -> FrameFootprint:
    """Compute the footprint of a frame on the terrain.

    Raises HorizonInView or OutsideTerrain; PoseRejected across the 180th meridian.
    """
    ((__, found),) = _project([header], terrain)
    if isinstance(found, FrameRejected):
        raise found
    return found


def project_frames(
    headers: Sequence[FrameHeader], terrain: TerrainGrid
) -> tuple[list[FrameFootprint], list[tuple[FrameHeader, FrameRejected]]]:
    """Return the frames that see ground, and the others, each with its error, both in order.

    Faster than one by one; the errors are what `project_frame` would raise.
    """
    found = list(_project(headers, terrain))
    return (
        [one for __, one in found if isinstance(one, FrameFootprint)],
        [(header, one) for header, one in found if isinstance(one, FrameRejected)],
    )


def _project(
    headers: Sequence[FrameHeader], terrain: TerrainGrid
) -> Iterator[tuple[FrameHeader, FrameFootprint | FrameRejected]]:
    seen = compute_footprints([(header.interior, header.exterior_prior) for header in headers], terrain)
    for header, one in zip(headers, seen, strict=True):
        yield header, one if isinstance(one, FrameRejected) else _require_on_globe(header, one)


def _require_on_globe(header: FrameHeader, seen: Footprint) -> FrameFootprint | FrameRejected:
    exterior = header.exterior_prior
    centre = np.array([exterior.projection_centre_m[:2]])
    lonlat = to_lonlat(np.concatenate([seen.polygon_m, centre]), exterior.work_crs)
    if np.ptp(lonlat[:, 0]) > _MAX_WIDTH_DEG:
        return PoseRejected(
            _(
                "{source_name}: its ground lies on both sides of the 180th meridian, where "
                "the map's grid ends; fly each side as a flight of its own",
                source_name=header.provenance.source_name,
            )
        )
    outline = Polygon(lonlat[:-1])
    if not outline.is_valid:
        outline = outline.convex_hull
    return FrameFootprint(header=header, footprint=seen, outline_lonlat=outline, lat_deg=float(lonlat[-1, 1]))


def find_frame_tiles(frame: FrameFootprint, base_zoom: int) -> TileRange:
    """Return the base-zoom tiles that a frame's orthopatch may touch."""
    west, south, east, north = frame.footprint.bounds_m
    edge = np.linspace(0.0, 1.0, 5)
    box = np.stack(np.meshgrid(west + edge * (east - west), south + edge * (north - south)), -1).reshape(
        -1, 2
    )
    mercator = lonlat_to_mercator(to_lonlat(box, frame.header.exterior_prior.work_crs))
    low, high = mercator.min(axis=0), mercator.max(axis=0)
    return find_range_for_bounds(base_zoom, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))


def load_terrain_under(
    workspace: Workspace | None, diagnosis: Diagnosis, dems: Sequence[DemInfo]
) -> TerrainGrid:
    """Load the terrain of a diagnosed flight, as far as its photos can see.

    See `load_terrain_around`. `workspace` None records nothing.
    """
    centres = np.array([header.exterior_prior.projection_centre_m for header in diagnosis.headers])
    plane = diagnosis.takeoff.height_m if diagnosis.takeoff else 0.0
    return load_terrain_around(
        workspace,
        dems,
        centres,
        diagnosis.work_crs,
        datum=diagnosis.vertical_datum,
        plane_height_m=plane,
    )


def build_frame_record(frame: FrameFootprint, flight_id: str, base_zoom: int, dem_id: str) -> FrameRecord:
    """Build the record of a frame on a recorded terrain, with its header's pose."""
    return FrameRecord(
        header=frame.header,
        flight_id=flight_id,
        status=FrameStatus.USED,
        exterior=frame.header.exterior_prior,
        dem_id=dem_id,
        footprint_wkb=shapely.to_wkb(frame.outline_lonlat),
        gsd_m=frame.footprint.gsd_m,
        tiles=find_frame_tiles(frame, base_zoom),
    )


def get_recorded_pose(record: FrameRecord) -> tuple[ExteriorOrientation, TileRange, str]:
    """Return pose, tiles and terrain id of a used frame's record.

    Raises CatalogUnavailable if they are missing.
    """
    if record.exterior is None or record.tiles is None or record.dem_id is None:
        name = record.header.provenance.source_name
        raise CatalogUnavailable(
            _("{name}: the catalogue has lost its pose; restore the catalogue's backup", name=name)
        )
    return record.exterior, record.tiles, record.dem_id


def orthorectify_frame(
    header: FrameHeader,
    exterior: ExteriorOrientation,
    pixels: NDArray[np.uint8],
    terrain: TerrainGrid,
    frame_tiles: TileRange,
    wanted: TileRange | None = None,
    blocks: NDArray[np.bool_] | None = None,
    lattices: FrameLattices | None = None,
    posts: PostView | None = None,
    *,
    is_sharp: bool = False,
) -> OrthoPatch:
    """Orthorectify a frame onto its tiles, or onto `wanted` tiles among them.

    The bytes of a tile are the same in both cases.

    pixels H×W×3 uint8 RGB, of the interior's size or resized evenly; blocks selects blocks of the tiles (see
    `orthorectify`), lattices are those of the frame's tiles with such blocks if they were made before
    (`compute_quality_bounds`), posts the result of `create_post_view`, both of `view_frame`. is_sharp:
    interpolated by cubic convolution, which keeps fine detail and takes several times as long as bilinear.
    Raises what `orthorectify` raises.
    """
    tiles = frame_tiles if wanted is None else frame_tiles.intersection(wanted)
    if lattices is not None and blocks is not None:
        lattices = lattices.restrict(frame_tiles, tiles, find_wanted_tiles(tiles, blocks))
    rectified = orthorectify(
        pixels,
        view_frame(header, exterior, (pixels.shape[1], pixels.shape[0]), terrain, frame_tiles),
        tiles,
        wanted=blocks,
        lattices=lattices,
        posts=posts,
        interpolation=cv2.INTER_CUBIC if is_sharp else cv2.INTER_LINEAR,
    )
    return OrthoPatch(
        tiles=tiles,
        rgb=rectified.rgb,
        quality=rectified.quality,
        frame_id=header.frame_id,
        exterior_version=exterior.version,
        dem_id=terrain.dem_id,
    )


def view_frame(
    header: FrameHeader,
    exterior: ExteriorOrientation,
    size_px: tuple[int, int],
    terrain: TerrainGrid,
    frame_tiles: TileRange,
) -> FrameView:
    """Return the view of a frame whose pixels have this size (width, height) on its tiles."""
    interior = header.interior
    if size_px != interior.image_size_px:
        interior = scale_interior(interior, size_px)
    return FrameView(interior, exterior, terrain, _fit_planar_map(exterior, frame_tiles))


def _fit_planar_map(exterior: ExteriorOrientation, frame_tiles: TileRange) -> PlanarMap:
    """Fit the map from the tile grid to the work CRS over the frame's cell.

    The cell is grown until it holds the frame's tiles.
    """
    west, south, east, north = get_range_bounds(frame_tiles)
    # A cell of the whole frame: a tile computed by itself gets the same bytes as inside the frame.
    cell, _, _ = find_tile_at(_CELL_ZOOM, ((west + east) / 2.0, (south + north) / 2.0))
    cells = TileRange(z=cell.z, x_start=cell.x - 1, y_start=cell.y - 1, x_stop=cell.x + 2, y_stop=cell.y + 2)
    while not _holds(get_range_bounds(cells), get_range_bounds(frame_tiles)):
        cells = get_parent_range(cells)
    return fit_mercator_to_work(exterior.work_crs, get_range_bounds(cells))


def _holds(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
