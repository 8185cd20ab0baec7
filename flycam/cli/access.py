"""Access policy commands: `restricted`, `flights` (and their event), `guests`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    CLASSIFICATION_CHOICE,
    FILE_PATH,
    Output,
    get_operator_name,
    open_workspace,
    wrap_command,
)
from flycam.messages import Message, _, join, pgettext
from flycam.model.access import RedactionReason, RedactionStep
from flycam.model.flight import CLASSIFICATION_NAMES, Classification
from flycam.model.time import format_minute

if TYPE_CHECKING:
    from flycam.catalog.access import Guest, RedactionRecord, RestrictedArea
    from flycam.mosaic.amendments import FlightReassignment


@click.group("restricted")
def restrictions_group() -> None:
    """Areas (military, border) of which tiles, photos and exports are withheld; masks on photos (homes,
    victims)."""


@restrictions_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--roles", default="admin", show_default=True, help="Who still sees them: analyst,admin.")
@click.option("--name", help="What it is called; the same name again replaces it. Default: the file's.")
@wrap_command
def add_restricted_area_command(*, data_dir: str | None, file: Path, roles: str, name: str | None) -> Output:
    """Withhold the polygons of FILE (GeoJSON, GeoPackage, Shapefile or KML, in any CRS)."""
    from flycam.access.restrictions import add_restricted_area

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        who = get_operator_name(settings)
        return format_area_record(add_restricted_area(workspace, file, roles, name, who))


@restrictions_group.command("list")
@wrap_command
def list_restricted_command(*, data_dir: str | None) -> Output:
    """List the restricted areas, and who sees them."""

    with open_workspace(data_dir) as (workspace, __):
        areas = workspace.catalog.restrictions.areas()
        lines = [join([one.area_id, _line(one)], "  ") for one in areas]
        return {"areas": [_area(one) for one in areas]}, lines or [_("no restricted areas")]


@restrictions_group.command("remove")
@click.argument("ref", metavar="AREA")
@wrap_command
def remove_restricted_area_command(*, data_dir: str | None, ref: str) -> Output:
    """Withhold an area (id or name) no longer; its file stays as evidence."""
    from flycam.access.restrictions import remove_restricted_area

    with open_workspace(data_dir) as (workspace, settings):
        area = remove_restricted_area(workspace, ref, get_operator_name(settings))
        line = _("{name} is withheld no longer", name=area.name)
        return {"area_id": area.area_id, "name": area.name}, [line]


@restrictions_group.command("mask")
@click.argument("photo", metavar="SHA256")
@click.option("--polygon", required=True, help='Corners in the photo\'s own pixels: "X,Y X,Y X,Y".')
@click.option(
    "--reason",
    type=click.Choice([one.value for one in RedactionReason]),
    required=True,
    help="What is covered.",
)
@wrap_command
def redact_photo_command(*, data_dir: str | None, photo: str, polygon: str, reason: str) -> Output:
    """Cover a part of a photo (its SHA-256) and the ground it shows, from all but analysts and admins."""
    from flycam.mosaic.redaction import RedactionRequest, add_redaction, parse_corners

    with open_workspace(data_dir) as (workspace, settings):
        request = RedactionRequest(
            redaction_id=f"mask-{secrets.token_hex(8)}",
            frame_id=workspace.catalog.frames.get_by_original(photo).frame_id,
            reason=RedactionReason(reason),
            corners=parse_corners(polygon),
        )
        return format_redaction(add_redaction(workspace, request, get_operator_name(settings)))


@restrictions_group.command("masks")
@wrap_command
def list_redactions_command(*, data_dir: str | None) -> Output:
    """Masks on photos, those taken back too."""

    with open_workspace(data_dir) as (workspace, __):
        return format_redactions(workspace.catalog.redactions.lines())


@restrictions_group.command("unmask")
@click.argument("mask_id", metavar="MASK")
@wrap_command
def withdraw_photo_redaction_command(*, data_dir: str | None, mask_id: str) -> Output:
    """Take a mask back, for good: who wants it again draws another."""
    from flycam.mosaic.redaction import revoke_redaction

    with open_workspace(data_dir) as (workspace, settings):
        line = revoke_redaction(workspace, mask_id, get_operator_name(settings))
        return format_redaction(line)


@click.group()
def flights_group() -> None:
    """Flights on this node: list, classify, move to another event, rename."""


@flights_group.command("list")
@click.option("--event", help="Only those of this storm, flood or drill (name or id).")
@wrap_command
def list_flights_command(*, data_dir: str | None, event: str | None) -> Output:
    """The flights of this node, also those that other nodes sent, newest first."""
    from flycam.cli.flights import format_flights

    with open_workspace(data_dir) as (workspace, __):
        event_id = workspace.catalog.flights.event(event).event_id if event else None
        return format_flights(workspace.catalog, event_id)


@flights_group.command("classify")
@click.argument("ref", metavar="FLIGHT")
@click.argument("level", type=CLASSIFICATION_CHOICE)
@wrap_command
def classify_flight_command(*, data_dir: str | None, ref: str, level: str) -> Output:
    """Say how widely a flight may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.access.restrictions import set_flight_classification

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        flight = set_flight_classification(workspace, ref, Classification(level), who)
        return format_classified(flight.flight_id, flight.name, Classification(level))


@flights_group.command("move")
@click.argument("ref", metavar="FLIGHT")
@click.option(
    "--event", required=True, help="Storm, flood or drill that it belongs to; a new name begins one."
)
@wrap_command
def move_flight_command(*, data_dir: str | None, ref: str, event: str) -> Output:
    """Put a flight into another event, as where it was brought under the wrong storm."""
    from flycam.mosaic.amendments import move_flight

    with open_workspace(data_dir) as (workspace, settings):
        return format_moved_flight(move_flight(workspace, ref, event, get_operator_name(settings)))


@flights_group.command("rename")
@click.argument("ref", metavar="FLIGHT")
@click.argument("name")
@wrap_command
def rename_flight_command(*, data_dir: str | None, ref: str, name: str) -> Output:
    """Call a flight otherwise; photos and films that join one never do."""
    from flycam.mosaic.amendments import rename_flight

    with open_workspace(data_dir) as (workspace, settings):
        renamed = rename_flight(workspace, ref, name, get_operator_name(settings))
        flight, former = renamed.flight, renamed.former
        answer = {"flight_id": flight.flight_id, "name": flight.name, "former": former}
        if former == flight.name:
            return answer, [_("{former}: is called so already", former=former)]
        return answer, [
            _("{former}: is called {name} now", former=former, name=flight.name),
            _(
                "  reports and packs made before keep the former name until they are made "
                "again; so do nodes that have the flight already: rename it there too"
            ),
        ]


@click.group()
def guests_group() -> None:
    """Links for whoever holds them: the map and its tiles, for a while."""


@guests_group.command("add")
@click.option("--hours", type=float, required=True, help="How long it holds; at most a week.")
@click.option("--event", help="The only event that it shows (name or id). Default: all.")
@click.option("--communes", help='The only ones that it shows, as "Nậm Lúc, Bản Liền". Default: all.')
@wrap_command
def add_guest_link_command(
    *, data_dir: str | None, hours: float, event: str | None, communes: str | None
) -> Output:
    """Make a link; it is shown once."""
    from flycam.access.accounts import invite_guest, resolve_guest_communes

    with open_workspace(data_dir) as (workspace, settings):
        communes_shown = resolve_guest_communes(workspace, communes)
        who = get_operator_name(settings)
        guest, secret = invite_guest(workspace, hours, event, who, communes_shown)
        path = f"/guest/{secret}"
        shown = _("guest link, shown this once: {path}", path=path)
        return {**_guest(guest, guest.made_ns), "path": path}, [_guest_line(guest, guest.made_ns), shown]


@guests_group.command("list")
@wrap_command
def list_guests_command(*, data_dir: str | None) -> Output:
    """The links there were, the newest first, and which hold."""

    with open_workspace(data_dir) as (workspace, __):
        guests = workspace.catalog.guests.all()
        now_ns = workspace.clock_ns()
        lines = [_guest_line(one, now_ns) for one in guests]
        return {"guests": [_guest(one, now_ns) for one in guests]}, lines or [_("no guest links")]


@guests_group.command("revoke")
@click.argument("guest_id", metavar="GUEST")
@wrap_command
def revoke_guest_command(*, data_dir: str | None, guest_id: str) -> Output:
    """Let a link (its id) open nothing any more."""
    from flycam.access.accounts import revoke_guest

    with open_workspace(data_dir) as (workspace, settings):
        guest = revoke_guest(workspace, guest_id, get_operator_name(settings))
        return format_revoked_guest(guest, workspace.clock_ns())


# -- Answers about restricted areas, redactions, classifications and guest links -------------------


_STEPS = {
    RedactionStep.MADE: pgettext("mask", "covered"),
    RedactionStep.REVOKED: pgettext("mask", "taken back"),
    RedactionStep.REVOCATION_REQUESTED: pgettext("mask", "another node asks to withdraw it"),
}
_REASONS = {
    RedactionReason.HOME: pgettext("mask", "home"),
    RedactionReason.VICTIM: pgettext("mask", "victim"),
    RedactionReason.OTHER: pgettext("mask", "other"),
}


def format_area_record(area: RestrictedArea) -> Output:
    """Return area_id, name, roles, sha256 and bounds of a restricted area."""
    return _area(area), [_line(area)]


def format_redaction(line: RedactionRecord) -> Output:
    """Return mask_id, step, frame_id, reason, author and at_ns of a redaction."""
    return _mask(line), [_mask_line(line)]


def format_redactions(lines: Sequence[RedactionRecord]) -> Output:
    """Return masks[]: every redaction record, oldest first."""
    return {"masks": [_mask(one) for one in lines]}, [_mask_line(one) for one in lines] or [_("no masks")]


def format_classified(subject: str, name: str, level: Classification) -> Output:
    """Return id, name and classification of a flight or layer."""
    line = _("{name}: classified as {level}", name=name, level=CLASSIFICATION_NAMES[level])
    return {"id": subject, "name": name, "classification": level.value}, [line]


def format_revoked_guest(guest: Guest, now_ns: int) -> Output:
    """Return a revoked guest link."""
    return _guest(guest, now_ns), [_guest_line(guest, now_ns)]


def format_moved_flight(moved: FlightReassignment) -> Output:
    """Return flight_id, event and former, with what still names the former event.

    Both events are given by id and name.
    """
    flight, former, event = moved.flight, moved.former, moved.event
    answer = {
        "flight_id": flight.flight_id,
        "event": {"event_id": event.event_id, "name": event.name},
        "former": {"event_id": former.event_id, "name": former.name},
    }
    if former == event:
        return answer, [
            _("{flight}: belongs to the event {event} already", flight=flight.name, event=event.name)
        ]
    return answer, [
        _(
            "{flight}: moved from the event {former} to {event}",
            flight=flight.name,
            former=former.name,
            event=event.name,
        ),
        _(
            "  reports, commune pictures and packs made before name the former event until "
            "they are made again; nodes that have the flight already keep its former "
            "event: move it there too"
        ),
    ]


def _guest(guest: Guest, now_ns: int) -> dict[str, Any]:
    return {
        "guest_id": guest.guest_id,
        "event_id": guest.event_id or None,
        "communes": list(guest.communes),
        "made_by": guest.made_by,
        "made_ns": guest.made_ns,
        "expires_ns": guest.expires_ns,
        "revoked_ns": guest.revoked_ns,
        "holds": guest.is_valid(now_ns),
    }


def _guest_line(guest: Guest, now_ns: int) -> Message:
    expiry = format_minute(guest.expires_ns)
    if guest.revoked_ns is not None:
        state = pgettext("guest link", "revoked")
    elif not guest.is_valid(now_ns):
        state = _("expired {time}", time=expiry)
    else:
        state = _("until {time}", time=expiry)
    event = guest.event_id or _("all events")
    return join([f"{guest.guest_id}  ", event, ", ", state, f" ({guest.made_by})"], "")


def _mask(line: RedactionRecord) -> dict[str, Any]:
    return {
        "mask_id": line.mask_id,
        "step": line.step.value,
        "frame_id": line.frame_id,
        "reason": line.reason.value,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _mask_line(line: RedactionRecord) -> Message:
    reason = join([_REASONS[line.reason], f"({line.author})"])
    return join([f"{line.mask_id}  ", _STEPS[line.step], ": ", reason], "")


def _area(area: RestrictedArea) -> dict[str, Any]:
    return {
        "area_id": area.area_id,
        "name": area.name,
        "roles": sorted(area.roles),
        "sha256": area.sha256,
        "added_ns": area.added_ns,
        "bounds": list(area.bounds_lonlat_deg),
    }


def _line(area: RestrictedArea) -> Message:
    roles = ", ".join(sorted(area.roles)) or "–"
    return _("{name}: seen by {roles} only", name=area.name, roles=roles)
