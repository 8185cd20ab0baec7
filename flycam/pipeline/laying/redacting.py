"""Redaction masks drawn on photos and taken back, and the ground that they show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from flycam.catalog.masked_ground import MASK_MARGIN_M, Lay, lays_of
from flycam.catalog.records import AuditEntry, FrameRecord
from flycam.catalog.redactions import standing
from flycam.catalog.sharing_records import RedactionGround, RedactionLine
from flycam.errors import (
    InputUnusable,
    NotFound,
    ObjectMissing,
    OptionUnusable,
    StoreConflict,
    TileCorrupt,
)
from flycam.frame.redaction import MOST_CORNERS, RedactionReason, RedactionStep
from flycam.geodata.crs import to_lonlat
from flycam.geometry.seen_ground import MOST_ERROR_M, ground_points
from flycam.messages import _
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Workspace

_MASK_ID = re.compile(r"mask-[0-9a-f]{8,40}")
_LEAST_AREA_PX = 4.0

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskAsked:
    """A mask as somebody draws it.

    mask_id  made by whoever asks ("mask-" and 8 to 40 hex digits), so that asking twice draws once
    corners  (x, y) in the photo's own pixels, in order, corners of pixels at integers
    """

    mask_id: str
    frame_id: str
    reason: RedactionReason
    corners: Sequence[Point]


def make_mask(workspace: Workspace, asked: MaskAsked, who: str) -> RedactionLine:
    """Withhold a part of a photo, and the ground that it shows. The same asked again changes nothing.

    Raises InputUnusable (an id or a polygon that cannot be), NotFound (the photo), StoreConflict (another
    mask has the id).
    """
    if not _MASK_ID.fullmatch(asked.mask_id):
        raise InputUnusable(
            _("{mask_id!r}: a mask's id is 'mask-' and 8 to 40 hex digits", mask_id=asked.mask_id[:40])
        )
    frame = workspace.catalog.frames.get(asked.frame_id)
    line = RedactionLine(
        mask_id=asked.mask_id,
        step=RedactionStep.MADE,
        frame_id=frame.frame_id,
        reason=asked.reason,
        author=who,
        at_ns=workspace.clock_ns(),
        wkb=shapely.to_wkb(_polygon(asked.corners, frame)),
    )
    if there := _written(workspace, line):
        settle_masked_ground(workspace, [there])  # who drew it may have been cut off before
        return there
    told = _told(line, "mask made", frame.header.provenance.source_name)
    workspace.catalog.redactions.append([line], {line.line_id: told})
    settle_masked_ground(workspace, [line])
    return line


def take_back_mask(workspace: Workspace, mask_id: str, who: str) -> RedactionLine:
    """Withhold it no longer, for good; its lines stay on record. Again changes nothing. Raises NotFound."""
    lines = workspace.catalog.redactions.history(mask_id)
    now_ns = workspace.clock_ns()
    back = [replace(one, step=RedactionStep.TAKEN_BACK, author=who, at_ns=now_ns) for one in standing(lines)]
    told = {one.line_id: _told(one, "mask taken back", one.frame_id) for one in back}
    workspace.catalog.redactions.append(back, told)
    return (back or [one for one in lines if one.step is RedactionStep.TAKEN_BACK])[0]


def settle_masked_ground(workspace: Workspace, lines: Iterable[RedactionLine] | None = None) -> int:
    """Work out the ground of masks (None: of all) in every way in which their photos lie and for which that
    was not done; how many were. Where terrain is missing here, or damaged, it stays open, and all that the
    photo shows stays withheld.
    """
    redactions = workspace.catalog.redactions
    held = standing(redactions.lines() if lines is None else lines)
    known = {(one.line_id, one.lay) for one in redactions.grounds(line.line_id for line in held)}
    found = [
        RedactionGround(line_id=line.line_id, lay=lay.name, wkb=wkb)
        for line in held
        for lay in _lays(workspace, line)
        if (line.line_id, lay.name) not in known and (wkb := _ground_wkb(workspace, line, lay)) is not None
    ]
    redactions.put_grounds(found)
    return len(found)


def corners_of(text: str) -> list[Point]:
    """Corners of "x,y x,y x,y". Raises OptionUnusable."""
    try:
        pairs = [tuple(map(float, one.split(","))) for one in text.split()]
        return [(x, y) for x, y in pairs]
    except ValueError as error:
        raise OptionUnusable(
            _('--polygon {text}: give corners in pixels of the photo as "X,Y X,Y X,Y"', text=text[:60])
        ) from error


def _lays(workspace: Workspace, line: RedactionLine) -> list[Lay]:
    try:
        return list(lays_of(workspace.catalog, workspace.catalog.frames.get(line.frame_id)))
    except NotFound:
        return []


def _ground_wkb(workspace: Workspace, line: RedactionLine, lay: Lay) -> bytes | None:
    """The ground under a mask (lon/lat) with MASK_MARGIN_M around; None where its terrain is not here, or its
    place not known."""
    if lay.dem_id is None:
        return None
    try:
        terrain = recorded_terrain(workspace, lay.dem_id)
    except (ObjectMissing, TileCorrupt):
        return None
    polygon = shapely.get_coordinates(shapely.from_wkb(line.wkb))[:-1]
    points, error_m = ground_points(polygon, lay.interior, lay.exterior, terrain)
    if (error_m >= MOST_ERROR_M).any():
        return None  # nobody knows where that is
    ground = shapely.Polygon()
    if len(points):
        hull = shapely.MultiPoint(points[:, :2]).convex_hull.buffer(MASK_MARGIN_M)
        ground = shapely.transform(hull, lambda xy: to_lonlat(xy, lay.exterior.work_crs))
    wkb: bytes = shapely.to_wkb(ground)
    return wkb


def _polygon(corners: Sequence[Point], frame: FrameRecord) -> shapely.Polygon:
    size = frame.header.interior.image_size_px
    name = frame.header.provenance.source_name
    if not 3 <= len(corners) <= MOST_CORNERS or not np.isfinite(corners).all():
        raise InputUnusable(
            _(
                "{name}: a mask has 3 to {most_corners} corners; draw it again",
                name=name,
                most_corners=MOST_CORNERS,
            )
        )
    polygon = shapely.Polygon(np.clip(np.asarray(corners, dtype=np.float64), 0.0, size))
    if not polygon.is_valid or polygon.area < _LEAST_AREA_PX:
        raise InputUnusable(
            _(
                "{name}: the mask's outline crosses itself, or holds nothing of the photo; draw it again",
                name=name,
            )
        )
    return polygon


def _written(workspace: Workspace, line: RedactionLine) -> RedactionLine | None:
    """The line that drew this very mask before. Raises StoreConflict where its id is another's,
    InputUnusable where it was taken back."""
    try:
        lines = workspace.catalog.redactions.history(line.mask_id)
    except NotFound:
        return None
    before = next((one for one in lines if one.step is RedactionStep.MADE), lines[0])
    if not standing(lines):
        raise InputUnusable(_("{mask_id}: this mask was taken back; draw another", mask_id=line.mask_id))
    if replace(before, author=line.author, at_ns=line.at_ns) != line:
        raise StoreConflict(_("{mask_id}: another mask has this id; draw it again", mask_id=line.mask_id))
    return before


def _told(line: RedactionLine, what: str, photo: str) -> AuditEntry:
    return AuditEntry(
        who=line.author, what=what, subject=line.mask_id, detail=f"{photo}: {line.reason}", at_ns=line.at_ns
    )
