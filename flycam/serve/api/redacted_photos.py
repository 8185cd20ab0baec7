"""Redacted photos, and redactions over HTTP.

Redacted photos are served as pixels alone, with the redactions burnt in. All else in the file (its thumbnail,
positions, a second image behind the first) may show what a redaction covers, and is left out. A photo that
cannot be redacted is not served.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import shapely
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from shapely.geometry.base import BaseGeometry

from flycam.access.visible_flights import build_withheld_error
from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import make_photo_not_found
from flycam.catalog.restrictions import RedactionRecord, select_active_redactions, select_revocation_requests
from flycam.errors import FrameUnreadable, ObjectMissing, TileCorrupt
from flycam.geodata.crs import to_work
from flycam.geometry.footprint import project_image_grid, trace_cell_rays
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.http.authenticator import Principal
from flycam.http.guards import AnalystPrincipal, GuardedRoute, OperatorPrincipal
from flycam.http.responses import SHA256_PATTERN, Json
from flycam.http.services import CatalogHere, ServicesHere
from flycam.media.pixels import parse_photo
from flycam.messages import _
from flycam.model.access import MAX_CORNERS, RedactionReason, RedactionStep
from flycam.model.records import FrameRecord
from flycam.model.time import format_iso
from flycam.mosaic.redaction import RedactionRequest, add_redaction, revoke_redaction
from flycam.mosaic.terrain_codec import TerrainCache
from flycam.storage import keys

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
    frame: FrameRecord, grounds: TerrainCache, principal: Principal
) -> PhotoRedaction | None:
    """Return the redaction of a photo for a principal; None: nothing is covered.

    Its own redactions as they were drawn, and the ground redacted on other photos, as far as this one shows
    it. Raises AccessDenied where the part of it cannot be found.
    """
    policy = principal.access_policy
    size = np.asarray(frame.header.interior.image_size_px, dtype=np.float64)
    polygons = tuple(
        shapely.get_coordinates(shapely.from_wkb(one)) / size for one in policy.get_redactions(frame.frame_id)
    )
    adjacent = policy.get_adjacent_redacted_ground(frame.frame_id, frame.footprint_wkb)
    cells = None if adjacent is None else _find_cells_showing(frame, adjacent, grounds, principal)
    if not polygons and (cells is None or not cells.any()):
        return None
    return PhotoRedaction(polygons, cells)


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
    frame: FrameRecord, ground: BaseGeometry, grounds: TerrainCache, principal: Principal
) -> NDArray[np.bool_]:
    """Find cells of a photo that may show some ground (lon/lat).

    Raises AccessDenied where that cannot be found.
    """
    if frame.exterior is None or frame.dem_id is None:
        raise build_withheld_error(frame.header.provenance.source_name, principal.name)
    try:
        terrain = grounds.grid(keys.format_terrain_key(frame.dem_id))
    except (ObjectMissing, TileCorrupt) as error:
        raise build_withheld_error(frame.header.provenance.source_name, principal.name) from error
    work_crs = frame.exterior.work_crs
    lattice = project_image_grid(frame.header.interior, frame.exterior, terrain)
    wanted = shapely.transform(ground, lambda lonlat: to_work(lonlat, work_crs))
    cells = find_cells_on(lattice, wanted)
    if cells is None:
        raise build_withheld_error(frame.header.provenance.source_name, principal.name)
    parts = shapely.get_parts(wanted)
    known = [np.isfinite(interpolate_heights(terrain, shapely.get_coordinates(one))).all() for one in parts]
    unknown = shapely.union_all([one for one, is_known in zip(parts, known, strict=True) if not is_known])
    if unknown.is_empty:
        return cells
    tracks = trace_cell_rays(frame.header.interior, frame.exterior, terrain, cells.shape)
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


router = APIRouter(route_class=GuardedRoute)

_REDACTION_MADE = RedactionStep.MADE


class RedactionBody(BaseModel):
    """Redaction to be drawn.

    photo: SHA-256 of the original; corners: [x, y] in its own pixels, in order.
    """

    photo: Annotated[str, Field(pattern=SHA256_PATTERN)]
    reason: RedactionReason
    corners: Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MAX_CORNERS)]


@router.get("/api/redactions")
def list_photo_redactions(
    catalog: CatalogHere, principal: OperatorPrincipal, photo: Annotated[str, Query(pattern=SHA256_PATTERN)]
) -> Json:
    """List the redactions of a photo that are in force.

    `size`: of the photo in pixels. `masks[]`: the redactions, the first drawn first, each with
    `asked_back[]`: by whom it was revoked on another node, and when.
    """
    frame = _find_photo(catalog, photo, principal)
    width, height = frame.header.interior.image_size_px
    lines = catalog.redactions.list_for_photo(frame.frame_id)
    revocations = select_revocation_requests(lines)
    return {
        "size": [width, height],
        "masks": [_describe_redaction(one, revocations) for one in select_active_redactions(lines)],
    }


@router.put("/api/redactions/{mask_id}")
def put_redaction(
    mask_id: str, mask: RedactionBody, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Draw a redaction.

    The client makes the id, "mask-" and 8 to 40 hex digits, so that sending it twice draws once.
    """
    frame = _find_photo(services.workspace.catalog, mask.photo, principal)
    redaction_request = RedactionRequest(
        redaction_id=mask_id, frame_id=frame.frame_id, reason=mask.reason, corners=mask.corners
    )
    return _describe_redaction(add_redaction(services.workspace, redaction_request, principal.name))


@router.delete("/api/redactions/{mask_id}")
def withdraw_redaction(mask_id: str, principal: AnalystPrincipal, services: ServicesHere) -> Json:
    """Revoke a redaction, for good."""
    catalog = services.workspace.catalog
    for frame_id in {
        one.frame_id for one in catalog.redactions.history(mask_id) if one.step is _REDACTION_MADE
    }:
        _require_may_redact(catalog, catalog.frames.get(frame_id), principal)
    return _describe_redaction(revoke_redaction(services.workspace, mask_id, principal.name))


def _find_photo(catalog: Catalog, sha256: str, principal: Principal) -> FrameRecord:
    frame = catalog.frames.get_by_original(sha256)
    _require_may_redact(catalog, frame, principal)
    return frame


def _require_may_redact(catalog: Catalog, frame: FrameRecord, principal: Principal) -> None:
    """Raise NotFound or AccessDenied for a photo the principal may not see or redact."""
    flight, policy = catalog.flights.flight(frame.flight_id), principal.access_policy
    if policy.hides_flight_entirely(flight):
        raise make_photo_not_found(frame.header.provenance.source_sha256)
    if policy.hides_photo(frame.footprint_wkb, flight.bounds_lonlat_deg):
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
