"""Sources of pixels: from a pixel to its photo, redacted photos, and redactions."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import shapely
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as PathParam
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from shapely.geometry.base import BaseGeometry

from flycam.access.photo_ground import PhotoGround, read_photo_grounds
from flycam.access.policy import AccessPolicy, build_withheld_error, find_shown_revision, find_visible_flight
from flycam.access.shown_ground import outline_shown_ground
from flycam.catalog.access import RedactionRecord, select_active_redactions, select_revocation_requests
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import make_photo_not_found, to_placement
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.errors import AccessDenied, FrameRejected, FrameUnreadable, NotFound, ObjectMissing, TileCorrupt
from flycam.geodata.crs import to_work
from flycam.geometry.camera import InteriorOrientation, is_in_image, project
from flycam.geometry.footprint import project_image_grid, trace_cell_rays
from flycam.geometry.grid import compute_ground_pixel_m, find_tile_at, lonlat_to_mercator
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.http.guards import (
    AnalystPrincipal,
    CatalogHere,
    DownloadLog,
    GuardedRoute,
    GuestPrincipal,
    OperatorPrincipal,
    Principal,
    ServicesHere,
    ViewerPrincipal,
)
from flycam.http.protocol import (
    SHA256_PATTERN,
    Json,
    RangeHere,
    build_unsatisfiable_response,
    parse_until,
    stream_object,
    to_geojson_geometry,
)
from flycam.media.pixels import parse_photo
from flycam.messages import _
from flycam.model.access import MAX_CORNERS, RedactionReason, RedactionStep, Role
from flycam.model.flight import Flight, Layer, derive_live_mosaic_id, is_flat_datum
from flycam.model.frame import NO_SOURCE
from flycam.model.records import (
    BoundsLonLat,
    FrameRecord,
    FrameStatus,
    Placement,
    RevisionFrame,
    RevisionRecord,
)
from flycam.model.time import format_iso
from flycam.mosaic.finish.finished_tiles import decode_error_m, estimate_live_error_m, is_dsm_ground
from flycam.mosaic.orthorectify.rectification import project_frame
from flycam.mosaic.redaction import RedactionRequest, add_redaction, compute_tile_mask, revoke_redaction
from flycam.mosaic.terrain_codec import TerrainCache
from flycam.mosaic.tiles.codec import decode_tile
from flycam.mosaic.tiles.peers import has_peer_tiles
from flycam.originals import find_purged, require_not_purged
from flycam.storage import keys
from flycam.workspace import Workspace

# -- Redacted photos, and redactions over HTTP -----------------------------------------------------
#
# Redacted photos are served as pixels alone, with the redactions burnt in. All else in the file (its
# thumbnail, positions, a second image behind the first) may show what a redaction covers, and is left out. A
# photo that cannot be redacted is not served.


# -- Irreversible redaction of pixels --------------------------------------------------------------


FILL_GREY = 128
"""One value for every redacted pixel: nothing of the original is left in it."""

_RIM_PX = 2


def redact_pixels(
    pixels: NDArray[np.uint8],
    polygons: Iterable[NDArray[np.float64]],
    cells: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return a copy of an image (H×W×3, or H×W) with polygons and cells grey.

    polygons  each N×2 (x, y) as shares of width and height, 0 to 1; with a rim around
    cells     rows × columns spread evenly over the image; True: redacted, with the cells around
    """
    height, width = pixels.shape[:2]
    painted: NDArray[Any] = np.zeros((height, width), np.uint8)
    for shares in polygons:
        corners = np.rint(shares * (width, height) - 0.5).astype(np.int32)
        cv2.fillPoly(painted, [corners], 1, lineType=cv2.LINE_8)
    if painted.any():
        painted = cv2.dilate(painted, np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8))
    if cells is not None and cells.any():
        wider = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8))
        painted = painted | cv2.resize(wider, (width, height), interpolation=cv2.INTER_NEAREST)
    burnt = pixels.copy()
    burnt[painted.astype(np.bool_)] = FILL_GREY
    return burnt


# -- Redacted photos -------------------------------------------------------------------------------


Pixels = NDArray[np.uint8]

REDACTED_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization, Cookie",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of a redacted photo: revalidated each time, as redactions come and go."""

PREVIEW_SIDE_PX = 720
_LARGE_PX = 2000
_DECODE_FULL = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_DECODE_REDUCED = cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION
_ORIGINAL_QUALITY, _PREVIEW_QUALITY = 92, 78
# roofs rise before the sky and over unmapped ground; measured on 240 homes of 6 m (decision 0028)
_MARGIN_CELLS = 3
_RISES_M, _NEAR_M = 20.0, 200.0
# a photo of 48 megapixels takes 300 MB while it is redacted, and a PNG of 160 takes 480 MB for a preview
_CONCURRENT_PHOTOS = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class PhotoRedaction:
    """Redaction of a photo: polygons (shares of width and height), and cells."""

    polygons: tuple[NDArray[np.float64], ...]
    cells: NDArray[np.bool_] | None


def find_photo_redaction(
    frame: FrameRecord, shown: PhotoGround, grounds: TerrainCache, principal: Principal
) -> PhotoRedaction | None:
    """Return the redaction of a photo for a principal; None: nothing is covered.

    Its own redactions as they were drawn, and the ground redacted on other photos, as far as this one shows
    it by any placement that it ever had here. Raises AccessDenied where the part of it cannot be found.
    """
    policy = principal.access_policy
    size = np.asarray(frame.header.interior.image_size_px, dtype=np.float64)
    polygons = tuple(
        shapely.get_coordinates(shapely.from_wkb(one)) / size for one in policy.get_redactions(frame.frame_id)
    )
    withheld = build_withheld_error(frame.header.provenance.source_name, principal.name)
    if frame.exterior is None:
        unplaced = replace(to_placement(frame, version=0), footprint_wkb=frame.footprint_wkb)
        known = outline_shown_ground(unplaced)
        if policy.get_adjacent_redacted_ground(frame.frame_id, known) is not None:
            raise withheld
    cells: NDArray[np.bool_] | None = None
    for placement in shown.placements:
        near = policy.get_adjacent_redacted_ground(frame.frame_id, outline_shown_ground(placement))
        if near is None:
            continue
        found = _find_cells_showing(placement, near, grounds, withheld)
        cells = found if cells is None else _join_cells(cells, found)
    if not polygons and (cells is None or not cells.any()):
        return None
    return PhotoRedaction(polygons, cells)


def _join_cells(some: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells that either covers; spread over the finer of two lattices."""
    rows, columns = np.maximum(some.shape, others.shape)
    spread = (
        cv2.resize(one.astype(np.uint8), (int(columns), int(rows)), interpolation=cv2.INTER_NEAREST)
        for one in (some, others)
    )
    joined: NDArray[np.bool_] = np.logical_or(*spread)
    return joined


def encode_redacted_jpeg(data: bytes, frame: FrameRecord, covering: PhotoRedaction) -> bytes:
    """Encode a photo at full size as JPEG, redacted.

    Raises FrameUnreadable if OpenCV cannot read it.
    """
    with _CONCURRENT_PHOTOS:
        picture = _decode_photo(data, _DECODE_FULL, frame)
        if picture is None:
            name = frame.header.provenance.source_name
            raise FrameUnreadable(
                _(
                    "{name}: a part of this photo is masked, and this kind of file cannot be covered; ask an "
                    "analyst",
                    name=name,
                )
            )
        return _encode_jpeg(redact_pixels(picture, covering.polygons, covering.cells), _ORIGINAL_QUALITY)


def encode_preview_jpeg(data: bytes, frame: FrameRecord, covering: PhotoRedaction | None) -> bytes:
    """Encode a photo as a small JPEG, redacted.

    Raises FrameUnreadable if OpenCV cannot read it.
    """
    is_large = max(frame.header.interior.image_size_px) > _LARGE_PX
    with _CONCURRENT_PHOTOS:
        picture = _decode_photo(data, _DECODE_REDUCED, frame) if is_large else None
        if picture is None:
            picture = _decode_photo(data, _DECODE_FULL, frame)
        if picture is None:
            name = frame.header.provenance.source_name
            raise FrameUnreadable(_("{name}: no preview can be made; open the original", name=name))
        scale = min(1.0, PREVIEW_SIDE_PX / max(picture.shape[:2]))
        if scale < 1:
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            picture = small.astype(np.uint8, copy=False)
    if covering is not None:
        picture = redact_pixels(picture, covering.polygons, covering.cells)
    return _encode_jpeg(picture, _PREVIEW_QUALITY)


def _find_cells_showing(
    placement: Placement, ground: BaseGeometry, grounds: TerrainCache, withheld: AccessDenied
) -> NDArray[np.bool_]:
    """Find cells of a photo that may show some ground (lon/lat) by one of its placements.

    Raises `withheld` where that cannot be found.
    """
    interior, exterior, dem_id = placement.interior, placement.exterior, placement.dem_id
    if interior is None or exterior is None or dem_id is None:
        raise withheld
    try:
        terrain = grounds.grid(keys.format_terrain_key(dem_id))
    except (ObjectMissing, TileCorrupt) as error:
        raise withheld from error
    lattice = project_image_grid(interior, exterior, terrain)
    wanted = shapely.transform(ground, lambda lonlat: to_work(lonlat, exterior.work_crs))
    cells = find_cells_on(lattice, wanted)
    if cells is None:
        raise withheld
    parts = shapely.get_parts(wanted)
    known = [np.isfinite(interpolate_heights(terrain, shapely.get_coordinates(one))).all() for one in parts]
    unknown = shapely.union_all([one for one, is_known in zip(parts, known, strict=True) if not is_known])
    if unknown.is_empty:
        return cells
    tracks = trace_cell_rays(interior, exterior, terrain, cells.shape)
    return cells | find_cells_towards(lattice, tracks, unknown, estimate_heights_beyond(terrain, unknown))


def find_cells_towards(
    lattice: NDArray[np.float64],
    tracks: NDArray[np.float64],
    wanted: BaseGeometry,
    heights_m: tuple[float, float],
) -> NDArray[np.bool_]:
    """Find cells that meet no known terrain and look through unmapped ground.

    Each may show it. heights_m: lowest and highest of that ground and what stands on it.
    """
    meets = np.isfinite(_cell_corners(lattice)[..., 0]).any(axis=2)
    looks = ~meets & np.isfinite(tracks).all(axis=(2, 3))
    cells = np.zeros(meets.shape, dtype=np.bool_)
    start, stop = tracks[looks][:, 0], tracks[looks][:, 1]
    level_m = np.maximum(np.linalg.norm((stop - start)[:, :2], axis=1), 1e-6)
    ahead, slope = (stop - start)[:, :2] / level_m[:, None], (stop - start)[:, 2] / level_m
    lines = shapely.linestrings(np.stack([start[:, :2], stop[:, :2]], axis=1))
    found = np.zeros(len(lines), dtype=np.bool_)
    for part in shapely.get_parts(wanted):
        middle = shapely.get_coordinates(part.centroid)[0]
        around_m = float(np.linalg.norm(shapely.get_coordinates(part) - middle, axis=1).max())
        along_m = np.einsum("ni,ni->n", middle - start[:, :2], ahead)
        over = [start[:, 2] + slope * np.maximum(along_m + side * around_m, 0.0) for side in (-1.0, 1.0)]
        passes = (np.maximum(*over) >= heights_m[0]) & (np.minimum(*over) <= heights_m[1])
        found |= passes & shapely.intersects(lines, part)
    cells[looks] = found
    return cells


def estimate_heights_beyond(terrain: TerrainGrid, wanted: BaseGeometry) -> tuple[float, float]:
    """Estimate the lowest and highest height of unmapped ground and objects on it.

    As of the terrain within _NEAR_M of it (all of it, where there is none), and _RISES_M more either way.
    """
    west, south, east, north = shapely.bounds(shapely.buffer(wanted, _NEAR_M))
    (left, top), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    rows = slice(max(int((top - north) / step_s), 0), max(int((top - south) / step_s) + 2, 0))
    columns = slice(max(int((west - left) / step_e), 0), max(int((east - left) / step_e) + 2, 0))
    near = terrain.heights_m[rows, columns]
    known = near if np.isfinite(near).any() else terrain.heights_m
    return float(np.nanmin(known)) - _RISES_M, float(np.nanmax(known)) + _RISES_M


def find_cells_on(lattice: NDArray[np.float64], wanted: BaseGeometry) -> NDArray[np.bool_] | None:
    """Find cells of a frame that may show some ground (work CRS).

    By where their corners lie; and beside them cells whose ground is unknown. None if all are unknown.
    """
    shapely.prepare(wanted)
    corners = _cell_corners(lattice)[..., :2]
    met = np.isfinite(corners[..., 0])
    cells = np.zeros(met.shape[:2], dtype=np.bool_)
    rows, columns = np.nonzero(met.any(axis=2))
    if not rows.size:
        return None
    some = [corners[row, column][met[row, column]] for row, column in zip(rows, columns, strict=True)]
    hulls = shapely.convex_hull([shapely.MultiPoint(one) for one in some])
    cells[rows, columns] = shapely.intersects(hulls, wanted)
    # what stands on redacted ground rises before the sky, or before unmapped ground, where no ray finds it
    around = np.ones((2 * _MARGIN_CELLS + 1, 2 * _MARGIN_CELLS + 1), np.uint8)
    return cells | (~met.any(axis=2) & cv2.dilate(cells.astype(np.uint8), around).astype(np.bool_))


def _cell_corners(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of each cell: rows × columns × 4 × 3."""
    return np.stack([lattice[:-1, :-1], lattice[:-1, 1:], lattice[1:, :-1], lattice[1:, 1:]], axis=2)


def _decode_photo(data: bytes, flags: int, frame: FrameRecord) -> Pixels | None:
    try:
        # originals come from other nodes too
        parse_photo(data, Path(frame.header.provenance.source_name))
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (FrameUnreadable, cv2.error):
        return None
    return None if picture is None else picture.astype(np.uint8, copy=False)


def _encode_jpeg(picture: Pixels, quality: int) -> bytes:
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return jpeg.tobytes()


# -- Redactions over HTTP: drawn by operators, revoked by analysts ---------------------------------
#
# Redacting shows less, so operators may do it; revoking needs an analyst, who can judge what is seen then.
# Edits come by PUT with JSON and by DELETE: no page of another site can make a browser send those.


redactions_router = APIRouter(route_class=GuardedRoute)

_REDACTION_MADE = RedactionStep.MADE


class RedactionBody(BaseModel):
    """Redaction to be drawn.

    photo: SHA-256 of the original; corners: [x, y] in its own pixels, in order.
    """

    photo: Annotated[str, Field(pattern=SHA256_PATTERN)]
    reason: RedactionReason
    corners: Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MAX_CORNERS)]


@redactions_router.get("/api/redactions")
def list_photo_redactions(
    catalog: CatalogHere, principal: OperatorPrincipal, photo: Annotated[str, Query(pattern=SHA256_PATTERN)]
) -> Json:
    """List the redactions of a photo that are in force.

    `size`: of the photo in pixels. `masks[]`: the redactions, the first drawn first, each with
    `asked_back[]`: by whom it was revoked on another node, and when.
    """
    frame = _find_frame_to_redact(catalog, photo, principal)
    width, height = frame.header.interior.image_size_px
    lines = catalog.redactions.list_for_photo(frame.frame_id)
    revocations = select_revocation_requests(lines)
    return {
        "size": [width, height],
        "masks": [_describe_redaction(one, revocations) for one in select_active_redactions(lines)],
    }


@redactions_router.put("/api/redactions/{mask_id}")
def put_redaction(
    mask_id: str, mask: RedactionBody, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Draw a redaction.

    The client makes the id, "mask-" and 8 to 40 hex digits, so that sending it twice draws once.
    """
    frame = _find_frame_to_redact(services.workspace.catalog, mask.photo, principal)
    redaction_request = RedactionRequest(
        redaction_id=mask_id, frame_id=frame.frame_id, reason=mask.reason, corners=mask.corners
    )
    return _describe_redaction(add_redaction(services.workspace, redaction_request, principal.name))


@redactions_router.delete("/api/redactions/{mask_id}")
def withdraw_redaction(mask_id: str, principal: AnalystPrincipal, services: ServicesHere) -> Json:
    """Revoke a redaction, for good."""
    catalog = services.workspace.catalog
    for frame_id in {
        one.frame_id for one in catalog.redactions.history(mask_id) if one.step is _REDACTION_MADE
    }:
        _require_may_redact(catalog, catalog.frames.get(frame_id), principal)
    return _describe_redaction(revoke_redaction(services.workspace, mask_id, principal.name))


def _find_frame_to_redact(catalog: Catalog, sha256: str, principal: Principal) -> FrameRecord:
    named = catalog.frames.list_by_original(sha256)
    for frame in named:
        _require_may_redact(catalog, frame, principal)
    return named[0]


def _require_may_redact(catalog: Catalog, frame: FrameRecord, principal: Principal) -> None:
    """Raise NotFound or AccessDenied for a photo the principal may not see or redact."""
    flight, policy = catalog.flights.flight(frame.flight_id), principal.access_policy
    if policy.hides_flight_entirely(flight):
        raise make_photo_not_found(frame.header.provenance.source_sha256)
    shown = read_photo_grounds(catalog, [frame], flight.bounds_lonlat_deg)[frame.frame_id]
    if shown.is_hidden(policy):
        raise build_withheld_error(frame.header.provenance.source_name, principal.name)


def _describe_redaction(line: RedactionRecord, withdrawal_requests: Iterable[RedactionRecord] = ()) -> Json:
    return {
        "mask_id": line.mask_id,
        "step": line.step.value,
        "reason": line.reason.value,
        "author": line.author,
        "at": format_iso(line.at_ns),
        "corners": shapely.get_coordinates(shapely.from_wkb(line.wkb))[:-1].tolist(),
        "asked_back": [
            {"author": one.author, "at": format_iso(one.at_ns)}
            for one in withdrawal_requests
            if one.mask_id == line.mask_id
        ],
    }


# -- Sources of pixels: from a pixel back to its photo, and the photo itself -----------------------


# -- Places in photos, and the newest oblique photo of a place -------------------------------------


MIN_OBLIQUE_PITCH_DEG = -60.0
"""Photos whose axis points further down show a place from above."""


def locate_in_photo(
    grounds: TerrainCache,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation | None,
    dem_id: str | None,
    lonlat: tuple[float, float],
) -> Json | None:
    """Return where a place (WGS 84 degrees) lies in a photo.

    `x`, `y` in its pixels (corners of pixels at integers) and the photo's `width`, `height`. By the pose and
    the recorded terrain on which it was orthorectified; None where one of them is unknown, or the place is
    outside.
    """
    if exterior is None or dem_id is None:
        return None
    try:
        terrain = grounds.grid(keys.format_terrain_key(dem_id))
    except (ObjectMissing, TileCorrupt):
        return None
    place = to_work(np.array([lonlat]), exterior.work_crs)
    at = np.concatenate([place, interpolate_heights(terrain, place)[:, None]], axis=1)
    uv, __ = project(interior, exterior, at)
    if not bool(is_in_image(interior, uv[:, 0], uv[:, 1])[0]):
        return None
    width, height = interior.image_size_px
    x, y = (uv[0] + 0.5).tolist()
    return {"x": round(x, 1), "y": round(y, 1), "width": width, "height": height}


def compute_pitch_deg(exterior: ExteriorOrientation) -> float:
    """Return the pitch of the camera axis: -90 straight down, 0 level."""
    return math.degrees(math.asin(min(max(exterior.rotation[2][2], -1.0), 1.0)))


def find_newest_oblique(frames: Iterable[FrameRecord], lonlat: tuple[float, float]) -> FrameRecord | None:
    """Return the newest orthorectified frame that shows a place obliquely, or None."""
    found = [
        one
        for one in frames
        if one.exterior is not None
        and one.footprint_wkb is not None
        and compute_pitch_deg(one.exterior) > MIN_OBLIQUE_PITCH_DEG
        and shapely.intersects_xy(shapely.from_wkb(one.footprint_wkb), *lonlat)
    ]
    return max(found, key=lambda one: one.header.captured_ns, default=None)


# -- Routes from a pixel to its photo --------------------------------------------------------------


router = APIRouter()

_PREVIEW_LIMIT_BYTES = 64 << 20
_MEDIA_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG": "image/png",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
_GUEST_FIELDS = frozenset(
    {"flight_id", "layer", "captured", "gsd_m", "pixel_m", "sigma_m", "ground", "revision", "finished"}
)
"""Fields for a meeting's caption: time, sharpness, expected error; all else is null to guests."""
_SHA256 = PathParam(pattern=SHA256_PATTERN)


def _grounds_of(request: Request) -> TerrainCache:
    grounds: TerrainCache = request.app.state.grounds
    return grounds


TerrainCacheHere = Annotated[TerrainCache, Depends(_grounds_of)]


@router.get("/api/pixel")
def get_pixel_source(
    services: ServicesHere,
    grounds: TerrainCacheHere,
    principal: GuestPrincipal,
    *,
    flight: Annotated[str, Query(max_length=200)],
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-85, le=85)],
    layer: Layer | None = None,
    revision: Annotated[int | None, Query(ge=0)] = None,
) -> Json | None:
    """Return the photo behind the pixel at a place, its time, GSD and expected error.

    In the published revision unless one is named; null where the flight imaged nothing. Guests get time, GSD
    and expected error only, no photo and no names. `let_go`: when and by whom the photo's original was purged
    under a retention term; null while it is kept.
    """
    catalog, store = services.workspace.catalog, services.workspace.store
    policy = principal.access_policy
    found = find_visible_flight(catalog, flight, policy)
    shown = [mosaic for mosaic in catalog.tiles.mosaics(found.flight_id) if mosaic.published]
    if layer is not None:
        shown = [mosaic for mosaic in shown if mosaic.layer is layer]
    shown.sort(key=lambda mosaic: mosaic.layer is not Layer.COLOUR)
    mosaic = shown[0] if shown else None
    if mosaic is None:
        return None
    mosaic = find_shown_revision(catalog, mosaic, revision)
    x, y = lonlat_to_mercator(np.array([[lon, lat]]))[0]
    tile_id, row, column = find_tile_at(mosaic.base_zoom, (float(x), float(y)))
    head = catalog.tiles.head(mosaic.mosaic_id, mosaic.revision, tile_id)
    if head is None:
        return None
    tile = decode_tile(store.get(head.key), tile_id, head.content_hash)
    source = int(tile.source[row, column])
    if source == NO_SOURCE:
        return None
    # only where something was flown: a refusal elsewhere would draw areas that nothing else shows
    veil = compute_tile_mask(tile_id, policy)
    if policy.hides_point(lon, lat) or (veil is not None and veil.hidden[row, column]):
        raise build_withheld_error(f"{lat:.6f}, {lon:.6f}", principal.name)
    frame = catalog.frames.get(tile.frames[source - 1])
    line = find_purged(services.workspace, [frame.header.provenance.source_sha256]).get(
        frame.header.provenance.source_sha256
    )
    answer = {
        "layer": mosaic.layer.value,
        "pixel_m": compute_ground_pixel_m(mosaic.base_zoom, lat),
        "spot": locate_in_photo(grounds, frame.header.interior, frame.exterior, frame.dem_id, (lon, lat)),
        "ground": "plane" if is_flat_datum(found.vertical_datum) else "dem",
        **_describe_frame(found, frame),
        "let_go": (
            None if line is None else {"at": format_iso(line.at_ns), "by": line.author, "box": line.box}
        ),
    }
    if mosaic.revision == LIVE_REVISION:
        error = estimate_live_error_m(frame, tile_id)
        sigma_m = None if error is None else float(error[row, column])
        return _filter_for(
            principal, {**answer, "revision": LIVE_REVISION, "sigma_m": sigma_m, "finished": None}
        )
    error_m = float(decode_error_m(tile.quality[row : row + 1, column : column + 1])[0, 0])
    # a finished revision's pixel: the frame's pose, the shift, its terrain
    lonlat = (lon, lat)
    record = catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
    used = catalog.revisions.frame(mosaic.mosaic_id, mosaic.revision, frame.frame_id)
    ground_fields = {}
    if record.support_key is not None:
        support = grounds.grid(record.support_key)
        ((east, north),) = to_work(np.array([lonlat]), support.work_crs)
        own = is_dsm_ground(support, np.array([east]), np.array([north]))[0]
        ground_fields = {"ground": "own" if own else "corrected"}
    finished = {
        "pose_source": used.exterior.source.value if used else None,
        "finished": {
            "pose_state": used.state if used else None,
            "ties": used.ties if used else 0,
            "shift_sigma_m": record.stats.get("shift_sigma_m"),
        },
        **ground_fields,
        **_locate_in_photo(grounds, record, used, lonlat),
        **_compute_photo_outline(grounds, record, used, frame),
    }
    return _filter_for(principal, {**answer, "revision": mosaic.revision, "sigma_m": error_m, **finished})


@router.get("/api/oblique")
def get_oblique_photo(
    services: ServicesHere,
    grounds: TerrainCacheHere,
    principal: ViewerPrincipal,
    *,
    event: Annotated[str, Query(max_length=200)],
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-85, le=85)],
    until: datetime | None = None,
) -> Json | None:
    """Return the newest oblique photo of an event (id or name) that shows a place.

    Oblique: its axis is less than 60 degrees below the horizon. With the position of the place in the photo;
    null where there is none that this account may see.
    """
    catalog = services.workspace.catalog
    policy, until_ns = principal.access_policy, parse_until(until)
    flights = [
        one
        for one in catalog.flights.flights(catalog.flights.event(event).event_id)
        if not policy.hides_flight_entirely(one)
        and one.bounds_lonlat_deg
        and _contains(one.bounds_lonlat_deg, lon, lat)
    ]
    frames = (
        frame
        for one in flights
        for frame in _iterate_visible_frames(catalog, policy, one, (lon, lat))
        if until_ns is None or frame.header.captured_ns <= until_ns
    )
    found = find_newest_oblique(frames, (lon, lat))
    if found is None:
        return None
    # only where a photo was found, as in `get_pixel_source`
    if policy.hides_point(lon, lat):
        raise build_withheld_error(f"{lat:.6f}, {lon:.6f}", principal.name)
    spot = locate_in_photo(grounds, found.header.interior, found.exterior, found.dem_id, (lon, lat))
    return {**_describe_frame(catalog.flights.flight(found.flight_id), found), "spot": spot}


@router.get("/api/evidence/{sha256}")
def get_photo(
    sha256: Annotated[str, _SHA256],
    request: Request,
    services: ServicesHere,
    grounds: TerrainCacheHere,
    principal: OperatorPrincipal,
    part: RangeHere,
) -> Response:
    """Return an original photo, byte for byte, for operators and above.

    Ranges are honoured. Every download is written to the audit log, whatever the range. Where a redaction
    applies to the account: the pixels alone, at full size, as a JPEG with the redaction burnt in. 410 where
    the original was purged under a retention term.
    """
    catalog, store = services.workspace.catalog, services.workspace.store
    photo = _find_photo(catalog, sha256, principal)
    frame = photo.frame
    key = keys.format_original_key(sha256)
    size = _measure_photo(services.workspace, frame)
    start, stop = part.resolve(size, sha256)
    if start >= stop:
        return build_unsatisfiable_response(size)
    openings: DownloadLog = request.app.state.openings
    openings.note(catalog.audit, principal.name, frame)
    covering = photo.find_redaction(grounds, principal)
    if covering is not None:
        return Response(
            encode_redacted_jpeg(store.get(key), frame, covering),
            media_type="image/jpeg",
            headers=REDACTED_HEADERS,
        )
    head = store.get_range(key, 0, 4)
    found = (kind for magic, kind in _MEDIA_TYPES.items() if head.startswith(magic))
    return stream_object(
        store,
        key,
        size,
        (start, stop),
        name=frame.header.provenance.source_name,
        etag=sha256,
        media_type=next(found, "application/octet-stream"),
    )


@router.get("/api/evidence/{sha256}/preview")
def get_photo_preview(
    sha256: Annotated[str, _SHA256],
    services: ServicesHere,
    grounds: TerrainCacheHere,
    principal: ViewerPrincipal,
    known: Annotated[str, Header(alias="if-none-match")] = "",
) -> Response:
    """Return the photo reduced to a small JPEG, pixels alone.

    Redactions that apply to the account are burnt in. A browser revalidates it each time, as there may be
    more by then.
    """
    photo = _find_photo(services.workspace.catalog, sha256, principal)
    frame = photo.frame
    name = frame.header.provenance.source_name
    if _measure_photo(services.workspace, frame) > _PREVIEW_LIMIT_BYTES:
        raise FrameUnreadable(_("{name}: too large for a preview; open the original", name=name))
    covering = photo.find_redaction(grounds, principal)
    headers = REDACTED_HEADERS if covering else {**REDACTED_HEADERS, "ETag": f'"{sha256}.{PREVIEW_SIDE_PX}"'}
    if headers.get("ETag", "none of it") in known:
        return Response(status_code=304, headers=headers)
    jpeg = encode_preview_jpeg(
        services.workspace.store.get(keys.format_original_key(sha256)), frame, covering
    )
    return Response(jpeg, media_type="image/jpeg", headers=headers)


def _filter_for(principal: Principal, details: Json) -> Json:
    """Return what the principal may know of a pixel; other fields are null to guests."""
    if principal.has_role(Role.VIEWER):
        return details
    return {name: value if name in _GUEST_FIELDS else None for name, value in details.items()}


def _measure_photo(workspace: Workspace, frame: FrameRecord) -> int:
    """Return the size of a photo in bytes.

    Raises OriginalPurged; NotFound where only the mosaic came from the node that flew it; ObjectMissing.
    """
    provenance, store = frame.header.provenance, workspace.store
    require_not_purged(workspace, provenance.source_sha256)
    try:
        return store.size(keys.format_original_key(provenance.source_sha256))
    except ObjectMissing as error:
        if not has_peer_tiles(store, derive_live_mosaic_id(frame.flight_id, frame.header.layer)):
            raise
        raise NotFound(
            _(
                "{source_name}: this photo is on the node that flew it, only its map is here; bring it "
                "with 'flycam bundle write --originals'",
                source_name=provenance.source_name,
            )
        ) from error


def _locate_in_photo(
    grounds: TerrainCache, record: RevisionRecord, used: RevisionFrame | None, lonlat: tuple[float, float]
) -> Json:
    """Return where the place lies in the photo, by the revision's pose.

    {} where that is unknown.
    """
    if used is None or record.dem_id is None:
        return {}
    return {"spot": locate_in_photo(grounds, used.interior, used.exterior, record.dem_id, lonlat)}


def _compute_photo_outline(
    grounds: TerrainCache, record: RevisionRecord, used: RevisionFrame | None, frame: FrameRecord
) -> Json:
    """Return the photo's footprint by the revision's pose; {} if unknown."""
    if used is None or record.dem_id is None:
        return {}
    terrain = grounds.grid(keys.format_terrain_key(record.dem_id))
    adjusted = replace(frame.header, interior=used.interior, exterior_prior=used.exterior)
    try:
        seen = project_frame(adjusted, terrain)
    except FrameRejected:
        return {}
    return {"footprint": to_geojson_geometry(shapely.to_wkb(seen.outline_lonlat))[0]}


def _iterate_frames_at(
    catalog: Catalog, flight_id: str, lonlat: tuple[float, float]
) -> Iterator[FrameRecord]:
    """Yield used frames of a flight whose tiles hold a place: few of a thousand."""
    ((x, y),) = lonlat_to_mercator(np.array([lonlat])).tolist()
    for mosaic in catalog.tiles.mosaics(flight_id):
        tile_id, _, _ = find_tile_at(mosaic.base_zoom, (x, y))
        yield from catalog.frames.list_touching_tile(flight_id, tile_id, FrameStatus.USED)


def _iterate_visible_frames(
    catalog: Catalog, policy: AccessPolicy, flight: Flight, lonlat: tuple[float, float]
) -> Iterator[FrameRecord]:
    """Yield those of `_iterate_frames_at` that a policy does not withhold."""
    frames = list(_iterate_frames_at(catalog, flight.flight_id, lonlat))
    if policy.is_nothing:
        yield from frames
        return
    shown = read_photo_grounds(catalog, frames, flight.bounds_lonlat_deg)
    yield from (one for one in frames if not shown[one.frame_id].is_hidden(policy))


def _contains(bounds: BoundsLonLat, lon: float, lat: float) -> bool:
    west, south, east, north = bounds
    return west <= lon <= east and south <= lat <= north


def _describe_frame(flight: Flight, frame: FrameRecord) -> Json:
    provenance = frame.header.provenance
    return {
        "flight_id": flight.flight_id,
        "frame_id": frame.frame_id,
        "source_name": provenance.source_name,
        "source_sha256": provenance.source_sha256,
        "captured": format_iso(frame.header.captured_ns),
        "camera": provenance.camera,
        "operator": flight.operator,
        "settled": list(provenance.settled),
        "gsd_m": frame.gsd_m,
        "pose_source": frame.exterior.source.value if frame.exterior else None,
        "footprint": to_geojson_geometry(frame.footprint_wkb)[0] if frame.footprint_wkb else None,
    }


@dataclass(frozen=True, slots=True)
class _Photo:
    """A photo that a principal may see: the frames that name it, each with its ground."""

    named: tuple[tuple[FrameRecord, PhotoGround], ...]

    @property
    def frame(self) -> FrameRecord:
        return self.named[0][0]

    def find_redaction(self, grounds: TerrainCache, principal: Principal) -> PhotoRedaction | None:
        """Return all that is covered by any of them; None: nothing."""
        found = [find_photo_redaction(frame, shown, grounds, principal) for frame, shown in self.named]
        some = [one for one in found if one is not None]
        cells = [one.cells for one in some if one.cells is not None]
        return (
            PhotoRedaction(
                tuple(polygon for one in some for polygon in one.polygons),
                reduce(_join_cells, cells) if cells else None,
            )
            if some
            else None
        )


def _find_photo(catalog: Catalog, sha256: str, principal: Principal) -> _Photo:
    """Return a photo, if the principal may see it by every frame that names it.

    Only photos are served: a withdrawn one to administrators alone, and none to those from whom any ground in
    it is withheld, redacted ground aside (`find_photo_redaction`).
    """
    policy, named = principal.access_policy, list[tuple[FrameRecord, PhotoGround]]()
    for frame in catalog.frames.list_by_original(sha256):
        flight = None if policy.is_nothing else catalog.flights.flight(frame.flight_id)
        if flight is not None and policy.hides_flight_entirely(flight):
            raise make_photo_not_found(sha256)
        box = None if flight is None else flight.bounds_lonlat_deg
        shown = read_photo_grounds(catalog, [frame], box)[frame.frame_id]
        name = frame.header.provenance.source_name
        if shown.is_hidden(policy):
            raise build_withheld_error(name, principal.name)
        if frame.status is FrameStatus.WITHDRAWN and not principal.has_role(Role.ADMIN):
            raise AccessDenied(
                _("{source_name}: this photo was withdrawn; ask an administrator for it", source_name=name)
            )
        named.append((frame, shown))
    return _Photo(tuple(named))
