"""Other nodes as this one knows them: `box`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import Output, get_operator_name, open_workspace, wrap_command
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext
from flycam.model.time import format_iso, format_minute, parse_timestamp

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.sync.revocation import RevocationReport


@click.group()
def box_group() -> None:
    """Other nodes, by their names (FLYCAM_BOX), and what this one knows of them."""


@box_group.command("forget")
@click.argument("name")
@wrap_command
def forget_box_command(*, data_dir: str | None, name: str) -> Output:
    """Forget the key of a node that was installed anew or restored: its next bundle is believed."""
    from flycam.sync.node_keys import forget_node_key

    with open_workspace(data_dir) as (workspace, __):
        key = forget_node_key(workspace, name)
        # key: the forgotten one, "" if it was damaged
        return {"box": name, "key": key}, [
            _("{name}: its key is forgotten; that of its next bundle is believed", name=name)
        ]


@box_group.command("list")
@wrap_command
def list_boxes_command(*, data_dir: str | None) -> Output:
    """The nodes that brought something, and what they say of flights that are not theirs: it waits here."""
    with open_workspace(data_dir) as (workspace, __):
        return _format_boxes(workspace.catalog)


@box_group.command("allow")
@click.argument("name")
@click.argument("flight", required=False)
@click.option("--all", "is_all", is_flag=True, help="Every flight here, also those to come.")
@wrap_command
def allow_box_command(*, data_dir: str | None, name: str, flight: str | None, is_all: bool) -> Output:
    """Let a node add to a FLIGHT that another brought, place its photos anew, withdraw and mask them."""
    from flycam.sync.authority import allow_peer

    if is_all == (flight is not None):
        raise OptionUnusable(_("{name}: name one flight, or give --all", name=name))
    with open_workspace(data_dir) as (workspace, settings):
        flight_id = allow_peer(workspace, name, flight, get_operator_name(settings))
        line = _(
            "{name}: may speak for {flight}; what it said comes with its next sync or bundle",
            name=name,
            flight=flight or "*",
        )
        return {"box": name, "flight_id": flight_id}, [line]


@box_group.command("dismiss")
@click.argument("name")
@click.argument("flight")
@wrap_command
def dismiss_box_command(*, data_dir: str | None, name: str, flight: str) -> Output:
    """Leave out what a node says of another's FLIGHT, until it says something else."""
    from flycam.sync.authority import dismiss_request

    with open_workspace(data_dir) as (workspace, settings):
        has_waited = dismiss_request(workspace, name, flight, get_operator_name(settings))
        line = (
            _("{name}: what it said of {flight} stays out", name=name, flight=flight)
            if has_waited
            else _("{name}: nothing of {flight} waited", name=name, flight=flight)
        )
        return {"box": name, "dismissed": has_waited}, [line]


@box_group.command("revoke")
@click.argument("name")
@click.option("--since", required=True, help='When it was stolen: "2024-09-10 14:00", local time.')
@click.option("--confirm", "is_confirmed", is_flag=True, help="Take back what is listed without it.")
@wrap_command
def revoke_box_command(*, data_dir: str | None, name: str, since: str, is_confirmed: bool) -> Output:
    """List what a stolen node claimed since a time; with --confirm take it back, and believe it no more.

    Its token is revoked by 'flycam user remove'.
    """
    from flycam.sync.exchange_import import SyncApplyHooks
    from flycam.sync.revocation import list_revocable, revoke_claims

    since_ns = parse_timestamp(since)
    if since_ns is None:
        raise OptionUnusable(_('--since {text}: give a time as "2024-09-10 14:00"', text=since[:40]))
    with open_workspace(data_dir) as (workspace, settings):
        if not is_confirmed:
            report = list_revocable(workspace, name, since_ns)
        else:
            who = get_operator_name(settings)
            report = revoke_claims(workspace, name, since_ns, who, SyncApplyHooks(workspace))
        return _format_revocation(report, since_ns, is_confirmed=is_confirmed)


def _format_boxes(catalog: Catalog) -> Output:
    """Return boxes[] (box, brought, allowed) and waiting[] (box, flight_id, name, claims, since)."""
    grants, waiting = catalog.peers.grants(), catalog.peers.requests()
    names = sorted({one.node for one in grants} | {one.node for one in waiting})
    boxes: list[dict[str, Any]] = []
    for name in names:
        own = [one for one in grants if one.node == name]
        allowed = [one.flight_id for one in own if one.permission.value == "allowed"]
        boxes.append({"box": name, "brought": len(own) - len(allowed), "allowed": allowed})
    answer = {
        "boxes": boxes,
        "waiting": [
            {
                "box": one.node,
                "flight_id": one.flight_id,
                "name": one.name,
                "claims": dict(one.claims),
                "since": format_iso(one.first_ns),
            }
            for one in waiting
        ],
    }
    lines = [
        ngettext(
            "{name}: brought {count} flight",
            "{name}: brought {count} flights",
            one["brought"],
            name=one["box"],
        )
        for one in boxes
    ]
    lines += [
        _(
            "waits: {box} says of {name}, which it did not bring: {claims}; flycam box allow {box} "
            "{flight_id}, or: flycam box dismiss {box} {flight_id}",
            box=one.node,
            name=one.name,
            claims=_format_claims(one.claims),
            flight_id=one.flight_id,
        )
        for one in waiting
    ]
    return answer, lines


def _format_revocation(report: RevocationReport, since_ns: int, *, is_confirmed: bool) -> Output:
    answer = {
        "box": report.node,
        "since": format_iso(since_ns),
        "claims": dict(report.claims),
        "flights": list(report.flights),
        "lines": report.lines,
        "undone": is_confirmed,
    }
    said = _format_claims(report.claims)
    moment = format_minute(since_ns)
    if not report.claims:
        return answer, [
            _("{name}: nothing that it said since {moment} holds", name=report.node, moment=moment)
        ]
    if is_confirmed:
        return answer, [
            _(
                "{name}: taken back what it said since {moment}: {claims}",
                name=report.node,
                moment=moment,
                claims=said,
            )
        ]
    return answer, [
        _(
            "{name}: since {moment} it said, and it holds: {claims}; --confirm takes it back",
            name=report.node,
            moment=moment,
            claims=said,
        )
    ]


def _format_claims(claims: Mapping[str, int]) -> Message:
    """Format counts by kind."""
    return join((_KINDS[kind](count) for kind, count in claims.items()), ", ")


_KINDS = {
    "flight": lambda count: ngettext("{count} flight", "{count} flights", count),
    "frame": lambda count: ngettext("{count} photo", "{count} photos", count),
    "placement": lambda count: ngettext("{count} pose", "{count} poses", count),
    "withdrawal": lambda count: ngettext("{count} withdrawal", "{count} withdrawals", count),
    "classification": lambda count: ngettext("{count} classification", "{count} classifications", count),
    "mask": lambda count: ngettext("{count} mask", "{count} masks", count),
    "hold": lambda count: ngettext("{count} hold", "{count} holds", count),
    "release": lambda count: ngettext("{count} release of a hold", "{count} releases of holds", count),
    "purge": lambda count: ngettext("{count} deletion", "{count} deletions", count),
    "lift": lambda count: ngettext("{count} deletion lifted", "{count} deletions lifted", count),
    "tiles": lambda count: ngettext("{count} exchange of tiles", "{count} exchanges of tiles", count),
}
