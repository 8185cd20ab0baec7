"""Redaction masks over HTTP: drawn by operators and above, taken back by those who see what they cover.

Whoever covers something shows less, so who works with photos may do it; whoever uncovers it must be able to
judge what is seen then. Changes come by PUT with JSON and by DELETE: no page of another site can make a
browser send those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import shapely
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import no_photo
from flycam.catalog.records import FrameRecord
from flycam.catalog.redactions import asked_back, standing
from flycam.catalog.sharing_records import RedactionLine
from flycam.frame.moment import iso
from flycam.frame.redaction import MOST_CORNERS, RedactionReason, RedactionStep
from flycam.pipeline.laying.redacting import MaskAsked, make_mask, take_back_mask
from flycam.serve.answering.wording import Json
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Analyst, Operator
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.tiles.offered import withheld_from
from flycam.serve.tiles.ranges import SHA256

router = APIRouter(route_class=GuardedRoute)

_MADE = RedactionStep.MADE


class Mask(BaseModel):
    """A mask as it is to be. photo: SHA-256 of the original; corners: [x, y] in its own pixels, in order."""

    photo: Annotated[str, Field(pattern=SHA256)]
    reason: RedactionReason
    corners: Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MOST_CORNERS)]


@router.get("/api/redactions")
def masks(catalog: CatalogHere, visitor: Operator, photo: Annotated[str, Query(pattern=SHA256)]) -> Json:
    """Masks of a photo that hold: `size` of the photo in pixels, and `masks[]`, the first drawn first, each
    with `asked_back[]`: by whom on another box it was taken back, and when."""
    frame = _photo(catalog, photo, visitor)
    width, height = frame.header.interior.image_size_px
    lines = catalog.redactions.of_photo(frame.frame_id)
    asked = asked_back(lines)
    return {"size": [width, height], "masks": [_told(one, asked) for one in standing(lines)]}


@router.put("/api/redactions/{mask_id}")
def put_mask(mask_id: str, mask: Mask, visitor: Operator, services: ServicesHere) -> Json:
    """Draw a mask. The caller makes the id, "mask-" and 8 to 40 hex digits: the same sent twice is drawn
    once."""
    frame = _photo(services.workspace.catalog, mask.photo, visitor)
    asked = MaskAsked(mask_id=mask_id, frame_id=frame.frame_id, reason=mask.reason, corners=mask.corners)
    return _told(make_mask(services.workspace, asked, visitor.name))


@router.delete("/api/redactions/{mask_id}")
def take_back(mask_id: str, visitor: Analyst, services: ServicesHere) -> Json:
    """Take a mask back, for good."""
    catalog = services.workspace.catalog
    for frame_id in {one.frame_id for one in catalog.redactions.history(mask_id) if one.step is _MADE}:
        _may_have(catalog, catalog.frames.get(frame_id), visitor)
    return _told(take_back_mask(services.workspace, mask_id, visitor.name))


def _photo(catalog: Catalog, sha256: str, visitor: Visitor) -> FrameRecord:
    frame = catalog.frames.of_original(sha256)
    _may_have(catalog, frame, visitor)
    return frame


def _may_have(catalog: Catalog, frame: FrameRecord, visitor: Visitor) -> None:
    """Raises NotFound, AccessDenied for a photo that this visitor may not have, nor cover then."""
    flight, sees = catalog.flights.flight(frame.flight_id), visitor.withholding
    if sees.hides_whole(flight):
        raise no_photo(frame.header.provenance.source_sha256)
    if sees.hides_photo(frame.footprint_wkb, flight.bounds_lonlat_deg):
        raise withheld_from(frame.header.provenance.source_name, visitor.name)


def _told(line: RedactionLine, asked: Iterable[RedactionLine] = ()) -> Json:
    return {
        "mask_id": line.mask_id,
        "step": line.step.value,
        "reason": line.reason.value,
        "author": line.author,
        "at": iso(line.at_ns),
        "corners": shapely.get_coordinates(shapely.from_wkb(line.wkb))[:-1].tolist(),
        "asked_back": [
            {"author": one.author, "at": iso(one.at_ns)} for one in asked if one.mask_id == line.mask_id
        ],
    }
