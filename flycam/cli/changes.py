"""Confirmed changes for other programs, and results of comparisons: `changes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    FILE_PATH,
    Output,
    describe_area,
    get_terminal_language,
    open_workspace,
    wrap_command,
)
from flycam.errors import ComparisonUnsuitable, OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.board import DETECTED_KINDS, LAYER_KIND_NAMES, NO_VOLUME_REASONS, VOLUME_BASIS, ChangeKind
from flycam.model.flight import DRILL_MARK

if TYPE_CHECKING:
    from flycam.change.comparison import ComparisonReport
    from flycam.change.coregistration import Registration
    from flycam.change.export import ImpactReport
    from flycam.change.impact import FeatureCount, ImpactTotals
    from flycam.change.outlines import CommuneChanges
    from flycam.change.volume import Volume


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


def _lines(report: ImpactReport) -> Iterator[Message | str]:
    if report.event.is_drill:
        yield _("{mark} (drill)", mark=DRILL_MARK)
    if not report.impact.changes:
        yield _("no change waits or is confirmed; that does not mean that nothing changed")
    for row in report.communes:
        yield join((row.name or row.code or _("beyond known boundaries"), ":"), "")
        yield from _tally(row.confirmed, pgettext("changes", "confirmed"))
        yield from _tally(row.waiting, pgettext("changes", "waiting"))
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
    if not (tally.changes or any(tally.counts.values())):
        return
    area = describe_area(tally.area_m2)
    yield ngettext(
        "  {how}: {count} change, {area}",
        "  {how}: {count} changes, {area}",
        tally.changes,
        how=how,
        area=area,
    )
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
    return join((summary, _("no more than errors come to")), "; ") if found.is_nothing else summary


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
        return {**fields, "csv": None if csv_out is None else str(csv_out)}, list(_lines(report))


# -- Answers about comparisons ---------------------------------------------------------------------


_KINDS: Mapping[str, Message] = {
    ChangeKind.LANDSLIDE: pgettext("change", "landslide"),
    ChangeKind.FLOOD: pgettext("change", "flood"),
    ChangeKind.OTHER: pgettext("change", "other"),
}


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
            area=describe_area(found.common_m2),
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
        lines.append(
            _(
                "  looked for: landslides and floods only; wrecked houses and other damage "
                "are not, and 'other' does not measure them"
            )
        )
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
    kinds = Counter(one.kind for one in found.changes)
    counted = ngettext("{count} candidate", "{count} candidates", len(found.changes))
    named = [join((str(count), _KINDS[kind])) for kind, count in kinds.most_common()]
    return join((counted, " (", join(named, ", "), ")"), "") if named else counted


def _row(row: CommuneChanges) -> Message:
    if not row.changes and not row.compared_m2:
        return _("not compared")
    parts = [join((_KINDS[kind], describe_area(m2))) for kind, m2 in row.area_m2_by_kind.items()]
    parts += [join((str(row.others), _KINDS[ChangeKind.OTHER]))] if row.others else []
    kinds_text = join((" (", join(parts, ", "), ")"), "") if parts else ""
    compared = describe_area(row.compared_m2)
    if row.compared_pct is None:
        return _("{count}{parts}; compared {area}", count=row.changes, parts=kinds_text, area=compared)
    return _(
        "{count}{parts}; compared {area}, {percent:.1f} % of it",
        count=row.changes,
        parts=kinds_text,
        area=compared,
        percent=row.compared_pct,
    )
