"""Redactions of photos and of the ground that they cover.

Redactions are drawn on photos and revoked. The ground they cover is hidden in tiles, for each account and in
tiles that leave the node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import (
    REDACTION_MARGIN_M,
    AccessPolicy,
    GroundProjection,
    iterate_ground_projections,
)
from flycam.catalog.access import RedactionFootprint, RedactionRecord, select_active_redactions
from flycam.errors import InputUnusable, NotFound, ObjectMissing, OptionUnusable, StoreConflict, TileCorrupt
from flycam.geodata.crs import to_lonlat
from flycam.geometry.footprint import MAX_ERROR_M, project_polygon_to_ground
from flycam.geometry.grid import TileId, compute_grid_pixel_m, get_tile_bounds
from flycam.messages import _
from flycam.model.access import MAX_CORNERS, RedactionReason, RedactionStep
from flycam.model.records import AuditEntry, FrameRecord
from flycam.mosaic.raster import PixelsWithMask, TileDecoding
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.workspace import Workspace

_MASK_ID = re.compile(r"mask-[0-9a-f]{8,40}")
_MIN_AREA_PX = 4.0
_ROUGH = "~"

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionRequest:
    """A redaction as drawn.

    redaction_id  made by the client ("mask-" and 8 to 40 hex digits), so that sending it twice draws once
    corners  (x, y) in the photo's own pixels, in order, corners of pixels at integers
    """

    redaction_id: str
    frame_id: str
    reason: RedactionReason
    corners: Sequence[Point]


def add_redaction(workspace: Workspace, request: RedactionRequest, who: str) -> RedactionRecord:
    """Redact a part of a photo, and the ground that it shows. Idempotent.

    Raises InputUnusable (an invalid id or polygon), NotFound (the photo), StoreConflict (another redaction
    has the id).
    """
    if not _MASK_ID.fullmatch(request.redaction_id):
        raise InputUnusable(
            _("{mask_id!r}: a mask's id is 'mask-' and 8 to 40 hex digits", mask_id=request.redaction_id[:40])
        )
    frame = workspace.catalog.frames.get(request.frame_id)
    line = RedactionRecord(
        mask_id=request.redaction_id,
        step=RedactionStep.MADE,
        frame_id=frame.frame_id,
        reason=request.reason,
        author=who,
        at_ns=workspace.clock_ns(),
        wkb=shapely.to_wkb(_polygon(request.corners, frame)),
    )
    if there := _written(workspace, line):
        # An earlier attempt may have been cut off before this.
        update_redaction_footprints(workspace, [there])
        return there
    entry = _make_audit_entry(line, "mask made", frame.header.provenance.source_name)
    workspace.catalog.redactions.append([line], {line.line_id: entry})
    update_redaction_footprints(workspace, [line])
    return line


def revoke_redaction(workspace: Workspace, mask_id: str, who: str) -> RedactionRecord:
    """Revoke a redaction for good; its records stay. Idempotent. Raises NotFound."""
    lines = workspace.catalog.redactions.history(mask_id)
    now_ns = workspace.clock_ns()
    back = [
        replace(one, step=RedactionStep.REVOKED, author=who, at_ns=now_ns)
        for one in select_active_redactions(lines)
    ]
    entries = {one.line_id: _make_audit_entry(one, "mask taken back", one.frame_id) for one in back}
    workspace.catalog.redactions.append(back, entries)
    return (back or [one for one in lines if one.step is RedactionStep.REVOKED])[0]


def update_redaction_footprints(workspace: Workspace, lines: Iterable[RedactionRecord] | None = None) -> int:
    """Compute missing footprints of redactions (None: of all); return their number.

    One for each placement of their photo. Where terrain is missing here, or damaged, none is computed, and
    all that the photo shows stays hidden. So it does where the place is known roughly: what is mapped of an
    oblique photo ends before it, so the rough ground is hidden besides.
    """
    redactions = workspace.catalog.redactions
    active = select_active_redactions(redactions.lines() if lines is None else lines)
    known = {(one.line_id, one.lay) for one in redactions.list_footprints(line.line_id for line in active)}
    found = [
        ground
        for line in active
        for pose in _list_placements(workspace, line)
        if known.isdisjoint({(line.line_id, pose.name), (line.line_id, f"{pose.name}{_ROUGH}")})
        and (ground := _find_ground(workspace, line, pose)) is not None
    ]
    redactions.put_footprints(found)
    return len(found)


def parse_corners(text: str) -> list[Point]:
    """Parse corners from "x,y x,y x,y". Raises OptionUnusable."""
    try:
        pairs = [tuple(map(float, one.split(","))) for one in text.split()]
        return [(x, y) for x, y in pairs]
    except ValueError as error:
        raise OptionUnusable(
            _('--polygon {text}: give corners in pixels of the photo as "X,Y X,Y X,Y"', text=text[:60])
        ) from error


def _list_placements(workspace: Workspace, line: RedactionRecord) -> list[GroundProjection]:
    try:
        return list(
            iterate_ground_projections(workspace.catalog, workspace.catalog.frames.get(line.frame_id))
        )
    except NotFound:
        return []


def _find_ground(
    workspace: Workspace, line: RedactionRecord, projection: GroundProjection
) -> RedactionFootprint | None:
    """Return the ground of a redaction (lon/lat) with REDACTION_MARGIN_M around.

    Where its place is known roughly, with twice its error more, and under a name that no placement has. None
    where its terrain is not here.
    """
    if projection.dem_id is None:
        return None
    try:
        terrain = load_recorded_terrain(workspace, projection.dem_id)
    except (ObjectMissing, TileCorrupt):
        return None
    polygon = shapely.get_coordinates(shapely.from_wkb(line.wkb))[:-1]
    points, error_m = project_polygon_to_ground(polygon, projection.interior, projection.exterior, terrain)
    is_rough = bool((error_m >= MAX_ERROR_M).any())
    ground = shapely.Polygon()
    if len(points):
        around_m = REDACTION_MARGIN_M + (2.0 * float(error_m.max()) if is_rough else 0.0)
        hull = shapely.MultiPoint(points[:, :2]).convex_hull.buffer(around_m)
        ground = shapely.transform(hull, lambda xy: to_lonlat(xy, projection.exterior.work_crs))
    lay = f"{projection.name}{_ROUGH}" if is_rough else projection.name
    return RedactionFootprint(line_id=line.line_id, lay=lay, wkb=shapely.to_wkb(ground))


def _polygon(corners: Sequence[Point], frame: FrameRecord) -> shapely.Polygon:
    size = frame.header.interior.image_size_px
    name = frame.header.provenance.source_name
    if not 3 <= len(corners) <= MAX_CORNERS or not np.isfinite(corners).all():
        raise InputUnusable(
            _(
                "{name}: a mask has 3 to {most_corners} corners; draw it again",
                name=name,
                most_corners=MAX_CORNERS,
            )
        )
    polygon = shapely.Polygon(np.clip(np.asarray(corners, dtype=np.float64), 0.0, size))
    if not polygon.is_valid or polygon.area < _MIN_AREA_PX:
        raise InputUnusable(
            _(
                "{name}: the mask's outline crosses itself, or holds nothing of the photo; draw it again",
                name=name,
            )
        )
    return polygon


def _written(workspace: Workspace, line: RedactionRecord) -> RedactionRecord | None:
    """Return the record that drew this very redaction before.

    Raises StoreConflict where its id is another's, InputUnusable where it was revoked.
    """
    try:
        lines = workspace.catalog.redactions.history(line.mask_id)
    except NotFound:
        return None
    before = next((one for one in lines if one.step is RedactionStep.MADE), lines[0])
    if not select_active_redactions(lines):
        raise InputUnusable(_("{mask_id}: this mask was withdrawn; draw another", mask_id=line.mask_id))
    if replace(before, author=line.author, at_ns=line.at_ns) != line:
        raise StoreConflict(_("{mask_id}: another mask has this id; draw it again", mask_id=line.mask_id))
    return before


def _make_audit_entry(line: RedactionRecord, what: str, photo: str) -> AuditEntry:
    return AuditEntry(
        who=line.author, what=what, subject=line.mask_id, detail=f"{photo}: {line.reason}", at_ns=line.at_ns
    )


# -- Hidden pixels of a tile -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TileMask:
    """Pixels of a tile to be hidden, 256×256.

    name: fingerprint of the policy that hides them.
    """

    hidden: NDArray[np.bool_]
    name: str


def compute_tile_mask(tile_id: TileId, policy: AccessPolicy) -> TileMask | None:
    """Return the mask of a tile for all flights and revisions.

    None if nothing is hidden.
    """
    hidden = policy.get_tile_mask(tile_id)
    return None if hidden is None else TileMask(hidden, policy.fingerprint)


class MaskOverlay:
    """Masks over tiles that leave the node, as of the moment when it was made.

    All that one command writes is covered alike, whatever redactions are drawn meanwhile. Thread-safe.

    has_covered  whether any pixel was removed so far
    """

    def __init__(self, policy: AccessPolicy) -> None:
        """Cover what this policy hides from the recipients."""
        self._policy = policy
        self.has_covered = False

    def wrap_reader(self, reader: TileDecoding, within: BaseGeometry | None = None) -> TileDecoding:
        """Wrap a tile decoding so that it has no data under masks.

        within: the ground that leaves the node (Web Mercator metres), for `has_covered`; None: all.
        """
        if self._policy.is_nothing:
            return reader
        if within is not None:
            shapely.prepare(within)

        def of(data: bytes, tile_id: TileId) -> PixelsWithMask:
            pixels, mask = reader.decode(data, tile_id)
            hidden = self._policy.get_tile_mask(tile_id)
            if hidden is None:
                return pixels, mask
            covered, seen = mask & hidden, mask & ~hidden
            if covered.any() and (within is None or _any_within(within, tile_id, covered)):
                self.has_covered = True
            return np.where(seen[..., None], pixels, np.zeros((), pixels.dtype)), seen

        return replace(reader, decode=of)


def _any_within(ground: BaseGeometry, tile_id: TileId, pixels: NDArray[np.bool_]) -> bool:
    """Return True if the centre of any True pixel is on this ground.

    ground: Web Mercator.
    """
    west, __, __, north = get_tile_bounds(tile_id)
    rows, cols = np.nonzero(pixels)
    pixel_m = compute_grid_pixel_m(tile_id.z)
    return bool(
        shapely.contains_xy(ground, west + (cols + 0.5) * pixel_m, north - (rows + 0.5) * pixel_m).any()
    )
