"""Answers about comparisons: what changed between two dates, and how well they are coregistered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.errors import ComparisonUnsuitable
from flycam.frame.change import DETECTED_KINDS, ChangeKind
from flycam.frame.pluralization import correct_singular
from flycam.frame.text_normalization import format_decimal_comma
from flycam.messages import _
from flycam.report.change_names import CHANGE_KIND_NAMES
from flycam.report.number_format import format_area, replace_no_break_spaces

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.analysis.coregistration import Registration
    from flycam.pipeline.change.change_polygons import CommuneChanges
    from flycam.pipeline.change.comparison import ComparisonReport


def format_comparison(found: ComparisonReport, language: str = "en") -> Output:
    """Return registration{shift_m, rmse_m, ok}, looked_for, changes, and more.

    by_commune[]  numbers of candidates by commune
    review        null if nothing was put up for review; else the event, how many are new, how many replaced
                  waiting ones of an older revision, and how many are known, and of these how many have
                  another outline now but were decided on (of the same two mosaics, kind and ground)
    """
    remarks = found.remarks
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
        "warnings": [english for english, _ in remarks],
        "warnings_vi": [vietnamese for _, vietnamese in remarks],
        "seconds": round(found.seconds, 2),
    }
    return answer, _lines_vi(found) if language == "vi" else _lines_en(found)


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


def _lines_en(found: ComparisonReport) -> list[str]:
    registration, (east, north) = found.registration, found.registration.shift_m
    lines = [
        f"{found.path}: {_found_en(found)} on {_area(found.common_m2, 'en')} imaged on both dates",
        f"  AFTER lay {east:+.2f} m east, {north:+.2f} m north of BEFORE; now ± {registration.rmse_m:.2f} m "
        f"on stable ground ({int(registration.agreed.sum())} of {registration.found} windows found agree; "
        f"95 % of all found within {registration.found_p95_m:.2f} m)",
    ]
    if found.is_detected:
        lines.append(
            "  looked for: landslides and floods alone; wrecked houses and other damage are not, and 'other' "
            "is no measure of them"
        )
    for row in found.by_commune:
        name = f"{row.name} ({row.code})" if row.code else "outside of known boundaries"
        lines.append(f"  {name}: {_row_en(row)}")
    if (counted := _count_candidates(found)) > len(found.changes):
        lines.append(
            f"  these add up to {counted}, not {len(found.changes)}: a candidate across a boundary counts in "
            "each commune, with the ground that is its own"
        )
    if (kept := found.enqueued) is not None:
        renewed = f"{kept.renewed} in the place of what waited, " if kept.renewed else ""
        again = f", of which {kept.decided} decided on before, in other outlines" if kept.decided else ""
        name = kept.event.name + (", which this began" if kept.is_new_event else "")
        lines.append(f"  for review in {name}: {kept.new} new, {renewed}{kept.known} known already{again}")
    elif found.changes and not found.for_review:
        lines.append("  not up for review on the map: --no-review was asked for")
    elif found.changes and not found.is_unfit:
        lines.append("  not up for review on the map: --event names whose analyst is to decide")
    return [*lines, *(f"  ! {english}" for english, _ in found.remarks)]


def _lines_vi(found: ComparisonReport) -> list[str]:
    registration, (east, north) = found.registration, found.registration.shift_m
    agreed = int(registration.agreed.sum())
    lines = [
        f"{found.path}: {_found_vi(found)} trên {_area(found.common_m2, 'vi')} có ảnh ở cả hai ngày",
        f"  ảnh sau lệch ảnh trước {_vi(east, 2)} m về đông, {_vi(north, 2)} m về bắc; nay còn ± "
        f"{_vi(registration.rmse_m, 2)} m trên nền ổn định ({agreed} trong {registration.found} ô tìm thấy "
        f"là khớp; 95 % số ô tìm thấy lệch không quá {_vi(registration.found_p95_m, 2)} m)",
    ]
    if found.is_detected:
        lines.append(
            "  chỉ dò sạt lở và ngập lụt; không dò nhà cửa hư hại hay thiệt hại khác, và “thay đổi khác” "
            "không cho biết mức thiệt hại đó"
        )
    for row in found.by_commune:
        name = f"{row.name} ({row.code})" if row.code else "ngoài ranh giới đã biết"
        lines.append(f"  {name}: {_row_vi(row)}")
    if (counted := _count_candidates(found)) > len(found.changes):
        lines.append(
            f"  cộng các dòng này được {counted}, không phải {len(found.changes)}: chỗ nằm trên ranh giới "
            "được tính ở mỗi xã, diện tích chỉ là phần trong xã"
        )
    if (kept := found.enqueued) is not None:
        renewed = f"{kept.renewed} thay chỗ đang chờ soát xét, " if kept.renewed else ""
        again = f", trong đó {kept.decided} đã soát xét trước đây với đường bao khác" if kept.decided else ""
        name = kept.event.name + (" (sự kiện vừa mở)" if kept.is_new_event else "")
        lines.append(f"  chờ soát xét trong {name}: {kept.new} mới, {renewed}{kept.known} đã có{again}")
    elif found.changes and not found.for_review:
        lines.append("  không đưa lên bản đồ để soát xét, theo --no-review")
    elif found.changes and not found.is_unfit:
        lines.append("  chưa đưa lên bản đồ để soát xét: thêm --event để chọn sự kiện")
    return [*lines, *(f"  ! {vietnamese}" for _, vietnamese in found.remarks)]


def _count_candidates(found: ComparisonReport) -> int:
    """Count the candidates of all communes together."""
    return sum(row.changes for row in found.by_commune)


def _found_en(found: ComparisonReport) -> str:
    if not found.is_detected:
        return "changes were NOT looked for"
    kinds = Counter(one.kind for one in found.changes)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return correct_singular(f"{len(found.changes)} candidates{f' ({named})' if named else ''}")


def _found_vi(found: ComparisonReport) -> str:
    if not found.is_detected:
        return "KHÔNG dò thay đổi"
    kinds = Counter(one.kind for one in found.changes)
    named = ", ".join(
        f"{count} {CHANGE_KIND_NAMES[ChangeKind(kind)][0].lower()}" for kind, count in kinds.most_common()
    )
    return f"{len(found.changes)} chỗ nghi thay đổi{f' ({named})' if named else ''}"


def _row_en(row: CommuneChanges) -> str:
    if not row.changes and not row.compared_m2:
        return "not compared"
    share = "" if row.compared_pct is None else f", {row.compared_pct:.1f} % of it"
    parts = [f"{kind} {_area(m2, 'en')}" for kind, m2 in row.area_m2_by_kind.items()]
    parts += [f"{row.others} other"] if row.others else []
    said = f" ({', '.join(parts)})" if parts else ""
    return f"{row.changes}{said}; compared {_area(row.compared_m2, 'en')}{share}"


def _row_vi(row: CommuneChanges) -> str:
    if not row.changes and not row.compared_m2:
        return "chưa so sánh"
    share = "" if row.compared_pct is None else f", {_vi(row.compared_pct, 1)} % diện tích"
    parts = [
        f"{CHANGE_KIND_NAMES[ChangeKind(kind)][0].lower()} {_area(m2, 'vi')}"
        for kind, m2 in row.area_m2_by_kind.items()
    ]
    parts += [f"{row.others} {CHANGE_KIND_NAMES[ChangeKind.OTHER][0].lower()}"] if row.others else []
    said = f" ({', '.join(parts)})" if parts else ""
    return f"{row.changes}{said}; đã so sánh {_area(row.compared_m2, 'vi')}{share}"


def _area(square_metres: float, language: str) -> str:
    return replace_no_break_spaces(format_area(square_metres, language))


def _vi(value: float, places: int) -> str:
    return format_decimal_comma(f"{value:.{places}f}")
