"""Who may see what: `restricted`, `flights`, `guests`."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from flycam.commands.house import FILE, LEVEL, Result, opened
from flycam.console import command, language
from flycam.frame.classification import Classification


@click.group()
def restricted() -> None:
    """Areas (military, border) of which tiles, photos and exports are withheld."""


@restricted.command("add")
@click.argument("file", type=FILE)
@click.option("--roles", default="admin", show_default=True, help="Who still sees them: analyst,admin.")
@click.option("--name", help="What it is called; the same name again replaces it. Default: the file's.")
@command
def restricted_add(*, data_dir: str | None, file: Path, roles: str, name: str | None) -> Result:
    """Withhold the polygons of FILE (GeoJSON, GeoPackage, Shapefile or KML, in any CRS)."""
    from flycam.answers.sharing import of_area
    from flycam.pipeline.restricting import add_area

    with opened(data_dir) as (workspace, settings):
        who = settings.operator or getpass.getuser()
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
        area = remove_area(workspace, ref, settings.operator or getpass.getuser())
        return of_removed_area(area, language())


@click.group()
def flights() -> None:
    """How widely flights may be shown."""


@flights.command("classify")
@click.argument("ref", metavar="FLIGHT")
@click.argument("level", type=LEVEL)
@command
def flights_classify(*, data_dir: str | None, ref: str, level: str) -> Result:
    """Say how widely a flight may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.answers.sharing import of_classified
    from flycam.pipeline.restricting import classify_flight

    with opened(data_dir) as (workspace, settings):
        who = settings.operator or getpass.getuser()
        flight = classify_flight(workspace, ref, Classification(level), who)
        return of_classified(flight.flight_id, flight.name, Classification(level), language())


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
    from flycam.pipeline.people import guest_communes, invite_guest

    with opened(data_dir) as (workspace, settings):
        shown = guest_communes(workspace, communes)
        who = settings.operator or getpass.getuser()
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
    from flycam.pipeline.people import revoke_guest

    with opened(data_dir) as (workspace, settings):
        guest = revoke_guest(workspace, guest_id, settings.operator or getpass.getuser())
        return of_revoked(guest, workspace.clock_ns(), language())
