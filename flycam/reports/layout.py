"""Blocks of a report, their layout as HTML and PDF, and its images."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import cv2
import numpy as np
import typst
from numpy.typing import NDArray

from flycam.geometry.terrain import MAX_BEND_PX
from flycam.messages import Message
from flycam.mosaic.finish.report import ERROR_BOUNDS_M, OVERLAP_BOUNDS

Text: TypeAlias = Message | str
T_co = TypeVar("T_co", bound=Text, covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading(Generic[T_co]):
    """Heading of a section."""

    text: T_co


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph(Generic[T_co]):
    """Running text.

    kind: "" or "lead" (the first sentence), "good", "care", "bad" (the verdict), "small".
    """

    text: T_co
    kind: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts(Generic[T_co]):
    """Terms and their values."""

    rows: tuple[tuple[T_co, T_co], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table(Generic[T_co]):
    """Table; `numeric` columns are aligned right."""

    head: tuple[T_co, ...]
    rows: tuple[tuple[T_co, ...], ...]
    numeric: tuple[int, ...] = ()


def drop_empty_columns(table: Table[T_co]) -> Table[T_co]:
    """Return the table without columns that are empty in all rows: they take room."""
    kept = [number for number in range(len(table.head)) if any(row[number] for row in table.rows)]
    return Table(
        head=tuple(table.head[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        numeric=tuple(kept.index(number) for number in table.numeric if number in kept),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure(Generic[T_co]):
    """Image by name, its caption, and its legend: (colour, label, note)."""

    picture: str
    caption: T_co
    legend: tuple[tuple[str, T_co, T_co], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureRow(Generic[T_co]):
    """Figures side by side; `columns` of them in a row on paper and on wide screens."""

    figures: tuple[Figure[T_co], ...]
    columns: int = 2


BlockOf = Heading[T_co] | Paragraph[T_co] | Facts[T_co] | Table[T_co] | FigureRow[T_co]
Block = BlockOf[str]


def put_text(text: Text, language: str) -> str:
    """Put a text into "vi" or "en"."""
    return text.in_language(language) if isinstance(text, Message) else text


def put_block(block: BlockOf[Text], language: str) -> Block:
    """Put the texts of a block into "vi" or "en"."""

    def put(texts: tuple[Text, ...]) -> tuple[str, ...]:
        return tuple(put_text(text, language) for text in texts)

    match block:
        case Heading():
            return Heading(text=put_text(block.text, language))
        case Paragraph():
            return Paragraph(text=put_text(block.text, language), kind=block.kind)
        case Facts():
            rows = ((put_text(term, language), put_text(value, language)) for term, value in block.rows)
            return Facts(rows=tuple(rows))
        case Table():
            return Table(head=put(block.head), rows=tuple(map(put, block.rows)), numeric=block.numeric)
        case FigureRow():
            figures = (
                Figure(
                    picture=one.picture,
                    caption=put_text(one.caption, language),
                    legend=tuple(
                        (colour, put_text(label, language), put_text(note, language))
                        for colour, label, note in one.legend
                    ),
                )
                for one in block.figures
            )
            return FigureRow(figures=tuple(figures), columns=block.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """Report in one language.

    mark      text on every page of an exercise; "" for a real flight
    footer    on every page; page_word goes before the page's number
    made_ns   UTC; the only time in it
    pictures  SVG by name
    """

    language: str
    title: str
    subtitle: str
    mark: str
    footer: str
    page_word: str
    made_ns: int
    blocks: tuple[Block, ...]
    pictures: Mapping[str, bytes]


# -- Report as one HTML file without script, font or image from elsewhere --------------------------


_STYLE = Path(__file__).with_name("report.css")


def to_html(document: Document) -> bytes:
    """Return the report as HTML, UTF-8."""
    return "\n".join(_page(document)).encode()


def _page(document: Document) -> Iterator[str]:
    title, subtitle = escape(document.title), escape(document.subtitle)
    mark = f"{document.mark} – " if document.mark else ""
    yield f'<!doctype html>\n<html lang="{document.language}">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{mark}{title} – {subtitle}</title>"
    yield f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>"
    # `.head` is repeated on every page that a browser prints
    yield '<div class="sheet">'
    if document.mark:
        yield f'<div class="head"><div class="mark">{escape(document.mark)}</div></div>'
    yield '<div class="body">'
    yield f"<header><h1>{title}</h1><p>{subtitle}</p></header>\n<main>"
    for block in document.blocks:
        yield from _block(document, block)
    yield f"</main>\n<footer>{escape(document.footer)}</footer>\n</div></div>\n</body>\n</html>\n"


def _block(document: Document, block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield f"<h2>{escape(block.text)}</h2>"
        case Paragraph():
            look = f' class="{block.kind}"' if block.kind else ""
            yield f"<p{look}>{escape(block.text)}</p>"
        case Facts():
            yield '<table class="facts">'
            for term, value in block.rows:
                yield f'<tr><th scope="row">{escape(term)}</th><td>{escape(value)}</td></tr>'
            yield "</table>"
        case Table():
            yield "<table><thead><tr>"
            yield "".join(_cell("th", block, n, text) for n, text in enumerate(block.head))
            yield "</tr></thead><tbody>"
            for row in block.rows:
                yield f"<tr>{''.join(_cell('td', block, n, text) for n, text in enumerate(row))}</tr>"
            yield "</tbody></table>"
        case FigureRow():
            yield '<div class="plate">'
            for figure in block.figures:
                yield from _figure(document, figure)
            yield "</div>"


def _cell(tag: str, table: Table[str], column: int, text: str) -> str:
    look = ' class="number"' if column in table.numeric else ""
    return f"<{tag}{look}>{escape(text)}</{tag}>"


def _figure(document: Document, figure: Figure[str]) -> Iterator[str]:
    caption = escape(figure.caption)
    drawing = document.pictures[figure.picture].decode()
    labelled = drawing.replace("<svg ", f'<svg role="img" aria-label="{caption}" ', 1)
    yield f"<figure><figcaption>{caption}</figcaption>{labelled}"
    if figure.legend:
        yield '<ul class="legend">'
        for colour, label, note in figure.legend:
            square = f'<rect width="14" height="14" fill="{colour}"/>'
            swatch = f'<svg class="swatch" aria-hidden="true">{square}</svg>'
            yield f"<li>{swatch}{escape(label)} <b>{escape(note)}</b></li>"
        yield "</ul>"
    yield "</figure>"


# -- Report as PDF pages, A4: `report.typ` styles the blocks, Typst sets them ----------------------
#
# Only Typst's own fonts are used and the only time in the file is the revision's, so the same report has the
# same bytes on every machine.


_TEMPLATE = Path(__file__).with_name("report.typ")


def to_pdf(document: Document) -> bytes:
    """Return the report as a PDF."""
    # sources by name, which its type hints do not know
    files: Any = build_report_sources(document)
    made_s = document.made_ns // 10**9
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=made_s))


def build_report_sources(document: Document) -> dict[str, bytes]:
    """Return Typst's sources by file name: template, content and images."""
    content = {
        "language": document.language,
        "title": document.title,
        "subtitle": document.subtitle,
        "mark": document.mark,
        "footer": document.footer,
        "page_word": document.page_word,
        "blocks": [to_typst_block(block) for block in document.blocks],
    }
    return {
        "main.typ": _TEMPLATE.read_bytes(),
        "report.json": json.dumps(content, ensure_ascii=False).encode(),
        **{f"{name}.svg": picture for name, picture in document.pictures.items()},
    }


def to_typst_block(block: Block) -> Mapping[str, Any]:
    """Return a block as the template reads it."""
    match block:
        case Heading():
            return {"kind": "heading", "text": block.text}
        case Paragraph():
            return {"kind": "paragraph", "text": block.text, "look": block.kind}
        case Facts():
            return {"kind": "facts", "rows": block.rows}
        case Table():
            return {
                "kind": "table",
                "head": block.head,
                "rows": block.rows,
                "numeric": block.numeric,
                "wide": 2,
            }
        case FigureRow():
            figures = [
                {"picture": figure.picture, "caption": figure.caption, "legend": figure.legend}
                for figure in block.figures
            ]
            return {"kind": "plate", "columns": block.columns, "figures": figures}


# -- Images of a report: SVG drawings, map planes as PNG and JPEG ----------------------------------
#
# Drawings are marks over a map, arrows and a histogram. Text in them is figures and units only, so that one
# drawing serves both languages.


# -- Planes of a map as small images: classes as PNG, photos and relief as JPEG --------------------
#
# The class colours are distinct to colour-blind eyes.


Mask = NDArray[np.bool_]

# ColorBrewer RdYlBu, as the map's own error layer
ERROR_COLOURS = ("#313695", "#4575b4", "#91bfdb", "#ffffbf", "#fdae61", "#f46d43", "#a50026")
# from few to many: viridis-like, lightness rises evenly (Smith and van der Walt 2015), few stand out dark
OVERLAP_COLOURS = ("#440154", "#3b528b", "#21908c", "#5dc963", "#b5de2b", "#fde725")
SURFACE_COLOURS = {"own": "#1b7837", "corrected": "#a6dba0", "dem": "#c2a5cf", "plane": "#f1b6da"}
BEND_COLOURS = {"whole": "#4575b4", "smooth": "#fee090", "bent": "#a50026"}
_WHITE = (255, 255, 255)
_JPEG_QUALITY = 82


def classify_values(
    value: NDArray[np.float32] | NDArray[np.int32], bounds: Sequence[float]
) -> NDArray[np.uint8]:
    """Return the class number of each value.

    0 up to and including the first bound, and so on.
    """
    return np.searchsorted(np.asarray(bounds, dtype=np.float64), value, side="left").astype(np.uint8)


def encode_error_png(error_m: NDArray[np.float32]) -> bytes:
    """Encode the classes of ERROR_BOUNDS_M as PNG; white where the error is NaN."""
    return _class_png(classify_values(error_m, ERROR_BOUNDS_M), np.isfinite(error_m), ERROR_COLOURS)


def encode_overlap_png(overlap: NDArray[np.int32], shown: Mask) -> bytes:
    """Encode the classes of OVERLAP_BOUNDS as PNG; white where nothing is shown."""
    return _class_png(classify_values(overlap, OVERLAP_BOUNDS), shown, OVERLAP_COLOURS)


def encode_surface_png(own: Mask, shown: Mask, ground: str) -> bytes:
    """Encode DSM and other ground (`ReportFigures.ground`) as PNG; white elsewhere."""
    colours = (SURFACE_COLOURS["own"], SURFACE_COLOURS[ground])
    return _class_png(np.where(own, 0, 1).astype(np.uint8), shown, colours)


def encode_bend_png(bend_px: NDArray[np.float32], smooth: Mask) -> bytes:
    """Encode windows as PNG: straight on measured heights, on smooth ones, bent.

    White where unknown.
    """
    known = np.isfinite(bend_px)
    classes = np.where(known & (np.nan_to_num(bend_px) > MAX_BEND_PX), 2, smooth).astype(np.uint8)
    return _class_png(classes, known, tuple(BEND_COLOURS.values()))


def encode_relief_jpeg(tone: NDArray[np.float64]) -> bytes:
    """Encode a shading from 0 (dark) to 1 as JPEG; white where it is NaN."""
    return _jpeg(np.where(np.isfinite(tone), 40.0 + 215.0 * np.nan_to_num(tone), 255.0))


def encode_pale_relief_jpeg(tone: NDArray[np.float64], shown: Mask) -> bytes:
    """Encode the shading as JPEG in pale tones at half size, to draw on.

    White where nothing is shown.
    """
    grey = np.where(np.isfinite(tone) & shown, 165.0 + 75.0 * np.nan_to_num(tone), 255.0)
    halved = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return _jpeg(np.asarray(halved, dtype=np.float64))


def encode_photo_jpeg(rgb: NDArray[np.uint8], shown: Mask) -> bytes:
    """Encode the map's colours as JPEG, white around it."""
    picture = np.where(shown[..., None], rgb[..., ::-1], np.uint8(255))
    return _jpeg(picture)


def _class_png(classes: NDArray[np.uint8], known: Mask, colours: Sequence[str]) -> bytes:
    table = np.array([*(_bgr(colour) for colour in colours), _WHITE], dtype=np.uint8)
    picture = table[np.where(known, classes, len(colours))]
    return _encoded(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _jpeg(picture: NDArray[np.uint8] | NDArray[np.float64]) -> bytes:
    return _encoded(".jpg", np.rint(picture).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _encoded(suffix: str, picture: NDArray[np.uint8], options: list[int]) -> bytes:
    written, data = cv2.imencode(suffix, picture, options)
    if not written:
        raise RuntimeError(f"OpenCV cannot write {suffix}")
    return bytes(data.tobytes())


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red


# -- Planes of a report's maps, on one small grid --------------------------------------------------

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapPlanes:
    """Planes rows×cols, row 0 northernmost.

    Pixel (r, c) has its corner at (west + c*pixel, north - r*pixel).

    west, north, pixel_m  metres of the work CRS
    rgb, shown            colours of the mosaic, and where it has data
    error_m               expected error, NaN where nothing is shown
    overlap               number of frames that see the ground
    own                   the ground is the flight's own DSM
    bend_px               bend of the map's window of 64 pixels (`measure_bend_m`), NaN unknown
    smooth                smooth heights stand in for measured ones
    relief                shading of the ground from 0 (dark) to 1; NaN unknown
    gaps, gaps_m2         outlines of enclosed gaps, K×2 (column, row), the largest first, and their areas
    """

    west: float
    north: float
    pixel_m: float
    rgb: NDArray[np.uint8]
    shown: Mask
    error_m: NDArray[np.float32]
    overlap: NDArray[np.int32]
    own: Mask
    bend_px: NDArray[np.float32]
    smooth: Mask
    relief: Floats
    gaps: tuple[Floats, ...]
    gaps_m2: tuple[float, ...]

    @property
    def size_px(self) -> tuple[int, int]:
        """Size as (columns, rows)."""
        rows, cols = self.shown.shape
        return cols, rows

    def to_pixels(self, xy_m: Floats) -> Floats:
        """Convert points N×2 of the work CRS to (column, row), pixel corners at integers."""
        return np.stack([xy_m[:, 0] - self.west, self.north - xy_m[:, 1]], axis=-1) / self.pixel_m


# -- SVG drawings: marks over a map, arrows, a histogram -------------------------------------------


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
    # a bar of round length, about a fifth of the width, with its metres
    y = rows + 1.2 * unit
    wanted = _BAR_SHARE * cols * pixel_m
    power = 10.0 ** math.floor(math.log10(wanted))
    length_m = max(nice * power for nice in _NICE if nice * power <= wanted)
    length = length_m / pixel_m
    text = f"{length_m:g} m" if length_m < 1000 else f"{length_m / 1000:g} km"
    bar = f'<rect x="{unit:.1f}" y="{y:.1f}" width="{length:.1f}" height="{1.1 * unit:.1f}" fill="#222"/>'
    body = [
        f'<image x="0" y="0" width="{cols}" height="{rows}" href="{to_data_uri(picture)}" '
        'preserveAspectRatio="none"/>',
        *marks,
        bar + _text(2.2 * unit + length, y + 1.7 * unit, 3.8 * unit, text, anchor="start"),
    ]
    return _document(cols, rows + foot, body)


def wrap_picture_svg(picture: bytes, size_px: tuple[int, int]) -> bytes:
    """Wrap an image of (columns, rows) in SVG: Typst is given texts only."""
    cols, rows = size_px
    return _document(cols, rows, [f'<image width="{cols}" height="{rows}" href="{to_data_uri(picture)}"/>'])


def draw_circle(at: Sequence[float], radius: float, colour: str) -> str:
    """Draw a dot with a white rim."""
    x, y = at
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" stroke="#ffffff" '
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


def _text(x: float, y: float, size: float, text: str, anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" font-family="{_FONT}" text-anchor="{anchor}" '
        f'fill="#222">{text}</text>'
    )


def _document(width: float, height: float, body: Iterable[str]) -> bytes:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}"'
    size = f' width="{width:.0f}" height="{height:.0f}">'
    return "".join([head, size, *body, "</svg>"]).encode()
