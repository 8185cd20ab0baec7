"""From any pixel back to its photo, and the photo itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import no_photo
from flycam.catalog.records import (
    BoundsLonLat,
    FrameRecord,
    FrameStatus,
    MosaicInfo,
    RevisionFrame,
    RevisionRecord,
    Role,
)
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import AccessDenied, FrameRejected, FrameUnreadable, NotFound, ObjectMissing
from flycam.frame.flight import is_plane, live_mosaic_id
from flycam.frame.frame import Layer
from flycam.frame.moment import iso
from flycam.frame.tile import NO_SOURCE
from flycam.frame.tilecodec import decode
from flycam.geodata.crs import to_work
from flycam.geometry.grid import ground_pixel_m, lonlat_to_mercator, tile_at
from flycam.messages import _
from flycam.mosaic.finishing import error_of_quality
from flycam.mosaic.given import has_given
from flycam.mosaic.live_error import live_error_m
from flycam.mosaic.own_ground import is_own
from flycam.pipeline.evidence import let_go_among, require_not_let_go
from flycam.pipeline.laying.rectification import ground_view
from flycam.pipeline.veils import veil_over
from flycam.pipeline.workspace import Workspace
from flycam.serve.answering.until import parse_until
from flycam.serve.answering.wording import Json, geometry
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Guest, Operator, Viewer
from flycam.serve.door.openings import Openings
from flycam.serve.evidence.covered import (
    COVERED_HEADERS,
    PREVIEW_SIDE_PX,
    covered_jpeg,
    covering_of,
    preview_jpeg,
)
from flycam.serve.evidence.spots import newest_oblique, spot_of
from flycam.serve.services import ServicesHere
from flycam.serve.tiles.grounds import Grounds
from flycam.serve.tiles.offered import flight_here, revision_on_show, withheld_from
from flycam.serve.tiles.ranges import SHA256, PartHere, beyond_the_end, bytes_answer
from flycam.store import keys

router = APIRouter()

_PREVIEW_LIMIT_BYTES = 64 << 20
_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG": "image/png",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
_TOLD_TO_GUESTS = frozenset(
    {"flight_id", "layer", "captured", "gsd_m", "pixel_m", "sigma_m", "ground", "revision", "finished"}
)
"""What a meeting's caption needs: when, how sharp, how far off; all else is null to them."""
_SHA256 = Path(pattern=SHA256)


def _grounds_of(request: Request) -> Grounds:
    grounds: Grounds = request.app.state.grounds
    return grounds


GroundsHere = Annotated[Grounds, Depends(_grounds_of)]


@router.get("/api/pixel")
def pixel(
    services: ServicesHere,
    grounds: GroundsHere,
    visitor: Guest,
    *,
    flight: Annotated[str, Query(max_length=200)],
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-85, le=85)],
    layer: Layer | None = None,
    revision: Annotated[int | None, Query(ge=0)] = None,
) -> Json | None:
    """Which photo gave the pixel at a place, when, how sharp, and how far off it may be.

    Of the revision on show unless one is named; null where the flight imaged nothing. Guests are told when,
    how sharp and how far off: no photo, nobody's name. `let_go` says when and by whom the photo's original
    was let go under a retention term, null while it is kept.
    """
    catalog, store = services.workspace.catalog, services.workspace.store
    sees = visitor.withholding
    found = flight_here(catalog, flight, sees)
    if sees.holds_point(lon, lat):
        raise withheld_from(f"{lat:.6f}, {lon:.6f}", visitor.name)
    mosaic = _mosaic_on_show(catalog, found.flight_id, layer)
    if mosaic is None:
        return None
    mosaic = revision_on_show(catalog, mosaic, revision)
    x, y = lonlat_to_mercator(np.array([[lon, lat]]))[0]
    tile_id, row, column = tile_at(mosaic.base_zoom, (float(x), float(y)))
    head = catalog.tiles.head(mosaic.mosaic_id, mosaic.revision, tile_id)
    if head is None:
        return None
    veil = veil_over(tile_id, sees)
    if veil is not None and veil.hidden[row, column]:
        raise withheld_from(f"{lat:.6f}, {lon:.6f}", visitor.name)
    tile = decode(store.get(head.key), tile_id, head.content_hash)
    source = int(tile.source[row, column])
    if source == NO_SOURCE:
        return None
    frame = catalog.frames.get(tile.frames[source - 1])
    answer = {
        "layer": mosaic.layer.value,
        "pixel_m": ground_pixel_m(mosaic.base_zoom, lat),
        "spot": spot_of(grounds, frame.header.interior, frame.exterior, frame.dem_id, (lon, lat)),
        "ground": "plane" if is_plane(found.vertical_datum) else "dem",
        **_frame(frame),
        "let_go": _let_go(services.workspace, frame),
    }
    if mosaic.revision == LIVE_REVISION:
        error = live_error_m(frame, tile_id)
        sigma_m = None if error is None else float(error[row, column])
        return _told_to(visitor, {**answer, "revision": LIVE_REVISION, "sigma_m": sigma_m, "finished": None})
    error_m = float(error_of_quality(tile.quality[row : row + 1, column : column + 1])[0, 0])
    finished = _finished(catalog, grounds, mosaic, frame, (lon, lat))
    return _told_to(visitor, {**answer, "revision": mosaic.revision, "sigma_m": error_m, **finished})


@router.get("/api/oblique")
def oblique(
    services: ServicesHere,
    grounds: GroundsHere,
    visitor: Viewer,
    *,
    event: Annotated[str, Query(max_length=200)],
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-85, le=85)],
    until: datetime | None = None,
) -> Json | None:
    """The newest photo of an event (id or name) that shows a place from the side (its axis less than 60
    degrees below the horizon), with the place's spot in it; null where there is none, or none that this
    visitor may see."""
    catalog = services.workspace.catalog
    sees, until_ns = visitor.withholding, parse_until(until)
    if sees.holds_point(lon, lat):
        raise withheld_from(f"{lat:.6f}, {lon:.6f}", visitor.name)
    flights = [
        one
        for one in catalog.flights.flights(catalog.flights.event(event).event_id)
        if not sees.hides_whole(one) and one.bounds_lonlat_deg and _holds(one.bounds_lonlat_deg, lon, lat)
    ]
    frames = (
        frame
        for one in flights
        for frame in _laid_over(catalog, one.flight_id, (lon, lat))
        if (until_ns is None or frame.header.captured_ns <= until_ns)
        and not sees.hides_photo(frame.footprint_wkb, one.bounds_lonlat_deg)
    )
    found = newest_oblique(frames, (lon, lat))
    if found is None:
        return None
    spot = spot_of(grounds, found.header.interior, found.exterior, found.dem_id, (lon, lat))
    return {**_frame(found), "spot": spot}


@router.get("/api/evidence/{sha256}")
def photo(
    sha256: Annotated[str, _SHA256],
    request: Request,
    services: ServicesHere,
    grounds: GroundsHere,
    visitor: Operator,
    part: PartHere,
) -> Response:
    """The original photo, byte for byte, for operators and above; ranges are honoured. Who opened it is
    written to the audit log, whatever the range.

    Where a mask holds from the visitor: its pixels alone, whole, as a JPEG with the mask burnt in. Gone (410)
    where it was let go under a retention term."""
    catalog, store = services.workspace.catalog, services.workspace.store
    frame = _frame_behind(catalog, sha256, visitor)
    key = keys.evidence(sha256)
    size = _size_of(services.workspace, frame)
    start, stop = part.of(size, sha256)
    if start >= stop:
        return beyond_the_end(size)
    openings: Openings = request.app.state.openings
    openings.note(catalog.audit, visitor.name, frame)
    covering = covering_of(frame, grounds, visitor)
    if covering is not None:
        return Response(
            covered_jpeg(store.get(key), frame, covering), media_type="image/jpeg", headers=COVERED_HEADERS
        )
    return bytes_answer(
        store,
        key,
        size,
        (start, stop),
        name=frame.header.provenance.source_name,
        etag=sha256,
        media_type=_media_type(store.get_range(key, 0, 4)),
    )


@router.get("/api/evidence/{sha256}/preview")
def preview(
    sha256: Annotated[str, _SHA256],
    services: ServicesHere,
    grounds: GroundsHere,
    visitor: Viewer,
    known: Annotated[str, Header(alias="if-none-match")] = "",
) -> Response:
    """The photo reduced to a small JPEG, its pixels alone, with the masks burnt in that hold from the
    visitor. A browser asks each time, for that may be more by then."""
    frame = _frame_behind(services.workspace.catalog, sha256, visitor)
    name = frame.header.provenance.source_name
    if _size_of(services.workspace, frame) > _PREVIEW_LIMIT_BYTES:
        raise FrameUnreadable(_("{name}: too large for a preview; open the original", name=name))
    covering = covering_of(frame, grounds, visitor)
    headers = COVERED_HEADERS if covering else {**COVERED_HEADERS, "ETag": f'"{sha256}.{PREVIEW_SIDE_PX}"'}
    if headers.get("ETag", "none of it") in known:
        return Response(status_code=304, headers=headers)
    jpeg = preview_jpeg(services.workspace.store.get(keys.evidence(sha256)), frame, covering)
    return Response(jpeg, media_type="image/jpeg", headers=headers)


def _told_to(visitor: Visitor, said: Json) -> Json:
    """What is known of a pixel; null to guests where it is not for them."""
    if visitor.may(Role.VIEWER):
        return said
    return {name: value if name in _TOLD_TO_GUESTS else None for name, value in said.items()}


def _size_of(workspace: Workspace, frame: FrameRecord) -> int:
    """Bytes of a photo. LetGo; NotFound for one of another box, of which only the map came here;
    ObjectMissing."""
    provenance, store = frame.header.provenance, workspace.store
    require_not_let_go(workspace, provenance.source_sha256)
    try:
        return store.size(keys.evidence(provenance.source_sha256))
    except ObjectMissing as error:
        if not has_given(store, live_mosaic_id(frame.flight_id, frame.header.layer)):
            raise
        raise NotFound(
            _(
                "{source_name}: this photo is on the box that flew it, only its map came "
                "here; bring it with 'flycam bundle write --originals'",
                source_name=provenance.source_name,
            )
        ) from error


def _let_go(workspace: Workspace, frame: FrameRecord) -> Json | None:
    line = let_go_among(workspace, [frame.header.provenance.source_sha256]).get(
        frame.header.provenance.source_sha256
    )
    return None if line is None else {"at": iso(line.at_ns), "by": line.author, "box": line.box}


def _finished(
    catalog: Catalog,
    grounds: Grounds,
    mosaic: MosaicInfo,
    frame: FrameRecord,
    lonlat: tuple[float, float],
) -> Json:
    """What a finished revision knows of a pixel: the frame's pose, the shift, whose ground it lies on."""
    record = catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
    used = catalog.revisions.frame(mosaic.mosaic_id, mosaic.revision, frame.frame_id)
    lies = {}
    if record.support_key is not None:
        support = grounds.grid(record.support_key)
        ((east, north),) = to_work(np.array([lonlat]), support.work_crs)
        own = is_own(support, np.array([east]), np.array([north]))[0]
        lies = {"ground": "own" if own else "corrected"}
    return {
        "pose_source": used.exterior.source.value if used else None,
        "finished": {
            "pose_state": used.state if used else None,
            "ties": used.ties if used else 0,
            "shift_sigma_m": record.stats.get("shift_sigma_m"),
        },
        **lies,
        **_spot(grounds, record, used, lonlat),
        **_footprint(grounds, record, used, frame),
    }


def _spot(
    grounds: Grounds, record: RevisionRecord, used: RevisionFrame | None, lonlat: tuple[float, float]
) -> Json:
    """Where the place lies in the photo as the revision laid it; nothing where that is not known."""
    if used is None or record.dem_id is None:
        return {}
    return {"spot": spot_of(grounds, used.interior, used.exterior, record.dem_id, lonlat)}


def _footprint(
    grounds: Grounds, record: RevisionRecord, used: RevisionFrame | None, frame: FrameRecord
) -> Json:
    """The photo's outline on the ground as the revision laid it; nothing where that is not known."""
    if used is None or record.dem_id is None:
        return {}
    terrain = grounds.grid(keys.terrain(record.dem_id))
    laid = replace(frame.header, interior=used.interior, exterior_prior=used.exterior)
    try:
        view = ground_view(laid, terrain)
    except FrameRejected:
        return {}
    return {"footprint": geometry(shapely.to_wkb(view.outline_lonlat))[0]}


def _laid_over(catalog: Catalog, flight_id: str, lonlat: tuple[float, float]) -> Iterator[FrameRecord]:
    """Used frames of a flight whose tiles hold a place: few of a thousand."""
    ((x, y),) = lonlat_to_mercator(np.array([lonlat])).tolist()
    for mosaic in catalog.tiles.mosaics(flight_id):
        tile_id, _, _ = tile_at(mosaic.base_zoom, (x, y))
        yield from catalog.frames.touching(flight_id, tile_id, FrameStatus.USED)


def _holds(bounds: BoundsLonLat, lon: float, lat: float) -> bool:
    west, south, east, north = bounds
    return west <= lon <= east and south <= lat <= north


def _mosaic_on_show(catalog: Catalog, flight_id: str, layer: Layer | None) -> MosaicInfo | None:
    shown = [mosaic for mosaic in catalog.tiles.mosaics(flight_id) if mosaic.published]
    if layer is not None:
        shown = [mosaic for mosaic in shown if mosaic.layer is layer]
    shown.sort(key=lambda mosaic: mosaic.layer is not Layer.COLOUR)
    return shown[0] if shown else None


def _frame(frame: FrameRecord) -> Json:
    provenance = frame.header.provenance
    return {
        "flight_id": frame.flight_id,
        "frame_id": frame.frame_id,
        "source_name": provenance.source_name,
        "source_sha256": provenance.source_sha256,
        "captured": iso(frame.header.captured_ns),
        "camera": provenance.camera,
        "operator": provenance.operator,
        "settled": list(provenance.settled),
        "gsd_m": frame.gsd_m,
        "pose_source": frame.exterior.source.value if frame.exterior else None,
        "footprint": geometry(frame.footprint_wkb)[0] if frame.footprint_wkb else None,
    }


def _frame_behind(catalog: Catalog, sha256: str, visitor: Visitor) -> FrameRecord:
    """The photo's frame. Only photos are handed out: a withdrawn one to administrators alone, and none to
    those from whom any ground in it is withheld, masked ground aside (`covered`)."""
    frame = catalog.frames.of_original(sha256)
    sees = visitor.withholding
    if not sees.is_nothing and sees.hides_whole(catalog.flights.flight(frame.flight_id)):
        raise no_photo(sha256)
    flight_box = None if sees.is_nothing else catalog.flights.flight(frame.flight_id).bounds_lonlat_deg
    if sees.hides_photo(frame.footprint_wkb, flight_box):
        raise withheld_from(frame.header.provenance.source_name, visitor.name)
    if frame.status is FrameStatus.WITHDRAWN and not visitor.may(Role.ADMIN):
        raise AccessDenied(
            _(
                "{source_name}: this photo was withdrawn; ask an administrator for it",
                source_name=frame.header.provenance.source_name,
            )
        )
    return frame


def _media_type(head: bytes) -> str:
    found = (kind for magic, kind in _TYPES.items() if head.startswith(magic))
    return next(found, "application/octet-stream")
