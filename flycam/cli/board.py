"""Access policy and content beside the mosaics: `restricted`, `guests`, `marks` …"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    CLASSIFICATION_CHOICE,
    DATUM_CHOICE,
    FILE_OR_URL,
    FILE_PATH,
    Output,
    get_operator_name,
    open_workspace,
    wrap_command,
)
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.access import RedactionReason, RedactionStep
from flycam.model.board import (
    ACCESS_NAMES,
    MARK_KIND_NAMES,
    MARK_STATUS_NAMES,
    ROADS_SAY_NAMES,
    Access,
    LayerKind,
    RoadStatus,
    is_stale,
)
from flycam.model.flight import CLASSIFICATION_NAMES, Classification
from flycam.model.time import format_minute, parse_timestamp

if TYPE_CHECKING:
    from flycam.catalog.access import Guest, RedactionRecord, RestrictedArea
    from flycam.catalog.board import SettlementVersion
    from flycam.geodata.vector_file import LayerImport
    from flycam.model.records import DemRecord, LayerRecord, MarkVersion
    from flycam.mosaic.amendments import FlightReassignment


# -- Access policy commands: `restricted`, `flights` (and their event), `guests` -------------------


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


# -- Commands on content beside the mosaics: `dem`, `communes`, `layers`, `marks`, `settlements` ---


# -- Answers about specialist layers ---------------------------------------------------------------


def format_layer(layer: LayerRecord, found: LayerImport, now_ns: int) -> Output:
    """Return added, repaired, removed, and the layer."""
    answer = {
        "added": layer.features,
        "repaired": found.repaired,
        "removed": found.removed,
        "remarks": [one.in_language("en") for one in found.remarks],
        "remarks_vi": [one.in_language("vi") for one in found.remarks],
        **_layer(layer, now_ns),
    }
    return answer, [_format_layer(layer, now_ns), *(join(("  !", one)) for one in found.remarks)]


def _layer(layer: LayerRecord, now_ns: int) -> dict[str, Any]:
    return {
        "layer_id": layer.layer_id,
        "name": layer.name,
        "kind": layer.kind.value,
        "owner": layer.owner or None,
        "source": layer.source,
        "sha256": layer.sha256,
        "valid_ns": layer.valid_ns,
        "refreshed_ns": layer.refreshed_ns,
        "features": layer.features,
        "troubles": layer.troubles,
        "stale": is_stale(layer.valid_ns, now_ns, has_status=layer.has_status),
        "bounds": list(layer.bounds_lonlat_deg),
    }


def _format_layer(layer: LayerRecord, now_ns: int) -> Message:
    owner = f" ({layer.owner})" if layer.owner else ""
    parts: list[Message | str] = [
        f"{layer.name}{owner}: {layer.kind}",
        ngettext("{count} feature", "{count} features", layer.features),
    ]
    if layer.troubles:
        parts.append(_("{count} in trouble", count=layer.troubles))
    if layer.valid_ns is None:
        parts.append(_("of an unknown time"))
    else:
        parts.append(_("as of {minute}", minute=format_minute(layer.valid_ns)))
    line = join(parts, ", ")
    is_old = is_stale(layer.valid_ns, now_ns, has_status=layer.has_status)
    return _("{line} – old", line=line) if is_old else line


# -- Answers about field marks ---------------------------------------------------------------------


def _format_mark(one: MarkVersion) -> Message:
    west, south, east, north = one.bounds_lonlat_deg
    place = f"{(south + north) / 2:.6f}, {(west + east) / 2:.6f}"
    note = one.note.replace("\n", " ")
    status = join(["(", MARK_STATUS_NAMES[one.status], ")"], "")
    kind = join([MARK_KIND_NAMES[one.kind], status])
    by = one.author + (f": {note}" if note else "")
    return join([one.mark_id, format_minute(one.at_ns), kind, place, by], "  ")


# -- Answers about settlements ---------------------------------------------------------------------


def format_settlements(found: Sequence[Mapping[str, Any]], reach_m: float) -> Output:
    """Return reach_m and settlements[] (as `/api/settlements`)."""
    lines = [_format_settlement(one) for one in found]
    none = _("no settlements yet; add a layer with 'flycam layers add FILE --kind settlement'")
    return {"reach_m": reach_m, "settlements": list(found)}, lines or [none]


def format_settlement_access(line: SettlementVersion) -> Output:
    """Return settlement_id, version, access and roads_said."""
    answer = {
        "settlement_id": line.settlement_id,
        "version": line.version,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
    }
    access = join([ACCESS_NAMES[line.access], f"({line.author})"])
    return answer, [join([line.name, access], ": ")]


def _format_settlement(one: Mapping[str, Any]) -> Message:
    place = f" ({one['commune_name']})" if one["commune_name"] else ""
    signature = f", {one['said_by']}, {one['said']}" if one["said_by"] else ""
    roads = ROADS_SAY_NAMES[RoadStatus(one["roads_say"])]
    return join([f"{one['name']}{place}: ", ACCESS_NAMES[Access(one["access"])], f"{signature}; ", roads], "")


_KINDS = click.Choice([kind.value for kind in LayerKind])


@click.group()
def layers_group() -> None:
    """Power lines, masts, roads, schools, houses, waters of other services."""


@layers_group.command("add")
@click.argument("source", metavar="FILE|ADDRESS", type=FILE_OR_URL)
@click.option("--kind", type=_KINDS, required=True, help="What it holds.")
@click.option("--owner", help="Who answers for it.")
@click.option(
    "--valid-time", help="When it stood so (UTC+7 unless it says): 2024-09-10T10:15, 10/09/2024 10:15."
)
@click.option("--name", help="What the map calls it; the same name again replaces it. Default: the file's.")
@wrap_command
def add_layer_command(
    *,
    data_dir: str | None,
    source: str,
    kind: str,
    owner: str | None,
    valid_time: str | None,
    name: str | None,
) -> Output:
    """Add a layer: GeoJSON, GeoPackage, Shapefile or KML, in any CRS; a file, or an allowed address."""
    from flycam.board.layers import LayerRequest, add_layer

    valid_ns = _parse_valid_time(valid_time)
    with open_workspace(data_dir, creates=True) as (workspace, settings):
        request = LayerRequest(source=source, kind=LayerKind(kind), name=name, owner=owner, valid_ns=valid_ns)
        who = get_operator_name(settings)
        layer, found = add_layer(workspace, request, who, settings.layer_hosts)
        return format_layer(layer, found, workspace.clock_ns())


@layers_group.command("list")
@wrap_command
def list_layers_command(*, data_dir: str | None) -> Output:
    """List the layers: source, date, and which are outdated."""

    with open_workspace(data_dir) as (workspace, __):
        layers = workspace.catalog.layers.all()
        now_ns = workspace.clock_ns()
        lines = [join((one.layer_id, _format_layer(one, now_ns)), "  ") for one in layers]
        none = _("no layers yet; add one with 'flycam layers add FILE --kind KIND'")
        return {"layers": [_layer(one, now_ns) for one in layers]}, lines or [none]


@layers_group.command("refresh")
@click.argument("ref", metavar="LAYER")
@click.option(
    "--from", "source", type=FILE_OR_URL, metavar="FILE|ADDRESS", help="Default: where it came from."
)
@click.option("--valid-time", help="When it stood so.")
@wrap_command
def refresh_layer_command(
    *, data_dir: str | None, ref: str, source: str | None, valid_time: str | None
) -> Output:
    """Read a layer (id or name) again; what cannot be read leaves it as it was."""
    from flycam.board.layers import refresh_layer

    valid_ns = _parse_valid_time(valid_time)
    with open_workspace(data_dir) as (workspace, settings):
        layer, found = refresh_layer(
            workspace,
            ref,
            get_operator_name(settings),
            source=source,
            valid_ns=valid_ns,
            allowed_hosts=settings.layer_hosts,
        )
        return format_layer(layer, found, workspace.clock_ns())


@layers_group.command("remove")
@click.argument("ref", metavar="LAYER")
@wrap_command
def remove_layer_command(*, data_dir: str | None, ref: str) -> Output:
    """Take a layer (id or name) off the map; its file stays as evidence."""
    from flycam.board.layers import remove_layer

    with open_workspace(data_dir) as (workspace, settings):
        layer = remove_layer(workspace, ref, get_operator_name(settings))
        line = _("{name} is off the map", name=layer.name)
        return {"layer_id": layer.layer_id, "name": layer.name}, [line]


@layers_group.command("classify")
@click.argument("ref", metavar="LAYER")
@click.argument("level", type=CLASSIFICATION_CHOICE)
@wrap_command
def classify_layer_command(*, data_dir: str | None, ref: str, level: str) -> Output:
    """Say how widely a layer may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.access.restrictions import set_layer_classification

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        layer = set_layer_classification(workspace, ref, Classification(level), who)
        return format_classified(layer.layer_id, layer.name, Classification(level))


def _parse_valid_time(text: str | None) -> int | None:
    """Return --valid-time as UTC nanoseconds. Raises OptionUnusable."""
    if text is None:
        return None
    found = parse_timestamp(text)
    if found is None:
        raise OptionUnusable(
            _("--valid-time {text}: is not a time: write 2024-09-10T10:15 or 10/09/2024 10:15", text=text)
        )
    return found


# -- Commands on field marks: `marks` --------------------------------------------------------------


@click.group()
def marks_group() -> None:
    """Field marks and search sectors; they are made on the map."""


@marks_group.command("list")
@click.option("--event", help="Only those of this event (name or id).")
@wrap_command
def list_marks_command(*, data_dir: str | None, event: str | None) -> Output:
    """Marks as they stand, the newest first."""
    from flycam.board.marks import list_event_marks

    with open_workspace(data_dir) as (workspace, __):
        lines = list_event_marks(workspace, event)
        answer = {
            "marks": [
                {
                    "mark_id": one.mark_id,
                    "version": one.version,
                    "event_id": one.event_id,
                    "kind": one.kind.value,
                    "status": one.status.value,
                    "note": one.note,
                    "author": one.author,
                    "at_ns": one.at_ns,
                    "bounds": list(one.bounds_lonlat_deg),
                }
                for one in lines
            ]
        }
        none = _("no marks yet; they are made on the map")
        return answer, [_format_mark(one) for one in lines] or [none]


@marks_group.command("export")
@click.argument("out", type=FILE_PATH)
@click.option("--event", help="Only those of this event (name or id).")
@click.option("--history", is_flag=True, help="Every line of every mark, removed ones too.")
@wrap_command
def export_marks_command(*, data_dir: str | None, out: Path, event: str | None, history: bool) -> Output:
    """Write marks to OUT.geojson: WGS 84, with VN-2000 beside it."""
    from flycam.access.audit import record_audit_entry
    from flycam.board.marks import export_marks

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        count = export_marks(workspace, out, event, history=history)
        record_audit_entry(workspace, "export marks", event or "all", f"{out.name}, {count}")
        line = ngettext("{path}: {count} mark", "{path}: {count} marks", count, path=out)
        return {"path": str(out), "lines": count}, [line]


# -- Commands on settlements: `settlements` --------------------------------------------------------


_ACCESS = click.Choice([one.value for one in Access])
_REACH = click.option("--reach", type=float, help="Metres within which a road reaches one. Default: 200.")


@click.group()
def settlements_group() -> None:
    """Settlements: reachable, isolated or unknown, as cut roads suggest and people report."""


@settlements_group.command("list")
@click.argument("event")
@_REACH
@wrap_command
def list_settlements_command(*, data_dir: str | None, event: str, reach: float | None) -> Output:
    """How settlements stand in EVENT (name or id): those that roads propose to be isolated first."""
    from flycam.board.marks import REACH_M, list_event_settlements, serialize_settlement

    with open_workspace(data_dir) as (workspace, __):
        metres = REACH_M if reach is None else reach
        found = list_event_settlements(workspace, workspace.catalog.flights.event(event), metres)
        return format_settlements([serialize_settlement(one) for one in found], metres)


@settlements_group.command("set")
@click.argument("event")
@click.argument("settlement")
@click.argument("access", type=_ACCESS)
@click.option("--note", default="", help="How it is known.")
@click.option("--by", help="Who says so. Default: FLYCAM_OPERATOR, else who is logged in.")
@wrap_command
def set_settlement_command(
    *, data_dir: str | None, event: str, settlement: str, access: str, note: str, by: str | None
) -> Output:
    """Say whether SETTLEMENT (id, or a name that only one has) can be reached."""
    from flycam.board.marks import AccessReport, report_access

    with open_workspace(data_dir) as (workspace, settings):
        report = AccessReport(event=event, settlement=settlement, access=Access(access), note=note)
        line = report_access(workspace, report, by or get_operator_name(settings))
        return format_settlement_access(line)


@settlements_group.command("export")
@click.argument("out", type=FILE_PATH)
@click.option("--event", required=True, help="Of this event (name or id).")
@_REACH
@wrap_command
def export_settlements_command(*, data_dir: str | None, out: Path, event: str, reach: float | None) -> Output:
    """Write settlements to OUT: .csv, .geojson or .gpkg, WGS 84."""
    from flycam.board.marks import REACH_M, export_settlements

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        count = export_settlements(workspace, out, event, REACH_M if reach is None else reach)
        line = ngettext("{path}: {count} settlement", "{path}: {count} settlements", count, path=out)
        return {"path": str(out), "settlements": count}, [line]


# -- Terrain and communes --------------------------------------------------------------------------


def _append_sigma(line: Message, dem: DemRecord) -> Message:
    """Append the accuracy that the operator stated, if any."""
    if dem.sigma_m is None:
        return line
    vertical_m, horizontal_m = dem.sigma_m
    sigmas = [_("± {sigma_m:.2f} m in height", sigma_m=vertical_m)]
    if horizontal_m is not None:
        sigmas.append(_("± {sigma_m:.2f} m in plan", sigma_m=horizontal_m))
    return join((line, join(sigmas, ", ")), "; ")


# -- Commands `dem` and `communes` -----------------------------------------------------------------


_MAX_SIGMA_M = 100.0


@click.group()
def dem_group() -> None:
    """Terrain."""


@dem_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--datum", type=DATUM_CHOICE, help="Height datum, if the file does not say.")
@click.option("--sigma", metavar="V[,H]", help="How true it is: 1-sigma of its heights and of its place, m.")
@wrap_command
def add_dem_command(*, data_dir: str | None, file: Path, datum: str | None, sigma: str | None) -> Output:
    """Register terrain: GeoTIFF, HGT or VRT."""
    from flycam.access.audit import record_audit_entry
    from flycam.mosaic.terrain import register_dem

    with open_workspace(data_dir, creates=True) as (workspace, __):
        record, info = register_dem(workspace, file, datum, _parse_sigmas(sigma))
        detail = f"{record.name}, {record.vertical_datum}, SHA-256 {record.sha256}"
        record_audit_entry(workspace, "dem add", record.dem_id, detail)
        answer = {
            "dem_id": record.dem_id,
            "bounds": list(record.bounds_lonlat_deg),
            "datum": record.vertical_datum,
            "datum_source": info.datum_source,
            "sigma_m": None if record.sigma_m is None else list(record.sigma_m),
            "hole_pct": round(100 * info.hole_fraction, 3),
            "warnings": [one.in_language("en") for one in info.warnings],
            "warnings_vi": [one.in_language("vi") for one in info.warnings],
        }
        low_m, high_m = info.height_range_m
        line = _(
            "{name}: {low_m:.0f} to {high_m:.0f} m, {datum} ({datum_source}), posts every {spacing_m:.1f} m",
            name=record.name,
            low_m=low_m,
            high_m=high_m,
            datum=record.vertical_datum,
            datum_source=info.datum_source,
            spacing_m=info.post_spacing_m,
        )
        return answer, [_append_sigma(line, record), *(join(("  !", one)) for one in info.warnings)]


def _parse_sigmas(text: str | None) -> tuple[float, float | None] | None:
    """Return (vertical, horizontal) sigmas from V or V,H in metres.

    Raises OptionUnusable.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0.0 < number <= _MAX_SIGMA_M for number in numbers):
        raise OptionUnusable(
            _(
                "--sigma {text}: give V or V,H: metres (1-sigma) of its heights and of its "
                "place, over 0 and up to {most_sigma_m:g}, e.g. 0.3,1",
                text=text,
                most_sigma_m=_MAX_SIGMA_M,
            )
        )
    return numbers[0], numbers[1] if len(numbers) == 2 else None


@dem_group.command("list")
@wrap_command
def list_dem_command(*, data_dir: str | None) -> Output:
    """List the registered terrain."""

    with open_workspace(data_dir) as (workspace, __):
        dems = workspace.catalog.terrain.dems()
        answer = {
            "dems": [
                {
                    "dem_id": dem.dem_id,
                    "name": dem.name,
                    "bounds": list(dem.bounds_lonlat_deg),
                    "datum": dem.vertical_datum,
                    "post_spacing_m": round(dem.post_spacing_m[0], 3),
                    "sigma_m": None if dem.sigma_m is None else list(dem.sigma_m),
                    "added_ns": dem.added_ns,
                }
                for dem in dems
            ]
        }
        lines = [
            _append_sigma(
                _(
                    "{dem_id}  {name}: {datum}, posts every {spacing_m:,.1f} m",
                    dem_id=dem.dem_id,
                    name=dem.name,
                    datum=dem.vertical_datum,
                    spacing_m=dem.post_spacing_m[0],
                ),
                dem,
            )
            for dem in dems
        ]
        return answer, lines or [_("no terrain is registered; add it with 'flycam dem add FILE'")]


@dem_group.command("remove")
@click.argument("ref", metavar="DEM")
@wrap_command
def remove_dem_command(*, data_dir: str | None, ref: str) -> Output:
    """Take terrain (id or file name) off the list; flights stay on what was recorded for them."""
    from flycam.mosaic.terrain import remove_dem

    with open_workspace(data_dir) as (workspace, __):
        dem = remove_dem(workspace, ref)
        line = _(
            "{name} is off the list; what was placed on it stays as it is, and 'flycam dem "
            "add' registers it again",
            name=dem.name,
        )
        return {"dem_id": dem.dem_id, "name": dem.name}, [line]


@click.group()
def communes_group() -> None:
    """Commune boundaries."""


@communes_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d", "%d/%m/%Y"]), help="Default: 2025-07-01.")
@wrap_command
def add_communes_command(*, data_dir: str | None, file: Path, valid_from: datetime | None) -> Output:
    """Register commune boundaries: GeoJSON, GeoPackage, Shapefile or KML, in any CRS."""
    from flycam.access.audit import record_audit_entry
    from flycam.board.layers import register_communes

    with open_workspace(data_dir, creates=True) as (workspace, __):
        found = register_communes(workspace, file, valid_from.date() if valid_from else None)
        record_audit_entry(workspace, "communes add", file.name, f"{len(found.communes)} communes")
        since = found.communes[0].valid_from if found.communes else None
        answer = {
            "added": len(found.communes),
            "repaired": len(found.repaired),
            "repairs": list(found.repaired),
            "removed": list(found.removed),
            "remarks": list(found.remarks),
            "overlaps_km2": round(found.overlaps_km2, 4),
            "valid_from": since.isoformat() if since else None,
            "overlaps_left_km2": round(found.overlaps_left_km2, 6),
        }
        line = ngettext(
            "{count} commune, {repaired} repaired, {contested_km2:.2f} km² claimed twice and settled",
            "{count} communes, {repaired} repaired, {contested_km2:.2f} km² claimed twice and settled",
            len(found.communes),
            repaired=len(found.repaired),
            contested_km2=found.overlaps_km2,
        )
        if since:
            line = _("{line}; in force from {since}", line=line, since=since)
        return answer, [
            line,
            *(join(("", one), "  ") for one in (*found.repaired, *found.removed, *found.remarks)),
        ]
