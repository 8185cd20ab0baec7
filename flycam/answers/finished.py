"""What came of finishing a flight, and the files made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.answered import Answered
from flycam.report.heard import translated
from flycam.report.numbers import listed, number

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.pipeline.finish_report import FinishReport
    from flycam.pipeline.report import ReportFile


def of_finish(report: FinishReport, language: str = "en") -> Answered:
    """revision, tie_points, reprojection_px, sigma_xy_m, sigma_z_m, shift_m, seconds, and more.

    All figures are of the layer that the flight is shown by; the other layers are in `layers`.
    """
    main = report.main
    stats: Mapping[str, Any] = main.stats if main else {}
    answer = {
        "flight_id": report.flight.flight_id,
        "name": report.flight.name,
        "revision": main.revision if main else None,
        "new": report.layers[0].new,
        **{key: stats.get(key) for key in _FINISH_FIGURES},
        "layers": [
            {
                "layer": one.layer,
                "revision": one.record.revision if one.record else None,
                "new": one.new,
                "mended": one.mended,
                "accepted": one.record.stats.get("accepted") if one.record else None,
                "why": one.why or (one.record.stats.get("why", "") if one.record else ""),
            }
            for one in report.layers
        ],
        "stage_seconds": stats.get("seconds"),
        "seconds": round(report.seconds, 3),
    }
    lines = _lines_vi(report, stats) if language == "vi" else _lines(report, stats)
    return answer, lines


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
    "control",
    "surface",
    "rolling_shutter",
)


def _lines(report: FinishReport, stats: Mapping[str, Any]) -> list[str]:
    name, main = report.flight.name, report.main
    skipped = [f"  [left out] {one.layer}: {one.why}" for one in report.layers if one.record is None]
    if main is None:
        return [f"{name}: nothing was finished", *skipped]
    if not report.layers[0].new:
        mended = sum(one.mended for one in report.layers)
        again = f"; {mended} of its tiles were lost or damaged and were made again" if mended else ""
        stands = f"{name}: revision {main.revision} stands; nothing has changed since it was made{again}"
        return [stands, *skipped]
    frames = stats["frames"]
    lines = [f"{name}: revision {main.revision} from {frames['used']} frames, {report.seconds:.0f} s"]
    if stats["accepted"]:
        lines.append(
            f"  {stats['tie_points']} tie points, reprojection {_metric(stats['reprojection_px'], 'px')} "
            f"(held out {_metric(stats['held_out_px'], 'px')}); within the block ± "
            f"{_metric(stats['sigma_xy_m'], 'm')} in plan, ± {_metric(stats['sigma_z_m'], 'm')} in height"
        )
        shift, unknown = stats["shift_m"], stats["shift_sigma_m"]
        lines.append(
            f"  the cameras moved by {_triple(shift)} m (east, north, up) on the whole; what stays unknown "
            f"of the block's place: ± {_triple(unknown)} m"
        )
        if carried := frames.get("carried_names"):
            lines.append(f"  could not be tied, carried by neighbours: {listed(carried, 'en')}")
    else:
        lines.append(f"  poses as recorded were kept: {stats['why']}")
    if stats["surface"]:
        lines.append(
            f"  surface of its own under {stats['surface']['supported_pct']:.0f} % of the ground, posts "
            f"every {stats['surface']['spacing_m']:.2g} m"
        )
    if (rows := stats.get("rolling_shutter")) and rows["frames"]:
        lines.append(
            f"  rolling shutter taken into account in {rows['frames']} frames: without it their outermost "
            f"rows would be off by up to {_metric(rows['most_px'], 'px')}"
        )
    lines += [f"  {sentence}" for sentence in (*_said(stats), *stats["notes"])]
    lines += [f"  [left out] {one['name']}: {one['sentence']}" for one in frames["left_out"]]
    return lines + skipped


def _lines_vi(report: FinishReport, stats: Mapping[str, Any]) -> list[str]:
    name, main = report.flight.name, report.main
    skipped = [f"  [bỏ] {one.why_vi}" for one in report.layers if one.record is None]
    if main is None:
        return [f"{name}: chưa hoàn thiện được lớp nào", *skipped]
    if not report.layers[0].new:
        mended = sum(one.mended for one in report.layers)
        again = f"; {mended} mảnh bản đồ bị mất hoặc hỏng đã được dựng lại" if mended else ""
        return [f"{name}: bản hoàn thiện số {main.revision} vẫn đúng, không có gì thay đổi{again}", *skipped]
    frames = stats["frames"]
    lines = [f"{name}: bản hoàn thiện số {main.revision} từ {frames['used']} ảnh, {report.seconds:.0f} giây"]
    if stats["accepted"]:
        lines.append(
            f"  {stats['tie_points']} điểm liên kết, sai số chiếu lại "
            f"{_metric(stats['reprojection_px'], 'px', 'vi')} (điểm giữ lại "
            f"{_metric(stats['held_out_px'], 'px', 'vi')}); trong khối ± "
            f"{_metric(stats['sigma_xy_m'], 'm', 'vi')} mặt bằng, ± "
            f"{_metric(stats['sigma_z_m'], 'm', 'vi')} độ cao"
        )
        shift, unknown = stats["shift_m"], stats["shift_sigma_m"]
        lines.append(
            f"  cả khối đã dời {_triple(shift, 'vi')} m (đông; bắc; cao); độ lệch chung còn chưa biết: "
            f"± {_triple(unknown, 'vi')} m"
        )
        if carried := frames.get("carried_names"):
            lines.append(f"  không liên kết được, đặt theo ảnh lân cận: {listed(carried, 'vi')}")
    else:
        lines.append(f"  giữ vị trí ảnh như đã ghi khi bay: {translated(stats['why'], 'vi')}")
    if stats["surface"]:
        share = number(stats["surface"]["supported_pct"], 0, "vi")
        spacing = number(stats["surface"]["spacing_m"], 2, "vi")
        lines.append(f"  {share} % diện tích nằm trên bề mặt đo từ chuyến bay, điểm cách {spacing} m")
    if (rows := stats.get("rolling_shutter")) and rows["frames"]:
        lines.append(
            f"  đã tính màn trập cuốn cho {rows['frames']} ảnh: nếu không, các hàng ngoài cùng lệch đến "
            f"{_metric(rows['most_px'], 'px', 'vi')}"
        )
    lines += [f"  {translated(sentence, 'vi')}" for sentence in (*_said(stats), *stats["notes"])]
    lines += [
        f"  [bỏ] {one['name']}: {one.get('sentence_vi') or one['sentence']}" for one in frames["left_out"]
    ]
    return lines + skipped


def _said(stats: Mapping[str, Any]) -> Sequence[str]:
    """What absolute control had to say."""
    said: Sequence[str] = (stats.get("control") or {}).get("said", ())
    return said


def _metric(value: float | None, unit: str, language: str = "en") -> str:
    return number(value, 2, language) if value is None else f"{number(value, 2, language)} {unit}"


def _triple(values: Sequence[float | None], language: str = "en") -> str:
    """East, north, up; where the comma is a decimal sign it separates nothing."""
    return ("; " if language == "vi" else ", ").join(number(value, 2, language) for value in values)


def of_report(written: ReportFile, language: str = "en") -> Answered:
    """path, flight_id, revision, language, bytes."""
    answer = {
        "path": str(written.path),
        "flight_id": written.flight.flight_id,
        "revision": written.revision,
        "language": written.language,
        "bytes": written.bytes,
    }
    flight, revision = written.flight.name, written.revision
    en = f"{written.path}: quality report of {flight}, revision {revision}"
    vi = f"{written.path}: báo cáo chất lượng của {flight}, bản hoàn thiện số {revision}"
    return answer, [vi if language == "vi" else en]
