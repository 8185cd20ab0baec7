"""Products of a flight, and changes: `finish`, `export`, `compare`, `changes` …"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.flights import open_cluster
from flycam.cli.output import (
    FILE_PATH,
    Output,
    PartialFailure,
    ProgressBar,
    format_warnings,
    get_terminal_language,
    open_workspace,
    print_line,
    register_resumable_job,
    watch_stop_requests,
    wrap_command,
)
from flycam.errors import ComparisonUnsuitable, OptionUnusable
from flycam.messages import LANGUAGES, Message, _, decode_message, join, ngettext, pgettext
from flycam.model.board import DETECTED_KINDS, LAYER_KIND_NAMES, NO_VOLUME_REASONS, VOLUME_BASIS, ChangeKind
from flycam.model.flight import DRILL_MARK, Layer
from flycam.model.revision_stats import (
    get_refusal,
    list_control_doubts,
    list_control_notes,
    list_notes,
    put_in_words,
)
from flycam.model.text import format_area, format_list, format_number
from flycam.model.warning import NO_TERRAIN, describe_warning, describe_warning_briefly, parse_warning_code

if TYPE_CHECKING:
    from flycam.change.comparison import ComparisonReport
    from flycam.change.coregistration import Registration
    from flycam.change.export import ImpactReport
    from flycam.change.impact import FeatureCount, ImpactTotals
    from flycam.change.outlines import CommuneChanges
    from flycam.change.volume import Volume
    from flycam.mosaic.finish.report import FinishReport


_KINDS: Mapping[str, Message] = {
    ChangeKind.LANDSLIDE: pgettext("change", "landslide"),
    ChangeKind.FLOOD: pgettext("change", "flood"),
    ChangeKind.OTHER: pgettext("change", "other"),
}
_LOOKED_FOR = _(
    "looked for: landslides and floods only; wrecked houses and other damage "
    "are not, and 'other' does not measure them"
)


# -- Confirmed changes for other programs, and results of comparisons: `changes` -------------------


def format_exported_changes(out: Path, count: int) -> Output:
    """Return path and changes, their number."""
    lines = [
        ngettext("{path}: {count} confirmed change", "{path}: {count} confirmed changes", count, path=out)
    ]
    if not count:
        lines.append(
            _("  ! nothing is confirmed: the file is empty, which does not mean that nothing changed")
        )
    return {"path": str(out), "changes": count}, lines


def _describe_impact(report: ImpactReport) -> Iterator[Message | str]:
    if report.event.is_drill:
        yield _("{mark} (drill)", mark=DRILL_MARK)
    if not report.impact.changes:
        yield _("no change waits or is confirmed; that does not mean that nothing changed")
    for row in report.communes:
        yield join((row.name or row.code or _("beyond known boundaries"), ":"), "")
        yield from _tally(row.confirmed, pgettext("changes", "confirmed"))
        yield from _tally(row.waiting, pgettext("changes", "waiting"))
    if report.impact.changes:
        yield _LOOKED_FOR
    yield from _volumes(report)
    reach = report.impact.reach_m
    near = [join((name, f"{reach[kind]:g} m")) for kind, name in LAYER_KIND_NAMES.items()]
    yield _("near: within {reaches}", reaches=join(near, ", "))
    missing = [
        name
        for kind, name in LAYER_KIND_NAMES.items()
        if not any(x.kind is kind for x in report.impact.layers)
    ]
    if missing:
        yield _(
            "no layer of: {kinds}; of these nothing is known, which is not none", kinds=join(missing, ", ")
        )


def _tally(tally: ImpactTotals, how: Message) -> Iterator[Message]:
    ground = tally.ground
    if not (ground.count or any(tally.counts.values())):
        return
    area = format_area(ground.area_m2, is_lower_bound=ground.is_lower_bound)
    changes = ngettext("{count} change", "{count} changes", ground.count)
    yield join(("  ", how, ": ", _add_kinds(changes, ground.places), ", ", area), "")
    for at in tally.roads_cut:
        lon, lat = at.lonlat_deg
        road = at.feature.name or f"{at.layer.name} #{at.feature.number + 1}"
        length = "" if at.under_m is None else f", {at.under_m:.0f} m"
        yield join((_("    road cut"), f": {road}{length} ({lat:.6f}, {lon:.6f})"), "")
    for kind, name in LAYER_KIND_NAMES.items():
        count = tally.counts[kind]
        if count is None or not (count.inside or count.near):
            continue
        yield join(("    ", name, ": ", _count(count)), "")


def _count(count: FeatureCount) -> Message:
    """Format a count that is a lower bound where layers cover only a part.

    A lower bound of none says nothing.
    """
    if count.is_complete:
        return _("{inside} inside, {near} near", inside=count.inside, near=count.near)
    parts = []
    if count.inside:
        parts.append(_("at least {inside} inside", inside=count.inside))
    if count.near:
        parts.append(_("at least {near} near", near=count.near))
    return join(parts, ", ")


def _volumes(report: ImpactReport) -> Iterator[Message]:
    """Yield a line for each landslide with a volume, then how many have none and why."""
    without: Counter[str] = Counter()
    has_volume_note = False
    for one in report.impact.changes:
        found = one.volume
        if found is None:
            continue
        if isinstance(found, str):
            without[found.value] += 1
            continue
        yield join((f"{one.line.change_id}:", _volume(found, one.line.area_m2)))
        has_volume_note = True
    if has_volume_note:
        yield join(("  ", VOLUME_BASIS), "")
    for why, count in without.most_common():
        yield _("landslides without a volume: {count} ({reason})", count=count, reason=NO_VOLUME_REASONS[why])


def _volume(found: Volume, area_m2: float) -> Message:
    """Format a volume: earth lost, earth gained if any, on what share of the ground.

    Says so where the errors alone come to as much.
    """
    parts = [
        _("lost {volume_m3:.0f} ± {sigma_m3:.0f} m³", volume_m3=found.lost_m3, sigma_m3=found.lost_sigma_m3)
    ]
    if found.has_gained:
        parts.append(
            _(
                "gained {volume_m3:.0f} ± {sigma_m3:.0f} m³",
                volume_m3=found.gained_m3,
                sigma_m3=found.gained_sigma_m3,
            )
        )
    summary = _(
        "{volumes} (measured on {measured_m2:.0f} / {area_m2:.0f} m²)",
        volumes=join(parts, ", "),
        measured_m2=found.measured_m2,
        area_m2=area_m2,
    )
    return join((summary, _("no more than the errors add up to")), "; ") if found.is_nothing else summary


# -- Commands on confirmed changes: `changes` ------------------------------------------------------


@click.group()
def changes_group() -> None:
    """Changes confirmed by analysts; the review is on the map."""


@changes_group.command("export")
@click.argument("out", type=FILE_PATH)
@click.option("--event", required=True, help="Of this event (name or id).")
@wrap_command
def export_changes_command(*, data_dir: str | None, out: Path, event: str) -> Output:
    """Write confirmed changes to OUT: .gpkg, .geojson, .kmz, .csv, or .xml (CAP 1.2, a draft)."""
    from flycam.access.audit import record_audit_entry
    from flycam.change.export import export_changes

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        count = export_changes(workspace, out, event, language=get_terminal_language())
        record_audit_entry(
            workspace, "export changes", workspace.catalog.flights.event(event).event_id, out.name
        )
        return format_exported_changes(out, count)


@changes_group.command("impact")
@click.argument("refs", metavar="[EVENT | BEFORE AFTER]", nargs=-1)
@click.option("--event", help="Of this event (name or id).")
@click.option("--distance", "distance_m", type=float, help="Metres within which things count as near.")
@click.option("--csv", "csv_out", type=FILE_PATH, help="The table by commune into this file too.")
@wrap_command
def show_changes_impact_command(
    *,
    data_dir: str | None,
    refs: tuple[str, ...],
    event: str | None,
    distance_m: float | None,
    csv_out: Path | None,
) -> Output:
    """List roads cut by changes, and houses, lines, masts, schools in or near them, by commune.

    Of an event, or of the changes that were found between two flights. Without --distance each kind of thing
    has its own: roads 20 m, masts, schools and settlements 50 m, all others 30 m.
    """
    if (len(refs) not in (1, 2)) if event is None else refs:
        arguments = " ".join(refs) or "changes impact"
        raise OptionUnusable(
            _("{given}: give one event (--event), or two flights that were compared", given=arguments)
        )
    from flycam.change.export import build_impact_report, format_commune_csv, serialize_impact
    from flycam.storage.files import write_file_atomically

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        report = build_impact_report(workspace, refs if event is None else (event,), distance_m)
        if csv_out is not None:
            write_file_atomically(csv_out, format_commune_csv(report.communes))
        answer = serialize_impact(report.impact, report.communes, report.names, report.at_ns)
        fields = {"event": report.event.name, "drill": report.event.is_drill, **answer}
        return {**fields, "csv": None if csv_out is None else str(csv_out)}, list(_describe_impact(report))


# -- Answers about comparisons ---------------------------------------------------------------------


def format_comparison(found: ComparisonReport) -> Output:
    """Return registration{shift_m, rmse_m, ok}, looked_for, changes, and more.

    by_commune[]  numbers of candidates by commune
    review        null if nothing was put up for review; else the event, how many are new, how many replaced
                  waiting ones of an older revision, and how many are known, and of these how many have
                  another outline now but were decided on (of the same two mosaics, kind and ground)
    """
    answer = {
        "path": str(found.path),
        "crs": found.crs,
        "gsd_m": found.gsd_m,
        "common_m2": round(found.common_m2, 1),
        "registration": _registration(found.registration),
        "looked_for": found.is_detected,
        "changes": len(found.changes),
        "looked_for_kinds": [kind.value for kind in DETECTED_KINDS] if found.is_detected else [],
        "by_kind": dict(Counter(one.kind for one in found.changes)),
        "by_commune": [
            {
                "code": row.code or None,
                "name": row.name or None,
                "changes": row.changes,
                "others": row.others,
                "area_m2_by_kind": {kind: round(area, 1) for kind, area in row.area_m2_by_kind.items()},
                "kinds_at_least": list(row.kinds_cut),
                "compared_m2": round(row.compared_m2, 1),
                "compared_pct": None if row.compared_pct is None else round(row.compared_pct, 2),
            }
            for row in found.by_commune
        ],
        "review": _review(found),
        "warnings": [str(remark) for remark in found.remarks],
        "warnings_vi": [remark.in_language("vi") for remark in found.remarks],
        "seconds": round(found.seconds, 2),
    }
    registration, (east_m, north_m) = found.registration, found.registration.shift_m
    lines = [
        _(
            "{path}: {found} on {area} imaged on both dates",
            path=found.path,
            found=_count_kinds(found),
            area=format_area(found.common_m2),
        ),
        _(
            "  AFTER was displaced by {east_m:+.2f} m east, {north_m:+.2f} m north from "
            "BEFORE; now ± {rmse_m:.2f} m on stable ground ({agreed} of {windows} windows "
            "found agree; 95 % of all found within {found_p95_m:.2f} m)",
            east_m=east_m,
            north_m=north_m,
            rmse_m=registration.rmse_m,
            agreed=int(registration.agreed.sum()),
            windows=registration.found,
            found_p95_m=registration.found_p95_m,
        ),
    ]
    if found.is_detected:
        lines.append(join(("  ", _LOOKED_FOR), ""))
    for row in found.by_commune:
        name = f"{row.name} ({row.code})" if row.code else _("outside of known boundaries")
        lines.append(join(("  ", name, ": ", _row(row)), ""))
    if (counted := sum(row.changes for row in found.by_commune)) > len(found.changes):
        lines.append(
            _(
                "  these add up to {counted}, not {candidates}: a candidate across a boundary counts in each "
                "commune, with the ground that is its own",
                counted=counted,
                candidates=len(found.changes),
            )
        )
    if found.enqueued is not None:
        report = found.enqueued
        event: Message | str = report.event.name
        if report.is_new_event:
            event = _("{event}, which this began", event=event)
        counts = [_("{count} new", count=report.new)]
        if report.renewed:
            counts.append(_("{count} in the place of what waited", count=report.renewed))
        counts.append(_("{count} known already", count=report.known))
        if report.decided:
            counts.append(_("of which {count} decided on before, in other outlines", count=report.decided))
        lines.append(_("  for review in {event}: {counts}", event=event, counts=join(counts, ", ")))
    elif found.changes and not found.for_review:
        lines.append(_("  not up for review on the map: --no-review was asked for"))
    elif found.changes and not found.is_unfit:
        lines.append(_("  not up for review on the map: --event names whose analyst is to decide"))
    return answer, [*lines, *(join(("  !", remark)) for remark in found.remarks)]


def build_not_searched_error(name: str) -> ComparisonUnsuitable:
    """Build the error that tells a script "not searched" from "none found".

    name  of the file that was written
    """
    return ComparisonUnsuitable(
        _(
            "{name}: holds no change because none was looked for, which does not mean that "
            "nothing changed; the lines marked ! say why: give two colour pictures by "
            "daylight, of two dates",
            name=name,
        )
    )


def _review(found: ComparisonReport) -> dict[str, Any] | None:
    if found.enqueued is None:
        return None
    return {
        "event_id": found.enqueued.event.event_id,
        "begun": found.enqueued.is_new_event,
        "new": found.enqueued.new,
        "renewed": found.enqueued.renewed,
        "known": found.enqueued.known,
        "decided": found.enqueued.decided,
    }


def _registration(registration: Registration) -> dict[str, Any]:
    """Return the JSON of a registration.

    shift_m is the offset (east, north) of AFTER from BEFORE; rmse_m and p95_m are of the windows that agree,
    each left out of the fit it judges; found_p95_m of all windows found; agreed_share is a share of those
    found.
    """
    return {
        "shift_m": [round(value, 3) for value in registration.shift_m],
        "rmse_m": round(registration.rmse_m, 3),
        "ok": True,
        "p95_m": round(registration.p95_m, 3),
        "found_p95_m": round(registration.found_p95_m, 3),
        "windows": len(registration.windows),
        "found": registration.found,
        "agreed": int(registration.agreed.sum()),
        "agreed_share": round(registration.agreed_share, 3),
        "warp": "smooth" if registration.is_smooth else "affine",
    }


def _count_kinds(found: ComparisonReport) -> Message:
    if not found.is_detected:
        return _("changes were NOT looked for")
    counted = ngettext("{count} candidate", "{count} candidates", len(found.changes))
    return _add_kinds(counted, Counter(one.kind for one in found.changes))


def _add_kinds(counted: Message, counts: Mapping[ChangeKind, int] | Counter[str]) -> Message:
    """Add numbers by kind, the most first, in brackets."""
    named = [join((str(count), _KINDS[kind])) for kind, count in Counter[str](counts).most_common()]
    return join((counted, " (", join(named, ", "), ")"), "") if named else counted


def _row(row: CommuneChanges) -> Message:
    if not row.changes and not row.compared_m2:
        return _("not compared")
    parts = [
        join((_KINDS[kind], format_area(m2, is_lower_bound=kind in row.kinds_cut)))
        for kind, m2 in row.area_m2_by_kind.items()
    ]
    parts += [join((str(row.others), _KINDS[ChangeKind.OTHER]))] if row.others else []
    kinds_text = join((" (", join(parts, ", "), ")"), "") if parts else ""
    compared = format_area(row.compared_m2)
    if row.compared_pct is None:
        return _("{count}{parts}; compared {area}", count=row.changes, parts=kinds_text, area=compared)
    return _(
        "{count}{parts}; compared {area}, {percent:.1f} % of it",
        count=row.changes,
        parts=kinds_text,
        area=compared,
        percent=row.compared_pct,
    )


# -- Products of a flight: `finish`, `export`, `compare`, `report`, `pack` -------------------------


@click.command()
@click.argument("flight")
@click.option("--surface/--no-surface", default=True, help="Measure the ground from the flight itself.")
@click.option(
    "--dsm-spacing",
    "dsm_spacing_m",
    type=float,
    help="Distance of its posts, m (default: 4 GSD, at least 0.2).",
)
@click.option("--rolling-shutter/--no-rolling-shutter", default=True, help="Use cameras' readout times.")
@click.option(
    "--held-out",
    "held_out_share",
    type=float,
    default=0.05,
    show_default=True,
    help="Share of tie points kept out of the adjustment, to report.",
)
@click.option("--gsd", "gsd_m", type=float, help="Ground sample distance, m (default: the flight's).")
@click.option("--reference", help="A map of the same ground to tie it to: a GeoTIFF, or an earlier flight.")
@click.option(
    "--reference-sigma",
    "reference_sigma_m",
    type=click.FloatRange(min=0.0),
    help="How far off it may be itself, m (1 sigma; default: what an earlier flight says of itself).",
)
@click.option("--gcp", type=FILE_PATH, help="Ground control points, OpenDroneMap's gcp_list.txt.")
@click.option("--report/--no-report", default=True, help="Make the quality report, HTML and PDF.")
@click.option("--redo", is_flag=True, help="A further revision, even if one of the same inputs stands.")
@wrap_command
def finish_command(*, data_dir: str | None, flight: str, reference: str | None, **options: Any) -> Output:
    """A new revision to measure on: adjusted, even, without seams. Stopped or killed, run it again."""
    from flycam.mosaic.export import read_reference_sigma, resolve_reference_map
    from flycam.mosaic.finish.workflow import FinishRequest, finish_flight
    from flycam.reports.quality_report import make_reports
    from flycam.retry import retry_on_outage

    with (
        open_workspace(data_dir) as (opened, settings),
        open_cluster(opened, settings) as workspace,
        watch_stop_requests() as asked_to_stop,
        register_resumable_job(settings, asked_to_stop) as begun,
    ):
        tied_to = None if reference is None else resolve_reference_map(workspace, flight, reference)
        if reference is not None and options["reference_sigma_m"] is None:
            options["reference_sigma_m"] = read_reference_sigma(workspace, reference)
        request = FinishRequest(reference=tied_to, **options)
        report = retry_on_outage(
            workspace,
            lambda progress: finish_flight(
                workspace, flight, request, progress, asked_to_stop, make_reports=make_reports
            ),
            begun,
            print_line,
            asked_to_stop,
        )
        return format_finish(report)


@click.command()
@click.argument("flight")
@click.argument("out", type=FILE_PATH)
@click.option("--revision", type=click.Choice(["live", "final"]), help="Default: final if there is one.")
@click.option("--commune", metavar="CODE", help="Clip to this commune.")
@click.option("--crs", metavar="EPSG:n", help="Default: the flight's work CRS (UTM).")
@click.option("--gsd", "gsd_m", type=float, help="Default: the flight's.")
@click.option(
    "--dsm", is_flag=True, help="The ground it was finished on instead: heights, own surface or not."
)
@click.option(
    "--figures",
    "with_figures",
    is_flag=True,
    help="Each pixel's expected error (m) and age (h) instead of its colour.",
)
@click.option("--contours", type=FILE_PATH, help="Also its contour lines: .gpkg or .geojson.")
@click.option("--contour-interval", "interval_m", type=float, default=5.0, show_default=True, help="Metres.")
@wrap_command
def export_command(
    *,
    data_dir: str | None,
    flight: str,
    out: Path,
    dsm: bool,
    contours: Path | None,
    interval_m: float,
    **options: Any,
) -> Output:
    """A flight as a Cloud-Optimized GeoTIFF with mask."""
    from flycam.access.audit import record_audit_entry
    from flycam.mosaic.export import export_contours, export_flight, export_surface

    full = not options["with_figures"] and all(options[name] is None for name in ("commune", "crs", "gsd_m"))
    if dsm and not full:
        raise OptionUnusable(
            _("--dsm is written whole, on its own posts: leave --commune, --crs, --gsd, --figures")
        )
    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        if contours is not None:
            export_contours(workspace, flight, contours, interval_m, revision=options["revision"])
        if dsm:
            exported = export_surface(workspace, flight, out, revision=options["revision"])
        else:
            exported = export_flight(workspace, flight, out, **options)
        files = [one.name for one in (out, contours) if one is not None]
        record_audit_entry(
            workspace, "export", workspace.catalog.flights.flight(flight).flight_id, ", ".join(files)
        )
        rows, cols = exported.shape_px
        answer = {
            "path": str(exported.path),
            "crs": exported.crs,
            "gsd_m": exported.gsd_m,
            "bounds": list(exported.bounds),
            **format_warnings(exported.notes),
        }
        written = _(
            "{path}: {cols}×{rows} px, {gsd_m:.3g} m a pixel, {crs}",
            path=exported.path,
            cols=cols,
            rows=rows,
            gsd_m=exported.gsd_m,
            crs=exported.crs,
        )
        return answer, [
            written,
            *(join(("  !", describe_warning(one))) for one in exported.notes),
        ]


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--out", type=FILE_PATH, required=True, help="What changed: .gpkg (layer changes) or .geojson.")
@click.option(
    "--dem", type=FILE_PATH, help="Terrain to judge by (default: a flight's, else what is registered)."
)
@click.option("--aoi", type=FILE_PATH, help="Polygons to stay inside, any CRS.")
@click.option("--event", help="Whose analyst decides (default: both flights'); two pictures may begin one.")
@click.option("--review/--no-review", "for_review", default=True, help="Put them up for review on the map.")
@wrap_command
def compare_command(*, data_dir: str | None, before: str, after: str, out: Path, **options: Any) -> Output:
    """Detect changes from BEFORE to AFTER, flights or GeoTIFFs; exit code 5 if they do not register."""
    from flycam.change.comparison import compare_sources
    from flycam.change.detection import prepare_detection
    from flycam.retry import retry_on_outage

    with (
        open_workspace(data_dir, creates=True, serves_originals=True) as (workspace, settings),
        register_resumable_job(settings) as begun,
    ):
        found = retry_on_outage(
            workspace,
            lambda progress: compare_sources(
                workspace, before, after, out, prepare_detection, progress=progress, **options
            ),
            begun,
            print_line,
        )
        answered = format_comparison(found)
    if not found.is_detected:
        raise PartialFailure(*answered, build_not_searched_error(found.path.name))
    return answered


@click.command()
@click.argument("flight")
@click.argument("out", type=FILE_PATH, metavar="OUT.pdf|OUT.html")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--revision", type=click.IntRange(min=1), help="Default: the one on show.")
@click.option("--layer", type=click.Choice([layer.value for layer in Layer]), help="Default: the main one.")
@wrap_command
def report_command(
    *, data_dir: str | None, flight: str, out: Path, language: str, revision: int | None, layer: str | None
) -> Output:
    """The quality report of a finished flight: how far it can be trusted, and what was left out."""
    from flycam.reports.quality_report import write_report

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        wanted = None if layer is None else Layer(layer)
        written = write_report(workspace, flight, out, language, revision, wanted)
        answer = {
            "path": str(written.path),
            "flight_id": written.flight.flight_id,
            "revision": written.revision,
            "language": written.language,
            "bytes": written.bytes,
        }
        line = _(
            "{path}: quality report of {name}, revision {revision}",
            path=written.path,
            name=written.flight.name,
            revision=written.revision,
        )
        return answer, [line]


@click.command()
@click.argument("flights", nargs=-1, required=True, metavar="FLIGHT...")
@click.option("--out", type=FILE_PATH, required=True, metavar="DIR", help="A new folder, or an older pack.")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="vi", envvar="FLYCAM_LANGUAGE", show_default=True
)
@click.option("--paper", type=click.Choice(("a4", "a3")), default="a4", show_default=True)
@click.option("--letterhead", type=FILE_PATH, help="JSON or YAML (default: FLYCAM_LETTERHEAD, else dots).")
@click.option("--approved-by", default="", metavar="NAME", help="The leader who approved it (else a draft).")
@click.option("--asked-by", default="", metavar="NAME", help="Who asked for it (default: the operator).")
@click.option("--of-draft", default="", metavar="SHA256", help="Its content_sha256, where a draft was read.")
@click.option("--as", "seen_by", default="", metavar="ACCOUNT", help="Only what that account may see.")
@wrap_command
def pack_command(
    *,
    data_dir: str | None,
    flights: tuple[str, ...],
    out: Path,
    language: str,
    paper: str,
    letterhead: Path | None,
    approved_by: str,
    asked_by: str,
    of_draft: str,
    seen_by: str,
) -> Output:
    """The meeting pack: quick report, maps and data in a folder that opens from a USB stick."""
    from flycam.reports.briefing.figures import Letterhead
    from flycam.reports.briefing.workflow import PackRequest, read_letterhead, write_briefing_pack

    with open_workspace(data_dir, serves_originals=True) as (workspace, settings):
        letterhead_path = letterhead or settings.letterhead
        request = PackRequest(
            flights=flights,
            language=language,
            paper=paper,
            letterhead=Letterhead() if letterhead_path is None else read_letterhead(letterhead_path),
            approved_by=approved_by,
            requested_by=asked_by,
            of_draft=of_draft,
            seen_by=seen_by,
        )
        made = write_briefing_pack(workspace, request, out, ProgressBar())
        answer = {
            "files": [str(path) for path in made.files],
            "out": str(made.out),
            "flights": list(made.flights),
            "flights_seen": list(made.flights_seen),
            "communes": list(made.communes),
            "drill": made.is_drill,
            "draft": made.is_draft,
            "classification": made.classification.value,
            "manifest_sha256": made.manifest_sha256,
            "content_sha256": made.content_sha256,
            "seconds": round(made.seconds, 3),
            **format_warnings(made.notes),
        }
        sentences = [
            _(
                "{folder}: files: {file_count}, communes: {commune_count}; open {page}",
                folder=made.out,
                file_count=len(made.files),
                commune_count=len(made.communes),
                page=made.out / "index.html",
            )
        ]
        if made.is_draft:
            sentences.append(
                _("  a draft: once a leader has approved it, run again with --approved-by 'NAME'")
            )
        notes = [join(("  !", describe_warning(one))) for one in made.notes]
        return answer, [*sentences, *notes]


# -- Answer of `export` ----------------------------------------------------------------------------


# -- Answers of `finish` and `report` --------------------------------------------------------------


def format_finish(report: FinishReport) -> Output:
    """Return revision, tie_points, reprojection_px, sigmas, shift_m and more.

    Keys also are sigma_xy_m, sigma_z_m and seconds. All figures are of the layer by which the flight is
    shown; the other layers are in `layers`.
    """
    main = report.main
    stats: Mapping[str, Any] = main.stats if main else {}
    warnings = _list_warnings(report)
    besides = [describe_warning(one) for one in report.notes]
    # why a layer was skipped, or its photos kept their recorded poses
    answer = {
        "flight_id": report.flight.flight_id,
        "name": report.flight.name,
        "revision": main.revision if main else None,
        "new": report.layers[0].new,
        **put_in_words({key: stats.get(key) for key in _FINISH_FIGURES}),
        "warnings": [str(one) for one in warnings],
        "warnings_vi": [one.in_language("vi") for one in warnings],
        "done_besides": [str(one) for one in besides],
        "done_besides_vi": [one.in_language("vi") for one in besides],
        "layers": [
            {
                "layer": one.layer,
                "revision": one.record.revision if one.record else None,
                "new": one.new,
                "mended": one.repaired,
                "instead_of": one.instead_of,
                "accepted": one.record.stats.get("accepted") if one.record else None,
                "why": str((one.why or (get_refusal(one.record.stats) if one.record else None)) or ""),
            }
            for one in report.layers
        ],
        "stage_seconds": stats.get("seconds"),
        "seconds": round(report.seconds, 3),
    }
    return answer, [*_describe_finish(report, stats), *(join(["  * ", one], "") for one in besides)]


_FINISH_FIGURES = (
    "accepted",
    "why",
    "notes",
    "frames",
    "tie_points",
    "observations",
    "reprojection_px",
    "held_out_px",
    "sigma_xy_m",
    "sigma_z_m",
    "shift_m",
    "shift_sigma_m",
    "check_m",
    "map_error_m",
    "windows",
    "control",
    "surface",
    "rolling_shutter",
)


def _describe_finish(report: FinishReport, stats: Mapping[str, Any]) -> list[Message]:
    """Describe the result for people: the revision, then what is not in it."""
    name, main = report.flight.name, report.main
    skipped = [
        _("  [left out] {layer}: {why}", layer=one.layer, why=one.why)
        for one in report.layers
        if one.record is None
    ]
    if main is None:
        return [_("{name}: nothing was finished", name=name), *skipped]
    if not report.layers[0].new:
        return [_describe_standing(report, main.revision), *skipped]
    frames = stats["frames"]
    made = ngettext(
        "{name}: revision {revision} from {count} frame, {seconds:.0f} s",
        "{name}: revision {revision} from {count} frames, {seconds:.0f} s",
        frames["used"],
        name=name,
        revision=main.revision,
        seconds=report.seconds,
    )
    left_out = [
        _("  [left out] {name}: {why}", name=one["name"], why=decode_message(one["sentence"]))
        for one in frames["left_out"]
    ]
    warnings = _list_warnings(report)
    return [
        made,
        *_placed(stats),
        *_map_error(stats),
        *_surface(stats),
        *_shutter(stats),
        *(join(["  ! ", one], "") for one in warnings),
        *(join(["  ", one], "") for one in list_control_notes(stats) if one not in warnings),
        *left_out,
        *skipped,
    ]


def _describe_standing(report: FinishReport, revision: int) -> Message:
    """Describe a revision that stands, and how many of its tiles were made again."""
    name, before = report.flight.name, report.layers[0].instead_of
    stands = (
        _(
            "{name}: revision {revision} is current; nothing has changed since it was made",
            name=name,
            revision=revision,
        )
        if before is None
        else _(
            "{name}: revision {revision} is current, and is on show again instead of revision {before}",
            name=name,
            revision=revision,
            before=before,
        )
    )
    if not (mended := sum(one.repaired for one in report.layers)):
        return stands
    return ngettext(
        "{stands}; {count} of its tiles was lost or damaged and was made again",
        "{stands}; {count} of its tiles were lost or damaged and were made again",
        mended,
        stands=stands,
    )


def _placed(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield how the frames were placed: by the adjustment, or as recorded."""
    if not stats["accepted"]:
        yield _("  poses as recorded were kept: {why}", why=get_refusal(stats) or "")
        return
    yield _(
        "  {ties} tie points, reprojection {error} (held out {held_out}); the cameras within the block "
        "± {plan} in plan, ± {height} in height",
        ties=stats["tie_points"],
        error=_metric(stats["reprojection_px"], "px"),
        held_out=_metric(stats["held_out_px"], "px"),
        plan=_metric(stats["sigma_xy_m"], "m"),
        height=_metric(stats["sigma_z_m"], "m"),
    )
    yield _(
        "  the cameras moved by {shift} m (east, north, up) on the whole; what stays unknown of the block's "
        "place: ± {unknown} m",
        shift=_triple(stats["shift_m"]),
        unknown=_triple(stats["shift_sigma_m"]),
    )


def _map_error(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield the error of places, if the report measured it over the map."""
    error = stats.get("map_error_m")
    if error and error["median"] is not None:
        yield _(
            "  expected error of a place on the map (1 sigma, the common shift apart): up to {median} on "
            "half of it, {p95} on 95 %",
            median=_metric(error["median"], "m"),
            p95=_metric(error["p95"], "m"),
        )


def _surface(stats: Mapping[str, Any]) -> Iterator[Message]:
    if surface := stats["surface"]:
        yield _(
            "  surface of its own under {share} % of the ground, posts every {spacing} m",
            share=format_number(surface["supported_pct"], 0),
            spacing=format_number(surface["spacing_m"], 2),
        )


def _shutter(stats: Mapping[str, Any]) -> Iterator[Message]:
    if (rows := stats.get("rolling_shutter")) and rows["frames"]:
        yield ngettext(
            "  rolling shutter taken into account in {count} frame: without it its outermost rows would "
            "be off by up to {most}",
            "  rolling shutter taken into account in {count} frames: without it their outermost rows would "
            "be off by up to {most}",
            rows["frames"],
            most=_metric(rows["most_px"], "px"),
        )


def _list_warnings(report: FinishReport) -> list[Message]:
    """List what people should look into.

    That is control that was refused or is doubtful, contradictions between the block and its metadata, ground
    outside the DSM, the shutter's readout where it is unknown, and photos whose recorded poses were wrong.
    """
    from flycam.mosaic.finish.revisions import list_readout_warnings

    stats: Mapping[str, Any] = report.main.stats if report.main else {}
    ground = [one for one in report.flight.warnings if parse_warning_code(one) == NO_TERRAIN]
    return [
        *list_control_doubts(stats),
        *list_notes(stats),
        *(describe_warning_briefly(one, finished=True) for one in ground),
        *(describe_warning(one) for one in list_readout_warnings(stats)),
        *_misplaced(stats),
    ]


def _misplaced(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield photos that were recorded at wrong or unknown places."""
    frames: Mapping[str, Any] = stats.get("frames") or {}
    if found := frames.get("resected"):
        yield _(
            "{names}: neighbours contradict the recorded position or heading (off by up to {moved}, "
            "{turned}°); both were found again from the pictures",
            names=format_list([one["name"] for one in found]),
            moved=_metric(max(one["moved_m"] for one in found), "m"),
            turned=format_number(max(one["turned_deg"] for one in found), 0),
        )
    if carried := frames.get("carried_names"):
        yield _(
            "{names}: could not be tied to any photo; placed as recorded, only where no "
            "other photo sees the ground: do not measure there, fly it again",
            names=format_list(carried),
        )


def _metric(value: float | None, unit: str) -> Message:
    number = format_number(value, 2)
    return number if value is None else join([number, unit])


def _triple(values: Sequence[float | None]) -> Message:
    """Format east, north, up; a decimal comma is not used as separator too."""
    east, north, up = (format_number(value, 2) for value in values)
    return _("{east}, {north}, {up}", east=east, north=north, up=up)


# -- Answer of `pack` ------------------------------------------------------------------------------
