"""Retention of originals: `retention`."""

from __future__ import annotations

import secrets

import click

from flycam.commands.workspace import CommandOutput, get_operator_name, open_workspace
from flycam.console import wrap_command
from flycam.errors import OptionUnusable
from flycam.frame.retention import RetainedKind
from flycam.messages import _

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
def set_retention_term_command(
    *, data_dir: str | None, kind: str, days: str, event: str | None
) -> CommandOutput:
    """Keep originals of a KIND so many DAYS after their flight; `house`: the event as all others."""
    from flycam.answers.retention import format_terms
    from flycam.pipeline.operations.retention import (
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
def list_retention_command(*, data_dir: str | None) -> CommandOutput:
    """The terms, and the holds in force."""
    from flycam.answers.retention import format_terms
    from flycam.pipeline.operations.retention import list_active_holds, list_flight_and_event_names

    with open_workspace(data_dir) as (workspace, __):
        catalog = workspace.catalog
        return format_terms(
            catalog.retention.terms(),
            list_active_holds(catalog),
            list_flight_and_event_names(catalog),
        )


@retention_group.command("due")
@wrap_command
def list_due_originals_command(*, data_dir: str | None) -> CommandOutput:
    """What is due today, and the digest that confirms this very list."""
    from flycam.answers.retention import format_due
    from flycam.pipeline.operations.retention import list_due_originals, list_flight_and_event_names

    with open_workspace(data_dir) as (workspace, __):
        return format_due(
            list_due_originals(workspace),
            list_flight_and_event_names(workspace.catalog),
        )


@retention_group.command("confirm")
@click.argument("digest")
@click.option("--authority", required=True, help="Who confirms it, by name.")
@wrap_command
def confirm_due_list_command(*, data_dir: str | None, digest: str, authority: str) -> CommandOutput:
    """Let go of what stands on the list of this DIGEST, for good; the same again completes it."""
    from flycam.answers.retention import format_confirmed
    from flycam.pipeline.operations.retention import confirm_purge

    if not authority.strip():
        raise OptionUnusable(_("--authority: give the name of the administrator who confirms the list"))
    with open_workspace(data_dir) as (workspace, __):
        return format_confirmed(confirm_purge(workspace, digest, authority.strip()))


@retention_group.command("hold")
@click.argument("ref", metavar="FLIGHT|EVENT")
@click.option("--reason", required=True, help="Why nothing of it may be let go.")
@wrap_command
def hold_originals_command(*, data_dir: str | None, ref: str, reason: str) -> CommandOutput:
    """Let nothing go of a flight or an event, until the hold is released."""
    from flycam.answers.retention import format_hold
    from flycam.pipeline.operations.retention import list_flight_and_event_names, place_hold

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        line = place_hold(workspace, f"hold-{secrets.token_hex(8)}", ref, reason, who)
        return format_hold(line, list_flight_and_event_names(workspace.catalog))


@retention_group.command("release")
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, help="Why it need not be held any more.")
@wrap_command
def release_hold_command(*, data_dir: str | None, hold_id: str, reason: str) -> CommandOutput:
    """End a hold, for good: who wants it again makes another."""
    from flycam.answers.retention import format_hold
    from flycam.pipeline.operations.retention import list_flight_and_event_names, release_hold

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        line = release_hold(workspace, hold_id, reason, who)
        return format_hold(line, list_flight_and_event_names(workspace.catalog))


@retention_group.command("lift")
@click.argument("ref", metavar="FLIGHT|SHA256")
@click.option("--reason", required=True, help="Why the originals may come back.")
@wrap_command
def lift_purge_command(*, data_dir: str | None, ref: str, reason: str) -> CommandOutput:
    """Let originals that were let go come back: 'flycam verify --from CARD' puts them back then."""
    from flycam.answers.retention import format_lifted
    from flycam.pipeline.operations.retention import lift_purge

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        return format_lifted(lift_purge(workspace, ref, reason, who))


def _build_days_error(text: str) -> OptionUnusable:
    return OptionUnusable(
        _("{said}: give a number of days, 'forever', or with --event 'house'", said=text[:40])
    )
