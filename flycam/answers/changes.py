"""Answers about changes: what was exported, and the impact on features of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output, describe_area
from flycam.drill.drill_mark import DRILL_MARK
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.report.change_names import LAYER_KIND_NAMES, NO_VOLUME_REASONS, VOLUME_BASIS

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.analysis.volume import Volume
    from flycam.pipeline.change.affected_features import FeatureCount
    from flycam.pipeline.change.commune_impact import ImpactTotals
    from flycam.pipeline.change.impact_report import ImpactReport


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


def format_impact(report: ImpactReport, answer: Mapping[str, Any], csv_out: Path | None) -> Output:
    """Return the impact of changes on specialist layers.

    Keys: event, drill, reach_m, layers[], changes[], communes[] (as `/api/changes/impact`), csv.
    """
    said = {"event": report.event.name, "drill": report.event.is_drill, **answer}
    return {**said, "csv": None if csv_out is None else str(csv_out)}, list(_lines(report))


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
    is_told = False
    for one in report.impact.changes:
        found = one.volume
        if found is None:
            continue
        if isinstance(found, str):
            without[found.value] += 1
            continue
        yield join((f"{one.line.change_id}:", _volume(found, one.line.area_m2)))
        is_told = True
    if is_told:
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
    said = _(
        "{volumes} (measured on {measured_m2:.0f} / {area_m2:.0f} m²)",
        volumes=join(parts, ", "),
        measured_m2=found.measured_m2,
        area_m2=area_m2,
    )
    return join((said, _("no more than errors come to")), "; ") if found.is_nothing else said
