"""HTTP routes of briefing packs and quality reports.

A request for a briefing pack makes a draft of the requester's account. An analyst or administrator with an
account reviews and approves it: it is made anew with that name on the paper, the approval is in the audit
log, and from then on every account that may see all that is in it can download it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.access.visible_flights import build_withheld_error, find_visible_flight
from flycam.catalog.catalog import Catalog
from flycam.catalog.packs import Pack, PackState
from flycam.errors import AccessDenied, NotFound, StoreConflict
from flycam.http.authenticator import Principal
from flycam.http.guards import (
    AnalystPrincipal,
    DownloadLog,
    GuardedRoute,
    OperatorPrincipal,
    ViewerPrincipal,
    require_viewer,
)
from flycam.http.responses import (
    Json,
    RangeHere,
    build_standalone_policy,
    build_unsatisfiable_response,
    format_iso_or_none,
    stream_object,
)
from flycam.http.services import CatalogHere, ServicesHere, StoreHere
from flycam.messages import _, verbatim
from flycam.model.access import Role
from flycam.model.flight import Flight, Layer
from flycam.model.time import format_iso
from flycam.reports.briefing.figures import has_one_signatory
from flycam.reports.briefing.queue import PACK_FILE, PackQueue, build_no_pack_error
from flycam.reports.quality_report import get_report

# -- Quality report of a finished flight, as HTML or PDF -------------------------------------------


quality_router = APIRouter(dependencies=[Depends(require_viewer)])

_MEDIA_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


@quality_router.get("/api/flights/{ref}/report", response_class=Response)
def get_quality_report(
    services: ServicesHere,
    ref: str,
    principal: ViewerPrincipal,
    kind: Literal["html", "pdf"] = "html",
    language: Literal["vi", "en"] = "vi",
    layer: Layer | None = None,
    revision: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Return the report of the published revision, or of the one named."""
    flight = find_visible_flight(services.workspace.catalog, ref, principal.access_policy)
    if principal.access_policy.touches_box(flight.bounds_lonlat_deg):
        raise build_withheld_error(flight.name, principal.name)
    data = get_report(services.workspace, ref, language, kind, revision, layer)
    name = quote(f"flycam-{ref}-{language}.{kind}")
    return Response(
        data,
        media_type=_MEDIA_TYPES[kind],
        headers={
            "Content-Disposition": f"inline; filename*=UTF-8''{name}",
            "Content-Security-Policy": build_standalone_policy(data if kind == "html" else b""),
            "Cache-Control": "private, no-cache",
        },
    )


# -- Briefing packs: request, review, approval, and download as one ZIP ----------------------------


router = APIRouter(route_class=GuardedRoute)

_MAX_FLIGHTS = 20


class PackRequestBody(BaseModel):
    """Flights (ids or names) of a pack, its language, and its quick report's paper."""

    flights: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=_MAX_FLIGHTS)
    ]
    language: Literal["vi", "en"] = "vi"
    paper: Literal["a4", "a3"] = "a4"


def _get_pack_queue(request: Request) -> PackQueue:
    packing: PackQueue = request.app.state.packing
    return packing


PackQueueHere = Annotated[PackQueue, Depends(_get_pack_queue)]


@router.put("/api/packs", status_code=202)
def request_pack(
    body: PackRequestBody, catalog: CatalogHere, packing: PackQueueHere, principal: OperatorPrincipal
) -> Json:
    """Request a pack. The same request, repeated while it is made, is the same pack."""
    flights = [_require_visible_flight(catalog, ref, principal).flight_id for ref in body.flights]
    pack = packing.request_pack(principal, list(dict.fromkeys(flights)), body.language, body.paper)
    return _describe_one_pack(packing, pack, principal)


@router.get("/api/packs")
def list_packs(catalog: CatalogHere, packing: PackQueueHere, principal: ViewerPrincipal) -> list[Json]:
    """List the packs that the account may download or approve, newest first.

    One's own, approved ones, and for analysts and administrators the drafts of others.
    """
    packs = packing.all()
    askers, approved = packing.find_requesters(packs), _find_approved_drafts(packs)
    return [
        _describe_pack(one, askers[one.pack_id], principal, has_final=one.pack_id in approved)
        for one in packs
        if _can_reach(catalog, one, principal)
    ]


@router.get("/api/packs/{pack_id}")
def get_pack_state(
    pack_id: str, catalog: CatalogHere, packing: PackQueueHere, principal: ViewerPrincipal
) -> Json:
    """Return a pack with its state: waiting, making, made or failed.

    A failed one has the reason in `sentence` and `sentence_vi`.
    """
    return _describe_one_pack(packing, _find_reachable_pack(catalog, packing, pack_id, principal), principal)


@router.put("/api/packs/{pack_id}/approved", status_code=202)
def approve_pack(
    pack_id: str, catalog: CatalogHere, packing: PackQueueHere, principal: AnalystPrincipal
) -> Json:
    """Approve a draft that is made, under the name of one's account.

    Begins to make the final pack (409: the draft is not made, or approved already). The audit log records
    what was approved by the draft's hash; where the content has changed since, the final pack fails with that
    reason. The requester may approve it too (decision 0039): then the log, the list and the paper state that
    it was one person.
    """
    draft = _find_reachable_pack(catalog, packing, pack_id, principal)
    if principal.account is None:
        raise AccessDenied(
            _(
                "a pack is approved by somebody with a name: make an account ('flycam user "
                "add NAME --role analyst'), sign in and approve it again"
            )
        )
    if draft.state is not PackState.MADE or draft.approved_by:
        raise StoreConflict(_("this meeting pack is not a finished draft: look at the list of packs again"))
    # raises NotFound: a pack that is no longer served is not approved either
    packing.file(draft)
    final = packing.request_pack(principal, draft.flights, draft.language, draft.paper, draft)
    return _describe_one_pack(packing, final, principal)


@router.get("/api/packs/{pack_id}/file", response_class=Response)
def get_pack_file(
    pack_id: str,
    request: Request,
    catalog: CatalogHere,
    store: StoreHere,
    packing: PackQueueHere,
    principal: ViewerPrincipal,
    part: RangeHere,
) -> Response:
    """Download the pack as one ZIP; ranges are honoured.

    The download is written to the audit log.
    """
    pack = _find_reachable_pack(catalog, packing, pack_id, principal)
    # again: more may be withheld by now
    for flight_id in pack.flights_seen:
        _require_visible_flight(catalog, flight_id, principal)
    _require_same_rules(pack, principal)
    key = packing.file(pack)
    size = store.size(key)
    start, stop = part.resolve(size, pack.sha256)
    if start >= stop:
        return build_unsatisfiable_response(size)
    openings: DownloadLog = request.app.state.openings
    openings.note_export(catalog.audit, principal.name, "pack fetched", " ".join(pack.flights_seen), pack_id)
    return stream_object(
        store,
        key,
        size,
        (start, stop),
        name=f"{PACK_FILE.in_language(pack.language)}-{pack.flights[0]}-{pack.language}.zip",
        etag=pack.sha256,
        media_type="application/zip",
        is_saved=True,
    )


def _require_visible_flight(catalog: Catalog, ref: str, principal: Principal) -> Flight:
    """Return a flight of which nothing is withheld: a pack shows whole flights.

    Raises NotFound, AccessDenied.
    """
    flight = find_visible_flight(catalog, ref, principal.access_policy)
    if principal.access_policy.touches_box(flight.bounds_lonlat_deg):
        raise build_withheld_error(flight.name, principal.name)
    return flight


def _require_same_rules(pack: Pack, principal: Principal) -> None:
    """Raise NotFound if the access policy differs from the one a pack was made under."""
    policy = principal.access_policy
    if not policy.is_nothing and policy.fingerprint != pack.rules:
        raise NotFound(_("what you may see has changed since this meeting pack was made: ask for a new one"))


def _find_reachable_pack(catalog: Catalog, packing: PackQueue, pack_id: str, principal: Principal) -> Pack:
    """Return a pack that the principal may know of.

    Raises NotFound, and AccessDenied for a draft where the principal makes none.
    """
    pack = packing.get(pack_id)
    if not _can_reach(catalog, pack, principal):
        if not principal.has_role(Role.OPERATOR) and not pack.approved_by:
            raise AccessDenied(
                _(
                    "{name}: this meeting pack is a draft; it can be fetched once it is approved",
                    name=principal.name,
                )
            )
        raise build_no_pack_error()
    return pack


def _can_reach(catalog: Catalog, pack: Pack, principal: Principal) -> bool:
    """Return True if a pack is visible to the principal.

    One's own; for administrators all; for others who see all that is in it: approved packs, and for those who
    may approve them drafts.
    """
    if pack.owner == principal.name or principal.has_role(Role.ADMIN):
        return True
    is_shown = bool(pack.approved_by) and pack.state is PackState.MADE
    if not is_shown and not principal.has_role(Role.ANALYST):
        return False
    try:
        for flight_id in pack.flights_seen:
            _require_visible_flight(catalog, flight_id, principal)
        _require_same_rules(pack, principal)
    except (NotFound, AccessDenied):
        return False
    return True


def _describe_one_pack(packing: PackQueue, pack: Pack, principal: Principal) -> Json:
    has_final = pack.pack_id in _find_approved_drafts(packing.all())
    return _describe_pack(pack, packing.find_requesters([pack])[pack.pack_id], principal, has_final=has_final)


def _find_approved_drafts(packs: Sequence[Pack]) -> set[str]:
    """Return ids of drafts whose final pack is among these, made or pending."""
    return {one.draft_id for one in packs if one.draft_id and one.state is not PackState.FAILED}


def _describe_pack(pack: Pack, requested_by: str, principal: Principal, *, has_final: bool) -> Json:
    """Describe a pack for JSON.

    `has_final`: of a draft: it was approved, and its final pack is made or pending. `is_one_person`: the
    requester approved it too; of a draft, would approve it if that is the principal.
    """
    return {
        "pack_id": pack.pack_id,
        "state": pack.state.value,
        "flights": list(pack.flights),
        "language": pack.language,
        "paper": pack.paper,
        "owner": pack.owner,
        "asked_by": requested_by,
        "approved_by": pack.approved_by or None,
        "has_final": has_final,
        "is_one_person": has_one_signatory(requested_by, pack.approved_by or principal.name),
        "asked": format_iso(pack.asked_ns),
        "made": format_iso_or_none(pack.ended_ns if pack.state is PackState.MADE else None),
        "size": pack.size_bytes,
        **(verbatim("") if pack.why is None else pack.why).to_fields(),
    }
