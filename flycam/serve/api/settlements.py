"""Settlements cut off, reachable or unknown: proposed by roads, set by people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from flycam.catalog.settlements import SettlementVersion
from flycam.frame.settlement import Access
from flycam.frame.timestamp import format_iso
from flycam.pipeline.mark_edits import MAX_NOTE_LENGTH
from flycam.pipeline.settlement_export import serialize_settlement
from flycam.pipeline.settlements import (
    MAX_REACH_M,
    REACH_M,
    AccessReport,
    list_access_history,
    list_event_settlements,
    report_access,
)
from flycam.serve.auth.guards import AccessPolicyHere, AnalystPrincipal, require_viewer
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.http.json_values import Json
from flycam.serve.http.time_parameters import parse_until
from flycam.serve.services import ServicesHere

router = APIRouter(route_class=GuardedRoute)


class SettlementAccessBody(BaseModel):
    """What is said of a settlement. based_on: the version that was seen, 0 where nobody had said anything."""

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
    asked = AccessReport(
        event=body.event_id,
        settlement=settlement_id,
        access=body.access,
        note=body.note,
        based_on=body.based_on,
    )
    return _describe_settlement(
        report_access(services.workspace, asked, principal.name, principal.access_policy)
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
