"""Field marks, and the access to settlements, reported or proposed from cut roads.

An edit is validated, signed by its author, and recorded in the audit log.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.board import Boundaries, SettlementVersion
from flycam.catalog.changes import ChangeVersion
from flycam.errors import InputUnusable, NotFound, SourceUnreadable, StoreConflict
from flycam.geodata.crs import (
    WGS84,
    GridLine,
    choose_work_crs,
    compute_grid_lines,
    find_nearest_zone,
    find_province,
    get_central_meridian_deg,
    get_zone,
    make_point_transform,
    require_valid_locations,
    to_vn2000,
)
from flycam.geodata.feature_file import FeatureLayer, encode_csv, require_suffix, write_features
from flycam.geodata.vector_file import MAX_FEATURES
from flycam.geometry.features import label_components
from flycam.media.photo import has_too_many_scans
from flycam.messages import _
from flycam.model.board import (
    ROAD_CUTTING_KINDS,
    Access,
    ChangeStatus,
    LayerKind,
    MarkKind,
    MarkStatus,
    RoadStatus,
)
from flycam.model.flight import DRILL_MARK, Classification, Event, find_strictest
from flycam.model.records import AuditEntry, LayerRecord, MarkVersion
from flycam.model.text import escape_cell, to_json_line, validate_note
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


_MARK_DECIMALS = 7


def build_mark_collection(lines: Sequence[MarkVersion], boundaries: Boundaries | None) -> dict[str, Any]:
    """Build a FeatureCollection of mark versions.

    With `boundaries` each has VN-2000 coordinates. Those of a sector are of a point inside it.
    """
    return {"type": "FeatureCollection", "features": [build_mark_feature(line, boundaries) for line in lines]}


def build_mark_feature(line: MarkVersion, boundaries: Boundaries | None) -> dict[str, Any]:
    """Build a Feature of one version.

    `vn2000` null: outside Vietnam; absent: no `boundaries`.
    """
    shape = shapely.set_precision(shapely.from_wkb(line.wkb), 10.0**-_MARK_DECIMALS, mode="pointwise")
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


def list_event_marks(
    workspace: Workspace, event: str | None, *, with_removed: bool = False
) -> list[MarkVersion]:
    """List current marks, newest first; of one event (name or id). Raises NotFound."""
    return workspace.catalog.marks.current(_event_id(workspace, event), with_removed=with_removed)


def export_marks(workspace: Workspace, out: Path, event: str | None = None, *, history: bool = False) -> int:
    """Write marks as GeoJSON, with `history` all versions.

    Returns the number of features. Raises NotFound, OptionUnusable (another suffix),
    DiskFull, StorageFailed.
    """
    require_suffix(out, (".geojson", ".json"))
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


# -- Settlements of an event: reported access, and access proposed from cut roads ------------------
#
#     settlement layers + road layers, noded, cut by confirmed slides and floods -> road status of each
#     reports in the catalogue -> access; without a report: unknown
#
# A settlement is identified by its layer, name and place. The program proposes that one is isolated, never
# that one is reachable: nothing is known of roads that nobody flew over.


# -- Road connectivity: places that a road net joins, before and after parts of it are cut ---------
#
# Roads are lines that join where they end or cross: an overpass is taken for a crossing. The main net is the
# component with most road in it.


Shapes = NDArray[np.object_]
Mask = NDArray[np.bool_]
Ints = NDArray[np.intp]

_GRID_M = 1.0
"""Ends within this distance of another road are joined to it: the precision of drawn roads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoadAccess:
    """Road access of each place (N).

    has_road       a road comes near it
    before, after  one of those belongs to the main net, as the roads are drawn and as they are cut
    """

    has_road: Mask
    before: Mask
    after: Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class RoadNet:
    """Pieces of road (N, metres of one plane) that meet at their ends only.

    is_main  those of the main net
    """

    pieces: Shapes
    is_main: Mask


def build_road_net(roads: Shapes) -> RoadNet:
    """Build the net of roads (lines, metres of one plane) as they are drawn."""
    pieces = _noded(roads)
    return RoadNet(pieces=pieces, is_main=_largest(pieces, np.ones(len(pieces), np.bool_)))


def find_road_access(net: RoadNet, cuts: Shapes, places: Shapes, reach_m: float) -> RoadAccess:
    """Find places that roads join to the main net.

    cuts  areas (valid, in the net's plane) that no road passes

    After cutting, the main net is the largest part of the former one.
    """
    pieces, is_main = net.pieces, net.is_main
    has_road = np.zeros(len(places), np.bool_)
    if not len(pieces) or not len(places):
        return RoadAccess(has_road=has_road, before=has_road.copy(), after=has_road.copy())
    left, origin = (
        _without(pieces, shapely.union_all(cuts)) if len(cuts) else (pieces, np.arange(len(pieces)))
    )
    is_left_main = _largest(left, is_main[origin])
    has_road, before = _near(pieces, is_main, places, reach_m)
    __, after = _near(left, is_left_main, places, reach_m)
    return RoadAccess(has_road=has_road, before=before, after=after & before)


def _noded(roads: Shapes) -> Shapes:
    """Split roads into pieces that meet at their ends only."""
    lines = shapely.get_parts(shapely.union_all(roads, grid_size=_GRID_M)) if len(roads) else roads
    return lines[(shapely.get_dimensions(lines) == 1) & ~shapely.is_empty(lines)] if len(lines) else lines


def _without(pieces: Shapes, cut: BaseGeometry) -> tuple[Shapes, Ints]:
    """Return the remainder of pieces beside a cut, and the original piece of each.

    Only pieces that meet the cut are cut.
    """
    shapely.prepare(cut)
    met = shapely.intersects(cut, pieces)  # only the first is prepared
    parts, of = shapely.get_parts(shapely.difference(pieces[met], cut), return_index=True)
    keep = ~shapely.is_empty(parts)
    left = np.concatenate([pieces[~met], parts[keep]])
    return left, np.concatenate([np.flatnonzero(~met), np.flatnonzero(met)[of[keep]]])


def _largest(pieces: Shapes, among: Mask) -> Mask:
    """Return the pieces of the longest component of those in `among`."""
    if not among.any():
        return np.zeros(len(pieces), np.bool_)
    ends = np.stack([_ends(pieces, 0), _ends(pieces, -1)])
    __, nodes = np.unique(ends, return_inverse=True)
    first, last = nodes.reshape(2, -1)
    component = label_components(int(nodes.max()) + 1, first, last)[first]
    length = np.bincount(component, weights=np.where(among, shapely.length(pieces), 0.0))
    return np.asarray(among & (component == length.argmax()))


def _ends(pieces: Shapes, which: int) -> NDArray[np.complex128]:
    """Return first or last places as east + north·i.

    One complex number is compared many times faster than two real ones.
    """
    points = shapely.get_point(pieces, which)
    return np.asarray(shapely.get_x(points) + 1j * shapely.get_y(points))


def _near(pieces: Shapes, is_main: Mask, places: Shapes, reach_m: float) -> tuple[Mask, Mask]:
    """Return places within reach of any piece, and of one of the main net."""
    any_road, main_road = np.zeros(len(places), np.bool_), np.zeros(len(places), np.bool_)
    if len(pieces):
        place, piece = shapely.STRtree(pieces).query(places, predicate="dwithin", distance=reach_m)
        any_road[place] = True
        main_road[place[is_main[piece]]] = True
    return any_road, main_road


# -- Status of settlements: reports by people, and proposals from roads ----------------------------


REACH_M = 200.0
"""A road this near to a settlement is taken to reach it, by default."""

MAX_REACH_M = 5000.0
# about a metre: the same place has the same id
_SETTLEMENT_DECIMALS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """Status of a settlement in an event.

    shape          a point, WGS 84 degrees; commune "" where no boundary is known
    road_evidence  by the current confirmed changes
    line           the last report; None: nobody has reported, access is unknown
    is_from_layer  the settlement is still in a layer
    """

    settlement_id: str
    name: str
    shape: BaseGeometry
    commune: str
    commune_name: str
    road_evidence: RoadStatus
    line: SettlementVersion | None
    is_from_layer: bool = True

    @property
    def access(self) -> Access:
        return self.line.access if self.line else Access.UNKNOWN

    @property
    def is_proposed(self) -> bool:
        """True if the roads propose an access that is not reported yet.

        Reports before the road was cut do not count.
        """
        if self.road_evidence.proposed_access in (Access.UNKNOWN, self.access):
            return False
        was_proposed = (
            self.line is not None
            and self.line.roads_said.proposed_access is self.road_evidence.proposed_access
        )
        return self.access is Access.UNKNOWN or not was_proposed


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessReport:
    """A person's report on a settlement.

    settlement  id, or an unambiguous name
    based_on    the version that the person saw, 0 where there was no report; None: any
    """

    event: str
    settlement: str
    access: Access
    note: str = ""
    based_on: int | None = None


def list_event_settlements(
    workspace: Workspace,
    event: Event,
    reach_m: float = REACH_M,
    until_ns: int | None = None,
    policy: AccessPolicy = UNRESTRICTED,
) -> list[Settlement]:
    """List settlements of all layers, and others with reports, most urgent first.

    Those proposed to be isolated come first (also where a road was cut after a report that they are
    reachable), then those reported isolated; by commune and name. Settlements of hidden layers and outside
    the caller's communes are left out; roads and changes there count all the same.

    Raises InputUnusable for a reach that is not positive, or beyond `MAX_REACH_M`.
    """
    if not 0.0 < reach_m <= MAX_REACH_M:
        raise InputUnusable(
            _(
                "reach {reach_m:g}: give metres up to {most_reach_m:.0f}",
                reach_m=reach_m,
                most_reach_m=MAX_REACH_M,
            )
        )
    report_by_id = {
        line.settlement_id: line for line in workspace.catalog.settlements.current(event.event_id, until_ns)
    }
    layers = _layers(workspace, LayerKind.SETTLEMENT)
    places = _places(workspace, layers)
    confirmed = [
        line
        for line in workspace.catalog.changes.current(
            event.event_id, statuses=[ChangeStatus.ACCEPTED], until_ns=until_ns
        )
        if line.kind in ROAD_CUTTING_KINDS
    ]
    roads = _evaluate_roads(workspace, list(places.values()), confirmed, reach_m)
    found = [
        (one, name, shape, road_status, True)
        for (one, (name, shape)), road_status in zip(places.items(), roads, strict=True)
    ]
    without_layer = [line for one, line in report_by_id.items() if one not in places]
    found += [
        (line.settlement_id, line.name, shapely.from_wkb(line.wkb), RoadStatus.NO_LAYER, False)
        for line in without_layer
    ]
    homes = _homes(workspace, [shape for _, _, shape, _, _ in found], is_drill=event.is_drill)
    all_of = [
        Settlement(
            settlement_id=one,
            name=name,
            shape=shape,
            commune=code,
            commune_name=commune,
            road_evidence=road_status,
            line=report_by_id.get(one),
            is_from_layer=is_layers,
        )
        for (one, name, shape, road_status, is_layers), (code, commune) in zip(found, homes, strict=True)
    ]
    is_seen = _is_seen(workspace, policy)
    visible = [one for one in all_of if is_seen(one.settlement_id, one.name, one.shape)]
    return sorted(visible, key=_urgency)


def list_access_history(
    workspace: Workspace, event: Event, settlement_id: str, policy: AccessPolicy = UNRESTRICTED
) -> list[SettlementVersion]:
    """List all visible reports on a settlement in an event, oldest first."""
    is_seen = _is_seen(workspace, policy)
    return [
        line
        for line in workspace.catalog.settlements.history(event.event_id, settlement_id)
        if is_seen(line.settlement_id, line.name, shapely.from_wkb(line.wkb))
    ]


def get_settlement_classification(one: Settlement, levels: Mapping[str, Classification]) -> Classification:
    """Return the classification of a settlement's layer, also of a removed one.

    levels: by layer id.
    """
    return find_strictest(
        level
        for layer_id, level in levels.items()
        if level is not Classification.OPEN and _id_of(layer_id, one.name, one.shape) == one.settlement_id
    )


def report_access(
    workspace: Workspace, report: AccessReport, who: str, policy: AccessPolicy = UNRESTRICTED
) -> SettlementVersion:
    """Record a person's report on a settlement.

    The same report again changes nothing. policy: that person's access policy; a hidden settlement is
    NotFound.

    Raises NotFound (event, settlement), InputUnusable (an ambiguous name), StoreConflict (somebody else
    reported since `based_on`).
    """
    event = workspace.catalog.flights.event(report.event)
    one = _named(list_event_settlements(workspace, event, policy=policy), report.settlement)
    note = validate_note(report.note)
    last = one.line
    is_same = last and (last.access, last.note, last.author) == (report.access, note, who)
    # repeated after a further road was cut, it is a new report
    if last and is_same and not one.is_proposed:
        return last
    version = last.version if last else 0
    if report.based_on is not None and report.based_on != version:
        raise StoreConflict(
            _("{name}: somebody reported on this settlement meanwhile; look at it again", name=one.name)
        )
    at_ns = workspace.clock_ns()
    west, south, east, north = (float(side) for side in one.shape.bounds)
    line = SettlementVersion(
        event_id=event.event_id,
        settlement_id=one.settlement_id,
        version=version + 1,
        name=one.name,
        access=report.access,
        roads_said=one.road_evidence,
        note=note,
        author=who,
        at_ns=at_ns,
        wkb=shapely.to_wkb(one.shape),
        bounds_lonlat_deg=(west, south, east, north),
    )
    detail = f"{line.name}: {line.access}, roads say {line.roads_said}, version {line.version}"
    detail += f": {note}" if note else ""
    entry = AuditEntry(who=who, what="settlement", subject=line.settlement_id, detail=detail, at_ns=at_ns)
    workspace.catalog.settlements.append(line, entry)
    return line


def _urgency(one: Settlement) -> tuple[int, str, str, str]:
    isolated = one.access is Access.ISOLATED
    rank = 0 if one.is_proposed else 1 if isolated else 2 if one.access is Access.UNKNOWN else 3
    return rank, one.commune_name, one.name, one.settlement_id


def _places(workspace: Workspace, layers: Sequence[LayerRecord]) -> dict[str, tuple[str, BaseGeometry]]:
    """Return name and place (a point) of every settlement of these layers, by id."""
    found: dict[str, tuple[str, BaseGeometry]] = {}
    for layer in layers:
        for thing in workspace.catalog.layers.features(layer.layer_id, None, MAX_FEATURES)[0]:
            point = shapely.point_on_surface(shapely.from_wkb(thing.wkb))
            name = thing.name or f"{layer.name} #{thing.number + 1}"
            found.setdefault(_id_of(layer.layer_id, name, point), (name, point))
    return found


def _id_of(layer_id: str, name: str, point: BaseGeometry) -> str:
    identity = f"{layer_id}\n{name}\n{point.x:.{_SETTLEMENT_DECIMALS}f} {point.y:.{_SETTLEMENT_DECIMALS}f}"
    return f"settlement-{hashlib.sha256(identity.encode()).hexdigest()[:24]}"


def _is_seen(workspace: Workspace, policy: AccessPolicy) -> Callable[[str, str, BaseGeometry], bool]:
    """Make a check whether a settlement (id, name, place) may be seen.

    The id still ties a settlement to a layer that no longer holds it. An account from which any layer is
    hidden, even a removed one, sees only settlements that provably belong to a visible layer.
    """
    open_layers = [one for one in workspace.catalog.layers.all() if not policy.hides_layer(one.layer_id)]

    def is_seen(settlement_id: str, name: str, shape: BaseGeometry) -> bool:
        if policy.is_outside(shapely.to_wkb(shape)):
            return False
        if not policy.hides_layers:
            return True
        return any(_id_of(layer.layer_id, name, shape) == settlement_id for layer in open_layers)

    return is_seen


def _layers(workspace: Workspace, kind: LayerKind) -> list[LayerRecord]:
    return [layer for layer in workspace.catalog.layers.all() if layer.kind is kind]


def _evaluate_roads(
    workspace: Workspace,
    places: Sequence[tuple[str, BaseGeometry]],
    confirmed: Sequence[ChangeVersion],
    reach_m: float,
) -> list[RoadStatus]:
    """Evaluate the road status of each place, in the metric zone of their centre."""
    if not places:
        return []
    points = np.array([shape for _, shape in places], dtype=object)
    west, south, east, north = shapely.total_bounds(points).tolist()
    crs = choose_work_crs((west + east) / 2.0, (south + north) / 2.0)
    layers = _layers(workspace, LayerKind.ROAD)
    read = tuple((layer.layer_id, layer.refreshed_ns) for layer in layers)
    net = _net(_Net(place=workspace.catalog.place, layers=read, crs=crs, workspace=workspace))
    if not len(net.pieces):
        return [RoadStatus.NO_LAYER] * len(places)
    cuts = shapely.from_wkb(np.array([line.wkb for line in confirmed], dtype=object))
    onto = make_point_transform(WGS84, crs)
    flat_cuts, flat_points = (shapely.transform(shapes, onto) for shapes in (cuts, points))
    found = find_road_access(net, shapely.make_valid(flat_cuts), flat_points, reach_m)
    return [
        RoadStatus.NO_ROAD
        if not has_road
        else RoadStatus.NOT_JOINED
        if not before
        else RoadStatus.JOINED
        if after
        else RoadStatus.CUT_OFF
        for has_road, before, after in zip(
            found.has_road.tolist(), found.before.tolist(), found.after.tolist(), strict=True
        )
    ]


@dataclass(frozen=True, kw_only=True)
class _Net:
    """Key of a road net: layers of a catalogue, each at its time of refresh."""

    place: str
    layers: tuple[tuple[str, int], ...]
    crs: str
    workspace: Workspace = field(compare=False)


@lru_cache(maxsize=2)
def _net(key: _Net) -> RoadNet:
    """Build the road net, without roads drawn as areas: they join nothing.

    Cached, as a province's net takes seconds to build.
    """
    wkbs = [
        thing.wkb
        for layer_id, _ in key.layers
        for thing in key.workspace.catalog.layers.features(layer_id, None, MAX_FEATURES)[0]
    ]
    shapes = shapely.from_wkb(np.array(wkbs, dtype=object))
    lines = shapes[shapely.get_dimensions(shapes) == 1]
    return build_road_net(shapely.transform(lines, make_point_transform(WGS84, key.crs)))


def _homes(workspace: Workspace, points: Sequence[BaseGeometry], *, is_drill: bool) -> list[tuple[str, str]]:
    """Find code and name of the commune of each point; empty where unknown."""
    homes = [("", "")] * len(points)
    if not points:
        return homes
    shapes = np.array(points, dtype=object)
    west, south, east, north = shapely.total_bounds(shapes).tolist()
    bounds = (west, south, east, north)
    communes = workspace.catalog.boundaries.list_countable(is_drill=is_drill, bounds=bounds)
    if communes:
        tree = shapely.STRtree(shapely.from_wkb(np.array([one.wkb for one in communes], dtype=object)))
        for place, holder in zip(
            *(n.tolist() for n in tree.query(shapes, predicate="intersects")), strict=True
        ):
            homes[place] = communes[holder].code, communes[holder].name
    return homes


def _named(settlements: Sequence[Settlement], ref: str) -> Settlement:
    """Find a settlement by id, or by a name that only one has."""
    found = [one for one in settlements if one.settlement_id == ref]
    found = found or [one for one in settlements if one.name == ref]
    if not found:
        raise NotFound(_("{ref}: there is no such settlement; see 'flycam settlements list'", ref=ref[:60]))
    if len(found) > 1:
        ids = ", ".join(f"{one.settlement_id} ({one.commune_name or '?'})" for one in found[:5])
        raise InputUnusable(
            _("{ref}: several settlements are called so; give one's id: {ids}", ref=ref[:60], ids=ids)
        )
    return found[0]


# -- Export of settlements as JSON and as a file of points -----------------------------------------


PointTransform = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_COLUMNS = (
    *("settlement_id", "name", "commune", "commune_name", "access", "proposed", "roads_say"),
    *("said_by", "said", "note", "in_layer", "event", "drill"),
)


def _as_they_are(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points


def serialize_settlement(one: Settlement) -> dict[str, Any]:
    """Return a settlement's status as JSON.

    `access` is what a person reported, unknown where nobody has (`said_by` null); `proposed` is inferred from
    cut roads. version: 0 where nobody has reported.
    """
    line = one.line
    return {
        "settlement_id": one.settlement_id,
        "name": one.name,
        "commune": one.commune,
        "commune_name": one.commune_name,
        "access": one.access.value,
        "proposed": one.road_evidence.proposed_access.value,
        "roads_say": one.road_evidence.value,
        "version": line.version if line else 0,
        "said_by": line.author if line else None,
        "said": format_iso(line.at_ns, "seconds") if line else None,
        "note": line.note if line else "",
        "in_layer": one.is_from_layer,
        "lonlat": [round(one.shape.x, 7), round(one.shape.y, 7)],
    }


def export_settlements(workspace: Workspace, out: Path, event: str, reach_m: float = REACH_M) -> int:
    """Write settlements of an event (name or id) to .csv, .geojson or .gpkg.

    Returns their number. WGS 84. Raises OptionUnusable (another suffix), NotFound, InputUnusable (an invalid
    reach), StorageFailed.
    """
    suffix = require_suffix(out, (".csv", ".geojson", ".gpkg"))
    found = workspace.catalog.flights.event(event)
    settlements = list_event_settlements(workspace, found, reach_m)
    if suffix == ".csv":
        head = [*_COLUMNS, "lon_deg", "lat_deg"]
        places = ((f"{one.shape.x:.7f}", f"{one.shape.y:.7f}") for one in settlements)
        cells = (map(escape_cell, _row(one, found).values()) for one in settlements)
        rows = ([*texts, *place] for texts, place in zip(cells, places, strict=True))
        write_file_atomically(out, encode_csv([head, *rows]))
    else:
        write_features(out, [build_settlement_layer([(found, one) for one in settlements])], crs=WGS84)
    return len(settlements)


def build_settlement_layer(
    settlements: Sequence[tuple[Event, Settlement]], transform: PointTransform = _as_they_are
) -> FeatureLayer:
    """Build a layer of points, transformed from WGS 84.

    It has the same columns if empty.
    """
    rows = [_row(one, event) for event, one in settlements]
    shapes = np.empty(len(rows), dtype=object)
    shapes[:] = [shapely.transform(one.shape, transform) for _, one in settlements]
    fields = {name: np.array([row[name] for row in rows], dtype=object) for name in _COLUMNS}
    return FeatureLayer(name="settlements", kind="Point", shapes=shapes, fields=fields)


def _row(one: Settlement, event: Event) -> dict[str, str]:
    fields = serialize_settlement(one)
    drill = DRILL_MARK if event.is_drill else ""
    words = {**fields, "in_layer": "yes" if one.is_from_layer else "no", "event": event.name, "drill": drill}
    return {name: "" if words[name] is None else str(words[name]) for name in _COLUMNS}
