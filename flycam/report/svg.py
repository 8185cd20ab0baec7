"""Drawings as SVG: marks over a map, arrows, a histogram.

Text in them is figures and units only, so that one drawing serves both languages.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FONT = "'Libertinus Serif', 'DejaVu Serif', serif"
_BAR_SHARE = 0.22
_NICE = (1.0, 2.0, 5.0)


def to_data_uri(picture: bytes) -> str:
    """Return a PNG, JPEG or SVG as a data URI."""
    kind = {b"\x89PNG": "png", b"\xff\xd8\xff\xe0": "jpeg"}.get(picture[:4], "svg+xml")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def draw_map_svg(
    picture: bytes, size_px: tuple[int, int], pixel_m: float, marks: Iterable[str] = ()
) -> bytes:
    """Draw a map of (columns, rows) with marks over it and a scale bar below.

    Marks are in the map's pixels.
    """
    cols, rows = size_px
    unit = max(cols, rows) / 100.0
    foot = 6.5 * unit
    body = [
        f'<image x="0" y="0" width="{cols}" height="{rows}" href="{to_data_uri(picture)}" '
        'preserveAspectRatio="none"/>',
        *marks,
        _scale_bar(cols, rows + 1.2 * unit, unit, pixel_m),
    ]
    return _document(cols, rows + foot, body)


def wrap_picture_svg(picture: bytes, size_px: tuple[int, int]) -> bytes:
    """Wrap an image of (columns, rows) in SVG: Typst is given texts only."""
    cols, rows = size_px
    return _document(cols, rows, [f'<image width="{cols}" height="{rows}" href="{to_data_uri(picture)}"/>'])


def draw_circle(at: Sequence[float], radius: float, colour: str, *, hollow: bool = False) -> str:
    """Draw a dot with a white rim, or a ring."""
    x, y = at
    fill, stroke = ("none", colour) if hollow else (colour, "#ffffff")
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{stroke}" '
        f'stroke-width="{radius * 0.35:.2f}"/>'
    )


def draw_square(at: Sequence[float], radius: float, colour: str) -> str:
    """Draw a square with a white rim, as large as a circle of this radius."""
    x, y = at
    return (
        f'<rect x="{x - radius:.1f}" y="{y - radius:.1f}" width="{2 * radius:.1f}" height="{2 * radius:.1f}" '
        f'fill="{colour}" stroke="#ffffff" stroke-width="{radius * 0.35:.2f}"/>'
    )


def draw_triangle(at: Sequence[float], radius: float, colour: str) -> str:
    """Draw a triangle with a white rim."""
    x, y = at
    corners = f"{x:.1f},{y - 1.3 * radius:.1f} {x + 1.2 * radius:.1f},{y + radius:.1f} "
    corners += f"{x - 1.2 * radius:.1f},{y + radius:.1f}"
    return (
        f'<polygon points="{corners}" fill="{colour}" stroke="#ffffff" stroke-width="{radius * 0.35:.2f}" '
        'stroke-linejoin="round"/>'
    )


def draw_cross(at: Sequence[float], radius: float, colour: str) -> str:
    """Draw a diagonal cross on white."""
    x, y = at
    path = f"M{x - radius:.1f} {y - radius:.1f}L{x + radius:.1f} {y + radius:.1f}"
    path += f"M{x - radius:.1f} {y + radius:.1f}L{x + radius:.1f} {y - radius:.1f}"
    return "".join(
        f'<path d="{path}" stroke="{stroke}" stroke-width="{width:.2f}" fill="none"/>'
        for stroke, width in (("#ffffff", radius * 1.2), (colour, radius * 0.6))
    )


def draw_outline(points: Floats, width: float, colour: str) -> str:
    """Draw a closed line through K×2 points."""
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{corners}" fill="none" stroke="{colour}" stroke-width="{width:.2f}"/>'


def draw_arrow(start: Sequence[float], end: Sequence[float], width: float, colour: str) -> str:
    """Draw an arrow; one too short for a head is a line."""
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    path = f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
    if length > 4.0 * width:
        for turn in (2.6, -2.6):
            angle = math.atan2(y1 - y0, x1 - x0) + turn
            head = 3.5 * width
            path += f"M{x1:.1f} {y1:.1f}L{x1 + head * math.cos(angle):.1f} {y1 + head * math.sin(angle):.1f}"
    return (
        f'<path d="{path}" stroke="{colour}" stroke-width="{width:.2f}" stroke-linecap="round" fill="none"/>'
    )


def draw_histogram(
    bars: Sequence[float], line: Sequence[float], edges: Sequence[str], colours: Sequence[str]
) -> bytes:
    """Draw shares as bars, with a second distribution as a stepped line (or none).

    edges    labels below, at the left of each bar ("" for none); the last bar holds all that is beyond
    colours  of the bars and of the line
    """
    width, height, left, top, foot = 640.0, 250.0, 12.0, 12.0, 40.0
    highest = max([*bars, *line, 1e-9])
    step = (width - 2 * left) / len(bars)

    def y_of(share: float) -> float:
        return top + (height - top) * (1.0 - share / highest)

    body = [
        f'<rect x="{left + n * step + 1:.1f}" y="{y_of(bar):.1f}" width="{step - 2:.1f}" '
        f'height="{height - y_of(bar):.1f}" fill="{colours[0]}"/>'
        for n, bar in enumerate(bars)
    ]
    if line:
        path = "".join(
            f"{'L' if n else 'M'}{left + n * step:.1f} {y_of(share):.1f}H{left + (n + 1) * step:.1f}"
            for n, share in enumerate(line)
        )
        body.append(f'<path d="{path}" fill="none" stroke="{colours[1]}" stroke-width="3"/>')
    body.append(f'<path d="M{left} {height}H{width - left}" stroke="#333" stroke-width="1.5"/>')
    body += [_text(left + n * step, height + 28.0, 26.0, label) for n, label in enumerate(edges) if label]
    return _document(width, height + foot, body)


def _scale_bar(cols: int, y: float, unit: float, pixel_m: float) -> str:
    """Draw a bar of round length, about a fifth of the width, with its metres."""
    wanted = _BAR_SHARE * cols * pixel_m
    power = 10.0 ** math.floor(math.log10(wanted))
    length_m = max(nice * power for nice in _NICE if nice * power <= wanted)
    length = length_m / pixel_m
    text = f"{length_m:g} m" if length_m < 1000 else f"{length_m / 1000:g} km"
    bar = f'<rect x="{unit:.1f}" y="{y:.1f}" width="{length:.1f}" height="{1.1 * unit:.1f}" fill="#222"/>'
    return bar + _text(2.2 * unit + length, y + 1.7 * unit, 3.8 * unit, text, anchor="start")


def _text(x: float, y: float, size: float, text: str, anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" font-family="{_FONT}" text-anchor="{anchor}" '
        f'fill="#222">{text}</text>'
    )


def _document(width: float, height: float, body: Iterable[str]) -> bytes:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}"'
    size = f' width="{width:.0f}" height="{height:.0f}">'
    return "".join([head, size, *body, "</svg>"]).encode()
