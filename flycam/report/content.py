"""The report's figures said in one language, section by section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from flycam.frame.flight import is_plane
from flycam.frame.moment import minute_of, zone_at
from flycam.frame.warning import brief
from flycam.report import pictures
from flycam.report.blocks import Block, Document, Facts, Figure, Heading, Paragraph, Plate
from flycam.report.figures import (
    ERROR_BOUNDS_M,
    OVERLAP_BOUNDS,
    RESIDUAL_BOUNDS_PX,
    ErrorFigures,
    ReportFigures,
    Verdict,
    WindowFigures,
)
from flycam.report.heard import translated
from flycam.report.numbers import (
    area,
    centimetres,
    listed,
    measure,
    metres,
    number,
    percent,
    period,
)
from flycam.report.photo_lists import OUT, left_out, reason_of, weak
from flycam.report.planes import MapPlanes
from flycam.report.raster import BEND_COLOURS, ERROR_COLOURS, OVERLAP_COLOURS, SURFACE_COLOURS
from flycam.report.words import DRILL_MARK, say, say_or

_KINDS = {Verdict.MEASURE: "good", Verdict.PARTLY: "good", Verdict.CARE: "care", Verdict.LOOK: "bad"}
_HELD = ("tied", "weak", "carried", "prior")


def document(figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str) -> Document:
    """The report of a revision in "vi" or "en"."""
    title = say("title", language)
    return Document(
        language=language,
        title=title,
        subtitle=f"{figures.flight} · {figures.event}",
        mark=DRILL_MARK if figures.is_drill else "",
        footer=f"flycam {figures.stats.get('versions', {}).get('flycam', '')} · {figures.flight} · "
        f"{say('revision', language)} {figures.revision} · {figures.inputs_hash[:12]}",
        page_word=say("page", language),
        made_ns=figures.made_ns,
        blocks=tuple(_blocks(figures, planes, drawn, language)),
        pictures=drawn,
    )


def _blocks(
    figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str
) -> Iterator[Block]:
    if figures.is_drill:
        yield Paragraph(text=say("drill_note", language), kind="small")
    yield Paragraph(text=verdict(figures, language), kind=_KINDS[figures.verdict])
    if not figures.accepted:
        why = translated(str(figures.stats.get("why", "")), language)
        yield Paragraph(text=say("priors_kept", language, why=why))
    yield Plate(figures=(_photo_map(figures, language), _error_map(figures, language)))
    yield Heading(text=say("facts", language))
    yield Facts(rows=tuple(_facts(figures, language)))
    yield Heading(text=say("left_out", language))
    yield from left_out(figures, language)
    yield from weak(figures, language)
    yield from _notes(figures, language)
    yield Heading(text=say("pictures", language))
    yield Paragraph(text=say("map_note", language), kind="small")
    yield Plate(figures=tuple(_maps(figures, planes, drawn, language)))


def verdict(figures: ReportFigures, language: str) -> str:
    """In a few sentences: whether it can be measured on, how far off it is, and what was left out."""
    shift = figures.stats.get("shift_sigma_m") or (None, None, None)
    plan = None if shift[0] is None or shift[1] is None else (shift[0] ** 2 + shift[1] ** 2) ** 0.5
    said = [
        say(f"verdict_{figures.verdict}", language),
        say("verdict_error", language, **_error(figures.error, language)),
    ]
    if figures.error_own is not None and figures.error_dem is not None:
        said.append(
            say(
                "verdict_ground",
                language,
                own_pct=percent(figures.own_pct, language),
                own=metres(figures.error_own.median_m, language),
                rest=say(figures.ground, language),
                dem=metres(figures.error_dem.median_m, language),
            )
        )
    if plan is not None or figures.accepted:
        unknown = {"plan": metres(plan, language), "height": metres(shift[2], language)}
        said.append(say("verdict_shift", language, **unknown))
    if not figures.has_control:
        said.append(say("verdict_shift_free", language))
    out = figures.those(*OUT)
    used, everything = figures.count(*_HELD), len(figures.frames)
    if out:
        why = Counter(reason_of(frame, language) for frame in out)
        parts = [
            f"{reason} ({count})" for reason, count in sorted(why.items(), key=lambda one: (-one[1], one[0]))
        ]
        said.append(
            say(
                "verdict_some",
                language,
                used=used,
                all=everything,
                why=listed(parts, language, 3),
            )
        )
    else:
        said.append(say("verdict_all", language, used=used))
    if figures.gaps_m2:
        empty_m2 = sum(figures.gaps_m2)
        share = percent(100.0 * empty_m2 / (empty_m2 + figures.imaged_m2), language)
        largest = area(figures.gaps_m2[0], language)
        said.append(
            say("verdict_gaps", language, area=area(empty_m2, language), share=share, largest=largest)
        )
    else:
        said.append(say("verdict_no_gaps", language))
    return " ".join(said)


def _error(error: ErrorFigures, language: str) -> dict[str, str]:
    return {"median": metres(error.median_m, language), "p95": metres(error.p95_m, language)}


def _facts(figures: ReportFigures, language: str) -> Iterator[tuple[str, str]]:
    def fact(key: str, value: str) -> tuple[str, str]:
        return say(key, language), value

    stats: Any = figures.stats
    if figures.layer != "colour":
        yield fact("layer", say_or(f"layer_{figures.layer}", language, figures.layer))
    made = f"{minute_of(figures.made_ns)} ({zone_at(figures.made_ns)})"
    yield fact("revision", say("revision_value", language, number=figures.revision, made=made))
    yield fact("captured", period(figures.first_ns, figures.last_ns))
    if figures.operator:
        yield fact("operator", figures.operator)
    if figures.communes:
        remarks = "".join(f" ({brief(one, language)})" for one in figures.boundaries)
        yield fact("communes", listed(figures.communes, language) + remarks)
    datum = say_or(f"datum_{figures.vertical_datum}", language, figures.vertical_datum)
    yield fact("crs", f"{figures.work_crs}, {datum}")
    used, out = figures.count(*_HELD), figures.count(*OUT)
    yield fact("frames", say("frames_value", language, used=used, out=out))
    held = [
        say(f"held_{state}", language, count=figures.count(state)) for state in _HELD if figures.count(state)
    ]
    yield fact("held", "; ".join(held))
    yield fact("imaged", area(figures.imaged_m2, language))
    yield fact("gaps", _gaps(figures, language))
    low, middle, high = (centimetres(value, language) for value in figures.frame_gsd_m)
    pixel = centimetres(figures.pixel_m, language)
    yield fact("gsd", say("gsd_value", language, pixel=pixel, low=low, middle=middle, high=high))
    thin = percent(figures.thin_pct, language)
    yield fact("overlap_fact", say("overlap_value", language, median=figures.overlap, thin=thin))
    yield from _block_facts(figures, stats, language)
    for key, error in (
        ("error_all", figures.error),
        ("error_own", figures.error_own),
        (f"error_{figures.ground}", figures.error_dem),
    ):
        if error is not None:
            yield fact(key, say("error_value", language, **_error(error, language)))
    yield fact("surface_fact", _surface(figures, language))
    if figures.windows is not None:
        yield fact("windows_fact", _windows(figures.windows, language))
    if shutter := stats.get("rolling_shutter"):
        yield fact("shutter", _shutter(shutter, language))
    yield fact("control", _control(figures, language))
    seconds = stats.get("seconds") or {}
    if seconds:
        total = sum(wall for stage, (wall, _) in seconds.items() if stage != "report")
        yield fact("time", say("minutes", language, minutes=number(total / 60.0, 1, language)))


def _block_facts(figures: ReportFigures, stats: Any, language: str) -> Iterator[tuple[str, str]]:
    """What the adjustment measured, also one that was refused."""
    tracks, observations = stats.get("tie_points"), stats.get("observations")
    counted = {"tracks": number(tracks, 0, language), "observations": number(observations, 0, language)}
    of = "" if figures.accepted else say("of_refused", language)
    yield say("ties", language) + of, say("ties_value", language, **counted)
    used = measure(stats.get("reprojection_px"), "px", language)
    held = measure(stats.get("held_out_px"), "px", language)
    yield say("residuals", language) + of, say("residuals_value", language, used=used, held=held)
    xy, z = metres(stats.get("sigma_xy_m"), language), metres(stats.get("sigma_z_m"), language)
    yield say("within", language), say("within_value", language, xy=xy, z=z)
    for key, values in (
        ("moved", stats.get("shift_m")),
        ("shift", stats.get("shift_sigma_m")),
        ("check", stats.get("check_m")),
    ):
        if values and any(value is not None for value in values):
            east, north, up = (metres(value, language) for value in values)
            yield say(key, language), say("triple", language, east=east, north=north, up=up)


def _gaps(figures: ReportFigures, language: str) -> str:
    if not figures.gaps_m2:
        return say("none", language)
    return say(
        "gaps_value",
        language,
        count=len(figures.gaps_m2),
        area=area(sum(figures.gaps_m2), language),
        largest=area(figures.gaps_m2[0], language),
    )


def _surface(figures: ReportFigures, language: str) -> str:
    if figures.post_m is None:
        return say("surface_flat", language)
    post = metres(figures.post_m, language)
    if figures.stats.get("surface"):
        key = "surface_plane" if is_plane(figures.vertical_datum) else "surface_value"
        return say(key, language, own=percent(figures.own_pct, language), post=post)
    return say("surface_none", language, post=post)


def _windows(windows: WindowFigures, language: str) -> str:
    said = say("windows_whole", language, whole=percent(windows.whole_pct, language))
    if windows.smooth_whole_pct is None:
        return said
    smooth, inside = (percent(share, language) for share in (windows.smooth_pct, windows.smooth_whole_pct))
    return said + say("windows_smooth", language, smooth=smooth, inside=inside)


def _shutter(told: Any, language: str) -> str:
    """What was done about a rolling shutter."""
    if told["frames"]:
        readout, most = (
            measure(value, unit, language)
            for value, unit in ((told["readout_ms"], "ms"), (told["most_px"], "px"))
        )
        applied = say("shutter_applied", language, count=told["frames"], readout=readout, most=most)
        others = say("shutter_others", language, count=told["unknown"]) if told["unknown"] else ""
        return applied + others
    if not told["asked"]:
        return say("shutter_off", language)
    return say("shutter_unknown" if told["readout_ms"] is None else "shutter_small", language)


def _control(figures: ReportFigures, language: str) -> str:
    """What of known place held the block."""
    control = figures.stats.get("control") or {}
    said = []
    if control.get("points") and figures.accepted:
        said.append(say("control_points", language, count=control["points"]))
    reference = control.get("reference")
    if reference:
        windows = reference["windows"]
        key = "control_reference" if reference["used"] else "control_unused"
        said.append(say(key, language, agreed=windows["agreed"], tried=windows["tried"]))
    return "; ".join(said) or say("control_none", language)


def _notes(figures: ReportFigures, language: str) -> Iterator[Block]:
    control = figures.stats.get("control") or {}
    notes = [
        translated(note, language) for note in (*figures.stats.get("notes", ()), *control.get("said", ()))
    ]
    if notes:
        yield Heading(text=say("notes", language))
        yield from (Paragraph(text=note) for note in notes)


def _photo_map(figures: ReportFigures, language: str) -> Figure:
    legend = [
        (pictures.STATE_COLOURS[state], say(f"state_{state}", language), str(count))
        for state, count in (
            *((state, figures.count(state)) for state in _HELD),
            ("out", figures.count(*OUT)),
        )
        if count
    ]
    if figures.gaps_m2:
        legend.append((pictures.GAP_COLOUR, say("state_gap", language), str(len(figures.gaps_m2))))
    return Figure(picture="photos", caption=say("photo_map", language), legend=tuple(legend))


def _error_map(figures: ReportFigures, language: str) -> Figure:
    bounds = [
        f"{bound:g}".replace(".", "," if language == "vi" else ".") + "\N{NO-BREAK SPACE}m"
        for bound in ERROR_BOUNDS_M
    ]
    labels = [say("up_to", language, bound=bound) for bound in bounds]
    labels.append(say("over", language, bound=bounds[-1]))
    shares = [percent(share, language) for share in figures.error_pct]
    legend = tuple(zip(ERROR_COLOURS, labels, shares, strict=True))
    return Figure(picture="error", caption=say("error_map", language), legend=legend)


def _maps(
    figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str
) -> Iterator[Figure]:
    yield Figure(picture="overlap", caption=say("overlap_map", language), legend=tuple(_overlap_legend()))
    own, dem = percent(figures.own_pct, language), percent(100.0 - figures.own_pct, language)
    yield Figure(
        picture="surface",
        caption=say("surface_map", language),
        legend=(
            (SURFACE_COLOURS["own"], say("own", language), own),
            (SURFACE_COLOURS[figures.ground], say(figures.ground, language), dem),
        ),
    )
    if figures.windows is not None:
        yield _bend_map(figures.windows, language)
    yield Figure(picture="relief", caption=say("relief_map", language))
    times = pictures.arrow_times(figures, planes)
    yield Figure(
        picture="moves",
        caption=say("move_map", language, times=times),
        legend=tuple(_residual_legend(figures, language)),
    )
    if "histogram" in drawn:
        yield _histogram(figures, language)


def _bend_map(windows: WindowFigures, language: str) -> Figure:
    smooth = windows.smooth_pct * (windows.smooth_whole_pct or 0.0) / 100.0
    shares = {"whole": windows.whole_pct - smooth, "smooth": smooth, "bent": 100.0 - windows.whole_pct}
    legend = tuple(
        (BEND_COLOURS[name], say(f"bend_{name}", language), percent(share, language))
        for name, share in shares.items()
    )
    return Figure(picture="bend", caption=say("bend_map", language), legend=legend)


def _overlap_legend() -> Iterator[tuple[str, str, str]]:
    before = 0
    for colour, bound in zip(OVERLAP_COLOURS, OVERLAP_BOUNDS, strict=False):
        label = f"{before + 1}–{bound}" if before + 1 < bound else str(bound)
        yield colour, label, ""
        before = bound
    yield OVERLAP_COLOURS[-1], f"> {before}", ""


def _residual_legend(figures: ReportFigures, language: str) -> Iterator[tuple[str, str, str]]:
    counts = Counter(pictures.residual_colour(frame) for frame in figures.frames if frame.is_used)
    labels = [say("up_to", language, bound=measure(bound, "px", language)) for bound in RESIDUAL_BOUNDS_PX]
    labels.append(say("over", language, bound=measure(RESIDUAL_BOUNDS_PX[-1], "px", language)))
    for colour, label in (
        *zip(pictures.RESIDUAL_COLOURS, labels, strict=True),
        (pictures.NO_RESIDUAL_COLOUR, say("no_residual", language)),
    ):
        if counts[colour]:
            yield colour, label, str(counts[colour])


def _histogram(figures: ReportFigures, language: str) -> Figure:
    if not figures.stats.get("residuals"):
        return Figure(picture="histogram", caption=say("histogram_frames", language))
    legend = [(pictures.HISTOGRAM_COLOURS[0], say("histogram_used", language), "")]
    if sum(figures.stats["residuals"]["held_out"]):
        legend.append((pictures.HISTOGRAM_COLOURS[1], say("histogram_held", language), ""))
    return Figure(picture="histogram", caption=say("histogram", language), legend=tuple(legend))
