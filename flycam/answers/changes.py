"""Answers about changes: what was exported, and the impact on features of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.pluralization import correct_singular
from flycam.report.change_names import LAYER_KIND_NAMES, NO_VOLUME_REASONS, VOLUME_BASIS
from flycam.report.number_format import format_area, replace_no_break_spaces

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.analysis.volume import Volume
    from flycam.pipeline.change.affected_features import FeatureCount
    from flycam.pipeline.change.commune_impact import ImpactTotals
    from flycam.pipeline.change.impact_report import ImpactReport


def format_exported_changes(out: Path, count: int, language: str = "en") -> Output:
    """Return path and changes, their number."""
    said = (
        f"{count} thay đổi đã xác nhận"
        if language == "vi"
        else correct_singular(f"{count} confirmed changes")
    )
    lines = [f"{out}: {said}"]
    if not count:
        lines.append(
            "  ! chưa có gì được xác nhận: tệp trống, không có nghĩa là không có gì thay đổi"
            if language == "vi"
            else "  ! nothing is confirmed: the file is empty, which does not mean that nothing changed"
        )
    return {"path": str(out), "changes": count}, lines


def format_impact(
    report: ImpactReport, answer: Mapping[str, Any], csv_out: Path | None, language: str = "en"
) -> Output:
    """Return the impact of changes on specialist layers.

    Keys: event, drill, reach_m, layers[], changes[], communes[] (as `/api/changes/impact`), csv.
    """
    said = {"event": report.event.name, "drill": report.event.is_drill, **answer}
    return {**said, "csv": None if csv_out is None else str(csv_out)}, list(_lines(report, language))


def _lines(report: ImpactReport, language: str) -> Iterator[str]:
    vi = language == "vi"
    if report.event.is_drill:
        yield "DIỄN TẬP" if vi else "DIỄN TẬP (drill)"
    if not report.impact.changes:
        yield (
            "chưa có thay đổi nào chờ soát xét hay đã xác nhận; không có nghĩa là không có gì thay đổi"
            if vi
            else "no change waits or is confirmed; that does not mean that nothing changed"
        )
    for row in report.communes:
        place = row.name or row.code or ("ngoài ranh giới đã biết" if vi else "beyond known boundaries")
        yield f"{place}:"
        yield from _tally(row.confirmed, "đã xác nhận" if vi else "confirmed", language)
        yield from _tally(row.waiting, "chờ soát xét" if vi else "waiting", language)
    yield from _volumes(report, language)
    reach = report.impact.reach_m
    near = ", ".join(f"{words[not vi]} {reach[kind]:g} m" for kind, words in LAYER_KIND_NAMES.items())
    yield ("tính là gần: " if vi else "near: within ") + near
    missing = [
        words[not vi]
        for kind, words in LAYER_KIND_NAMES.items()
        if not any(x.kind is kind for x in report.impact.layers)
    ]
    if missing:
        what = ", ".join(missing)
        yield (
            f"chưa có lớp: {what}; chưa biết, không phải là không có"
            if vi
            else f"no layer of: {what}; of these nothing is known, which is not none"
        )


def _tally(tally: ImpactTotals, how: str, language: str) -> Iterator[str]:
    if not (tally.changes or any(tally.counts.values())):
        return
    vi = language == "vi"
    size = (
        f"{tally.changes} {'thay đổi' if vi else 'changes'}, "
        f"{replace_no_break_spaces(format_area(tally.area_m2, language))}"
    )
    yield f"  {how}: {correct_singular(size)}"
    for at in tally.roads_cut:
        lon, lat = at.lonlat_deg
        name = at.feature.name or f"{at.layer.name} #{at.feature.number + 1}"
        length = "" if at.under_m is None else f", {at.under_m:.0f} m"
        yield f"    {'đường bị cắt' if vi else 'road cut'}: {name}{length} ({lat:.6f}, {lon:.6f})"
    for kind, words in LAYER_KIND_NAMES.items():
        count = tally.counts[kind]
        if count is None or not (count.inside or count.near):
            continue
        yield f"    {words[not vi]}: {_count(count, vi)}"


def _count(count: FeatureCount, vi: bool) -> str:
    """Format a count that is a lower bound where layers cover only a part.

    A lower bound of none says nothing.
    """
    parts = ((count.inside, "trong vùng" if vi else "inside"), (count.near, "ở gần" if vi else "near"))
    if count.is_complete:
        return ", ".join(f"{number} {where}" for number, where in parts)
    least = "ít nhất" if vi else "at least"
    return ", ".join(f"{least} {number} {where}" for number, where in parts if number)


def _volumes(report: ImpactReport, language: str) -> Iterator[str]:
    """Yield a line for each landslide with a volume, then how many have none and why."""
    vi = language == "vi"
    without: Counter[str] = Counter()
    is_told = False
    for one in report.impact.changes:
        found = one.volume
        if found is None:
            continue
        if isinstance(found, str):
            without[found.value] += 1
            continue
        yield f"{one.line.change_id}: {_volume(found, one.line.area_m2, vi)}"
        is_told = True
    if is_told:
        yield f"  {VOLUME_BASIS[0 if vi else 1]}"
    for why, count in without.most_common():
        said = NO_VOLUME_REASONS[why][0 if vi else 1]
        yield (
            f"sạt lở không tính được khối lượng: {count} ({said})"
            if vi
            else (f"landslides without a volume: {count} ({said})")
        )


def _volume(found: Volume, area_m2: float, vi: bool) -> str:
    """Format a volume: earth lost, earth gained if any, on what share of the ground.

    Says so where the errors alone come to as much.
    """
    parts = [(("khối lượng mất" if vi else "lost"), found.lost_m3, found.lost_sigma_m3)]
    if found.has_gained:
        parts.append((("bồi" if vi else "gained"), found.gained_m3, found.gained_sigma_m3))
    said = ", ".join(f"{word} {value:.0f} ± {sigma:.0f} m³" for word, value, sigma in parts)
    ground = f"{found.measured_m2:.0f} / {area_m2:.0f} m²"
    said += f" (đo trên {ground})" if vi else f" (measured on {ground})"
    if found.is_nothing:
        said += "; chưa vượt quá sai số" if vi else "; no more than errors come to"
    return said
