"""Answers of `finish` and `report`: a finished revision, and files made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flycam.answers.output import Output
from flycam.frame.warning import NO_TERRAIN, format_brief_warning, format_warning, parse_warning_code
from flycam.report.log_translation import translate_log_sentence
from flycam.report.number_format import format_list, format_number

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.finish.finish_report import FinishReport, LayerReport
    from flycam.pipeline.finish.quality_report import ReportFile


def format_finish(report: FinishReport, language: str = "en") -> Output:
    """Return revision, tie_points, reprojection_px, sigmas, shift_m and more.

    Keys also are sigma_xy_m, sigma_z_m and seconds. All figures are of the layer by which the flight is
    shown; the other layers are in `layers`.
    """
    main = report.main
    stats: Mapping[str, Any] = main.stats if main else {}
    answer = {
        "flight_id": report.flight.flight_id,
        "name": report.flight.name,
        "revision": main.revision if main else None,
        "new": report.layers[0].new,
        **{key: stats.get(key) for key in _FINISH_FIGURES},
        "warnings": [
            *(translate_log_sentence(one, "en") for one in _doubts(stats)),
            *_warnings(report, "en"),
        ],
        "warnings_vi": [
            *(translate_log_sentence(one, "vi") for one in _doubts(stats)),
            *_warnings(report, "vi"),
        ],
        "done_besides": [format_warning(one) for one in report.notes],
        "done_besides_vi": [format_warning(one, "vi") for one in report.notes],
        "layers": [
            {
                "layer": one.layer,
                "revision": one.record.revision if one.record else None,
                "new": one.new,
                "mended": one.repaired,
                "instead_of": one.instead_of,
                "accepted": one.record.stats.get("accepted") if one.record else None,
                "why": one.why or (one.record.stats.get("why", "") if one.record else ""),
            }
            for one in report.layers
        ],
        "stage_seconds": stats.get("seconds"),
        "seconds": round(report.seconds, 3),
    }
    besides = [f"  * {format_warning(one, language)}" for one in report.notes]
    return answer, [*_lines(report, stats, language), *besides]


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


class _Words(NamedTuple):
    vi: str
    en: str


_TEXTS: Mapping[str, _Words] = {
    "nothing": _Words("{name}: chưa hoàn thiện được lớp nào", "{name}: nothing was finished"),
    "skipped": _Words("  [bỏ] {why}", "  [left out] {layer}: {why}"),
    "stands": _Words(
        "{name}: bản hoàn thiện số {revision} vẫn đúng, không có gì thay đổi",
        "{name}: revision {revision} stands; nothing has changed since it was made",
    ),
    "shown_again": _Words(
        "{name}: bản hoàn thiện số {revision} vẫn đúng và được hiển thị trở lại, thay cho bản số {before}",
        "{name}: revision {revision} stands, and is on show again instead of revision {before}",
    ),
    "mended": _Words(
        "; {mended} mảnh bản đồ bị mất hoặc hỏng đã được dựng lại",
        "; {mended} of its tiles were lost or damaged and were made again",
    ),
    "made": _Words(
        "{name}: bản hoàn thiện số {revision} từ {used} ảnh, {seconds} giây",
        "{name}: revision {revision} from {used} frames, {seconds} s",
    ),
    "ties": _Words(
        "  {ties} điểm liên kết, sai số chiếu lại {error} (điểm giữ lại {held_out}); vị trí máy ảnh trong "
        "khối ± {plan} mặt bằng, ± {height} độ cao",
        "  {ties} tie points, reprojection {error} (held out {held_out}); the cameras within the "
        "block ± {plan} in plan, ± {height} in height",
    ),
    "map": _Words(
        "  sai số dự kiến của một điểm trên bản đồ (1 sigma, chưa kể độ lệch chung): một nửa diện tích trong "
        "{median}, 95 % trong {p95}",
        "  expected error of a place on the map (1 sigma, the common shift apart): up to {median} on half of "
        "it, {p95} on 95 %",
    ),
    "shift": _Words(
        "  cả khối đã dời {shift} m (đông; bắc; cao); độ lệch chung còn chưa biết: ± {unknown} m",
        "  the cameras moved by {shift} m (east, north, up) on the whole; what stays unknown of the block's "
        "place: ± {unknown} m",
    ),
    "carried": _Words(
        "{names}: không liên kết được với ảnh nào; đặt theo vị trí ghi khi bay, chỉ ở nơi không ảnh nào khác "
        "nhìn thấy: đừng đo ở đó, hãy bay lại",
        "{names}: could not be tied to any photo; laid as recorded, only where no other photo sees the "
        "ground: do not measure there, fly it again",
    ),
    "resected": _Words(
        "{names}: các ảnh lân cận cho thấy vị trí hoặc hướng ghi khi bay là sai (lệch đến {moved}, "
        "{turned}°); đã tìm lại từ chính các ảnh",
        "{names}: neighbours contradict the recorded position or heading (off by up to {moved}, {turned}°); "
        "both were found again from the pictures",
    ),
    "priors": _Words("  giữ vị trí ảnh như đã ghi khi bay: {why}", "  poses as recorded were kept: {why}"),
    "surface": _Words(
        "  {share} % diện tích nằm trên bề mặt đo từ chuyến bay, điểm cách {spacing} m",
        "  surface of its own under {share} % of the ground, posts every {spacing} m",
    ),
    "shutter": _Words(
        "  đã tính màn trập cuốn cho {frames} ảnh: nếu không, các hàng ngoài cùng lệch đến {most}",
        "  rolling shutter taken into account in {frames} frames: without it their outermost rows would be "
        "off by up to {most}",
    ),
    "left_out": _Words("  [bỏ] {name}: {why}", "  [left out] {name}: {why}"),
    "report": _Words(
        "{path}: báo cáo chất lượng của {name}, bản hoàn thiện số {revision}",
        "{path}: quality report of {name}, revision {revision}",
    ),
}


def _format_text(key: str, language: str, **values: object) -> str:
    words = _TEXTS[key]
    return (words.vi if language == "vi" else words.en).format_map(values)


def _lines(report: FinishReport, stats: Mapping[str, Any], language: str) -> list[str]:
    """Format the result for people: the revision, then what is not in it."""
    name, main = report.flight.name, report.main
    skipped = [_skipped(one, language) for one in report.layers if one.record is None]
    if main is None:
        return [_format_text("nothing", language, name=name), *skipped]
    if not report.layers[0].new:
        mended = sum(one.repaired for one in report.layers)
        before = report.layers[0].instead_of
        key = "stands" if before is None else "shown_again"
        stands = _format_text(key, language, name=name, revision=main.revision, before=before)
        return [stands + (_format_text("mended", language, mended=mended) if mended else ""), *skipped]
    frames, seconds = stats["frames"], f"{report.seconds:.0f}"
    made = _format_text(
        "made", language, name=name, revision=main.revision, used=frames["used"], seconds=seconds
    )
    notes = [f"  {_translate(one, language)}" for one in (*_control_remarks(stats), *stats["notes"])]
    left_out = [
        _format_text(
            "left_out",
            language,
            name=one["name"],
            why=_pick_language(language, one["sentence"], one.get("sentence_vi")),
        )
        for one in frames["left_out"]
    ]
    return [
        made,
        *_placed(stats, language),
        *_map_error(stats, language),
        *_surface(stats, language),
        *_shutter(stats, language),
        *(f"  ! {one}" for one in _warnings(report, language)),
        *notes,
        *left_out,
        *skipped,
    ]


def _skipped(one: LayerReport, language: str) -> str:
    return _format_text(
        "skipped", language, layer=one.layer, why=_pick_language(language, one.why, one.why_vi)
    )


def _placed(stats: Mapping[str, Any], language: str) -> Iterator[str]:
    """Yield how the frames were placed: by the adjustment, or as recorded."""
    if not stats["accepted"]:
        yield _format_text("priors", language, why=_translate(stats["why"], language))
        return
    yield _format_text(
        "ties",
        language,
        ties=stats["tie_points"],
        error=_metric(stats["reprojection_px"], "px", language),
        held_out=_metric(stats["held_out_px"], "px", language),
        plan=_metric(stats["sigma_xy_m"], "m", language),
        height=_metric(stats["sigma_z_m"], "m", language),
    )
    shift, unknown = (_triple(stats[key], language) for key in ("shift_m", "shift_sigma_m"))
    yield _format_text("shift", language, shift=shift, unknown=unknown)


def _map_error(stats: Mapping[str, Any], language: str) -> Iterator[str]:
    """Yield the error of places, if the report measured it over the map."""
    error = stats.get("map_error_m")
    if error and error["median"] is not None:
        median, p95 = (_metric(error[key], "m", language) for key in ("median", "p95"))
        yield _format_text("map", language, median=median, p95=p95)


def _surface(stats: Mapping[str, Any], language: str) -> Iterator[str]:
    if surface := stats["surface"]:
        share, spacing = (
            format_number(surface["supported_pct"], 0, language),
            format_number(surface["spacing_m"], 2, language),
        )
        yield _format_text("surface", language, share=share, spacing=spacing)


def _shutter(stats: Mapping[str, Any], language: str) -> Iterator[str]:
    if (rows := stats.get("rolling_shutter")) and rows["frames"]:
        most = _metric(rows["most_px"], "px", language)
        yield _format_text("shutter", language, frames=rows["frames"], most=most)


def _warnings(report: FinishReport, language: str) -> list[str]:
    """List what the revision could not determine.

    It is the ground beside its own surface, the shutter's readout, the place of photos that nothing ties; and
    photos whose recorded poses were wrong.
    """
    from flycam.pipeline.finish.readout_warnings import list_readout_warnings  # noqa: PLC0415  the recipe has loaded it

    ground = [one for one in report.flight.warnings if parse_warning_code(one) == NO_TERRAIN]
    readout = list_readout_warnings(report.main.stats) if report.main else ()
    return [
        *(format_brief_warning(one, language, finished=True) for one in ground),
        *(format_warning(one, language) for one in readout),
        *(_misplaced(report.main.stats, language) if report.main else ()),
    ]


def _misplaced(stats: Mapping[str, Any], language: str) -> Iterator[str]:
    """Yield photos that were recorded at wrong or unknown places."""
    frames: Mapping[str, Any] = stats.get("frames") or {}
    if found := frames.get("resected"):
        yield _format_text(
            "resected",
            language,
            names=format_list([one["name"] for one in found], language),
            moved=_metric(max(one["moved_m"] for one in found), "m", language),
            turned=format_number(max(one["turned_deg"] for one in found), 0, language),
        )
    if carried := frames.get("carried_names"):
        yield _format_text("carried", language, names=format_list(carried, language))


def _translate(sentence: str, language: str) -> str:
    """Translate a sentence that a stage reported in English."""
    return translate_log_sentence(sentence, "vi") if language == "vi" else sentence


def _pick_language(language: str, english: str, vietnamese: str | None) -> str:
    return vietnamese or english if language == "vi" else english


def _control_remarks(stats: Mapping[str, Any]) -> Sequence[str]:
    """Return the remarks of absolute control."""
    said: Sequence[str] = (stats.get("control") or {}).get("said", ())
    return said


def _doubts(stats: Mapping[str, Any]) -> Sequence[str]:
    """Return what people should look into.

    Those are doubts of absolute control, and contradictions between the block and its metadata.
    """
    doubts: Sequence[str] = (stats.get("control") or {}).get("doubts", ())
    return (*doubts, *stats.get("notes", ()))


def _metric(value: float | None, unit: str, language: str) -> str:
    return (
        format_number(value, 2, language) if value is None else f"{format_number(value, 2, language)} {unit}"
    )


def _triple(values: Sequence[float | None], language: str) -> str:
    """Format east, north, up; a decimal comma is not used as separator too."""
    return ("; " if language == "vi" else ", ").join(format_number(value, 2, language) for value in values)


def format_report_file(written: ReportFile, language: str = "en") -> Output:
    """Return path, flight_id, revision, language and bytes of a report."""
    answer = {
        "path": str(written.path),
        "flight_id": written.flight.flight_id,
        "revision": written.revision,
        "language": written.language,
        "bytes": written.bytes,
    }
    name, revision = written.flight.name, written.revision
    return answer, [_format_text("report", language, path=written.path, name=name, revision=revision)]
