"""Routes of field marks, and of reported access to settlements.

Marks are seen by everybody and written by operators and above. Every edit is a new version. Edits come by PUT
with JSON or a photo: no page of another site can make a browser send that.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.access.policy import AccessPolicy
from flycam.access.visible_flights import build_withheld_error
from flycam.board.marks import (
    MAX_MARK_CORNERS,
    MarkEdit,
    add_mark_photo,
    build_mark_collection,
    build_mark_feature,
    encode_mark_shape,
    write_mark,
)
from flycam.board.settlements import (
    MAX_REACH_M,
    REACH_M,
    AccessReport,
    list_access_history,
    list_event_settlements,
    report_access,
    serialize_settlement,
)
from flycam.catalog.board import SettlementVersion, make_mark_not_found
from flycam.catalog.catalog import Catalog
from flycam.errors import AccessDenied, NotFound
from flycam.http.guards import (
    AccessPolicyHere,
    AnalystPrincipal,
    GuardedRoute,
    OperatorPrincipal,
    ViewerPrincipal,
    require_operator,
    require_viewer,
)
from flycam.http.requests import MAX_LARGE_BYTES, parse_bounds, parse_until, read_body
from flycam.http.responses import BRIEF_CACHE_HEADERS, Json
from flycam.http.services import CatalogHere, ServicesHere
from flycam.messages import _
from flycam.model.board import Access, MarkKind, MarkStatus
from flycam.model.records import MarkVersion
from flycam.model.text import MAX_NOTE_LENGTH
from flycam.model.time import format_iso
from flycam.originals import require_not_purged
from flycam.storage import keys

router = APIRouter(route_class=GuardedRoute)

_MAX_MARKS = 5000


class MarkBody(BaseModel):
    """A mark as it is to be. places: [longitude, latitude] of a point, or the corners of a sector."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    event_id: Annotated[str, Field(max_length=200)]
    kind: MarkKind
    status: MarkStatus = MarkStatus.OPEN
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    places: Annotated[list[tuple[float, float]], Field(min_length=1, max_length=MAX_MARK_CORNERS)]


@router.get("/api/marks", dependencies=[Depends(require_viewer)])
def list_marks(
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str | None, Query(max_length=200)] = None,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    removed: bool = False,
    vn2000: bool = False,
    until: datetime | None = None,
) -> Json:
    """Marks of an event (id or name), else of all, as they stand (GeoJSON), the newest first; with `removed`
    also those taken off the map.

    bounds is west,south,east,north in degrees; with `vn2000` each has its VN-2000 coordinates too; with
    `until` (without a zone it is Vietnam's) as they stood then.
    """
    event_id = None if event is None else catalog.flights.event(event).event_id
    found = catalog.marks.current(
        event_id, parse_bounds(bounds), with_removed=removed, until_ns=parse_until(until)
    )
    found = [one for one in found if not access_policy.is_outside(one.wkb)]
    answer = build_mark_collection(found[:_MAX_MARKS], catalog.boundaries if vn2000 else None)
    return {**answer, "numberMatched": len(found), "numberReturned": min(len(found), _MAX_MARKS)}


@router.get("/api/marks/{mark_id}", dependencies=[Depends(require_viewer)])
def get_mark_history(mark_id: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """Every line of a mark, the first first: who wrote what, and when."""
    return build_mark_collection(_find_lines(catalog, mark_id, access_policy), catalog.boundaries)


@router.put("/api/marks/{mark_id}")
def put_mark(mark_id: str, mark: MarkBody, principal: OperatorPrincipal, services: ServicesHere) -> Json:
    """Write a mark: new with based_on 0, else a change of the version that was seen (409: there is a newer).

    The caller makes the id, "mark-" and 8 to 40 hex digits: the same sent twice is written once. 403 where it
    would lie beyond the communes that the caller is there for.
    """
    if mark.based_on:
        _find_lines(services.workspace.catalog, mark_id, principal.access_policy)
    edit = MarkEdit(mark_id=mark_id, **mark.model_dump())
    if principal.access_policy.is_outside(encode_mark_shape(edit)):
        raise _build_outside_error(principal.name)
    return build_mark_feature(write_mark(services.workspace, edit, principal.name), None)


@router.put(
    "/api/marks/{mark_id}/photo",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_mark_photo(
    mark_id: str,
    request: Request,
    principal: OperatorPrincipal,
    services: ServicesHere,
    based_on: Annotated[int, Query(ge=1, le=1_000_000)],
) -> Json:
    """Give a mark a photo (JPEG, PNG, WebP): kept as pixels only, without what else the file holds."""
    await asyncio.to_thread(_find_lines, services.workspace.catalog, mark_id, principal.access_policy)
    data = await read_body(request, MAX_LARGE_BYTES)
    # again: the token may have been revoked while the body came
    await asyncio.to_thread(require_operator, request)
    line = await asyncio.to_thread(
        add_mark_photo, services.workspace, mark_id, based_on, data, principal.name
    )
    return build_mark_feature(line, None)


@router.get("/api/marks/{mark_id}/photo")
def get_mark_photo(
    mark_id: str,
    catalog: CatalogHere,
    services: ServicesHere,
    principal: ViewerPrincipal,
    version: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> Response:
    """The photo of a mark, of its last line or an older version."""
    lines = _find_lines(catalog, mark_id, principal.access_policy)
    if any(principal.access_policy.touches(one.wkb) for one in lines):
        raise build_withheld_error(mark_id, principal.name)
    line = next((one for one in lines if one.version == version), None) if version else lines[-1]
    if line is None or line.photo_sha256 is None:
        raise NotFound(_("{mark_id}: has no photo there; see its history", mark_id=mark_id))
    require_not_purged(services.workspace, line.photo_sha256)
    jpeg = services.workspace.store.get(keys.format_original_key(line.photo_sha256))
    return Response(jpeg, media_type="image/jpeg", headers=BRIEF_CACHE_HEADERS)


def _find_lines(catalog: Catalog, mark_id: str, access_policy: AccessPolicy) -> list[MarkVersion]:
    """Return the versions of a mark that lie where the policy shows ground.

    Raises NotFound, also for a mark that now lies outside it.
    """
    lines = catalog.marks.history(mark_id)
    if access_policy.is_outside(lines[-1].wkb):
        raise make_mark_not_found(mark_id)
    return [one for one in lines if not access_policy.is_outside(one.wkb)]


def _build_outside_error(name: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{name}: this place is beyond the communes that the account is for; mark one within them",
            name=name,
        )
    )


# -- Routes of reported access to settlements ------------------------------------------------------


class SettlementAccessBody(BaseModel):
    """Report on a settlement. based_on: the version that was seen, 0 for the first report."""

    event_id: Annotated[str, Field(max_length=200)]
    access: Access
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    based_on: Annotated[int, Field(ge=0, le=1_000_000)]


@router.get("/api/settlements", dependencies=[Depends(require_viewer)])
def list_settlements(
    services: ServicesHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
    reach: Annotated[float, Query(gt=0, le=MAX_REACH_M)] = REACH_M,
    until: datetime | None = None,
) -> Json:
    """Settlements of an event: `access` as a person said (unknown where nobody has), `proposed` by the roads
    that confirmed changes cut, and why (`roads_say`). reach: metres within which a road reaches one."""
    workspace = services.workspace
    found = list_event_settlements(
        workspace, workspace.catalog.flights.event(event), reach, parse_until(until), access_policy
    )
    return {"reach_m": reach, "settlements": [serialize_settlement(one) for one in found]}


@router.get("/api/settlements/{settlement_id}", dependencies=[Depends(require_viewer)])
def get_settlement_history(
    settlement_id: str,
    services: ServicesHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
) -> Json:
    """All that was said of a settlement in an event, the first first."""
    workspace = services.workspace
    lines = list_access_history(
        workspace, workspace.catalog.flights.event(event), settlement_id, access_policy
    )
    return {"lines": [_describe_settlement(line) for line in lines]}


@router.put("/api/settlements/{settlement_id}")
def set_settlement_access(
    settlement_id: str, body: SettlementAccessBody, principal: AnalystPrincipal, services: ServicesHere
) -> Json:
    """Say whether a settlement can be reached (409: somebody said something since it was seen)."""
    report = AccessReport(
        event=body.event_id,
        settlement=settlement_id,
        access=body.access,
        note=body.note,
        based_on=body.based_on,
    )
    return _describe_settlement(
        report_access(services.workspace, report, principal.name, principal.access_policy)
    )


def _describe_settlement(line: SettlementVersion) -> Json:
    return {
        "settlement_id": line.settlement_id,
        "event_id": line.event_id,
        "version": line.version,
        "name": line.name,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
        "note": line.note,
        "said_by": line.author,
        "said": format_iso(line.at_ns, "seconds"),
    }
