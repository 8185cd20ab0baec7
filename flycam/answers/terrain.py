"""Answers about terrain and communes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.report.number_format import format_number

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.records import DemRecord
    from flycam.geodata.communes import CommuneImport
    from flycam.geodata.dem_info import DemInfo


def format_dem(record: DemRecord, info: DemInfo, language: str = "en") -> Output:
    """Return dem_id, bounds and datum of a DEM."""
    answer = {
        "dem_id": record.dem_id,
        "bounds": list(record.bounds_lonlat_deg),
        "datum": record.vertical_datum,
        "datum_source": info.datum_source,
        "sigma_m": None if record.sigma_m is None else list(record.sigma_m),
        "hole_pct": round(100 * info.hole_fraction, 3),
        "warnings": list(info.warnings),
        "warnings_vi": list(info.warnings_vi),
    }
    low, high = info.height_range_m
    datum, spacing = f"{record.vertical_datum} ({info.datum_source})", info.post_spacing_m
    if language == "vi":
        warnings = info.warnings_vi
        line = f"{record.name}: từ {low:.0f} đến {high:.0f} m, hệ độ cao {datum}, điểm cách "
        line += f"{format_number(spacing, 1, 'vi')} m"
    else:
        warnings = info.warnings
        line = f"{record.name}: {low:.0f} to {high:.0f} m, {datum}, posts every {spacing:.1f} m"
    line += _format_sigma(record, language)
    return answer, [line, *(f"  ! {warning}" for warning in warnings)]


def format_dems(dems: Sequence[DemRecord], language: str = "en") -> Output:
    """Return dems[]: the registered ones, latest first."""
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
    vi = language == "vi"
    apart = "điểm cách" if vi else "posts every"
    lines = [
        f"{dem.dem_id}  {dem.name}: {dem.vertical_datum}, {apart} "
        f"{format_number(dem.post_spacing_m[0], 1, language)} m" + _format_sigma(dem, language)
        for dem in dems
    ]
    none = (
        "chưa có mô hình độ cao nào; thêm bằng 'flycam dem add TỆP'"
        if vi
        else "no terrain is registered; add it with 'flycam dem add FILE'"
    )
    return answer, lines or [none]


def _format_sigma(dem: DemRecord, language: str) -> str:
    """Format the accuracy that the operator stated; "" if none."""
    if dem.sigma_m is None:
        return ""
    vertical_m, horizontal_m = dem.sigma_m
    if language == "vi":
        place = "" if horizontal_m is None else f", mặt bằng ± {format_number(horizontal_m, 2, 'vi')} m"
        return f"; độ cao ± {format_number(vertical_m, 2, 'vi')} m{place}"
    place = "" if horizontal_m is None else f", ± {horizontal_m:.2f} m in plan"
    return f"; ± {vertical_m:.2f} m in height{place}"


def format_removed_dem(dem: DemRecord, language: str = "en") -> Output:
    """Return dem_id and name of a removed DEM."""
    en = (
        f"{dem.name} is off the list; what was laid on it stays as it is, and 'flycam dem add' registers it "
        "again"
    )
    vi = (
        f"đã bỏ {dem.name} khỏi danh sách; bản đồ đã trải trên đó vẫn giữ nguyên; muốn dùng lại thì chạy "
        "'flycam dem add'"
    )
    return {"dem_id": dem.dem_id, "name": dem.name}, [vi if language == "vi" else en]


def format_communes(found: CommuneImport, language: str = "en") -> Output:
    """Return added, repaired, overlaps_km2 and valid_from.

    valid_from  first day on which these boundaries hold
    """
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
    count, repaired, contested = len(found.communes), len(found.repaired), found.overlaps_km2
    if language == "vi":
        first = f"{count} xã, phường; sửa hình {repaired}; "
        first += f"{format_number(contested, 2, 'vi')} km² chồng lấn đã phân định"
    else:
        first = f"{count} communes, {repaired} repaired, {contested:.2f} km² claimed twice and settled"
    if since:
        first += f"; hiệu lực từ {since:%d/%m/%Y}" if language == "vi" else f"; in force from {since}"
    said = (*found.repaired, *found.removed, *found.remarks)
    return answer, [first, *(f"  {sentence}" for sentence in said)]
