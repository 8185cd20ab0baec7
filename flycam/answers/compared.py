"""What changed between two dates, and how surely the two lie on each other."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from flycam.answers.answered import Answered
from flycam.frame.spelling import decimal_comma

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.analysis.coregister import Registration
    from flycam.pipeline.change.compare import Compared
    from flycam.pipeline.change.compare_changes import CommuneChanges
    from flycam.pipeline.change.compare_sides import Said

_MOST = 0.5  # of the windows found; where fewer agree, that is said
_KINDS_VI = {"landslide": "sạt lở", "flood": "ngập lụt", "other": "khác"}


def of_compare(found: Compared, language: str = "en") -> Answered:
    """registration{shift_m, rmse_m, ok}, looked_for, changes, by_commune[], review, and more.

    review: null where nothing was put up for review; else the event, how many are new, how many took the
    place of what waited since an older revision, and how many are known, and of these how many are drawn
    otherwise now but were decided on (of the same two mosaics, kind and ground).
    network: null where no learned model was asked.
    """
    remarks = _remarks(found)
    answer = {
        "path": str(found.path),
        "crs": found.crs,
        "gsd_m": found.gsd_m,
        "common_m2": round(found.common_m2, 1),
        "registration": _registration(found.registration),
        "looked_for": found.looked_for,
        "changes": len(found.changes),
        "by_kind": dict(Counter(one.kind for one in found.changes)),
        "by_commune": [
            {
                "code": row.code or None,
                "name": row.name or None,
                "changes": row.changes,
                "area_m2": round(row.area_m2, 1),
                "area_m2_by_kind": {kind: round(area, 1) for kind, area in row.area_m2_by_kind.items()},
                "compared_m2": round(row.compared_m2, 1),
                "compared_pct": None if row.compared_pct is None else round(row.compared_pct, 2),
            }
            for row in found.by_commune
        ],
        "review": _review(found),
        "network": None
        if found.network is None
        else dict(zip(("name", "sha256"), found.network, strict=True)),
        "warnings": [english for english, _ in remarks],
        "warnings_vi": [vietnamese for _, vietnamese in remarks],
        "seconds": round(found.seconds, 2),
    }
    return answer, _lines_vi(found) if language == "vi" else _lines_en(found)


def _review(found: Compared) -> dict[str, Any] | None:
    if found.kept is None:
        return None
    return {
        "event_id": found.kept.event.event_id,
        "new": found.kept.new,
        "renewed": found.kept.renewed,
        "known": found.kept.known,
        "decided": found.kept.decided,
    }


def _registration(registration: Registration) -> dict[str, Any]:
    """shift_m: (east, north) of AFTER off BEFORE; rmse_m, p95_m of the windows that agree, each left out of
    the fit it judges; found_p95_m of all windows found; agreed_share: of those found."""
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


def _remarks(found: Compared) -> list[Said]:
    """Those of the recipe, and first of all whether most of the ground vouches for the registration."""
    registration = found.registration
    if registration.agreed_share >= _MOST:
        return list(found.remarks)
    agreed, windows, off = int(registration.agreed.sum()), registration.found, registration.found_p95_m
    doubt = (
        f"only {agreed} of {windows} windows found agree on how the pictures lie, the others are up to "
        f"{off:.2f} m off: most of the ground changed or does not fit; look at the registration layer before "
        "you trust a change",
        f"chỉ {agreed} trong {windows} ô tìm thấy khớp vị trí, các ô khác lệch tới {_vi(off, 2)} m: phần lớn "
        "mặt đất đã thay đổi hoặc không khớp; hãy xem lớp registration trước khi tin một thay đổi",
    )
    return [doubt, *found.remarks]


def _lines_en(found: Compared) -> list[str]:
    registration, (east, north) = found.registration, found.registration.shift_m
    lines = [
        f"{found.path}: {_found_en(found)} on {found.common_m2 / 1e4:.1f} ha imaged on both dates",
        f"  AFTER lay {east:+.2f} m east, {north:+.2f} m north of BEFORE; now ± {registration.rmse_m:.2f} m "
        f"on stable ground ({int(registration.agreed.sum())} of {registration.found} windows found agree; "
        f"95 % of all found within {registration.found_p95_m:.2f} m)",
    ]
    for row in found.by_commune:
        name = f"{row.name} ({row.code})" if row.code else "outside of known boundaries"
        lines.append(f"  {name}: {_row_en(row)}")
    if (kept := found.kept) is not None:
        renewed = f"{kept.renewed} in the place of what waited, " if kept.renewed else ""
        again = f", of which {kept.decided} decided on before, in other outlines" if kept.decided else ""
        lines.append(
            f"  for review in {kept.event.name}: {kept.new} new, {renewed}{kept.known} known already{again}"
        )
    elif found.changes and not found.for_review:
        lines.append("  not up for review on the map: --no-review was asked for")
    elif found.changes and not found.is_unfit:
        lines.append("  not up for review on the map: --event names whose analyst is to decide")
    return [*lines, *(f"  ! {english}" for english, _ in _remarks(found))]


def _lines_vi(found: Compared) -> list[str]:
    registration, (east, north) = found.registration, found.registration.shift_m
    agreed = int(registration.agreed.sum())
    lines = [
        f"{found.path}: {_found_vi(found)} trên {_vi(found.common_m2 / 1e4, 1)} ha có ảnh ở cả hai ngày",
        f"  ảnh sau lệch ảnh trước {_vi(east, 2)} m về đông, {_vi(north, 2)} m về bắc; nay còn ± "
        f"{_vi(registration.rmse_m, 2)} m trên nền ổn định ({agreed} trong {registration.found} ô tìm thấy "
        f"là khớp; 95 % số ô tìm thấy lệch không quá {_vi(registration.found_p95_m, 2)} m)",
    ]
    for row in found.by_commune:
        name = f"{row.name} ({row.code})" if row.code else "ngoài ranh giới đã biết"
        lines.append(f"  {name}: {_row_vi(row)}")
    if (kept := found.kept) is not None:
        renewed = f"{kept.renewed} thay chỗ đang chờ duyệt, " if kept.renewed else ""
        again = f", trong đó {kept.decided} đã duyệt trước đây với đường bao khác" if kept.decided else ""
        lines.append(
            f"  chờ duyệt trong {kept.event.name}: {kept.new} mới, {renewed}{kept.known} đã có{again}"
        )
    elif found.changes and not found.for_review:
        lines.append("  không đưa lên bản đồ để duyệt, theo --no-review")
    elif found.changes and not found.is_unfit:
        lines.append("  chưa đưa lên bản đồ để duyệt: thêm --event để chọn sự kiện")
    return [*lines, *(f"  ! {vietnamese}" for _, vietnamese in _remarks(found))]


def _found_en(found: Compared) -> str:
    if not found.looked_for:
        return "changes were NOT looked for"
    kinds = Counter(one.kind for one in found.changes)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{len(found.changes)} candidates{f' ({named})' if named else ''}"


def _found_vi(found: Compared) -> str:
    if not found.looked_for:
        return "KHÔNG dò thay đổi"
    kinds = Counter(one.kind for one in found.changes)
    named = ", ".join(f"{count} {_KINDS_VI.get(kind, kind)}" for kind, count in kinds.most_common())
    return f"{len(found.changes)} chỗ nghi thay đổi{f' ({named})' if named else ''}"


def _row_en(row: CommuneChanges) -> str:
    if not row.changes and not row.compared_m2:
        return "not compared"
    share = "" if row.compared_pct is None else f", {row.compared_pct:.1f} % of it"
    return f"{row.changes}, {row.area_m2 / 1e4:.2f} ha; compared {row.compared_m2 / 1e4:.1f} ha{share}"


def _row_vi(row: CommuneChanges) -> str:
    if not row.changes and not row.compared_m2:
        return "chưa so sánh"
    share = "" if row.compared_pct is None else f", {_vi(row.compared_pct, 1)} % diện tích"
    compared = _vi(row.compared_m2 / 1e4, 1)
    return f"{row.changes}, {_vi(row.area_m2 / 1e4, 2)} ha; đã so sánh {compared} ha{share}"


def _vi(value: float, places: int) -> str:
    return decimal_comma(f"{value:.{places}f}")
