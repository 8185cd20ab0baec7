"""How long originals are kept: `retention`."""

from __future__ import annotations

import secrets

import click

from flycam.commands.house import Result, opened, who_asks
from flycam.console import command, language
from flycam.errors import OptionUnusable
from flycam.frame.retention import RetainedKind
from flycam.messages import _

_KIND = click.Choice([one.value for one in RetainedKind])
_FOREVER, _HOUSE = "forever", "house"


@click.group()
def retention() -> None:
    """How long originals of homes and victims are kept; nothing is let go before somebody confirms it."""


@retention.command("set")
@click.argument("kind", type=_KIND)
@click.argument("days", metavar="DAYS|forever|house")
@click.option("--event", help="Of this event alone (name or id). Default: of the house.")
@command
def retention_set(*, data_dir: str | None, kind: str, days: str, event: str | None) -> Result:
    """Keep originals of a KIND so many DAYS after their flight; `house`: the event as all others."""
    from flycam.answers.retaining import of_terms
    from flycam.pipeline.upkeep.retention import as_house, holds_in_force, names_of, set_term

    if days not in (_FOREVER, _HOUSE) and not (days.isascii() and days.isdigit()):
        raise _no_days(days)
    if days == _HOUSE and event is None:
        raise _no_days(days)
    with opened(data_dir, begins=True) as (workspace, settings):
        who = who_asks(settings)
        if days == _HOUSE and event is not None:
            as_house(workspace, RetainedKind(kind), event, who)
        else:
            set_term(workspace, RetainedKind(kind), None if days == _FOREVER else int(days), who, event)
        catalog = workspace.catalog
        return of_terms(catalog.retention.terms(), holds_in_force(catalog), names_of(catalog), language())


@retention.command("list")
@command
def retention_list(*, data_dir: str | None) -> Result:
    """The terms, and the holds in force."""
    from flycam.answers.retaining import of_terms
    from flycam.pipeline.upkeep.retention import holds_in_force, names_of

    with opened(data_dir) as (workspace, _):
        catalog = workspace.catalog
        return of_terms(catalog.retention.terms(), holds_in_force(catalog), names_of(catalog), language())


@retention.command("due")
@command
def retention_due(*, data_dir: str | None) -> Result:
    """What is due today, and the digest that confirms this very list."""
    from flycam.answers.retaining import of_due
    from flycam.pipeline.upkeep.retention import due_list, names_of

    with opened(data_dir) as (workspace, _):
        return of_due(due_list(workspace), names_of(workspace.catalog), language())


@retention.command("confirm")
@click.argument("digest")
@click.option("--authority", required=True, help="Who confirms it, by name.")
@command
def retention_confirm(*, data_dir: str | None, digest: str, authority: str) -> Result:
    """Let go of what stands on the list of this DIGEST, for good; the same again completes it."""
    from flycam.answers.retaining import of_confirmed
    from flycam.pipeline.upkeep.retention import confirm

    if not authority.strip():
        raise OptionUnusable(_("--authority: give the name of the administrator who confirms the list"))
    with opened(data_dir) as (workspace, __):
        return of_confirmed(confirm(workspace, digest, authority.strip()), language())


@retention.command("hold")
@click.argument("ref", metavar="FLIGHT|EVENT")
@click.option("--reason", required=True, help="Why nothing of it may be let go.")
@command
def retention_hold(*, data_dir: str | None, ref: str, reason: str) -> Result:
    """Let nothing go of a flight or an event, until the hold is released."""
    from flycam.answers.retaining import of_hold
    from flycam.pipeline.upkeep.retention import hold, names_of

    with opened(data_dir) as (workspace, settings):
        who = who_asks(settings)
        line = hold(workspace, f"hold-{secrets.token_hex(8)}", ref, reason, who)
        return of_hold(line, names_of(workspace.catalog), language())


@retention.command("release")
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, help="Why it need not be held any more.")
@command
def retention_release(*, data_dir: str | None, hold_id: str, reason: str) -> Result:
    """End a hold, for good: who wants it again makes another."""
    from flycam.answers.retaining import of_hold
    from flycam.pipeline.upkeep.retention import names_of, release

    with opened(data_dir) as (workspace, settings):
        who = who_asks(settings)
        line = release(workspace, hold_id, reason, who)
        return of_hold(line, names_of(workspace.catalog), language())


@retention.command("lift")
@click.argument("ref", metavar="FLIGHT|SHA256")
@click.option("--reason", required=True, help="Why the originals may come back.")
@command
def retention_lift(*, data_dir: str | None, ref: str, reason: str) -> Result:
    """Let originals that were let go come back: 'flycam verify --from CARD' puts them back then."""
    from flycam.answers.retaining import of_lifted
    from flycam.pipeline.upkeep.retention import lift

    with opened(data_dir) as (workspace, settings):
        who = who_asks(settings)
        return of_lifted(lift(workspace, ref, reason, who), language())


def _no_days(said: str) -> OptionUnusable:
    return OptionUnusable(
        _("{said}: give a number of days, 'forever', or with --event 'house'", said=said[:40])
    )
