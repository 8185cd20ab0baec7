"""Commands on content beside the mosaics: `dem`, `communes`, `layers`, `marks`, `settlements`."""

from __future__ import annotations

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
from flycam.messages import Message, _, join, ngettext
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
from flycam.model.flight import Classification
from flycam.model.time import format_minute, parse_timestamp

if TYPE_CHECKING:
    from flycam.catalog.board import SettlementVersion
    from flycam.geodata.vector_file import LayerImport
    from flycam.model.records import DemRecord, LayerRecord, MarkVersion

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
    from flycam.cli.access import format_classified

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
