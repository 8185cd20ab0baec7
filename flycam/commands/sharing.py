"""Who may see what: `restricted`, `flights` (and their event), `guests`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from flycam.commands.house import FILE, LEVEL, Result, opened, who_asks
from flycam.console import command, language
from flycam.frame.classification import Classification
from flycam.frame.redaction import RedactionReason


@click.group()
def restricted() -> None:
    """Areas (military, border) of which tiles, photos and exports are withheld; masks on photos (homes,
    victims)."""


@restricted.command("add")
@click.argument("file", type=FILE)
@click.option("--roles", default="admin", show_default=True, help="Who still sees them: analyst,admin.")
@click.option("--name", help="What it is called; the same name again replaces it. Default: the file's.")
@command
def restricted_add(*, data_dir: str | None, file: Path, roles: str, name: str | None) -> Result:
    """Withhold the polygons of FILE (GeoJSON, GeoPackage, Shapefile or KML, in any CRS)."""
    from flycam.answers.sharing import of_area
    from flycam.pipeline.restricting import add_area

    with opened(data_dir, begins=True) as (workspace, settings):
        who = who_asks(settings)
        return of_area(add_area(workspace, file, roles, name, who), language())


@restricted.command("list")
@command
def restricted_list(*, data_dir: str | None) -> Result:
    """What areas there are, and who sees them."""
    from flycam.answers.sharing import of_areas

    with opened(data_dir) as (workspace, _):
        return of_areas(workspace.catalog.restrictions.areas(), language())


@restricted.command("remove")
@click.argument("ref", metavar="AREA")
@command
def restricted_remove(*, data_dir: str | None, ref: str) -> Result:
    """Withhold an area (id or name) no longer; its file stays as evidence."""
    from flycam.answers.sharing import of_removed_area
    from flycam.pipeline.restricting import remove_area

    with opened(data_dir) as (workspace, settings):
        area = remove_area(workspace, ref, who_asks(settings))
        return of_removed_area(area, language())


@restricted.command("mask")
@click.argument("photo", metavar="SHA256")
@click.option("--polygon", required=True, help='Corners in the photo\'s own pixels: "X,Y X,Y X,Y".')
@click.option(
    "--reason",
    type=click.Choice([one.value for one in RedactionReason]),
    required=True,
    help="What is covered.",
)
@command
def restricted_mask(*, data_dir: str | None, photo: str, polygon: str, reason: str) -> Result:
    """Cover a part of a photo (its SHA-256) and the ground it shows, from all but analysts and admins."""
    from flycam.answers.sharing import of_mask
    from flycam.pipeline.laying.redacting import MaskAsked, corners_of, make_mask

    with opened(data_dir) as (workspace, settings):
        asked = MaskAsked(
            mask_id=f"mask-{secrets.token_hex(8)}",
            frame_id=workspace.catalog.frames.of_original(photo).frame_id,
            reason=RedactionReason(reason),
            corners=corners_of(polygon),
        )
        return of_mask(make_mask(workspace, asked, who_asks(settings)), language())


@restricted.command("masks")
@command
def restricted_masks(*, data_dir: str | None) -> Result:
    """Masks on photos, those taken back too."""
    from flycam.answers.sharing import of_masks

    with opened(data_dir) as (workspace, _):
        return of_masks(workspace.catalog.redactions.lines(), language())


@restricted.command("unmask")
@click.argument("mask_id", metavar="MASK")
@command
def restricted_unmask(*, data_dir: str | None, mask_id: str) -> Result:
    """Take a mask back, for good: who wants it again draws another."""
    from flycam.answers.sharing import of_mask
    from flycam.pipeline.laying.redacting import take_back_mask

    with opened(data_dir) as (workspace, settings):
        line = take_back_mask(workspace, mask_id, who_asks(settings))
        return of_mask(line, language())


@click.group()
def flights() -> None:
    """Which flights are here; how widely they may be shown, to which event they belong, their names."""


@flights.command("list")
@click.option("--event", help="Only those of this storm, flood or drill (name or id).")
@command
def flights_list(*, data_dir: str | None, event: str | None) -> Result:
    """The flights of this house, also those that other boxes handed on, newest first."""
    from flycam.answers.flights import of_flights

    with opened(data_dir) as (workspace, _):
        event_id = workspace.catalog.flights.event(event).event_id if event else None
        return of_flights(workspace.catalog, event_id, language())


@flights.command("classify")
@click.argument("ref", metavar="FLIGHT")
@click.argument("level", type=LEVEL)
@command
def flights_classify(*, data_dir: str | None, ref: str, level: str) -> Result:
    """Say how widely a flight may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.answers.sharing import of_classified
    from flycam.pipeline.restricting import classify_flight

    with opened(data_dir) as (workspace, settings):
        who = who_asks(settings)
        flight = classify_flight(workspace, ref, Classification(level), who)
        return of_classified(flight.flight_id, flight.name, Classification(level), language())


@flights.command("move")
@click.argument("ref", metavar="FLIGHT")
@click.option(
    "--event", required=True, help="Storm, flood or drill that it belongs to; a new name begins one."
)
@command
def flights_move(*, data_dir: str | None, ref: str, event: str) -> Result:
    """Put a flight into another event, as where it was brought under the wrong storm."""
    from flycam.answers.sharing import of_moved
    from flycam.pipeline.moving import move_flight

    with opened(data_dir) as (workspace, settings):
        return of_moved(move_flight(workspace, ref, event, who_asks(settings)), language())


@flights.command("rename")
@click.argument("ref", metavar="FLIGHT")
@click.argument("name")
@command
def flights_rename(*, data_dir: str | None, ref: str, name: str) -> Result:
    """Call a flight otherwise; photos and films that join one never do."""
    from flycam.answers.sharing import of_renamed
    from flycam.pipeline.renaming import rename_flight

    with opened(data_dir) as (workspace, settings):
        return of_renamed(rename_flight(workspace, ref, name, who_asks(settings)), language())


@click.group()
def guests() -> None:
    """Links for whoever holds them: the map and its tiles, for a while."""


@guests.command("add")
@click.option("--hours", type=float, required=True, help="How long it holds; at most a week.")
@click.option("--event", help="The only event that it shows (name or id). Default: all.")
@click.option("--communes", help='The only ones that it shows, as "Nậm Lúc, Bản Liền". Default: all.')
@command
def guests_add(*, data_dir: str | None, hours: float, event: str | None, communes: str | None) -> Result:
    """Make a link; it is shown once."""
    from flycam.answers.sharing import of_invited
    from flycam.pipeline.people.accounts import guest_communes, invite_guest

    with opened(data_dir) as (workspace, settings):
        shown = guest_communes(workspace, communes)
        who = who_asks(settings)
        guest, secret = invite_guest(workspace, hours, event, who, shown)
        return of_invited(guest, secret, language())


@guests.command("list")
@command
def guests_list(*, data_dir: str | None) -> Result:
    """The links there were, the newest first, and which hold."""
    from flycam.answers.sharing import of_guests

    with opened(data_dir) as (workspace, _):
        return of_guests(workspace.catalog.guests.all(), workspace.clock_ns(), language())


@guests.command("revoke")
@click.argument("guest_id", metavar="GUEST")
@command
def guests_revoke(*, data_dir: str | None, guest_id: str) -> Result:
    """Let a link (its id) open nothing any more."""
    from flycam.answers.sharing import of_revoked
    from flycam.pipeline.people.accounts import revoke_guest

    with opened(data_dir) as (workspace, settings):
        guest = revoke_guest(workspace, guest_id, who_asks(settings))
        return of_revoked(guest, workspace.clock_ns(), language())
