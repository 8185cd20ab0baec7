"""Content of the quality report in one language: text, photo lists, images.

The images are the same in every language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.flight import DRILL_MARK, is_flat_datum, name_layer
from flycam.model.revision_stats import get_refusal, list_control_notes, list_notes
from flycam.model.text import (
    format_area,
    format_centimetres,
    format_list,
    format_metres,
    format_number,
    format_percent,
    format_period,
    format_quantity,
)
from flycam.model.time import format_minute, format_utc_offset
from flycam.model.warning import describe_warning_briefly
from flycam.mosaic.finish.report import (
    ERROR_BOUNDS_M,
    OVERLAP_BOUNDS,
    RESIDUAL_BOUNDS_PX,
    RESIDUAL_STEP_PX,
    RESIDUAL_STEPS,
    ErrorFigures,
    FrameResult,
    ReportFigures,
    Verdict,
    WindowFigures,
)
from flycam.reports import layout
from flycam.reports.layout import (
    BEND_COLOURS,
    ERROR_COLOURS,
    OVERLAP_COLOURS,
    SURFACE_COLOURS,
    BlockOf,
    Document,
    Facts,
    Figure,
    FigureRow,
    Heading,
    MapPlanes,
    Paragraph,
    Table,
    Text,
    put_block,
)

# -- Lists of photos: those not used, those held weakly, and why -----------------------------------


UNUSED_STATES = ("rejected", "left_out", "withdrawn")
"""States of photos that the revision does not hold."""
STATE_NAMES: Mapping[str, Message] = {
    "tied": _("by tie points"),
    "weak": _("weak"),
    "carried": _("carried"),
    "prior": _("telemetry alone"),
    "left_out": _("cannot be placed"),
    "rejected": _("rejected"),
    "withdrawn": _("withdrawn"),
    "out": _("not used"),
}
"""States of photos; "out" are all that the revision does not hold."""
REJECTION_REASONS: Mapping[str, Message] = {
    "unreadable": _("the picture cannot be read"),
    "no_position": pgettext("photo", "no position"),
    "calibration_missing": _("lens not known"),
    "no_sight": _("which way it looks is not known"),
    "no_height": _("no usable height"),
    "telemetry_gap": _("telemetry has a gap there"),
    "pose_rejected": _("its pose makes no sense"),
    "horizon_in_view": _("it looks at the horizon"),
    "outside_terrain": _("outside the terrain that is known"),
    "too_blurred": _("too blurred"),
    "lens_covered": _("the lens was covered"),
    "duplicate": _("a copy of another photo"),
    "rejected": _("rejected"),
    "set_aside": _("it cannot be placed on the new terrain"),
    "withdrawn": _("withdrawn from every map"),
    "left_out": _("it sees no ground of known height"),
}
"""Reasons for rejecting a photo, by the keys of `errors`, and states without such a key."""
_WEAK_REASONS: Mapping[str, Message] = {
    "weak": _("too few tie points, or badly spread"),
    "carried": _("no usable tie points: its telemetry, corrected as its neighbours were"),
    "prior": _("its telemetry was kept"),
}
_MAX_ROWS = 60


def describe_rejection(frame: FrameResult) -> Message:
    """Describe why a photo is not used, in a few words."""
    return REJECTION_REASONS.get(frame.reason or frame.state) or _("another reason")


def list_unused_photos(figures: ReportFigures) -> Iterator[BlockOf[Text]]:
    """Yield photos that the revision does not hold, each with the reason."""
    out = figures.select_frames(*UNUSED_STATES)
    if not out:
        yield Paragraph(text=_("Every photo is used."))
        return
    rows = []
    for frame in out:
        reason = describe_rejection(frame)
        if frame.sentence:
            # the sentence may be English only: its translation leaves it out
            sentence = str(frame.sentence).removeprefix(f"{frame.name}: ")
            reason = pgettext("photo not used", "{reason}: {sentence}", reason=reason, sentence=sentence)
        rows.append((frame.name, STATE_NAMES[frame.state], reason))
    yield from _table((_("Photo"), _("State"), _("Reason")), rows, ())


def list_weak_photos(figures: ReportFigures) -> Iterator[BlockOf[Text]]:
    """Yield photos held by few ties or none, each with the reason."""
    yield Heading(text=_("Photos used but weakly held"))
    rows = [
        (
            frame.name,
            STATE_NAMES[frame.state],
            _describe_weakness(frame),
            format_number(frame.ties, 0),
            format_number(frame.rms_px, 2) if frame.rms_px is not None else "–",
            format_percent(frame.cells_pct),
        )
        for frame in figures.select_frames("weak", "carried", "prior")
    ]
    if not rows:
        yield Paragraph(text=_("Every photo used is held by its own tie points."))
        return
    head = (
        _("Photo"),
        _("State"),
        _("Reason"),
        _("Tie points"),
        _("RMS (px)"),
        _("Spread over the picture"),
    )
    yield from _table(head, rows, (3, 4, 5))


def _describe_weakness(frame: FrameResult) -> Message:
    """Describe the state's reason, and why the photo has no tie point if known."""
    reason = _WEAK_REASONS[frame.state]
    return join([frame.sentence, reason], ": ") if frame.sentence else reason


def _table(
    head: tuple[Text, ...], rows: Sequence[tuple[Text, ...]], numeric: tuple[int, ...]
) -> Iterator[BlockOf[Text]]:
    yield Table(head=head, rows=tuple(rows[:_MAX_ROWS]), numeric=numeric)
    if len(rows) > _MAX_ROWS:
        yield Paragraph(text=_("and {count} more", count=len(rows) - _MAX_ROWS), kind="small")


# -- Images of the report: maps with photos, and the spread of residuals ---------------------------


# Okabe and Ito's colours, distinct to colour-blind eyes; the shapes differ too
STATE_COLOURS: Mapping[str, str] = {
    "tied": "#0072b2",
    "weak": "#e69f00",
    "carried": "#d55e00",
    "prior": "#666666",
    "out": "#000000",
}
GAP_COLOUR = "#cc00cc"
RESIDUAL_COLOURS = ("#4575b4", "#91bfdb", "#fee090", "#fc8d59", "#a50026")
NO_RESIDUAL_COLOUR = "#888888"
HISTOGRAM_COLOURS = ("#91bfdb", "#a50026")

_ARROW_SHARE = 0.06
_NICE_TIMES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SHAPES: Mapping[str, Callable[[Sequence[float], float, str], str]] = {
    "tied": layout.draw_circle,
    "weak": layout.draw_triangle,
    "carried": layout.draw_square,
    "prior": layout.draw_square,
    "out": layout.draw_cross,
}


def draw_report_pictures(figures: ReportFigures, planes: MapPlanes) -> dict[str, bytes]:
    """Draw all images as SVG by name.

    Names: photos, error, overlap, surface, bend, relief, moves, histogram.
    """

    def over(picture: bytes, marks: Iterator[str] | Sequence[str] = ()) -> bytes:
        return layout.draw_map_svg(picture, planes.size_px, planes.pixel_m, marks)

    drawn = {
        "photos": over(layout.encode_photo_jpeg(planes.rgb, planes.shown), _photo_marks(figures, planes)),
        "error": over(layout.encode_error_png(planes.error_m)),
        "overlap": over(layout.encode_overlap_png(planes.overlap, planes.shown)),
        "surface": over(layout.encode_surface_png(planes.own, planes.shown, figures.ground)),
        "bend": over(layout.encode_bend_png(planes.bend_px, planes.smooth)),
        "relief": over(layout.encode_relief_jpeg(planes.relief)),
        "moves": over(
            layout.encode_pale_relief_jpeg(planes.relief, planes.shown), _move_marks(figures, planes)
        ),
    }
    bars, line = compute_residual_shares(figures)
    if bars:
        labels = [f"{n * RESIDUAL_STEP_PX:.0f}" if n % 10 == 0 else "" for n in range(RESIDUAL_STEPS)] + ["2"]
        drawn["histogram"] = layout.draw_histogram(bars, line, labels, HISTOGRAM_COLOURS)
    return drawn


def choose_arrow_scale(figures: ReportFigures, planes: MapPlanes) -> int:
    """Return by how much arrows are enlarged: a round number."""
    moves = np.array([move for __, move in _moved(figures)])
    if not len(moves):
        return 1
    typical_px = float(np.percentile(np.hypot(moves[:, 0], moves[:, 1]), 90)) / planes.pixel_m
    wanted = _ARROW_SHARE * max(planes.size_px) / max(typical_px, 1e-6)
    return max([times for times in _NICE_TIMES if times <= wanted], default=1)


def compute_residual_shares(figures: ReportFigures) -> tuple[list[float], list[float]]:
    """Return shares of residuals by size (steps of 0.1 px to 2, and beyond).

    (used, held out). Of observations where the record has them, else of photos by their RMS (nothing held out
    then).
    """
    recorded = figures.stats.get("residuals")
    if recorded:
        return _shares(recorded["used"]), _shares(recorded["held_out"])
    rms = [frame.rms_px for frame in figures.frames if frame.rms_px is not None]
    if not rms:
        return [], []
    return _shares(
        np.bincount(
            np.minimum((np.array(rms) / RESIDUAL_STEP_PX).astype(int), RESIDUAL_STEPS),
            minlength=RESIDUAL_STEPS + 1,
        )
    ), []


def _shares(counts: Sequence[int] | np.ndarray) -> list[float]:
    total = float(np.sum(counts))
    return [float(count) / total for count in counts] if total else []


def _photo_marks(figures: ReportFigures, planes: MapPlanes) -> Iterator[str]:
    unit = max(planes.size_px) / 100.0
    for gap in planes.gaps:
        yield layout.draw_outline(gap, 0.25 * unit, GAP_COLOUR)
    for frame, at in _placed(figures.frames, planes):
        state = frame.state if frame.is_used else "out"
        yield _SHAPES[state](at, 1.05 * unit, STATE_COLOURS[state])


def _move_marks(figures: ReportFigures, planes: MapPlanes) -> Iterator[str]:
    unit = max(planes.size_px) / 100.0
    scale = choose_arrow_scale(figures, planes) / planes.pixel_m
    moves = {frame.name: move for frame, move in _moved(figures)}
    used = [(frame, at) for frame, at in _placed(figures.frames, planes) if frame.is_used]
    for frame, at in used:
        if frame.name in moves:
            east, north = moves[frame.name]
            end = (at[0] + east * scale, at[1] - north * scale)
            yield layout.draw_arrow(at, end, 0.35 * unit, "#222222")
    for frame, at in used:
        yield layout.draw_circle(at, 0.95 * unit, choose_residual_colour(frame))


def choose_residual_colour(frame: FrameResult) -> str:
    """Return the colour of a photo by the class of its residuals."""
    if frame.rms_px is None:
        return NO_RESIDUAL_COLOUR
    return RESIDUAL_COLOURS[int(np.searchsorted(RESIDUAL_BOUNDS_PX, frame.rms_px, side="left"))]


def _placed(
    frames: Sequence[FrameResult], planes: MapPlanes
) -> Iterator[tuple[FrameResult, tuple[float, float]]]:
    """Yield photos whose centre lies on the map, with the centre in pixels."""
    cols, rows = planes.size_px
    for frame in frames:
        if frame.centre is not None:
            x, y = planes.to_pixels(np.array([frame.centre[:2]]))[0]
            if 0.0 <= x <= cols and 0.0 <= y <= rows:
                yield frame, (float(x), float(y))


def _moved(figures: ReportFigures) -> list[tuple[FrameResult, tuple[float, float]]]:
    """Return (east, north) metres that photos moved beyond their common shift."""
    moved = [frame for frame in figures.frames if frame.is_used and frame.shift_m is not None]
    shifts = np.array([frame.shift_m[:2] for frame in moved if frame.shift_m is not None]).reshape(-1, 2)
    if not len(shifts):
        return []
    own = shifts - np.median(shifts, axis=0)
    return [(frame, (float(e), float(n))) for frame, (e, n) in zip(moved, own, strict=True)]


# -- Report of a revision --------------------------------------------------------------------------


_VERDICT_STYLES = {Verdict.MEASURE: "good", Verdict.PARTLY: "good", Verdict.CARE: "care", Verdict.LOOK: "bad"}
_VERDICTS: Mapping[Verdict, Message] = {
    Verdict.MEASURE: _("You can measure on this map."),
    Verdict.PARTLY: _(
        "You can measure on more than half of this map; the error map shows where it is less accurate."
    ),
    Verdict.CARE: _("Measurements on this map are only approximate."),
    Verdict.LOOK: _("Do not measure on this map; use it for orientation only."),
}
_GROUND_NAMES: Mapping[str, Message] = {
    "corrected": _("ground carried on or corrected from the flight"),
    "dem": _("the terrain model (DEM)"),
    "plane": _("a plane (no DEM)"),
}
_GROUND_TERMS: Mapping[str, Message] = {
    "corrected": _("on ground carried on or corrected from it"),
    "dem": _("on the terrain model (DEM)"),
    "plane": _("on a plane (no DEM)"),
}
_BEND_NAMES: Mapping[str, Message] = {
    "whole": _("whole, on measured heights"),
    "smooth": _("whole, on smooth heights (crowns lean)"),
    "bent": _("bent: walls, banks, steep slopes, crowns"),
}
_HELD_STATES = ("tied", "weak", "carried", "prior")

Legend = Iterator[tuple[str, Text, Text]]


def build_report_document(
    figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes], language: str
) -> Document:
    """Build the report of a revision in "vi" or "en"."""
    footer: list[Text] = [
        f"flycam {figures.stats.get('versions', {}).get('flycam', '')}",
        figures.flight,
        _("Finished revision {number}", number=figures.revision),
        figures.inputs_hash[:12],
    ]
    return Document(
        language=language,
        title=_("Orthomosaic quality report").in_language(language),
        subtitle=f"{figures.flight} · {figures.event}",
        mark=DRILL_MARK if figures.is_drill else "",
        footer=join(footer, " · ").in_language(language),
        page_word=_("Page").in_language(language),
        made_ns=figures.made_ns,
        blocks=tuple(put_block(block, language) for block in _blocks(figures, planes, drawn)),
        pictures=drawn,
    )


def _blocks(figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes]) -> Iterator[BlockOf[Text]]:
    if figures.is_drill:
        yield Paragraph(text=_("A drill flight: not a real scene."), kind="small")
    yield Paragraph(text=describe_verdict(figures), kind=_VERDICT_STYLES[figures.verdict])
    if not figures.accepted:
        why = get_refusal(figures.stats) or ""
        yield Paragraph(text=_("The recorded camera positions were kept: {why}", why=why))
    counts = {state: figures.count(state) for state in _HELD_STATES}
    counts["out"] = figures.count(*UNUSED_STATES)
    legend: list[tuple[str, Text, Text]] = [
        (STATE_COLOURS[state], STATE_NAMES[state], str(count)) for state, count in counts.items() if count
    ]
    if figures.gaps_m2:
        legend.append((GAP_COLOUR, _("gap"), str(len(figures.gaps_m2))))
    caption = _("Orthomosaic, photos by how they are held")
    yield FigureRow(
        figures=(Figure(picture="photos", caption=caption, legend=tuple(legend)), _error_map(figures))
    )
    yield Heading(text=_("Key figures"))
    yield Facts(rows=tuple(_facts(figures)))
    yield Heading(text=_("Photos not used, and why"))
    yield from list_unused_photos(figures)
    yield from list_weak_photos(figures)
    notes = [*list_notes(figures.stats), *list_control_notes(figures.stats)]
    if notes:
        yield Heading(text=_("Notes"))
        yield from (Paragraph(text=note) for note in notes)
    yield Heading(text=_("Maps"))
    yield Paragraph(
        text=_(
            "All maps share one frame; grid north is up. Arrows: what each photo moved beyond the common "
            "shift."
        ),
        kind="small",
    )
    yield FigureRow(figures=tuple(_maps(figures, planes, drawn)))


def describe_verdict(figures: ReportFigures) -> Message:
    """Describe the suitability for measuring, the expected error, and unused photos."""
    return join(_verdict(figures))


def _verdict(figures: ReportFigures) -> Iterator[Message]:
    yield _VERDICTS[figures.verdict]
    yield _(
        "Position error within the map (1 sigma): up to {median} on half of the ground, {p95} on 95 %.",
        **_error(figures.error),
    )
    if figures.error_own is not None and figures.error_dem is not None:
        yield _(
            "{own_pct} of the ground is on a surface measured by the flight itself (half of it within "
            "{own}), the rest on {rest} (half within {dem}).",
            own_pct=format_percent(figures.own_pct),
            own=format_metres(figures.error_own.median_m),
            rest=_GROUND_NAMES[figures.ground],
            dem=format_metres(figures.error_dem.median_m),
        )
    east, north, up = figures.stats.get("shift_sigma_m") or (None, None, None)
    plan = None if east is None or north is None else (east**2 + north**2) ** 0.5
    if plan is not None or figures.accepted:
        yield _(
            "The map as a whole may be shifted by {plan} horizontally and {height} vertically (1 sigma).",
            plan=format_metres(plan),
            height=format_metres(up),
        )
    if not figures.has_control:
        yield _(
            "There was neither a reference map nor ground control, so the common shift of the map, about as "
            "large as the GNSS bias, could not be checked."
        )
    used = figures.count(*_HELD_STATES)
    if out := figures.select_frames(*UNUSED_STATES):
        reasons = {str(reason): reason for reason in map(describe_rejection, out)}
        counts = Counter(str(describe_rejection(frame)) for frame in out)
        commonest = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        parts = [join([reasons[text], f"({count})"]) for text, count in commonest]
        yield _(
            "Photos used: {used} of {all}; left out: {why}.",
            used=used,
            all=len(figures.frames),
            why=format_list(parts, 3),
        )
    else:
        yield _("Every photo is used ({used}).", used=used)
    if figures.gaps_m2:
        empty_m2 = sum(figures.gaps_m2)
        yield _(
            "Gaps inside the map cover {area} ({share}); the largest is {largest}.",
            area=format_area(empty_m2),
            share=format_percent(100.0 * empty_m2 / (empty_m2 + figures.imaged_m2)),
            largest=format_area(figures.gaps_m2[0]),
        )
    else:
        yield _("There are no gaps inside the map.")


def _error(error: ErrorFigures) -> dict[str, Message]:
    return {"median": format_metres(error.median_m), "p95": format_metres(error.p95_m)}


def _facts(figures: ReportFigures) -> Iterator[tuple[Text, Text]]:
    stats: Any = figures.stats
    if figures.layer != "colour":
        yield _("Layer"), name_layer(figures.layer)
    made = f"{format_minute(figures.made_ns)} ({format_utc_offset(figures.made_ns)})"
    yield _("Finished revision"), _("{number}, made {made}", number=figures.revision, made=made)
    yield _("Captured"), format_period(figures.first_ns, figures.last_ns)
    if figures.operator:
        yield _("Operator"), figures.operator
    if figures.communes:
        remarks = (join(["(", describe_warning_briefly(one), ")"], "") for one in figures.boundaries)
        yield _("Communes"), join([format_list(figures.communes), *remarks])
    is_local = figures.vertical_datum == "LOCAL"
    datum = _("local heights, datum not known") if is_local else figures.vertical_datum
    yield _("Coordinates, height datum"), join([figures.work_crs, datum], ", ")
    used, out = figures.count(*_HELD_STATES), figures.count(*UNUSED_STATES)
    yield _("Photos"), _("{used} used, {out} left out", used=used, out=out)
    yield _("How photos are held"), join(_held(figures), "; ")
    yield _("Ground on the map"), format_area(figures.imaged_m2)
    yield _("Gaps inside"), _gaps(figures)
    low, middle, high = (format_centimetres(value) for value in figures.frame_gsd_m)
    yield (
        _("Ground sample distance (GSD)"),
        _(
            "photos {low} – {high}, median {middle}; tiles of the map {pixel}",
            pixel=format_centimetres(figures.pixel_m),
            low=low,
            middle=middle,
            high=high,
        ),
    )
    yield (
        _("Photos that see the ground"),
        _(
            "median {median}; fewer than 3 over {thin} of the ground",
            median=figures.overlap,
            thin=format_percent(figures.thin_pct),
        ),
    )
    yield from _block_facts(figures, stats)
    yield _("Expected error of the map"), _expected(figures.error)
    if figures.error_own is not None:
        yield join(["  ", _("on the flight's own surface")], ""), _expected(figures.error_own)
    if figures.error_dem is not None:
        yield join(["  ", _GROUND_TERMS[figures.ground]], ""), _expected(figures.error_dem)
    yield _("Ground it is rectified on"), _surface(figures)
    if figures.windows is not None:
        yield _("Shapes kept as in the photos"), _windows(figures.windows)
    if shutter := stats.get("rolling_shutter"):
        yield _("Rolling shutter"), _shutter(shutter)
    control = figures.stats.get("control") or {}
    parts = []
    if control.get("points") and figures.accepted:
        count = control["points"]
        parts.append(ngettext("{count} ground control point", "{count} ground control points", count))
    if reference := control.get("reference"):
        windows = {name: reference["windows"][name] for name in ("agreed", "tried")}
        parts.append(
            _("reference map: windows in agreement {agreed} of {tried}", **windows)
            if reference["used"]
            else _(
                "the reference map could not be used (windows in agreement: {agreed} of {tried})", **windows
            )
        )
    yield _("Absolute control"), join(parts, "; ") if parts else _("none")
    seconds = stats.get("seconds") or {}
    if seconds:
        total = sum(wall for stage, (wall, __) in seconds.items() if stage != "report")
        yield _("Time taken"), _("{minutes:,.1f} min", minutes=total / 60.0)


def _held(figures: ReportFigures) -> Iterator[Message]:
    if count := figures.count("tied"):
        yield _("{count} by tie points", count=count)
    if count := figures.count("weak"):
        yield _("{count} weakly (few tie points)", count=count)
    if count := figures.count("carried"):
        yield _("{count} carried by neighbours", count=count)
    if count := figures.count("prior"):
        yield _("{count} by telemetry alone", count=count)


def _expected(error: ErrorFigures) -> Message:
    return _("median {median}, 95 % within {p95}", **_error(error))


def _block_facts(figures: ReportFigures, stats: Any) -> Iterator[tuple[Text, Text]]:
    """Yield figures of the adjustment, also of a refused one."""

    def term(name: Message) -> Message:
        if figures.accepted:
            return name
        return _("{figure} (of the adjustment that was refused)", figure=name)

    yield (
        term(_("Tie points")),
        _(
            "{tracks} points, {observations} observations",
            tracks=format_number(stats.get("tie_points"), 0),
            observations=format_number(stats.get("observations"), 0),
        ),
    )
    yield (
        term(_("Reprojection residual (RMS)")),
        _(
            "{used}; points held out of the adjustment {held}",
            used=format_quantity(stats.get("reprojection_px"), "px"),
            held=format_quantity(stats.get("held_out_px"), "px"),
        ),
    )
    xy, z = format_metres(stats.get("sigma_xy_m")), format_metres(stats.get("sigma_z_m"))
    yield _("Camera positions in the block (1 sigma)"), _("plan ± {xy}, height ± {z}", xy=xy, z=z)
    for name, values in (
        (_("Moved as a whole"), stats.get("shift_m")),
        (_("Common shift still unknown (1 sigma)"), stats.get("shift_sigma_m")),
        (_("Error at check points (RMS)"), stats.get("check_m")),
    ):
        if values and any(value is not None for value in values):
            east, north, up = (format_metres(value) for value in values)
            yield name, _("east {east}, north {north}, up {up}", east=east, north=north, up=up)


def _gaps(figures: ReportFigures) -> Message:
    if not figures.gaps_m2:
        return _("none")
    return _(
        "{count}, {area} in all, the largest {largest}",
        count=len(figures.gaps_m2),
        area=format_area(sum(figures.gaps_m2)),
        largest=format_area(figures.gaps_m2[0]),
    )


def _surface(figures: ReportFigures) -> Message:
    if figures.post_m is None:
        return _("a plane, no DEM")
    post = format_metres(figures.post_m)
    if not figures.stats.get("surface"):
        return _("terrain model (DEM), posts every {post}", post=post)
    own = format_percent(figures.own_pct)
    if is_flat_datum(figures.vertical_datum):
        return _(
            "the flight's own surface {own}, the rest carried on from it (no DEM); posts every {post}",
            own=own,
            post=post,
        )
    return _(
        "the flight's own surface {own}, the rest carried on from it or corrected DEM; posts every {post}",
        own=own,
        post=post,
    )


def _windows(windows: WindowFigures) -> Message:
    intact = _(
        "{whole} of the map (windows of 64 pixels turned and scaled as a whole, not bent)",
        whole=format_percent(windows.intact_pct),
    )
    if windows.smooth_intact_pct is None:
        return intact
    return _(
        "{intact}; {smooth} is on smooth heights instead of measured ones, {inside} of that whole",
        intact=intact,
        smooth=format_percent(windows.smooth_pct),
        inside=format_percent(windows.smooth_intact_pct),
    )


def _shutter(stats: Any) -> Message:
    """Describe how the rolling shutter was corrected."""
    if stats["frames"]:
        corrected = ngettext(
            "taken into account in {count} photo: each row at its own moment (readout {readout}); without it "
            "the first and last rows would be off by up to {most}",
            "taken into account in {count} photos: each row at its own moment (readout {readout}); without "
            "it the first and last rows would be off by up to {most}",
            stats["frames"],
            readout=format_quantity(stats["readout_ms"], "ms"),
            most=format_quantity(stats["most_px"], "px"),
        )
        if not stats["unknown"]:
            return corrected
        return ngettext(
            "{corrected}; not in {count} other photo, whose camera's readout time is not known",
            "{corrected}; not in {count} other photos, whose camera's readout time is not known",
            stats["unknown"],
            corrected=corrected,
        )
    if not stats["asked"]:
        return _("not taken into account, as asked")
    if stats["readout_ms"] is None:
        return _(
            "not taken into account: the camera's readout time is not known; in fast flight "
            "the first and last rows of a photo may be displaced along the course; if you "
            "know it, write readout_s into a camera file and ingest again with --camera "
            "--relay"
        )
    return _("not needed: its effect is below a quarter of a pixel, or the speed is not known")


def _error_map(figures: ReportFigures) -> Figure[Text]:
    # rounded to more digits than any bound has: only rounded numbers have a decimal comma in Vietnamese
    bounds = [Message("{bound:.3g}\N{NO-BREAK SPACE}m", {"bound": bound}) for bound in ERROR_BOUNDS_M]
    shares = [format_percent(share) for share in figures.error_pct]
    legend = tuple(zip(ERROR_COLOURS, _list_classes(bounds), shares, strict=True))
    caption = _("Expected error (m, 1 sigma), common shift apart")
    return Figure(picture="error", caption=caption, legend=legend)


def _list_classes(bounds: list[Message]) -> list[Message]:
    """Name the classes up to each bound, and beyond the last."""
    return [*(_("up to {bound}", bound=bound) for bound in bounds), _("over {bound}", bound=bounds[-1])]


def _maps(figures: ReportFigures, planes: MapPlanes, drawn: dict[str, bytes]) -> Iterator[Figure[Text]]:
    yield Figure(
        picture="overlap", caption=_("How many photos see each place"), legend=tuple(_overlap_legend())
    )
    own, dem = format_percent(figures.own_pct), format_percent(100.0 - figures.own_pct)
    yield Figure(
        picture="surface",
        caption=_("Ground under each pixel"),
        legend=(
            (SURFACE_COLOURS["own"], _("the flight's own surface"), own),
            (SURFACE_COLOURS[figures.ground], _GROUND_NAMES[figures.ground], dem),
        ),
    )
    if figures.windows is not None:
        windows = figures.windows
        smooth = windows.smooth_pct * (windows.smooth_intact_pct or 0.0) / 100.0
        shares = {"whole": windows.intact_pct - smooth, "smooth": smooth, "bent": 100.0 - windows.intact_pct}
        legend = tuple(
            (BEND_COLOURS[name], _BEND_NAMES[name], format_percent(share)) for name, share in shares.items()
        )
        caption = _("Whether windows of 64 pixels keep the shapes of their photo")
        yield Figure(picture="bend", caption=caption, legend=legend)
    yield Figure(picture="relief", caption=_("The ground under it (DSM), shaded"))
    times = choose_arrow_scale(figures, planes)
    yield Figure(
        picture="moves",
        caption=_("Photos moved from telemetry (× {times}); residuals", times=times),
        legend=tuple(_residual_legend(figures)),
    )
    if "histogram" in drawn:
        yield _histogram(figures)


def _overlap_legend() -> Legend:
    before = 0
    for colour, bound in zip(OVERLAP_COLOURS, OVERLAP_BOUNDS, strict=False):
        label = f"{before + 1}–{bound}" if before + 1 < bound else str(bound)
        yield colour, label, ""
        before = bound
    yield OVERLAP_COLOURS[-1], f"> {before}", ""


def _residual_legend(figures: ReportFigures) -> Legend:
    counts = Counter(choose_residual_colour(frame) for frame in figures.frames if frame.is_used)
    labels = _list_classes([format_quantity(bound, "px") for bound in RESIDUAL_BOUNDS_PX])
    for colour, label in (
        *zip(RESIDUAL_COLOURS, labels, strict=True),
        (NO_RESIDUAL_COLOUR, _("no tie points")),
    ):
        if counts[colour]:
            yield colour, label, str(counts[colour])


def _histogram(figures: ReportFigures) -> Figure[Text]:
    if not figures.stats.get("residuals"):
        return Figure(picture="histogram", caption=_("Photos by RMS of their residuals, pixels"))
    legend = [(HISTOGRAM_COLOURS[0], _("in the adjustment"), "")]
    if sum(figures.stats["residuals"]["held_out"]):
        legend.append((HISTOGRAM_COLOURS[1], _("held out"), ""))
    caption = _("Reprojection residuals, one coordinate, pixels")
    return Figure(picture="histogram", caption=caption, legend=tuple(legend))
