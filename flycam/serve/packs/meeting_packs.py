"""Meeting packs over HTTP: asked for, looked after, approved, fetched as one ZIP.

What is asked for is a draft, of whoever asked. Somebody with an account who may judge (analysts,
administrators) looks at it and approves it: it is made anew with that name on the paper, the approval is in
the audit log, and from then on whoever may see all that is in it can fetch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from flycam.catalog.catalog import Catalog
from flycam.catalog.packs import Pack, PackState
from flycam.catalog.records import Role
from flycam.errors import AccessDenied, NotFound, StoreConflict
from flycam.frame.flight import Flight
from flycam.frame.moment import iso
from flycam.messages import _
from flycam.report.pack_figures import is_one_person
from flycam.report.pack_words import told
from flycam.serve.answering.wording import Json, iso_or_none
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Analyst, Operator, Viewer
from flycam.serve.door.openings import Openings
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.packs.packing import Packing, no_such_pack
from flycam.serve.services import CatalogHere, StoreHere
from flycam.serve.tiles.offered import flight_here, withheld_from
from flycam.serve.tiles.ranges import PartHere, beyond_the_end, bytes_answer

router = APIRouter(route_class=GuardedRoute)

_MOST_FLIGHTS = 20


class PackAsked(BaseModel):
    """Flights (ids or names) of one pack, its language, and the paper of its quick report."""

    flights: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=_MOST_FLIGHTS)
    ]
    language: Literal["vi", "en"] = "vi"
    paper: Literal["a4", "a3"] = "a4"


def _packing(request: Request) -> Packing:
    packing: Packing = request.app.state.packing
    return packing


PackingHere = Annotated[Packing, Depends(_packing)]


@router.put("/api/packs", status_code=202)
def ask(asked: PackAsked, catalog: CatalogHere, packing: PackingHere, visitor: Operator) -> Json:
    """Begin to make a pack. The same asked again while it is made is the same pack."""
    flights = [_whole(catalog, ref, visitor).flight_id for ref in asked.flights]
    pack = packing.ask(visitor, list(dict.fromkeys(flights)), asked.language, asked.paper)
    return _one_said(packing, pack, visitor)


@router.get("/api/packs")
def packs(catalog: CatalogHere, packing: PackingHere, visitor: Viewer) -> list[Json]:
    """Those that whoever asks may fetch or approve, the newest first: one's own, approved ones, and for
    analysts and administrators the drafts of others."""
    told = packing.all()
    askers, approved = packing.asked_by(told), _approved_among(told)
    return [
        _said(one, askers[one.pack_id], visitor, has_final=one.pack_id in approved)
        for one in told
        if _reaches(catalog, one, visitor)
    ]


@router.get("/api/packs/{pack_id}")
def state(pack_id: str, catalog: CatalogHere, packing: PackingHere, visitor: Viewer) -> Json:
    """How far it is: waiting, making, made, failed (with `sentence`, `sentence_vi`)."""
    return _one_said(packing, _within_reach(catalog, packing, pack_id, visitor), visitor)


@router.put("/api/packs/{pack_id}/approved", status_code=202)
def approve(pack_id: str, catalog: CatalogHere, packing: PackingHere, visitor: Analyst) -> Json:
    """Approve a draft that is made, under the name of one's account: begins to make the final pack (409: it
    is not made, or approved already). What was approved is told in the audit log by the draft's hash; where
    that is no longer what there is to say, the final pack is not made, and says so. Whoever asked for it may
    approve it too (decision 0039): then the log, the list and the paper say that it was one person."""
    draft = _within_reach(catalog, packing, pack_id, visitor)
    if visitor.account is None:
        raise AccessDenied(
            _(
                "a pack is approved by somebody with a name: make an account ('flycam user "
                "add NAME --role analyst'), sign in and approve it again"
            )
        )
    if draft.state is not PackState.MADE or draft.approved_by:
        raise StoreConflict(_("this meeting pack is no draft that is made: look at the list of packs again"))
    packing.file(draft)  # what is handed out no more is not approved either
    final = packing.ask(visitor, draft.flights, draft.language, draft.paper, draft)
    return _one_said(packing, final, visitor)


@router.get("/api/packs/{pack_id}/file", response_class=Response)
def file(
    pack_id: str,
    request: Request,
    catalog: CatalogHere,
    store: StoreHere,
    packing: PackingHere,
    visitor: Viewer,
    part: PartHere,
) -> Response:
    """The folder as one ZIP; ranges are honoured. Who took it away is written to the audit log."""
    pack = _within_reach(catalog, packing, pack_id, visitor)
    for flight_id in pack.flights_seen:  # what is withheld may be more by now
        _whole(catalog, flight_id, visitor)
    _require_same_rules(pack, visitor)
    key = packing.file(pack)
    size = store.size(key)
    start, stop = part.of(size, pack.sha256)
    if start >= stop:
        return beyond_the_end(size)
    openings: Openings = request.app.state.openings
    openings.note_export(catalog.audit, visitor.name, "pack fetched", " ".join(pack.flights_seen), pack_id)
    return bytes_answer(
        store,
        key,
        size,
        (start, stop),
        name=f"{told('file_pack', pack.language)}-{pack.flights[0]}-{pack.language}.zip",
        etag=pack.sha256,
        media_type="application/zip",
        is_saved=True,
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
        raise NotFound(_("what you may see has changed since this meeting pack was made: ask for a new one"))


def _within_reach(catalog: Catalog, packing: Packing, pack_id: str, visitor: Visitor) -> Pack:
    """A pack that the visitor may know of. Raises NotFound, and AccessDenied of drafts for those who make
    none."""
    pack = packing.get(pack_id)
    if not _reaches(catalog, pack, visitor):
        if not visitor.may(Role.OPERATOR) and not pack.approved_by:
            raise AccessDenied(
                _(
                    "{name}: this meeting pack is a draft; it can be fetched once it is approved",
                    name=visitor.name,
                )
            )
        raise no_such_pack()
    return pack


def _reaches(catalog: Catalog, pack: Pack, visitor: Visitor) -> bool:
    """One's own; for administrators all; for others who see all that is in it: what is approved, and for
    those who may approve it what is not."""
    if pack.owner == visitor.name or visitor.may(Role.ADMIN):
        return True
    is_shown = bool(pack.approved_by) and pack.state is PackState.MADE
    if not is_shown and not visitor.may(Role.ANALYST):
        return False
    try:
        for flight_id in pack.flights_seen:
            _whole(catalog, flight_id, visitor)
        _require_same_rules(pack, visitor)
    except (NotFound, AccessDenied):
        return False
    return True


def _one_said(packing: Packing, pack: Pack, visitor: Visitor) -> Json:
    has_final = pack.pack_id in _approved_among(packing.all())
    return _said(pack, packing.asked_by([pack])[pack.pack_id], visitor, has_final=has_final)


def _approved_among(packs: Sequence[Pack]) -> set[str]:
    """Ids of drafts that have a final pack among these, made or under way."""
    return {one.draft_id for one in packs if one.draft_id and one.state is not PackState.FAILED}


def _said(pack: Pack, asked_by: str, visitor: Visitor, *, has_final: bool) -> Json:
    """`has_final`: of a draft: it was approved, and its final pack is made or under way. `is_one_person`:
    who asked approved it too; of a draft, would approve it if that is whoever looks."""
    return {
        "pack_id": pack.pack_id,
        "state": pack.state.value,
        "flights": list(pack.flights),
        "language": pack.language,
        "paper": pack.paper,
        "owner": pack.owner,
        "asked_by": asked_by,
        "approved_by": pack.approved_by or None,
        "has_final": has_final,
        "is_one_person": is_one_person(asked_by, pack.approved_by or visitor.name),
        "asked": iso(pack.asked_ns),
        "made": iso_or_none(pack.ended_ns if pack.state is PackState.MADE else None),
        "size": pack.size_bytes,
        "sentence": pack.why[0],
        "sentence_vi": pack.why[1],
    }
