"""Retention of originals, and its results: `retention`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import Output, wrap_command
from flycam.cli.workspace import get_operator_name, open_workspace
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.access import HoldStep, RetainedKind
from flycam.model.time import format_day

if TYPE_CHECKING:
    from flycam.catalog.retention import HoldRecord, PurgeRecord, RetentionTerm
    from flycam.operations.retention import DueList, DueOriginal, PurgeConfirmation

_KINDS = {
    RetainedKind.PHOTO: pgettext("retained originals", "photos"),
    RetainedKind.VIDEO: pgettext("retained originals", "recorded video"),
    RetainedKind.MARK_PHOTO: pgettext("retained originals", "photos of marks"),
    RetainedKind.UPLOAD: pgettext("retained originals", "videos and photos of uploads"),
}
_STEPS = {
    HoldStep.HELD: pgettext("retained originals", "held"),
    HoldStep.RELEASED: pgettext("retained originals", "released"),
}


def format_terms(
    terms: Sequence[RetentionTerm],
    holds: Sequence[HoldRecord],
    names: Mapping[str, str],
) -> Output:
    """Return terms[], and holds[] in force.

    names  of flights and events, by id
    """
    lines = [_term_line(one, names) for one in terms]
    lines = lines or [_("no terms: all originals are kept forever")]
    lines += [_hold_line(one, names) for one in holds]
    return {"terms": [_term(one) for one in terms], "holds": [_hold(one) for one in holds]}, lines


def format_hold(line: HoldRecord, names: Mapping[str, str]) -> Output:
    """Return hold_id, step, subject, reason, author and at_ns of a hold."""
    return _hold(line), [_hold_line(line, names)]


def format_due(due: DueList, names: Mapping[str, str]) -> Output:
    """Return digest, originals, begun and groups[] of the due list."""
    groups = due.groups
    answer = {
        "digest": due.digest,
        "originals": len(due.originals),
        "begun": due.begun,
        "groups": [_group(some) for some in groups],
    }
    lines = [_group_line(some, names) for some in groups]
    if due.begun:
        lines.append(_("{count} confirmed and not deleted yet", count=due.begun))
    if lines:
        lines.append(
            _("to confirm this list: flycam retention confirm {digest} --authority NAME", digest=due.digest)
        )
    return answer, lines or [_("nothing is due")]


def format_confirmed(done: PurgeConfirmation) -> Output:
    """Return digest, confirmed, let_go, bytes and waiting[]."""
    answer = {
        "digest": done.digest,
        "confirmed": done.confirmed,
        "let_go": done.purge.originals,
        "bytes": done.purge.size_bytes,
        "waiting": list(done.purge.waiting),
    }
    first = ngettext(
        "{count} original deleted, {size_mb:.1f} MB",
        "{count} originals deleted, {size_mb:.1f} MB",
        done.purge.originals,
        size_mb=done.purge.size_bytes / 1e6,
    )
    waiting = [_("  ! {name}: waits: run the same again later", name=name) for name in done.purge.waiting]
    return answer, [first, *waiting]


def format_lifted(lines: Sequence[PurgeRecord]) -> Output:
    """Return originals, and sha256[] of each."""
    hashes = sorted({one.sha256 for one in lines})
    line = ngettext(
        "{count} original may come back: flycam verify --from CARD",
        "{count} originals may come back: flycam verify --from CARD",
        len(hashes),
    )
    return {"originals": len(hashes), "sha256": hashes}, [line]


def _term(term: RetentionTerm) -> dict[str, Any]:
    return {
        "kind": term.kind.value,
        "days": term.days,
        "event_id": term.subject or None,
        "author": term.author,
        "at_ns": term.at_ns,
    }


def _term_line(term: RetentionTerm, names: Mapping[str, str]) -> Message:
    days = _("forever") if term.days is None else ngettext("{count} day", "{count} days", term.days)
    event = f" ({names.get(term.subject, term.subject)})" if term.subject else ""
    by = join([f"({term.author}, ", format_day(term.at_ns), ")"], "")
    return join([_KINDS[term.kind], f"{event}: ", days, " ", by], "")


def _hold(line: HoldRecord) -> dict[str, Any]:
    return {
        "hold_id": line.hold_id,
        "step": line.step.value,
        "subject": line.subject,
        "reason": line.reason,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _hold_line(line: HoldRecord, names: Mapping[str, str]) -> Message:
    name = names.get(line.subject, line.subject)
    by = join([f"({line.author}, ", format_day(line.at_ns), ")"], "")
    return join([f"{line.hold_id}  {name}: ", _STEPS[line.step], f": {line.reason} ", by], "")


def _group(some: Sequence[DueOriginal]) -> dict[str, Any]:
    first = some[0]
    return {
        "kind": first.claim.kind.value,
        "flight_id": first.claim.flight_id or None,
        "event_id": first.claim.event_id or None,
        "originals": len(some),
        "days": first.days,
        "told_by": first.ordered_by or None,
        "since_ns": min(one.since_ns for one in some),
        "sha256": [one.claim.sha256 for one in some],
    }


def _group_line(some: Sequence[DueOriginal], names: Mapping[str, str]) -> Message:
    first = some[0]
    owner_name = names.get(first.claim.flight_id) or names.get(first.claim.event_id) or first.claim.name
    if first.ordered_by:
        reason = _("deleted on {box}", box=first.ordered_by)
    else:
        reason = ngettext("past {count} day", "past {count} days", first.days or 0)
    return _(
        "{name}: {count} {kind}, {reason}, due since {day}",
        name=owner_name,
        count=len(some),
        kind=_KINDS[first.claim.kind],
        reason=reason,
        day=format_day(min(one.since_ns for one in some)),
    )


# -- Commands of `retention` -----------------------------------------------------------------------


_KIND = click.Choice([one.value for one in RetainedKind])
_FOREVER, _HOUSE = "forever", "house"


@click.group()
def retention_group() -> None:
    """How long originals of homes and victims are kept; nothing is let go before somebody confirms it."""


@retention_group.command("set")
@click.argument("kind", type=_KIND)
@click.argument("days", metavar="DAYS|forever|house")
@click.option("--event", help="Of this event alone (name or id). Default: of the house.")
@wrap_command
def set_retention_term_command(*, data_dir: str | None, kind: str, days: str, event: str | None) -> Output:
    """Keep originals of a KIND so many DAYS after their flight; `house`: the event as all others."""
    from flycam.operations.retention import (
        list_active_holds,
        list_flight_and_event_names,
        reset_event_term,
        set_retention_term,
    )

    if days not in (_FOREVER, _HOUSE) and not (days.isascii() and days.isdigit()):
        raise _build_days_error(days)
    if days == _HOUSE and event is None:
        raise _build_days_error(days)
    with open_workspace(data_dir, creates=True) as (workspace, settings):
        who = get_operator_name(settings)
        if days == _HOUSE and event is not None:
            reset_event_term(workspace, RetainedKind(kind), event, who)
        else:
            set_retention_term(
                workspace, RetainedKind(kind), None if days == _FOREVER else int(days), who, event
            )
        catalog = workspace.catalog
        return format_terms(
            catalog.retention.terms(),
            list_active_holds(catalog),
            list_flight_and_event_names(catalog),
        )


@retention_group.command("list")
@wrap_command
def list_retention_command(*, data_dir: str | None) -> Output:
    """The terms, and the holds in force."""
    from flycam.operations.retention import list_active_holds, list_flight_and_event_names

    with open_workspace(data_dir) as (workspace, __):
        catalog = workspace.catalog
        return format_terms(
            catalog.retention.terms(),
            list_active_holds(catalog),
            list_flight_and_event_names(catalog),
        )


@retention_group.command("due")
@wrap_command
def list_due_originals_command(*, data_dir: str | None) -> Output:
    """List the originals due today, with the digest that confirms this list."""
    from flycam.operations.retention import list_due_originals, list_flight_and_event_names

    with open_workspace(data_dir) as (workspace, __):
        return format_due(
            list_due_originals(workspace),
            list_flight_and_event_names(workspace.catalog),
        )


@retention_group.command("confirm")
@click.argument("digest")
@click.option("--authority", required=True, help="Who confirms it, by name.")
@wrap_command
def confirm_due_list_command(*, data_dir: str | None, digest: str, authority: str) -> Output:
    """Let go of what stands on the list of this DIGEST, for good; the same again completes it."""
    from flycam.operations.retention import confirm_purge

    if not authority.strip():
        raise OptionUnusable(_("--authority: give the name of the administrator who confirms the list"))
    with open_workspace(data_dir) as (workspace, __):
        return format_confirmed(confirm_purge(workspace, digest, authority.strip()))


@retention_group.command("hold")
@click.argument("ref", metavar="FLIGHT|EVENT")
@click.option("--reason", required=True, help="Why nothing of it may be let go.")
@wrap_command
def hold_originals_command(*, data_dir: str | None, ref: str, reason: str) -> Output:
    """Let nothing go of a flight or an event, until the hold is released."""
    from flycam.operations.retention import list_flight_and_event_names, place_hold

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        line = place_hold(workspace, f"hold-{secrets.token_hex(8)}", ref, reason, who)
        return format_hold(line, list_flight_and_event_names(workspace.catalog))


@retention_group.command("release")
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, help="Why it need not be held any more.")
@wrap_command
def release_hold_command(*, data_dir: str | None, hold_id: str, reason: str) -> Output:
    """End a hold, for good: who wants it again makes another."""
    from flycam.operations.retention import list_flight_and_event_names, release_hold

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        line = release_hold(workspace, hold_id, reason, who)
        return format_hold(line, list_flight_and_event_names(workspace.catalog))


@retention_group.command("lift")
@click.argument("ref", metavar="FLIGHT|SHA256")
@click.option("--reason", required=True, help="Why the originals may come back.")
@wrap_command
def lift_purge_command(*, data_dir: str | None, ref: str, reason: str) -> Output:
    """Let originals that were let go come back: 'flycam verify --from CARD' puts them back then."""
    from flycam.operations.retention import lift_purge

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        return format_lifted(lift_purge(workspace, ref, reason, who))


def _build_days_error(text: str) -> OptionUnusable:
    return OptionUnusable(
        _("{text}: give a number of days, 'forever', or with --event 'house'", text=text[:40])
    )
