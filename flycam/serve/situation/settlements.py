"""Settlements that are cut off, reachable, or unknown: proposed by cut roads, said by people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from flycam.catalog.settlements import SettlementLine
from flycam.frame.moment import iso
from flycam.frame.settlement import Access
from flycam.pipeline.marks import NOTE_LETTERS
from flycam.pipeline.settlement_export import settlement_said
from flycam.pipeline.settlements import (
    MOST_REACH_M,
    REACH_M,
    SettlementAsked,
    history_of,
    say_access,
    settlements_of,
)
from flycam.serve.answering.until import parse_until
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import Analyst, Sees, viewer
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import ServicesHere

router = APIRouter(route_class=GuardedRoute)


class Word(BaseModel):
    """What is said of a settlement. based_on: the version that was seen, 0 where nobody had said anything."""

    event_id: Annotated[str, Field(max_length=200)]
    access: Access
    note: Annotated[str, Field(max_length=NOTE_LETTERS * 2)] = ""
    based_on: Annotated[int, Field(ge=0, le=1_000_000)]


@router.get("/api/settlements", dependencies=[Depends(viewer)])
def settlements(
    services: ServicesHere,
    sees: Sees,
    event: Annotated[str, Query(max_length=200)],
    reach: Annotated[float, Query(gt=0, le=MOST_REACH_M)] = REACH_M,
    until: datetime | None = None,
) -> Json:
    """Settlements of an event: `access` as a person said (unknown where nobody has), `proposed` by the roads
    that confirmed changes cut, and why (`roads_say`). reach: metres within which a road reaches one."""
    workspace = services.workspace
    found = settlements_of(workspace, workspace.catalog.flights.event(event), reach, parse_until(until), sees)
    return {"reach_m": reach, "settlements": [settlement_said(one) for one in found]}


@router.get("/api/settlements/{settlement_id}", dependencies=[Depends(viewer)])
def history(
    settlement_id: str, services: ServicesHere, sees: Sees, event: Annotated[str, Query(max_length=200)]
) -> Json:
    """All that was said of a settlement in an event, the first first."""
    workspace = services.workspace
    lines = history_of(workspace, workspace.catalog.flights.event(event), settlement_id, sees)
    return {"lines": [_in_words(line) for line in lines]}


@router.put("/api/settlements/{settlement_id}")
def say(settlement_id: str, word: Word, visitor: Analyst, services: ServicesHere) -> Json:
    """Say whether a settlement can be reached (409: somebody said something since it was seen)."""
    asked = SettlementAsked(
        event=word.event_id,
        settlement=settlement_id,
        access=word.access,
        note=word.note,
        based_on=word.based_on,
    )
    return _in_words(say_access(services.workspace, asked, visitor.name, visitor.withholding))


def _in_words(line: SettlementLine) -> Json:
    return {
        "settlement_id": line.settlement_id,
        "event_id": line.event_id,
        "version": line.version,
        "name": line.name,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
        "note": line.note,
        "said_by": line.author,
        "said": iso(line.at_ns, "seconds"),
    }
