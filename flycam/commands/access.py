"""Access policy commands: `restricted`, `flights` (and their event), `guests`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from flycam.commands.workspace import (
    CLASSIFICATION_CHOICE,
    FILE_PATH,
    CommandOutput,
    get_operator_name,
    open_workspace,
)
from flycam.console import get_terminal_language, wrap_command
from flycam.frame.classification import Classification
from flycam.frame.redaction import RedactionReason


@click.group("restricted")
def restrictions_group() -> None:
    """Areas (military, border) of which tiles, photos and exports are withheld; masks on photos (homes,
    victims)."""


@restrictions_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--roles", default="admin", show_default=True, help="Who still sees them: analyst,admin.")
@click.option("--name", help="What it is called; the same name again replaces it. Default: the file's.")
@wrap_command
def add_restricted_area_command(
    *, data_dir: str | None, file: Path, roles: str, name: str | None
) -> CommandOutput:
    """Withhold the polygons of FILE (GeoJSON, GeoPackage, Shapefile or KML, in any CRS)."""
    from flycam.answers.access_policy import format_area_record
    from flycam.pipeline.access_restrictions import add_restricted_area

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        who = get_operator_name(settings)
        return format_area_record(add_restricted_area(workspace, file, roles, name, who))


@restrictions_group.command("list")
@wrap_command
def list_restricted_command(*, data_dir: str | None) -> CommandOutput:
    """What areas there are, and who sees them."""
    from flycam.answers.access_policy import format_areas

    with open_workspace(data_dir) as (workspace, _):
        return format_areas(workspace.catalog.restrictions.areas())


@restrictions_group.command("remove")
@click.argument("ref", metavar="AREA")
@wrap_command
def remove_restricted_area_command(*, data_dir: str | None, ref: str) -> CommandOutput:
    """Withhold an area (id or name) no longer; its file stays as evidence."""
    from flycam.answers.access_policy import format_removed_area
    from flycam.pipeline.access_restrictions import remove_restricted_area

    with open_workspace(data_dir) as (workspace, settings):
        area = remove_restricted_area(workspace, ref, get_operator_name(settings))
        return format_removed_area(area)


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
def redact_photo_command(*, data_dir: str | None, photo: str, polygon: str, reason: str) -> CommandOutput:
    """Cover a part of a photo (its SHA-256) and the ground it shows, from all but analysts and admins."""
    from flycam.answers.access_policy import format_redaction
    from flycam.pipeline.orthorectification.redaction import RedactionRequest, add_redaction, parse_corners

    with open_workspace(data_dir) as (workspace, settings):
        asked = RedactionRequest(
            redaction_id=f"mask-{secrets.token_hex(8)}",
            frame_id=workspace.catalog.frames.get_by_original(photo).frame_id,
            reason=RedactionReason(reason),
            corners=parse_corners(polygon),
        )
        return format_redaction(add_redaction(workspace, asked, get_operator_name(settings)))


@restrictions_group.command("masks")
@wrap_command
def list_redactions_command(*, data_dir: str | None) -> CommandOutput:
    """Masks on photos, those taken back too."""
    from flycam.answers.access_policy import format_redactions

    with open_workspace(data_dir) as (workspace, _):
        return format_redactions(workspace.catalog.redactions.lines())


@restrictions_group.command("unmask")
@click.argument("mask_id", metavar="MASK")
@wrap_command
def withdraw_photo_redaction_command(*, data_dir: str | None, mask_id: str) -> CommandOutput:
    """Take a mask back, for good: who wants it again draws another."""
    from flycam.answers.access_policy import format_redaction
    from flycam.pipeline.orthorectification.redaction import revoke_redaction

    with open_workspace(data_dir) as (workspace, settings):
        line = revoke_redaction(workspace, mask_id, get_operator_name(settings))
        return format_redaction(line)


@click.group()
def flights_group() -> None:
    """Which flights are here; how widely they may be shown, to which event they belong, their names."""


@flights_group.command("list")
@click.option("--event", help="Only those of this storm, flood or drill (name or id).")
@wrap_command
def list_flights_command(*, data_dir: str | None, event: str | None) -> CommandOutput:
    """The flights of this house, also those that other boxes handed on, newest first."""
    from flycam.answers.flights import format_flights

    with open_workspace(data_dir) as (workspace, _):
        event_id = workspace.catalog.flights.event(event).event_id if event else None
        return format_flights(workspace.catalog, event_id, get_terminal_language())


@flights_group.command("classify")
@click.argument("ref", metavar="FLIGHT")
@click.argument("level", type=CLASSIFICATION_CHOICE)
@wrap_command
def classify_flight_command(*, data_dir: str | None, ref: str, level: str) -> CommandOutput:
    """Say how widely a flight may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.answers.access_policy import format_classified
    from flycam.pipeline.access_restrictions import set_flight_classification

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
def move_flight_command(*, data_dir: str | None, ref: str, event: str) -> CommandOutput:
    """Put a flight into another event, as where it was brought under the wrong storm."""
    from flycam.answers.access_policy import format_moved_flight
    from flycam.pipeline.event_reassignment import move_flight

    with open_workspace(data_dir) as (workspace, settings):
        return format_moved_flight(move_flight(workspace, ref, event, get_operator_name(settings)))


@flights_group.command("rename")
@click.argument("ref", metavar="FLIGHT")
@click.argument("name")
@wrap_command
def rename_flight_command(*, data_dir: str | None, ref: str, name: str) -> CommandOutput:
    """Call a flight otherwise; photos and films that join one never do."""
    from flycam.answers.access_policy import format_renamed_flight
    from flycam.pipeline.flight_rename import rename_flight

    with open_workspace(data_dir) as (workspace, settings):
        return format_renamed_flight(rename_flight(workspace, ref, name, get_operator_name(settings)))


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
) -> CommandOutput:
    """Make a link; it is shown once."""
    from flycam.answers.access_policy import format_guest_link
    from flycam.pipeline.access.accounts import invite_guest, resolve_guest_communes

    with open_workspace(data_dir) as (workspace, settings):
        shown = resolve_guest_communes(workspace, communes)
        who = get_operator_name(settings)
        guest, secret = invite_guest(workspace, hours, event, who, shown)
        return format_guest_link(guest, secret)


@guests_group.command("list")
@wrap_command
def list_guests_command(*, data_dir: str | None) -> CommandOutput:
    """The links there were, the newest first, and which hold."""
    from flycam.answers.access_policy import format_guest_links

    with open_workspace(data_dir) as (workspace, _):
        return format_guest_links(workspace.catalog.guests.all(), workspace.clock_ns())


@guests_group.command("revoke")
@click.argument("guest_id", metavar="GUEST")
@wrap_command
def revoke_guest_command(*, data_dir: str | None, guest_id: str) -> CommandOutput:
    """Let a link (its id) open nothing any more."""
    from flycam.answers.access_policy import format_revoked_guest
    from flycam.pipeline.access.accounts import revoke_guest

    with open_workspace(data_dir) as (workspace, settings):
        guest = revoke_guest(workspace, guest_id, get_operator_name(settings))
        return format_revoked_guest(guest, workspace.clock_ns())
