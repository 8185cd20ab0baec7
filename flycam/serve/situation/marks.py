"""Field marks: seen by everybody, written by operators and above. Every change is a new line.

Changes come by PUT with JSON or a picture: no page of another site can make a browser send that.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.marks import no_such_mark
from flycam.catalog.records import MarkLine
from flycam.catalog.withholding import Withholding
from flycam.errors import AccessDenied, NotFound
from flycam.frame.mark import MarkKind, MarkStatus
from flycam.messages import _
from flycam.pipeline.evidence import require_not_let_go
from flycam.pipeline.mark_words import mark_feature, mark_features
from flycam.pipeline.marks import MOST_CORNERS, NOTE_LETTERS, MarkAsked, add_photo, lies_at, write_mark
from flycam.serve.answering.bodies import MAX_LARGE_BYTES, read_body
from flycam.serve.answering.rectangle import parse_bounds
from flycam.serve.answering.until import parse_until
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import Operator, Sees, Viewer, operator, viewer
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.tiles.offered import withheld_from
from flycam.serve.tiles.ranges import FOR_A_WHILE
from flycam.store import keys

router = APIRouter(route_class=GuardedRoute)

_MOST = 5000


class Mark(BaseModel):
    """A mark as it is to be. places: [longitude, latitude] of a point, or the corners of a sector."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    event_id: Annotated[str, Field(max_length=200)]
    kind: MarkKind
    status: MarkStatus = MarkStatus.OPEN
    note: Annotated[str, Field(max_length=NOTE_LETTERS * 2)] = ""
    places: Annotated[list[tuple[float, float]], Field(min_length=1, max_length=MOST_CORNERS)]


@router.get("/api/marks", dependencies=[Depends(viewer)])
def marks(
    catalog: CatalogHere,
    sees: Sees,
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
    found = [one for one in found if not sees.is_outside(one.wkb)]
    answer = mark_features(found[:_MOST], catalog.boundaries if vn2000 else None)
    return {**answer, "numberMatched": len(found), "numberReturned": min(len(found), _MOST)}


@router.get("/api/marks/{mark_id}", dependencies=[Depends(viewer)])
def history(mark_id: str, catalog: CatalogHere, sees: Sees) -> Json:
    """Every line of a mark, the first first: who wrote what, and when."""
    return mark_features(_lines(catalog, mark_id, sees), catalog.boundaries)


@router.put("/api/marks/{mark_id}")
def put_mark(mark_id: str, mark: Mark, visitor: Operator, services: ServicesHere) -> Json:
    """Write a mark: new with based_on 0, else a change of the version that was seen (409: there is a newer).

    The caller makes the id, "mark-" and 8 to 40 hex digits: the same sent twice is written once. 403 where it
    would lie beyond the communes that the caller is there for.
    """
    if mark.based_on:
        _lines(services.workspace.catalog, mark_id, visitor.withholding)
    asked = MarkAsked(mark_id=mark_id, **mark.model_dump())
    if visitor.withholding.is_outside(lies_at(asked)):
        raise _beyond(visitor.name)
    return mark_feature(write_mark(services.workspace, asked, visitor.name), None)


@router.put(
    "/api/marks/{mark_id}/photo",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_photo(
    mark_id: str,
    request: Request,
    visitor: Operator,
    services: ServicesHere,
    based_on: Annotated[int, Query(ge=1, le=1_000_000)],
) -> Json:
    """Give a mark a photo (JPEG, PNG, WebP): kept as pixels only, without what else the file holds."""
    await asyncio.to_thread(_lines, services.workspace.catalog, mark_id, visitor.withholding)
    data = await read_body(request, MAX_LARGE_BYTES)
    await asyncio.to_thread(operator, request)  # a token may be taken away meanwhile
    line = await asyncio.to_thread(add_photo, services.workspace, mark_id, based_on, data, visitor.name)
    return mark_feature(line, None)


@router.get("/api/marks/{mark_id}/photo")
def photo(
    mark_id: str,
    catalog: CatalogHere,
    services: ServicesHere,
    visitor: Viewer,
    version: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> Response:
    """The photo of a mark, of its last line or an older version."""
    lines = _lines(catalog, mark_id, visitor.withholding)
    if any(visitor.withholding.touches(one.wkb) for one in lines):
        raise withheld_from(mark_id, visitor.name)
    line = next((one for one in lines if one.version == version), None) if version else lines[-1]
    if line is None or line.photo_sha256 is None:
        raise NotFound(_("{mark_id}: has no photo there; see its history", mark_id=mark_id))
    require_not_let_go(services.workspace, line.photo_sha256)
    jpeg = services.workspace.store.get(keys.evidence(line.photo_sha256))
    return Response(jpeg, media_type="image/jpeg", headers=FOR_A_WHILE)


def _lines(catalog: Catalog, mark_id: str, sees: Withholding) -> list[MarkLine]:
    """The lines of a mark that lie where the visitor sees. Raises NotFound, the same for one that lies now
    where they see nothing."""
    lines = catalog.marks.history(mark_id)
    if sees.is_outside(lines[-1].wkb):
        raise no_such_mark(mark_id)
    return [one for one in lines if not sees.is_outside(one.wkb)]


def _beyond(name: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{name}: this place is beyond the communes that the account is for; mark one within them",
            name=name,
        )
    )
