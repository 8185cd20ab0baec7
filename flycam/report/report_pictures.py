"""Images of the report: maps with photos, and the spread of residuals.

The same in every language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from flycam.report import map_images, svg
from flycam.report.map_planes import MapPlanes
from flycam.report.report_figures import (
    RESIDUAL_BOUNDS_PX,
    RESIDUAL_STEP_PX,
    RESIDUAL_STEPS,
    FrameResult,
    ReportFigures,
)

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
    "tied": svg.draw_circle,
    "weak": svg.draw_triangle,
    "carried": svg.draw_square,
    "prior": svg.draw_square,
    "out": svg.draw_cross,
}


def draw_report_pictures(figures: ReportFigures, planes: MapPlanes) -> dict[str, bytes]:
    """Draw all images as SVG by name.

    Names: photos, error, overlap, surface, bend, relief, moves, histogram.
    """

    def over(picture: bytes, marks: Iterator[str] | Sequence[str] = ()) -> bytes:
        return svg.draw_map_svg(picture, planes.size_px, planes.pixel_m, marks)

    drawn = {
        "photos": over(map_images.encode_photo_jpeg(planes.rgb, planes.shown), _photo_marks(figures, planes)),
        "error": over(map_images.encode_error_png(planes.error_m)),
        "overlap": over(map_images.encode_overlap_png(planes.overlap, planes.shown)),
        "surface": over(map_images.encode_surface_png(planes.own, planes.shown, figures.ground)),
        "bend": over(map_images.encode_bend_png(planes.bend_px, planes.smooth)),
        "relief": over(map_images.encode_relief_jpeg(planes.relief)),
        "moves": over(
            map_images.encode_pale_relief_jpeg(planes.relief, planes.shown), _move_marks(figures, planes)
        ),
    }
    bars, line = compute_residual_shares(figures)
    if bars:
        labels = [f"{n * RESIDUAL_STEP_PX:.0f}" if n % 10 == 0 else "" for n in range(RESIDUAL_STEPS)] + ["2"]
        drawn["histogram"] = svg.draw_histogram(bars, line, labels, HISTOGRAM_COLOURS)
    return drawn


def choose_arrow_scale(figures: ReportFigures, planes: MapPlanes) -> int:
    """Return by how much arrows are enlarged: a round number."""
    moves = np.array([move for _, move in _moved(figures)])
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
        yield svg.draw_outline(gap, 0.25 * unit, GAP_COLOUR)
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
            yield svg.draw_arrow(at, end, 0.35 * unit, "#222222")
    for frame, at in used:
        yield svg.draw_circle(at, 0.95 * unit, choose_residual_colour(frame))


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
