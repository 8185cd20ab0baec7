"""Texts of the quality report in Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LANGUAGES = ("vi", "en")
DRILL_MARK = "DIỄN TẬP"


class TranslatedText(NamedTuple):
    """One phrase in two languages; {names} are filled in."""

    vi: str
    en: str


def _bilingual(vi: str, en: str) -> TranslatedText:
    return TranslatedText(vi, en)


REPORT_TEXTS: Mapping[str, TranslatedText] = {
    "title": _bilingual("Báo cáo chất lượng ảnh trực giao", "Orthomosaic quality report"),
    "page": _bilingual("Trang", "Page"),
    "drill_note": _bilingual(
        "Chuyến bay diễn tập: không phải hiện trường thật.", "A drill flight: not a real scene."
    ),
    "unknown": _bilingual("không rõ", "unknown"),
    # the first sentence
    "verdict_measure": _bilingual("Có thể đo trên bản đồ này.", "You can measure on this map."),
    "verdict_partly": _bilingual(
        "Có thể đo trên hơn một nửa bản đồ này; xem bản đồ sai số để biết chỗ nào kém chính xác hơn.",
        "You can measure on more than half of this map; the error map shows where it is less accurate.",
    ),
    "verdict_care": _bilingual(
        "Chỉ đo gần đúng trên bản đồ này.", "Measurements on this map are only approximate."
    ),
    "verdict_look": _bilingual(
        "Không đo trên bản đồ này; chỉ dùng để định hướng.",
        "Do not measure on this map; use it for orientation only.",
    ),
    "verdict_error": _bilingual(
        "Sai số vị trí tương đối: một nửa diện tích trong {median}, 95 % trong {p95} (1 sigma).",
        "Position error within the map (1 sigma): up to {median} on half of the ground, {p95} on 95 %.",
    ),
    "verdict_ground": _bilingual(
        "{own_pct} diện tích nằm trên bề mặt đo từ chuyến bay (một nửa trong {own}), phần còn lại trên {rest}"
        " (một nửa trong {dem}).",
        "{own_pct} of the ground lies on a surface measured by the flight itself (half of it within {own}),"
        " the rest on {rest} (half within {dem}).",
    ),
    "verdict_shift": _bilingual(
        "Toàn bộ bản đồ có thể lệch chung {plan} trên mặt bằng và {height} về độ cao (1 sigma).",
        "The map as a whole may be shifted by {plan} horizontally and {height} vertically (1 sigma).",
    ),
    "verdict_shift_free": _bilingual(
        "Không có ảnh tham chiếu hay điểm khống chế mặt đất, nên độ lệch chung của cả bản đồ, cỡ độ lệch của"
        " GNSS, chưa kiểm tra được.",
        "There was neither a reference map nor ground control, so the common shift of the map, about as large"
        " as the GNSS bias, could not be checked.",
    ),
    "verdict_all": _bilingual("Dùng cả {used} ảnh.", "Every photo is used ({used})."),
    "verdict_some": _bilingual(
        "Dùng {used} trong {all} ảnh; bỏ: {why}.",
        "Photos used: {used} of {all}; left out: {why}.",
    ),
    "verdict_gaps": _bilingual(
        "Bên trong còn trống {area} ({share}), chỗ lớn nhất {largest}.",
        "Gaps inside the map cover {area} ({share}); the largest is {largest}.",
    ),
    "verdict_no_gaps": _bilingual("Không có khoảng trống bên trong.", "There are no gaps inside the map."),
    "priors_kept": _bilingual(
        "Giữ vị trí ảnh như đã ghi khi bay: {why}", "The recorded camera positions were kept: {why}"
    ),
    # facts
    "facts": _bilingual("Số liệu chính", "Key figures"),
    "layer": _bilingual("Lớp ảnh", "Layer"),
    "layer_colour": _bilingual("ảnh màu", "colour"),
    "layer_thermal": _bilingual("ảnh nhiệt", "thermal"),
    "revision": _bilingual("Bản hoàn thiện", "Finished revision"),
    "revision_value": _bilingual("{number}, làm lúc {made}", "{number}, made {made}"),
    "control": _bilingual("Khống chế tuyệt đối", "Absolute control"),
    "control_none": _bilingual("không có", "none"),
    "control_points": _bilingual(
        "{count} điểm khống chế mặt đất", "{count:ground control point|ground control points}"
    ),
    "control_reference": _bilingual(
        "ảnh tham chiếu: {agreed} trong {tried} ô khớp",
        "reference map: windows in agreement {agreed} of {tried}",
    ),
    "control_unused": _bilingual(
        "ảnh tham chiếu không dùng được ({agreed} trong {tried} ô khớp)",
        "the reference map could not be used (windows in agreement: {agreed} of {tried})",
    ),
    "captured": _bilingual("Thời gian chụp", "Captured"),
    "operator": _bilingual("Người bay", "Operator"),
    "communes": _bilingual("Xã / phường", "Communes"),
    "crs": _bilingual("Hệ toạ độ, hệ độ cao", "Coordinates, height datum"),
    "frames": _bilingual("Ảnh", "Photos"),
    "frames_value": _bilingual("dùng {used}, bỏ {out}", "{used} used, {out} left out"),
    "held": _bilingual("Cách định vị ảnh", "How photos are held"),
    "held_tied": _bilingual("{count} ảnh bằng điểm liên kết", "{count} by tie points"),
    "held_weak": _bilingual("{count} ảnh yếu (ít điểm liên kết)", "{count} weakly (few tie points)"),
    "held_carried": _bilingual("{count} ảnh theo ảnh lân cận", "{count} carried by neighbours"),
    "held_prior": _bilingual("{count} ảnh theo số liệu bay", "{count} by telemetry alone"),
    "imaged": _bilingual("Diện tích trên bản đồ", "Ground on the map"),
    "gaps": _bilingual("Khoảng trống bên trong", "Gaps inside"),
    "gaps_value": _bilingual(
        "{count}, tổng {area}, lớn nhất {largest}", "{count}, {area} in all, the largest {largest}"
    ),
    "none": _bilingual("không có", "none"),
    "gsd": _bilingual("Độ phân giải mặt đất (GSD)", "Ground sample distance (GSD)"),
    "gsd_value": _bilingual(
        "bản đồ {pixel}; ảnh gốc {low} – {high}, trung vị {middle}",
        "map {pixel}; photos {low} – {high}, median {middle}",
    ),
    "overlap_fact": _bilingual("Số ảnh nhìn thấy mặt đất", "Photos that see the ground"),
    "overlap_value": _bilingual(
        "trung vị {median}; {thin} diện tích có dưới 3 ảnh",
        "median {median}; fewer than 3 over {thin} of the ground",
    ),
    "ties": _bilingual("Điểm liên kết", "Tie points"),
    "ties_value": _bilingual(
        "{tracks} điểm, {observations} lần quan sát", "{tracks} points, {observations} observations"
    ),
    "residuals": _bilingual("Sai số chiếu lại (RMS)", "Reprojection residual (RMS)"),
    "residuals_value": _bilingual(
        "{used}; điểm giữ lại không bình sai {held}", "{used}; points held out of the adjustment {held}"
    ),
    "of_refused": _bilingual(" (lần bình sai bị bỏ)", " (of the adjustment that was refused)"),
    "within": _bilingual("Sai số tâm chụp trong khối (1 sigma)", "Camera positions in the block (1 sigma)"),
    "within_value": _bilingual("mặt bằng ± {xy}, độ cao ± {z}", "plan ± {xy}, height ± {z}"),
    "error_all": _bilingual("Sai số dự kiến của bản đồ", "Expected error of the map"),
    "error_own": _bilingual("  trên bề mặt đo từ chuyến bay", "  on the flight's own surface"),
    "error_corrected": _bilingual(
        "  trên mặt đất suy ra hoặc hiệu chỉnh theo chuyến bay", "  on ground carried on or corrected from it"
    ),
    "error_dem": _bilingual("  trên mô hình độ cao (DEM)", "  on the terrain model (DEM)"),
    "error_plane": _bilingual("  trên mặt phẳng (không có DEM)", "  on a plane (no DEM)"),
    "error_value": _bilingual("trung vị {median}, 95 % trong {p95}", "median {median}, 95 % within {p95}"),
    "moved": _bilingual("Đã dời cả khối", "Moved as a whole"),
    "triple": _bilingual("đông {east}, bắc {north}, cao {up}", "east {east}, north {north}, up {up}"),
    "shift": _bilingual("Lệch chung còn chưa biết (1 sigma)", "Common shift still unknown (1 sigma)"),
    "check": _bilingual("Sai số tại điểm kiểm tra (RMS)", "Error at check points (RMS)"),
    "surface_fact": _bilingual("Mặt đất dùng để nắn ảnh", "Ground it is rectified on"),
    "surface_value": _bilingual(
        "bề mặt đo từ chuyến bay {own}, còn lại suy ra từ đó hoặc là DEM đã hiệu chỉnh; điểm cách {post}",
        "the flight's own surface {own}, the rest carried on from it or corrected DEM; posts every {post}",
    ),
    "surface_plane": _bilingual(
        "bề mặt đo từ chuyến bay {own}, còn lại suy ra từ đó (không có DEM); điểm cách {post}",
        "the flight's own surface {own}, the rest carried on from it (no DEM); posts every {post}",
    ),
    "surface_none": _bilingual(
        "mô hình độ cao (DEM), điểm cách {post}", "terrain model (DEM), posts every {post}"
    ),
    "surface_flat": _bilingual("mặt phẳng, không có DEM", "a plane, no DEM"),
    "shutter": _bilingual("Màn trập cuốn (rolling shutter)", "Rolling shutter"),
    "windows_fact": _bilingual("Giữ đúng hình của ảnh gốc", "Shapes kept as in the photos"),
    "windows_whole": _bilingual(
        "{whole} diện tích (ô 64 điểm ảnh chỉ xoay và co giãn, không méo)",
        "{whole} of the map (windows of 64 pixels turned and scaled as a whole, not bent)",
    ),
    "windows_smooth": _bilingual(
        "; {smooth} nằm trên độ cao làm trơn thay cho độ cao đo, trong đó {inside} đúng hình",
        "; {smooth} lies on smooth heights instead of measured ones, {inside} of that whole",
    ),
    "shutter_applied": _bilingual(
        "đã tính cho {count} ảnh: mỗi hàng ảnh có thời điểm riêng (đọc ảnh {readout}); nếu không, hàng đầu và"
        " hàng cuối lệch đến {most}",
        "taken into account in {count:photo|photos}: each row at its own moment (readout {readout}); without"
        " it the first and last rows would be off by up to {most}",
    ),
    "shutter_others": _bilingual(
        "; {count} ảnh khác không tính: không rõ thời gian đọc ảnh của máy ảnh",
        "; not in {count:other photo|other photos}, whose camera's readout time is not known",
    ),
    "shutter_small": _bilingual(
        "không cần tính: ảnh hưởng dưới một phần tư pixel, hoặc không rõ tốc độ bay",
        "not needed: its effect is below a quarter of a pixel, or the speed is not known",
    ),
    "shutter_unknown": _bilingual(
        "không tính: không rõ thời gian đọc ảnh của máy ảnh; khi bay nhanh, các hàng đầu và cuối ảnh có thể"
        " lệch theo hướng bay; nếu biết, hãy ghi readout_s vào tệp máy ảnh rồi nạp lại với --camera --relay",
        "not taken into account: the camera's readout time is not known; in fast flight the first and last"
        " rows of a photo may lie off along the course; if you know it, write readout_s into a camera file"
        " and ingest again with --camera --relay",
    ),
    "shutter_off": _bilingual("không tính, theo yêu cầu", "not taken into account, as asked"),
    "time": _bilingual("Thời gian xử lý", "Time taken"),
    "minutes": _bilingual("{minutes} phút", "{minutes} min"),
    # pictures
    "pictures": _bilingual("Bản đồ", "Maps"),
    "map_note": _bilingual(
        "Các bản đồ cùng khung, hướng bắc của lưới toạ độ ở trên. Mũi tên: phần dời riêng của từng ảnh, đã"
        " trừ phần dời chung.",
        "All maps share one frame; grid north is up. Arrows: what each photo moved beyond the common shift.",
    ),
    "photo_map": _bilingual(
        "Ảnh trực giao, tâm ảnh theo cách định vị", "Orthomosaic, photos by how they are held"
    ),
    "state_tied": _bilingual("bằng điểm liên kết", "by tie points"),
    "state_weak": _bilingual("yếu", "weak"),
    "state_carried": _bilingual("theo ảnh lân cận", "carried"),
    "state_prior": _bilingual("theo số liệu bay", "telemetry alone"),
    "state_left_out": _bilingual("không trải được", "cannot be laid"),
    "state_rejected": _bilingual("bị loại", "rejected"),
    "state_withdrawn": _bilingual("đã rút", "withdrawn"),
    "state_out": _bilingual("không dùng", "not used"),
    "state_gap": _bilingual("khoảng trống", "gap"),
    "error_map": _bilingual(
        "Sai số vị trí dự kiến (m, 1 sigma), chưa kể lệch chung",
        "Expected error (m, 1 sigma), common shift apart",
    ),
    "up_to": _bilingual("đến {bound}", "up to {bound}"),
    "over": _bilingual("trên {bound}", "over {bound}"),
    "overlap_map": _bilingual("Số ảnh nhìn thấy mỗi chỗ", "How many photos see each place"),
    "surface_map": _bilingual("Mặt đất dưới mỗi điểm ảnh", "Ground under each pixel"),
    "bend_map": _bilingual(
        "Ô 64 điểm ảnh của bản đồ có giữ đúng hình của ảnh gốc không",
        "Whether windows of 64 pixels keep the shapes of their photo",
    ),
    "bend_whole": _bilingual("đúng hình, trên độ cao đo", "whole, on measured heights"),
    "bend_smooth": _bilingual(
        "đúng hình, trên độ cao làm trơn (tán cây ngả theo hướng nhìn)",
        "whole, on smooth heights (crowns lean)",
    ),
    "bend_bent": _bilingual(
        "méo: mép tường, bờ, sườn dốc, tán cây", "bent: walls, banks, steep slopes, crowns"
    ),
    "own": _bilingual("bề mặt đo từ chuyến bay", "the flight's own surface"),
    "corrected": _bilingual(
        "mặt đất suy ra hoặc hiệu chỉnh theo chuyến bay", "ground carried on or corrected from the flight"
    ),
    "dem": _bilingual("mô hình độ cao (DEM)", "the terrain model (DEM)"),
    "plane": _bilingual("mặt phẳng (không có DEM)", "a plane (no DEM)"),
    "datum_LOCAL": _bilingual("độ cao cục bộ, không rõ gốc", "local heights, datum not known"),
    "relief_map": _bilingual(
        "Địa hình dùng để nắn ảnh (DSM), tô bóng", "The ground it lies on (DSM), shaded"
    ),
    "move_map": _bilingual(
        "Ảnh dời khỏi vị trí ghi (× {times}), sai số chiếu lại",
        "Photos moved from telemetry (× {times}); residuals",
    ),
    "no_residual": _bilingual("không có điểm liên kết", "no tie points"),
    "histogram": _bilingual(
        "Phân bố sai số chiếu lại, một toạ độ, pixel", "Reprojection residuals, one coordinate, pixels"
    ),
    "histogram_used": _bilingual("đã bình sai", "in the adjustment"),
    "histogram_held": _bilingual("giữ lại để kiểm tra", "held out"),
    "histogram_frames": _bilingual(
        "Ảnh theo RMS sai số chiếu lại, pixel", "Photos by RMS of their residuals, pixels"
    ),
    # lists
    "left_out": _bilingual("Ảnh không dùng, và vì sao", "Photos not used, and why"),
    "left_out_none": _bilingual("Mọi ảnh đều được dùng.", "Every photo is used."),
    "weak_list": _bilingual("Ảnh dùng nhưng định vị yếu", "Photos used but weakly held"),
    "weak_none": _bilingual(
        "Mọi ảnh dùng đều được giữ bằng điểm liên kết.", "Every photo used is held by its own tie points."
    ),
    "photo": _bilingual("Ảnh", "Photo"),
    "state": _bilingual("Tình trạng", "State"),
    "reason": _bilingual("Lý do", "Reason"),
    "tie_count": _bilingual("Điểm liên kết", "Tie points"),
    "rms": _bilingual("RMS (px)", "RMS (px)"),
    "cells": _bilingual("Phủ trên ảnh", "Spread over the picture"),
    "and_more": _bilingual("và {count} nữa", "and {count} more"),
    "notes": _bilingual("Ghi chú", "Notes"),
    "weak_why": _bilingual("quá ít điểm liên kết, hoặc phân bố kém", "too few tie points, or badly spread"),
    "carried_why": _bilingual(
        "không có điểm liên kết dùng được: vị trí ghi khi bay, chỉnh theo ảnh lân cận",
        "no usable tie points: its telemetry, corrected as its neighbours were",
    ),
    "prior_why": _bilingual("giữ vị trí ghi khi bay", "its telemetry was kept"),
    # why frames were rejected, by the keys of errors.py
    "reason_unreadable": _bilingual("tệp ảnh không đọc được", "the picture cannot be read"),
    "reason_no_position": _bilingual("không có vị trí", "no position"),
    "reason_calibration_missing": _bilingual("không rõ ống kính", "lens not known"),
    "reason_no_sight": _bilingual("không rõ máy ảnh nhìn hướng nào", "which way it looks is not known"),
    "reason_no_height": _bilingual("không xác định được độ cao", "no usable height"),
    "reason_telemetry_gap": _bilingual("thiếu số liệu bay lúc chụp", "telemetry has a gap there"),
    "reason_pose_rejected": _bilingual("vị trí hoặc góc chụp vô lý", "its pose makes no sense"),
    "reason_horizon_in_view": _bilingual("chụp ngang chân trời", "it looks at the horizon"),
    "reason_outside_terrain": _bilingual("ngoài vùng có địa hình", "outside the terrain that is known"),
    "reason_too_blurred": _bilingual("mờ, nhoè", "too blurred"),
    "reason_lens_covered": _bilingual("ống kính bị che", "the lens was covered"),
    "reason_duplicate": _bilingual("trùng với ảnh khác", "a copy of another photo"),
    "reason_rejected": _bilingual("bị loại", "rejected"),
    "reason_set_aside": _bilingual(
        "không trải được trên địa hình mới", "it cannot be laid on the new terrain"
    ),
    "reason_other": _bilingual("lý do khác", "another reason"),
    "reason_withdrawn": _bilingual("đã rút khỏi mọi bản đồ", "withdrawn from every map"),
    "reason_left_out": _bilingual(
        "không nhìn thấy mặt đất đã biết độ cao", "it sees no ground of known height"
    ),
}


class _PluralNumber(int):
    """Number written with a noun's form for one or for many."""

    def __format__(self, forms: str) -> str:
        one, _, many = forms.partition("|")
        return f"{int(self)} {one if self == 1 else many}" if forms else str(int(self))


def format_text(key: str, language: str, **values: object) -> str:
    """Return a phrase of the report in "vi" or "en"; raises as `format_phrase`."""
    return format_phrase(REPORT_TEXTS, key, language, **values)


def format_phrase(texts: Mapping[str, TranslatedText], key: str, language: str, **values: object) -> str:
    """Return a phrase of `texts`.

    Raises KeyError for a missing key, language or name. A whole number takes the form that goes with it:
    {count:photo|photos}.
    """
    return {"vi": texts[key].vi, "en": texts[key].en}[language].format_map(
        {
            name: _PluralNumber(value) if isinstance(value, int) else str(value)
            for name, value in values.items()
        }
    )


def format_text_or(key: str, language: str, otherwise: str) -> str:
    """Return the phrase, or `otherwise` where there is none under this key."""
    return format_text(key, language) if key in REPORT_TEXTS else otherwise
