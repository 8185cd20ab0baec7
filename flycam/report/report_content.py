"""Content of the quality report in one language, section by section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from flycam.frame.flight import is_flat_datum
from flycam.frame.timestamp import format_minute, format_utc_offset
from flycam.frame.warning import format_brief_warning
from flycam.report import report_pictures
from flycam.report.blocks import Block, Document, Facts, Figure, FigureRow, Heading, Paragraph
from flycam.report.log_translation import translate_log_sentence
from flycam.report.map_images import BEND_COLOURS, ERROR_COLOURS, OVERLAP_COLOURS, SURFACE_COLOURS
from flycam.report.map_planes import MapPlanes
from flycam.report.number_format import (
    format_area,
    format_centimetres,
    format_list,
    format_metres,
    format_number,
    format_percent,
    format_period,
    format_quantity,
)
from flycam.report.photo_lists import (
    UNUSED_STATES,
    format_rejection_reason,
    list_unused_photos,
    list_weak_photos,
)
from flycam.report.report_figures import (
    ERROR_BOUNDS_M,
    OVERLAP_BOUNDS,
    RESIDUAL_BOUNDS_PX,
    ErrorFigures,
    ReportFigures,
    Verdict,
    WindowFigures,
)
from flycam.report.texts import DRILL_MARK, format_text, format_text_or

_VERDICT_STYLES = {Verdict.MEASURE: "good", Verdict.PARTLY: "good", Verdict.CARE: "care", Verdict.LOOK: "bad"}
_HELD_STATES = ("tied", "weak", "carried", "prior")


def build_report_document(
    figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str
) -> Document:
    """Build the report of a revision in "vi" or "en"."""
    title = format_text("title", language)
    return Document(
        language=language,
        title=title,
        subtitle=f"{figures.flight} · {figures.event}",
        mark=DRILL_MARK if figures.is_drill else "",
        footer=f"flycam {figures.stats.get('versions', {}).get('flycam', '')} · {figures.flight} · "
        f"{format_text('revision', language)} {figures.revision} · {figures.inputs_hash[:12]}",
        page_word=format_text("page", language),
        made_ns=figures.made_ns,
        blocks=tuple(_blocks(figures, planes, drawn, language)),
        pictures=drawn,
    )


def _blocks(
    figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str
) -> Iterator[Block]:
    if figures.is_drill:
        yield Paragraph(text=format_text("drill_note", language), kind="small")
    yield Paragraph(text=describe_verdict(figures, language), kind=_VERDICT_STYLES[figures.verdict])
    if not figures.accepted:
        why = translate_log_sentence(str(figures.stats.get("why", "")), language)
        yield Paragraph(text=format_text("priors_kept", language, why=why))
    yield FigureRow(figures=(_photo_map(figures, language), _error_map(figures, language)))
    yield Heading(text=format_text("facts", language))
    yield Facts(rows=tuple(_facts(figures, language)))
    yield Heading(text=format_text("left_out", language))
    yield from list_unused_photos(figures, language)
    yield from list_weak_photos(figures, language)
    yield from _notes(figures, language)
    yield Heading(text=format_text("pictures", language))
    yield Paragraph(text=format_text("map_note", language), kind="small")
    yield FigureRow(figures=tuple(_maps(figures, planes, drawn, language)))


def describe_verdict(figures: ReportFigures, language: str) -> str:
    """Format the verdict: suitability for measuring, expected error, unused photos."""
    shift = figures.stats.get("shift_sigma_m") or (None, None, None)
    plan = None if shift[0] is None or shift[1] is None else (shift[0] ** 2 + shift[1] ** 2) ** 0.5
    said = [
        format_text(f"verdict_{figures.verdict}", language),
        format_text("verdict_error", language, **_error(figures.error, language)),
    ]
    if figures.error_own is not None and figures.error_dem is not None:
        said.append(
            format_text(
                "verdict_ground",
                language,
                own_pct=format_percent(figures.own_pct, language),
                own=format_metres(figures.error_own.median_m, language),
                rest=format_text(figures.ground, language),
                dem=format_metres(figures.error_dem.median_m, language),
            )
        )
    if plan is not None or figures.accepted:
        unknown = {"plan": format_metres(plan, language), "height": format_metres(shift[2], language)}
        said.append(format_text("verdict_shift", language, **unknown))
    if not figures.has_control:
        said.append(format_text("verdict_shift_free", language))
    out = figures.select_frames(*UNUSED_STATES)
    used, everything = figures.count(*_HELD_STATES), len(figures.frames)
    if out:
        why = Counter(format_rejection_reason(frame, language) for frame in out)
        parts = [
            f"{reason} ({count})" for reason, count in sorted(why.items(), key=lambda one: (-one[1], one[0]))
        ]
        said.append(
            format_text(
                "verdict_some",
                language,
                used=used,
                all=everything,
                why=format_list(parts, language, 3),
            )
        )
    else:
        said.append(format_text("verdict_all", language, used=used))
    if figures.gaps_m2:
        empty_m2 = sum(figures.gaps_m2)
        share = format_percent(100.0 * empty_m2 / (empty_m2 + figures.imaged_m2), language)
        largest = format_area(figures.gaps_m2[0], language)
        said.append(
            format_text(
                "verdict_gaps", language, area=format_area(empty_m2, language), share=share, largest=largest
            )
        )
    else:
        said.append(format_text("verdict_no_gaps", language))
    return " ".join(said)


def _error(error: ErrorFigures, language: str) -> dict[str, str]:
    return {"median": format_metres(error.median_m, language), "p95": format_metres(error.p95_m, language)}


def _facts(figures: ReportFigures, language: str) -> Iterator[tuple[str, str]]:
    def fact(key: str, value: str) -> tuple[str, str]:
        return format_text(key, language), value

    stats: Any = figures.stats
    if figures.layer != "colour":
        yield fact("layer", format_text_or(f"layer_{figures.layer}", language, figures.layer))
    made = f"{format_minute(figures.made_ns)} ({format_utc_offset(figures.made_ns)})"
    yield fact("revision", format_text("revision_value", language, number=figures.revision, made=made))
    yield fact("captured", format_period(figures.first_ns, figures.last_ns))
    if figures.operator:
        yield fact("operator", figures.operator)
    if figures.communes:
        remarks = "".join(f" ({format_brief_warning(one, language)})" for one in figures.boundaries)
        yield fact("communes", format_list(figures.communes, language) + remarks)
    datum = format_text_or(f"datum_{figures.vertical_datum}", language, figures.vertical_datum)
    yield fact("crs", f"{figures.work_crs}, {datum}")
    used, out = figures.count(*_HELD_STATES), figures.count(*UNUSED_STATES)
    yield fact("frames", format_text("frames_value", language, used=used, out=out))
    held = [
        format_text(f"held_{state}", language, count=figures.count(state))
        for state in _HELD_STATES
        if figures.count(state)
    ]
    yield fact("held", "; ".join(held))
    yield fact("imaged", format_area(figures.imaged_m2, language))
    yield fact("gaps", _gaps(figures, language))
    low, middle, high = (format_centimetres(value, language) for value in figures.frame_gsd_m)
    pixel = format_centimetres(figures.pixel_m, language)
    yield fact("gsd", format_text("gsd_value", language, pixel=pixel, low=low, middle=middle, high=high))
    thin = format_percent(figures.thin_pct, language)
    yield fact("overlap_fact", format_text("overlap_value", language, median=figures.overlap, thin=thin))
    yield from _block_facts(figures, stats, language)
    for key, error in (
        ("error_all", figures.error),
        ("error_own", figures.error_own),
        (f"error_{figures.ground}", figures.error_dem),
    ):
        if error is not None:
            yield fact(key, format_text("error_value", language, **_error(error, language)))
    yield fact("surface_fact", _surface(figures, language))
    if figures.windows is not None:
        yield fact("windows_fact", _windows(figures.windows, language))
    if shutter := stats.get("rolling_shutter"):
        yield fact("shutter", _shutter(shutter, language))
    yield fact("control", _control(figures, language))
    seconds = stats.get("seconds") or {}
    if seconds:
        total = sum(wall for stage, (wall, _) in seconds.items() if stage != "report")
        yield fact("time", format_text("minutes", language, minutes=format_number(total / 60.0, 1, language)))


def _block_facts(figures: ReportFigures, stats: Any, language: str) -> Iterator[tuple[str, str]]:
    """Yield figures of the adjustment, also of a refused one."""
    tracks, observations = stats.get("tie_points"), stats.get("observations")
    counted = {
        "tracks": format_number(tracks, 0, language),
        "observations": format_number(observations, 0, language),
    }
    of = "" if figures.accepted else format_text("of_refused", language)
    yield format_text("ties", language) + of, format_text("ties_value", language, **counted)
    used = format_quantity(stats.get("reprojection_px"), "px", language)
    held = format_quantity(stats.get("held_out_px"), "px", language)
    yield (
        format_text("residuals", language) + of,
        format_text("residuals_value", language, used=used, held=held),
    )
    xy, z = format_metres(stats.get("sigma_xy_m"), language), format_metres(stats.get("sigma_z_m"), language)
    yield format_text("within", language), format_text("within_value", language, xy=xy, z=z)
    for key, values in (
        ("moved", stats.get("shift_m")),
        ("shift", stats.get("shift_sigma_m")),
        ("check", stats.get("check_m")),
    ):
        if values and any(value is not None for value in values):
            east, north, up = (format_metres(value, language) for value in values)
            yield format_text(key, language), format_text("triple", language, east=east, north=north, up=up)


def _gaps(figures: ReportFigures, language: str) -> str:
    if not figures.gaps_m2:
        return format_text("none", language)
    return format_text(
        "gaps_value",
        language,
        count=len(figures.gaps_m2),
        area=format_area(sum(figures.gaps_m2), language),
        largest=format_area(figures.gaps_m2[0], language),
    )


def _surface(figures: ReportFigures, language: str) -> str:
    if figures.post_m is None:
        return format_text("surface_flat", language)
    post = format_metres(figures.post_m, language)
    if figures.stats.get("surface"):
        key = "surface_plane" if is_flat_datum(figures.vertical_datum) else "surface_value"
        return format_text(key, language, own=format_percent(figures.own_pct, language), post=post)
    return format_text("surface_none", language, post=post)


def _windows(windows: WindowFigures, language: str) -> str:
    said = format_text("windows_whole", language, whole=format_percent(windows.intact_pct, language))
    if windows.smooth_intact_pct is None:
        return said
    smooth, inside = (
        format_percent(share, language) for share in (windows.smooth_pct, windows.smooth_intact_pct)
    )
    return said + format_text("windows_smooth", language, smooth=smooth, inside=inside)


def _shutter(stats: Any, language: str) -> str:
    """Format how the rolling shutter was corrected."""
    if stats["frames"]:
        readout, most = (
            format_quantity(value, unit, language)
            for value, unit in ((stats["readout_ms"], "ms"), (stats["most_px"], "px"))
        )
        applied = format_text("shutter_applied", language, count=stats["frames"], readout=readout, most=most)
        others = format_text("shutter_others", language, count=stats["unknown"]) if stats["unknown"] else ""
        return applied + others
    if not stats["asked"]:
        return format_text("shutter_off", language)
    return format_text("shutter_unknown" if stats["readout_ms"] is None else "shutter_small", language)


def _control(figures: ReportFigures, language: str) -> str:
    """Format the control that held the block."""
    control = figures.stats.get("control") or {}
    said = []
    if control.get("points") and figures.accepted:
        said.append(format_text("control_points", language, count=control["points"]))
    reference = control.get("reference")
    if reference:
        windows = reference["windows"]
        key = "control_reference" if reference["used"] else "control_unused"
        said.append(format_text(key, language, agreed=windows["agreed"], tried=windows["tried"]))
    return "; ".join(said) or format_text("control_none", language)


def _notes(figures: ReportFigures, language: str) -> Iterator[Block]:
    control = figures.stats.get("control") or {}
    notes = [
        translate_log_sentence(note, language)
        for note in (*figures.stats.get("notes", ()), *control.get("said", ()))
    ]
    if notes:
        yield Heading(text=format_text("notes", language))
        yield from (Paragraph(text=note) for note in notes)


def _photo_map(figures: ReportFigures, language: str) -> Figure[str]:
    legend = [
        (report_pictures.STATE_COLOURS[state], format_text(f"state_{state}", language), str(count))
        for state, count in (
            *((state, figures.count(state)) for state in _HELD_STATES),
            ("out", figures.count(*UNUSED_STATES)),
        )
        if count
    ]
    if figures.gaps_m2:
        legend.append(
            (report_pictures.GAP_COLOUR, format_text("state_gap", language), str(len(figures.gaps_m2)))
        )
    return Figure(picture="photos", caption=format_text("photo_map", language), legend=tuple(legend))


def _error_map(figures: ReportFigures, language: str) -> Figure[str]:
    bounds = [
        f"{bound:g}".replace(".", "," if language == "vi" else ".") + "\N{NO-BREAK SPACE}m"
        for bound in ERROR_BOUNDS_M
    ]
    labels = [format_text("up_to", language, bound=bound) for bound in bounds]
    labels.append(format_text("over", language, bound=bounds[-1]))
    shares = [format_percent(share, language) for share in figures.error_pct]
    legend = tuple(zip(ERROR_COLOURS, labels, shares, strict=True))
    return Figure(picture="error", caption=format_text("error_map", language), legend=legend)


def _maps(
    figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str
) -> Iterator[Figure[str]]:
    yield Figure(
        picture="overlap", caption=format_text("overlap_map", language), legend=tuple(_overlap_legend())
    )
    own, dem = format_percent(figures.own_pct, language), format_percent(100.0 - figures.own_pct, language)
    yield Figure(
        picture="surface",
        caption=format_text("surface_map", language),
        legend=(
            (SURFACE_COLOURS["own"], format_text("own", language), own),
            (SURFACE_COLOURS[figures.ground], format_text(figures.ground, language), dem),
        ),
    )
    if figures.windows is not None:
        yield _bend_map(figures.windows, language)
    yield Figure(picture="relief", caption=format_text("relief_map", language))
    times = report_pictures.choose_arrow_scale(figures, planes)
    yield Figure(
        picture="moves",
        caption=format_text("move_map", language, times=times),
        legend=tuple(_residual_legend(figures, language)),
    )
    if "histogram" in drawn:
        yield _histogram(figures, language)


def _bend_map(windows: WindowFigures, language: str) -> Figure[str]:
    smooth = windows.smooth_pct * (windows.smooth_intact_pct or 0.0) / 100.0
    shares = {"whole": windows.intact_pct - smooth, "smooth": smooth, "bent": 100.0 - windows.intact_pct}
    legend = tuple(
        (BEND_COLOURS[name], format_text(f"bend_{name}", language), format_percent(share, language))
        for name, share in shares.items()
    )
    return Figure(picture="bend", caption=format_text("bend_map", language), legend=legend)


def _overlap_legend() -> Iterator[tuple[str, str, str]]:
    before = 0
    for colour, bound in zip(OVERLAP_COLOURS, OVERLAP_BOUNDS, strict=False):
        label = f"{before + 1}–{bound}" if before + 1 < bound else str(bound)
        yield colour, label, ""
        before = bound
    yield OVERLAP_COLOURS[-1], f"> {before}", ""


def _residual_legend(figures: ReportFigures, language: str) -> Iterator[tuple[str, str, str]]:
    counts = Counter(
        report_pictures.choose_residual_colour(frame) for frame in figures.frames if frame.is_used
    )
    labels = [
        format_text("up_to", language, bound=format_quantity(bound, "px", language))
        for bound in RESIDUAL_BOUNDS_PX
    ]
    labels.append(
        format_text("over", language, bound=format_quantity(RESIDUAL_BOUNDS_PX[-1], "px", language))
    )
    for colour, label in (
        *zip(report_pictures.RESIDUAL_COLOURS, labels, strict=True),
        (report_pictures.NO_RESIDUAL_COLOUR, format_text("no_residual", language)),
    ):
        if counts[colour]:
            yield colour, label, str(counts[colour])


def _histogram(figures: ReportFigures, language: str) -> Figure[str]:
    if not figures.stats.get("residuals"):
        return Figure(picture="histogram", caption=format_text("histogram_frames", language))
    legend = [(report_pictures.HISTOGRAM_COLOURS[0], format_text("histogram_used", language), "")]
    if sum(figures.stats["residuals"]["held_out"]):
        legend.append((report_pictures.HISTOGRAM_COLOURS[1], format_text("histogram_held", language), ""))
    return Figure(picture="histogram", caption=format_text("histogram", language), legend=tuple(legend))
