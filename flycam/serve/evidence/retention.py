"""Retention over HTTP, for administrators: terms, holds, what is due today, and its confirmation.

Changes come by PUT with JSON and by DELETE: no page of another site can make a browser send those. What is
let go is confirmed by somebody with a name: who came in without an account sees the list and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flycam.catalog.retention_records import HOUSE, HoldLine, Term
from flycam.errors import AccessDenied
from flycam.frame.moment import iso
from flycam.frame.retention import MOST_DAYS, RetainedKind
from flycam.messages import _
from flycam.pipeline.upkeep.retention import (
    Due,
    as_house,
    confirm,
    due_list,
    hold,
    holds_in_force,
    names_of,
    release,
    set_term,
)
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import Admin
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import ServicesHere

router = APIRouter(route_class=GuardedRoute)


class TermAsked(BaseModel):
    """How long originals of a kind are kept. days: null for ever; event: its id or name, null for the house;
    as_house: what the house says holds for that event again."""

    kind: RetainedKind
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None
    event: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    as_house: bool = False


class HoldAsked(BaseModel):
    """What is held (a flight or an event, id or name), and why."""

    subject: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Confirmation(BaseModel):
    """The digest of the list that was shown."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]


@router.get("/api/retention")
def retention(_: Admin, services: ServicesHere) -> Json:
    """Terms, holds in force, and what is due today by kind and flight, with the digest that confirms it.

    `begun`: originals whose letting go was confirmed and is not done: confirming completes it.
    """
    workspace = services.workspace
    names = names_of(workspace.catalog)
    due = due_list(workspace)
    return {
        "terms": [_term(one, names) for one in workspace.catalog.retention.terms()],
        "holds": [_hold(one, names) for one in holds_in_force(workspace.catalog)],
        "due": {
            "digest": due.digest,
            "originals": len(due.originals),
            "begun": due.begun,
            "groups": [_group(some, names) for some in due.groups],
        },
    }


@router.put("/api/retention/terms")
def put_term(asked: TermAsked, visitor: Admin, services: ServicesHere) -> list[Json]:
    """Set or forget a term; the terms as they are then."""
    workspace = services.workspace
    if asked.as_house and asked.event is not None:
        as_house(workspace, asked.kind, asked.event, visitor.name)
    else:
        set_term(workspace, asked.kind, asked.days, visitor.name, asked.event)
    names = names_of(workspace.catalog)
    return [_term(one, names) for one in workspace.catalog.retention.terms()]


@router.put("/api/retention/holds/{hold_id}")
def put_hold(hold_id: str, asked: HoldAsked, visitor: Admin, services: ServicesHere) -> Json:
    """Hold a flight or an event. The caller makes the id, "hold-" and 8 to 40 hex digits: the same sent
    twice is one hold."""
    line = hold(services.workspace, hold_id, asked.subject, asked.reason, visitor.name)
    return _hold(line, names_of(services.workspace.catalog))


@router.delete("/api/retention/holds/{hold_id}")
def end_hold(
    hold_id: str,
    visitor: Admin,
    services: ServicesHere,
    reason: Annotated[str, Query(min_length=1, max_length=500)],
) -> Json:
    """Release a hold, for good."""
    line = release(services.workspace, hold_id, reason, visitor.name)
    return _hold(line, names_of(services.workspace.catalog))


@router.put("/api/retention/confirmed")
def put_confirmed(asked: Confirmation, visitor: Admin, services: ServicesHere) -> Json:
    """Let go of what stands on the list of this digest, or complete what was begun of it. 409 if another list
    stands by now."""
    if visitor.account is None:
        raise AccessDenied(
            _(
                "originals are let go by an administrator with a name: make an account "
                "('flycam user add NAME --role admin'), sign in and confirm again"
            )
        )
    done = confirm(services.workspace, asked.digest, visitor.name)
    return {
        "digest": done.digest,
        "confirmed": done.confirmed,
        "let_go": done.done.originals,
        "bytes": done.done.size_bytes,
        "waiting": list(done.done.waiting),
    }


def _term(term: Term, names: Mapping[str, str]) -> Json:
    return {
        "kind": term.kind.value,
        "days": term.days,
        "event_id": None if term.subject == HOUSE else term.subject,
        "event": None if term.subject == HOUSE else names.get(term.subject, term.subject),
        "by": term.author,
        "at": iso(term.at_ns),
    }


def _hold(line: HoldLine, names: Mapping[str, str]) -> Json:
    return {
        "hold_id": line.hold_id,
        "step": line.step.value,
        "subject": line.subject,
        "name": names.get(line.subject, line.subject),
        "reason": line.reason,
        "by": line.author,
        "at": iso(line.at_ns),
    }


def _group(due: Sequence[Due], names: Mapping[str, str]) -> Json:
    first = due[0]
    return {
        "kind": first.claim.kind.value,
        "flight_id": first.claim.flight_id or None,
        "flight": names.get(first.claim.flight_id, first.claim.flight_id) or None,
        "event": names.get(first.claim.event_id) or None,
        "originals": len(due),
        "days": first.days,
        "told_by": first.told_by or None,
        "since": iso(min(one.since_ns for one in due)),
        "names": [one.claim.name for one in due[:3]],
    }
