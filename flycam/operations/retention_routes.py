"""Retention over HTTP, for administrators: terms, holds, due originals, purges.

Edits come by PUT with JSON and by DELETE: no page of another site can make a browser send those. Confirming a
purge needs an account: open access sees the list and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flycam.catalog.retention import DEFAULT_SUBJECT, HoldRecord, RetentionTerm
from flycam.errors import AccessDenied
from flycam.http.guards import AdminPrincipal, GuardedRoute, ServicesHere
from flycam.http.protocol import Json
from flycam.messages import _
from flycam.model.access import MAX_TERM_DAYS, RetainedKind
from flycam.model.time import format_iso
from flycam.operations.retention import (
    DueOriginal,
    confirm_purge,
    list_active_holds,
    list_due_originals,
    list_flight_and_event_names,
    place_hold,
    release_hold,
    reset_event_term,
    set_retention_term,
)

router = APIRouter(route_class=GuardedRoute)


class RetentionTermBody(BaseModel):
    """Retention term of originals of a kind.

    days: null for ever; event: its id or name, null for the node; as_house: the node's term applies to that
    event again.
    """

    kind: RetainedKind
    days: Annotated[int, Field(ge=1, le=MAX_TERM_DAYS)] | None
    event: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    as_house: bool = False


class RetentionHoldBody(BaseModel):
    """Subject of a hold (a flight or an event, id or name), and the reason."""

    subject: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class RetentionConfirmation(BaseModel):
    """Digest of the due list that was shown."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]


@router.get("/api/retention")
def get_retention(_: AdminPrincipal, services: ServicesHere) -> Json:
    """List terms, holds in force, and what is due today by kind and flight.

    The digest confirms the due list. `begun`: originals whose purge was confirmed and is not completed;
    confirming completes it.
    """
    workspace = services.workspace
    names = list_flight_and_event_names(workspace.catalog)
    due = list_due_originals(workspace)
    return {
        "terms": [_describe_term(one, names) for one in workspace.catalog.retention.terms()],
        "holds": [_describe_hold(one, names) for one in list_active_holds(workspace.catalog)],
        "due": {
            "digest": due.digest,
            "originals": len(due.originals),
            "begun": due.begun,
            "groups": [_describe_due_group(some, names) for some in due.groups],
        },
    }


@router.put("/api/retention/terms")
def put_retention_term(
    body: RetentionTermBody, principal: AdminPrincipal, services: ServicesHere
) -> list[Json]:
    """Set or reset a term; returns all terms."""
    workspace = services.workspace
    if body.as_house and body.event is not None:
        reset_event_term(workspace, body.kind, body.event, principal.name)
    else:
        set_retention_term(workspace, body.kind, body.days, principal.name, body.event)
    names = list_flight_and_event_names(workspace.catalog)
    return [_describe_term(one, names) for one in workspace.catalog.retention.terms()]


@router.put("/api/retention/holds/{hold_id}")
def put_retention_hold(
    hold_id: str, body: RetentionHoldBody, principal: AdminPrincipal, services: ServicesHere
) -> Json:
    """Place a hold on a flight or an event.

    The client makes the id, "hold-" and 8 to 40 hex digits, so that a repeated request is one hold.
    """
    line = place_hold(services.workspace, hold_id, body.subject, body.reason, principal.name)
    return _describe_hold(line, list_flight_and_event_names(services.workspace.catalog))


@router.delete("/api/retention/holds/{hold_id}")
def end_retention_hold(
    hold_id: str,
    principal: AdminPrincipal,
    services: ServicesHere,
    reason: Annotated[str, Query(min_length=1, max_length=500)],
) -> Json:
    """Release a hold, for good."""
    line = release_hold(services.workspace, hold_id, reason, principal.name)
    return _describe_hold(line, list_flight_and_event_names(services.workspace.catalog))


@router.put("/api/retention/confirmed")
def confirm_retention(body: RetentionConfirmation, principal: AdminPrincipal, services: ServicesHere) -> Json:
    """Purge the originals on the list of this digest, or complete a begun purge.

    409 if the list has changed.
    """
    if principal.account is None:
        raise AccessDenied(
            _(
                "originals are deleted by an administrator with a name: make an account "
                "('flycam account add NAME --role admin'), sign in and confirm again"
            )
        )
    done = confirm_purge(services.workspace, body.digest, principal.name)
    return {
        "digest": done.digest,
        "confirmed": done.confirmed,
        "let_go": done.purge.originals,
        "bytes": done.purge.size_bytes,
        "waiting": list(done.purge.waiting),
    }


def _describe_term(term: RetentionTerm, names: Mapping[str, str]) -> Json:
    return {
        "kind": term.kind.value,
        "days": term.days,
        "event_id": None if term.subject == DEFAULT_SUBJECT else term.subject,
        "event": None if term.subject == DEFAULT_SUBJECT else names.get(term.subject, term.subject),
        "by": term.author,
        "at": format_iso(term.at_ns),
    }


def _describe_hold(line: HoldRecord, names: Mapping[str, str]) -> Json:
    return {
        "hold_id": line.hold_id,
        "step": line.step.value,
        "subject": line.subject,
        "name": names.get(line.subject, line.subject),
        "reason": line.reason,
        "by": line.author,
        "at": format_iso(line.at_ns),
    }


def _describe_due_group(due: Sequence[DueOriginal], names: Mapping[str, str]) -> Json:
    first = due[0]
    return {
        "kind": first.claim.kind.value,
        "flight_id": first.claim.flight_id or None,
        "flight": names.get(first.claim.flight_id, first.claim.flight_id) or None,
        "event": names.get(first.claim.event_id) or None,
        "originals": len(due),
        "days": first.days,
        "told_by": first.ordered_by or None,
        "since": format_iso(min(one.since_ns for one in due)),
        "names": [one.claim.name for one in due[:3]],
    }
