"""Meeting packs over HTTP: asked for, looked after, fetched as one ZIP.

They are drafts: a leader's approval is given on the command line of the server (`flycam pack --approved-by`).
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Role
from flycam.errors import NotFound
from flycam.frame.flight import Flight
from flycam.serve.door import Visitor
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import operator
from flycam.serve.offered import flight_here, withheld_from
from flycam.serve.openings import Openings
from flycam.serve.packing import Pack, Packing, no_such_pack
from flycam.serve.wording import Json

router = APIRouter()

_MOST_FLIGHTS = 20
Writer = Annotated[Visitor, Depends(operator)]


class PackAsked(BaseModel):
    """Flights (ids or names) of one pack, and its language."""

    flights: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=_MOST_FLIGHTS)
    ]
    language: Literal["vi", "en"] = "vi"


def _packing(request: Request) -> Packing:
    packing: Packing = request.app.state.packing
    return packing


PackingHere = Annotated[Packing, Depends(_packing)]


@router.put("/api/packs", status_code=202)
def ask(asked: PackAsked, catalog: CatalogHere, packing: PackingHere, visitor: Writer) -> Json:
    """Begin to make a pack. The same asked again while it is made is the same pack."""
    flights = [_whole(catalog, ref, visitor).flight_id for ref in asked.flights]
    return _said(packing.ask(visitor, list(dict.fromkeys(flights)), asked.language))


@router.get("/api/packs/{pack_id}")
def state(pack_id: str, packing: PackingHere, visitor: Writer) -> Json:
    """How far it is: waiting, making, made, failed (with `sentence`, `sentence_vi`)."""
    return _said(_mine(packing, pack_id, visitor))


@router.get("/api/packs/{pack_id}/file", response_class=FileResponse)
def file(
    pack_id: str, request: Request, catalog: CatalogHere, packing: PackingHere, visitor: Writer
) -> FileResponse:
    """The folder as one ZIP. Who took it away is written to the audit log."""
    pack = _mine(packing, pack_id, visitor)
    for flight_id in pack.flights:  # what is withheld may be more by now
        _whole(catalog, flight_id, visitor)
    _require_same_rules(pack, visitor)
    name = quote(f"goi-hop-{pack.flights[0]}-{pack.language}.zip")
    path = packing.file(pack_id)
    openings: Openings = request.app.state.openings
    openings.note_export(catalog.audit, visitor.name, "pack fetched", " ".join(pack.flights), pack_id)
    return FileResponse(
        path,
        media_type="application/zip",
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Cache-Control": "private, no-cache",
        },
    )


def _whole(catalog: Catalog, ref: str, visitor: Visitor) -> Flight:
    """A flight of which nothing is withheld from the visitor: a pack is of whole flights. Raises NotFound,
    AccessDenied."""
    flight = flight_here(catalog, ref, visitor.withholding)
    if visitor.withholding.touches_box(flight.bounds_lonlat_deg):
        raise withheld_from(flight.name, visitor.name)
    return flight


def _require_same_rules(pack: Pack, visitor: Visitor) -> None:
    """A pack holds what whoever asked for it might see then. Raises NotFound where that is no longer what the
    visitor may see."""
    sees = visitor.withholding
    if not sees.is_nothing and sees.fingerprint != pack.rules:
        raise NotFound(
            "what you may see has changed since this meeting pack was made: ask for a new one",
            vi="phạm vi bạn được xem đã thay đổi từ khi lập gói họp này: hãy yêu cầu gói mới",
        )


def _mine(packing: Packing, pack_id: str, visitor: Visitor) -> Pack:
    """A pack of the visitor's own, or any for an administrator. Raises NotFound for all others."""
    pack = packing.get(pack_id)
    if pack.owner != visitor.name and not visitor.may(Role.ADMIN):
        raise no_such_pack()
    return pack


def _said(pack: Pack) -> Json:
    return {
        "pack_id": pack.pack_id,
        "state": pack.state.value,
        "flights": list(pack.flights),
        "language": pack.language,
        "size": pack.size,
        "sentence": pack.why[0],
        "sentence_vi": pack.why[1],
    }
