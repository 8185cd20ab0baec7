"""Redactions over HTTP: drawn by operators, revoked by analysts.

Covering shows less, so everyone who works with photos may do it; uncovering needs somebody who can judge what
is seen then. Edits come by PUT with JSON and by DELETE: no page of another site can make a browser send
those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import shapely
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.frames import make_photo_not_found
from flycam.catalog.records import FrameRecord
from flycam.catalog.redactions import select_active_redactions, select_revocation_requests
from flycam.catalog.sharing_records import RedactionRecord
from flycam.frame.redaction import MAX_CORNERS, RedactionReason, RedactionStep
from flycam.frame.timestamp import format_iso
from flycam.pipeline.orthorectification.redaction import RedactionRequest, add_redaction, revoke_redaction
from flycam.serve.auth.authenticator import Principal
from flycam.serve.auth.guards import AnalystPrincipal, OperatorPrincipal
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.http.json_values import Json
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.tiles.byte_ranges import SHA256_PATTERN
from flycam.serve.tiles.visible_flights import build_withheld_error

router = APIRouter(route_class=GuardedRoute)

_REDACTION_MADE = RedactionStep.MADE


class RedactionBody(BaseModel):
    """A mask as it is to be. photo: SHA-256 of the original; corners: [x, y] in its own pixels, in order."""

    photo: Annotated[str, Field(pattern=SHA256_PATTERN)]
    reason: RedactionReason
    corners: Annotated[list[tuple[float, float]], Field(min_length=3, max_length=MAX_CORNERS)]


@router.get("/api/redactions")
def list_photo_redactions(
    catalog: CatalogHere, principal: OperatorPrincipal, photo: Annotated[str, Query(pattern=SHA256_PATTERN)]
) -> Json:
    """Masks of a photo that hold: `size` of the photo in pixels, and `masks[]`, the first drawn first, each
    with `asked_back[]`: by whom on another box it was taken back, and when."""
    frame = _find_photo(catalog, photo, principal)
    width, height = frame.header.interior.image_size_px
    lines = catalog.redactions.list_for_photo(frame.frame_id)
    asked = select_revocation_requests(lines)
    return {
        "size": [width, height],
        "masks": [_describe_redaction(one, asked) for one in select_active_redactions(lines)],
    }


@router.put("/api/redactions/{mask_id}")
def put_redaction(
    mask_id: str, mask: RedactionBody, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Draw a mask. The caller makes the id, "mask-" and 8 to 40 hex digits: the same sent twice is drawn
    once."""
    frame = _find_photo(services.workspace.catalog, mask.photo, principal)
    asked = RedactionRequest(
        redaction_id=mask_id, frame_id=frame.frame_id, reason=mask.reason, corners=mask.corners
    )
    return _describe_redaction(add_redaction(services.workspace, asked, principal.name))


@router.delete("/api/redactions/{mask_id}")
def withdraw_redaction(mask_id: str, principal: AnalystPrincipal, services: ServicesHere) -> Json:
    """Take a mask back, for good."""
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
