"""Field marks: editing, photos, VN-2000 coordinates, and GeoJSON export.

An edit is validated, signed by its author, and recorded in the audit log.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image, ImageOps, UnidentifiedImageError

from flycam.catalog.board import Boundaries
from flycam.errors import InputUnusable, NotFound, OptionUnusable, SourceUnreadable, StoreConflict
from flycam.geodata.crs import (
    GridLine,
    compute_grid_lines,
    find_nearest_zone,
    find_province,
    get_central_meridian_deg,
    get_zone,
    require_valid_locations,
    to_vn2000,
)
from flycam.media.photo import has_too_many_scans
from flycam.messages import _
from flycam.model.board import MarkKind, MarkStatus
from flycam.model.records import AuditEntry, MarkVersion
from flycam.model.text import to_json_line, validate_note
from flycam.model.time import format_iso
from flycam.originals import store_original_bytes
from flycam.storage.files import write_file_atomically
from flycam.workspace import Workspace

# -- Photos sent with marks: only the pixels are kept ----------------------------------------------
#
# A photo is decoded and encoded anew, so that no script, decompression bomb, home position or second image in
# the file is stored on the node.


MAX_PHOTO_BYTES = 4 << 20
_MAX_PIXELS = {"JPEG": 64_000_000, "PNG": 24_000_000, "WEBP": 24_000_000}
"""By format: a JPEG can be decoded at an eighth of its size, the others only whole."""

_MAX_SIDE_PX = 1920
_JPEG_QUALITY = 82


def convert_mark_photo(data: bytes) -> bytes:
    """Convert a photo to JPEG, upright, no side longer than 1920 pixels, no metadata.

    Raises SourceUnreadable: over MAX_PHOTO_BYTES, too many pixels (by its header, before any is decoded), not
    JPEG, PNG or WebP, cut off, or a JPEG of implausibly many scans.
    """
    if len(data) > MAX_PHOTO_BYTES:
        raise _make_too_large_error()
    # decoding such a JPEG would block a server thread for minutes
    if has_too_many_scans(data):
        raise _make_unreadable_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, which is dropped anyway
            with Image.open(io.BytesIO(data), formats=tuple(_MAX_PIXELS)) as photo:
                # of a JPEG with more images behind the first (MPO, of phones) the first is kept
                if photo.width * photo.height > _MAX_PIXELS.get(photo.format or "PNG", _MAX_PIXELS["JPEG"]):
                    raise _make_too_large_error()
                # a JPEG is decoded no finer than it is stored
                photo.draft("RGB", (_MAX_SIDE_PX, _MAX_SIDE_PX))
                upright = ImageOps.exif_transpose(photo)
                upright.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX))
                buffer = io.BytesIO()
                upright.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise _make_unreadable_error() from error
    return buffer.getvalue()


def _make_unreadable_error() -> SourceUnreadable:
    return SourceUnreadable(_("photo: cannot be read: send a JPEG, PNG or WebP"))


def _make_too_large_error() -> SourceUnreadable:
    """Make the error for a photo of too many bytes or pixels."""
    most, pixels = MAX_PHOTO_BYTES >> 20, _MAX_PIXELS["PNG"] // 10**6
    return SourceUnreadable(
        _(
            "photo: larger than {most} MB, or of more than {pixels} million pixels: send a smaller one",
            most=most,
            pixels=pixels,
        )
    )


# -- Edits of marks --------------------------------------------------------------------------------


MAX_MARK_CORNERS = 500

_MARK_ID = re.compile(r"mark-[0-9a-f]{8,40}")

LonLat = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkEdit:
    """A mark as it is to be from now on.

    mark_id   made by the client ("mark-" and 8 to 40 hex digits), so that a repeated request writes once
    based_on  the version that the client saw; 0 for a new mark
    places    (longitude, latitude) degrees: one of a point, the corners of a sector in order
    """

    mark_id: str
    based_on: int
    event_id: str
    kind: MarkKind
    status: MarkStatus
    note: str
    places: Sequence[LonLat]


def write_mark(workspace: Workspace, edit: MarkEdit, who: str) -> MarkVersion:
    """Append a version to a mark.

    The same edit again by the same author changes nothing. Raises InputUnusable (an invalid place, outline or
    id), NotFound (its event), StoreConflict (the mark has changed since).
    """
    shape = _shape(edit)
    note = validate_note(edit.note)
    lines = _lines(workspace, edit.mark_id)
    before = _seen(lines, edit.based_on)
    if not lines and edit.event_id not in {one.event_id for one in workspace.catalog.flights.events()}:
        raise NotFound(
            _("{event_id}: there is no such event; a mark belongs to one", event_id=edit.event_id[:40])
        )
    west, south, east, north = (float(side) for side in shape.bounds)
    line = MarkVersion(
        mark_id=edit.mark_id,
        version=edit.based_on + 1,
        event_id=lines[0].event_id if lines else edit.event_id,
        kind=edit.kind,
        status=edit.status,
        note=note,
        photo_sha256=before.photo_sha256 if before else None,
        author=who,
        at_ns=workspace.clock_ns(),
        wkb=shapely.to_wkb(shape),
        bounds_lonlat_deg=(west, south, east, north),
    )
    return _append(workspace, line, lines)


def encode_mark_shape(edit: MarkEdit) -> bytes:
    """Encode the place of a mark as WKB, lon/lat.

    Raises InputUnusable (invalid place or outline).
    """
    ground: bytes = shapely.to_wkb(_shape(edit))
    return ground


def add_mark_photo(workspace: Workspace, mark_id: str, based_on: int, data: bytes, who: str) -> MarkVersion:
    """Add a photo to a mark, as a version of its own.

    Raises NotFound, StoreConflict, SourceUnreadable.
    """
    lines = workspace.catalog.marks.history(mark_id)
    converted = convert_mark_photo(data)
    sha256 = hashlib.sha256(converted).hexdigest()
    store_original_bytes(workspace, converted, sha256)
    # the photo is durable before the catalogue names it (decision 0003)
    workspace.store.flush()
    line = replace(
        _seen(lines, based_on) or lines[-1],
        version=based_on + 1,
        photo_sha256=sha256,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    return _append(workspace, line, lines)


def _seen(lines: Sequence[MarkVersion], based_on: int) -> MarkVersion | None:
    """Return the version that an edit is based on; None for a new mark."""
    return next((one for one in lines if one.version == based_on), None)


def _append(workspace: Workspace, line: MarkVersion, lines: Sequence[MarkVersion]) -> MarkVersion:
    if there := _written(line, lines):
        # the answer to an identical request was lost, and the client sent it again
        return there
    if line.version != len(lines) + 1:
        raise StoreConflict(
            _("{mark_id}: somebody changed this mark meanwhile; look at it again", mark_id=line.mark_id)
        )
    detail = f"{line.kind}, {line.status}, version {line.version}" + (f": {line.note}" if line.note else "")
    entry = AuditEntry(who=line.author, what="mark", subject=line.mark_id, detail=detail, at_ns=line.at_ns)
    try:
        workspace.catalog.marks.append(line, entry)
    except StoreConflict:
        # an identical request may have been written at the same time
        if there := _written(line, workspace.catalog.marks.history(line.mark_id)):
            return there
        raise
    return line


def _written(line: MarkVersion, lines: Sequence[MarkVersion]) -> MarkVersion | None:
    """Return the version with the same content, whatever its time."""
    return next((one for one in lines if replace(one, at_ns=line.at_ns) == line), None)


def _lines(workspace: Workspace, mark_id: str) -> list[MarkVersion]:
    if not _MARK_ID.fullmatch(mark_id):
        raise InputUnusable(
            _("{mark_id!r}: a mark's id is 'mark-' and 8 to 40 hex digits", mark_id=mark_id[:40])
        )
    try:
        return workspace.catalog.marks.history(mark_id)
    except NotFound:
        return []


def _shape(edit: MarkEdit) -> shapely.Geometry:
    is_area = edit.kind is MarkKind.SECTOR
    fits = 3 <= len(edit.places) <= MAX_MARK_CORNERS if is_area else len(edit.places) == 1
    if not fits:
        raise InputUnusable(
            _(
                "a sector has 3 to {most_corners} corners, another mark one place; draw it again",
                most_corners=MAX_MARK_CORNERS,
            )
        )
    require_valid_locations(edit.places, _("the mark"))
    if not is_area:
        return shapely.Point(*edit.places[0])
    outline = shapely.Polygon(edit.places)
    if not outline.is_valid or outline.area == 0.0:
        raise InputUnusable(_("the outline of the sector crosses itself; draw it again"))
    return outline


# -- VN-2000 coordinates, those of printed Vietnamese maps, in the zone of the province ------------


# the mainland, its islands and Hoang Sa and Truong Sa: beyond, VN-2000 is not used
_WEST, _SOUTH, _EAST, _NORTH = 102.0, 6.0, 118.0, 23.5
_MAX_WIDTH_DEG = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Vn2000Position:
    """VN-2000 coordinates: X north, Y east in metres, in a 3-degree zone.

    province None: the zone is the nearest one.
    """

    x_north_m: float
    y_east_m: float
    crs: str
    central_meridian_deg: float
    province: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vn2000Grid:
    """Grid lines of one zone, `step_m` apart; `province` as in Vn2000Position."""

    crs: str
    central_meridian_deg: float
    province: str | None
    step_m: float
    lines: list[GridLine]


def locate_in_vn2000(boundaries: Boundaries, lon_deg: float, lat_deg: float) -> Vn2000Position | None:
    """Locate a place in VN-2000; None outside Vietnam.

    The zone is that of the province, by the commune whose boundary holds the place; without a known boundary
    or provincial meridian, that of the nearest meridian.
    """
    found = _zone_at(boundaries, lon_deg, lat_deg)
    if found is None:
        return None
    zone, province = found
    points, __ = to_vn2000(np.array([[lon_deg, lat_deg]]), zone)
    east, north = points[0].tolist()
    return Vn2000Position(
        x_north_m=round(north, 2),
        y_east_m=round(east, 2),
        crs=zone,
        central_meridian_deg=get_central_meridian_deg(zone),
        province=province,
    )


def build_vn2000_grid(boundaries: Boundaries, bounds: tuple[float, float, float, float]) -> Vn2000Grid | None:
    """Build the grid of a rectangle, in the zone of its centre.

    bounds: west, south, east, north in degrees. None outside Vietnam, and for more than a zone is wide.
    """
    west, south, east, north = bounds
    if not (0.0 < east - west <= _MAX_WIDTH_DEG and 0.0 < north - south <= _MAX_WIDTH_DEG):
        return None
    found = _zone_at(boundaries, (west + east) / 2.0, (south + north) / 2.0)
    if found is None:
        return None
    zone, province = found
    step_m, lines = compute_grid_lines(bounds, zone)
    return Vn2000Grid(
        crs=zone,
        central_meridian_deg=get_central_meridian_deg(zone),
        province=province,
        step_m=step_m,
        lines=lines,
    )


def _zone_at(boundaries: Boundaries, lon_deg: float, lat_deg: float) -> tuple[str, str | None] | None:
    """Find the zone of a place and the province that sets it; None outside Vietnam."""
    if not (_WEST <= lon_deg <= _EAST and _SOUTH <= lat_deg <= _NORTH):
        return None
    commune = boundaries.find_at(lon_deg, lat_deg)
    province = find_province(commune.code) if commune else None
    if province is None:
        return find_nearest_zone(lon_deg), None
    return get_zone(province.meridian_deg), province.name


# -- GeoJSON of marks for other programs: WGS 84, and VN-2000 in the properties --------------------


_DECIMALS = 7


def build_mark_collection(lines: Sequence[MarkVersion], boundaries: Boundaries | None) -> dict[str, Any]:
    """Build a FeatureCollection of mark versions.

    With `boundaries` each has VN-2000 coordinates. Those of a sector are of a point inside it.
    """
    return {"type": "FeatureCollection", "features": [build_mark_feature(line, boundaries) for line in lines]}


def build_mark_feature(line: MarkVersion, boundaries: Boundaries | None) -> dict[str, Any]:
    """Build a Feature of one version.

    `vn2000` null: outside Vietnam; absent: no `boundaries`.
    """
    shape = shapely.set_precision(shapely.from_wkb(line.wkb), 10.0**-_DECIMALS, mode="pointwise")
    fields: dict[str, Any] = {
        "mark_id": line.mark_id,
        "version": line.version,
        "event_id": line.event_id,
        "kind": line.kind.value,
        "status": line.status.value,
        "note": line.note,
        "author": line.author,
        "time": format_iso(line.at_ns, "seconds"),
        "photo": line.photo_sha256,
    }
    if boundaries is not None:
        inside = shape.representative_point()
        place = locate_in_vn2000(boundaries, inside.x, inside.y)
        fields["vn2000"] = place and {
            "x_north_m": place.x_north_m,
            "y_east_m": place.y_east_m,
            "crs": place.crs,
            "central_meridian_deg": place.central_meridian_deg,
        }
    return {
        "type": "Feature",
        "id": line.mark_id,
        "geometry": json.loads(shapely.to_geojson(shape)),
        "properties": fields,
    }


# -- Export of marks to a GeoJSON file that QGIS opens ---------------------------------------------


_SUFFIXES = (".geojson", ".json")


def list_event_marks(
    workspace: Workspace, event: str | None, *, with_removed: bool = False
) -> list[MarkVersion]:
    """List current marks, newest first; of one event (name or id). Raises NotFound."""
    return workspace.catalog.marks.current(_event_id(workspace, event), with_removed=with_removed)


def export_marks(workspace: Workspace, out: Path, event: str | None = None, *, history: bool = False) -> int:
    """Write marks as GeoJSON, with `history` all versions.

    Returns the number of features. Raises NotFound, OptionUnusable (a name that does not end in .geojson),
    DiskFull, StorageFailed.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise OptionUnusable(_("{out}: give a name that ends in .geojson", out=out))
    lines = list_event_marks(workspace, event, with_removed=history)
    if history:
        lines = [line for one in lines for line in workspace.catalog.marks.history(one.mark_id)]
    collection = build_mark_collection(lines, workspace.catalog.boundaries)
    write_file_atomically(out, to_json_line(collection).encode())
    return len(lines)


def _event_id(workspace: Workspace, event: str | None) -> str | None:
    if event is None:
        return None
    found = next((e for e in workspace.catalog.flights.events() if event in (e.event_id, e.name)), None)
    if found is None:
        raise NotFound(_("{event}: there is no such event; the map's list has their names", event=event))
    return found.event_id
