"""Content of a briefing pack in one language: a signed quick report, and annexes.

The quick report is the "báo cáo nhanh".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flycam.frame.classification import Classification
from flycam.frame.timestamp import format_minute, format_utc_offset, get_local_zone
from flycam.frame.warning import format_brief_warning
from flycam.report.blocks import (
    Block,
    Facts,
    Figure,
    FigureRow,
    Heading,
    Paragraph,
    Table,
    drop_empty_columns,
)
from flycam.report.mark_names import MARK_KIND_NAMES, MARK_STATUS_NAMES
from flycam.report.number_format import (
    format_area,
    format_centimetres,
    format_list,
    format_percent,
    format_period,
)
from flycam.report.pack_changes import (
    build_changes_by_commune,
    build_commune_changes,
    build_loose_changes,
    format_changes_summary,
)
from flycam.report.pack_figures import (
    Letterhead,
    PackCommune,
    PackFigures,
    PackFlight,
    PackMark,
)
from flycam.report.pack_pending import build_mark_paragraphs, build_pending_paragraphs, format_pending_cell
from flycam.report.pack_phrases import (
    LOCATOR,
    OVERVIEW,
    format_age,
    format_classification_prefix,
    format_flight_error,
    format_imaged,
    name_commune_picture,
)
from flycam.report.pack_settlements import build_settlement_blocks
from flycam.report.pack_slides import Slide, build_slides
from flycam.report.pack_sources import build_source_blocks
from flycam.report.pack_texts import format_pack_text, format_place, format_table_head
from flycam.report.pack_title import build_approval, find_first_ns, find_last_ns, format_subtitle
from flycam.report.pack_troubles import build_trouble_blocks
from flycam.report.texts import DRILL_MARK


@dataclass(frozen=True, kw_only=True, slots=True)
class PageBreak:
    """Page break: the next block begins a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureBlock:
    """Recipients and signature; annexes follow."""


PackBlock = Block | PageBreak | SignatureBlock


@dataclass(frozen=True, kw_only=True, slots=True)
class PackDocument:
    """Briefing pack in one language.

    mark       on every page of an exercise, "" otherwise; draft as well, "" once approved
    letterhead, dateline, closing, signer_name  the form of an official document; empty fields become dots
    motto      lines over the date; none: no nation's
    footer     on every page; page_word goes before the page's number
    approval   who requested it and who approved it, or that nobody has
    first      warnings that stand first: marks and changes that nobody has looked into yet
    covered    note on ground left empty by redactions, "" where there is none
    made_ns    UTC; when it was made
    pictures   JPEG by name; slide_pictures: those of the slides
    """

    language: str
    title: str
    about: str
    mark: str
    draft: str
    footer: str
    page_word: str
    approval: Paragraph
    first: tuple[Paragraph, ...]
    covered: str
    made_ns: int
    letterhead: Letterhead
    motto: tuple[str, ...]
    number: str
    dateline: str
    recipients_word: str
    signer_name: str
    closing: str
    blocks: tuple[PackBlock, ...]
    slides: tuple[Slide, ...]
    pictures: Mapping[str, bytes]
    slide_pictures: Mapping[str, bytes]


def build_pack_document(figures: PackFigures, language: str) -> PackDocument:
    """Build the pack in "vi" or "en"."""
    letters, dots = figures.letterhead, format_pack_text("dots", language)
    made = datetime.fromtimestamp(figures.made_ns // 10**9, get_local_zone())
    date = {"day": f"{made:%d}", "month": f"{made:%m}", "year": f"{made:%Y}"}
    filled = Letterhead(
        parent=letters.parent,
        issuer=letters.issuer or dots,
        number=letters.number,
        place=letters.place or dots,
        signer_title=letters.signer_title or dots,
        recipients=letters.recipients or (dots,),
    )
    return PackDocument(
        language=language,
        title=format_pack_text("title", language),
        about=format_subtitle(figures, language),
        mark=DRILL_MARK if figures.is_drill else "",
        draft="" if figures.approved_by else format_pack_text("draft", language),
        footer=format_classification_prefix(figures, language)
        + format_pack_text(
            "footer",
            language,
            version=figures.version,
            at=format_minute(figures.made_ns),
            zone=format_utc_offset(figures.made_ns),
        ),
        page_word=format_pack_text("page", language),
        approval=build_approval(figures, language),
        first=(*build_mark_paragraphs(figures, language), *build_pending_paragraphs(figures, language)),
        covered=format_pack_text("covered", language) if figures.is_covered else "",
        made_ns=figures.made_ns,
        letterhead=filled,
        motto=_heading(figures, language),
        number=format_pack_text("number", language, number=letters.number or dots),
        dateline=format_pack_text("dateline", language, place=filled.place, **date),
        recipients_word=format_pack_text("recipients", language),
        signer_name=figures.approved_by,
        closing=format_pack_text("closing", language, count=len(figures.communes)),
        blocks=tuple(_blocks(figures, language)),
        slides=tuple(build_slides(figures, language)),
        pictures=figures.pictures,
        slide_pictures=figures.slides,
    )


def _heading(figures: PackFigures, language: str) -> tuple[str, ...]:
    """Return the lines at the head of the first page.

    As the letterhead says, else the nation's motto where the ground is Viet Nam's: no pack of another
    country's ground goes out under it by itself.
    """
    if figures.letterhead.heading is not None:
        return figures.letterhead.heading
    return (
        (format_pack_text("motto", language), format_pack_text("motto_below", language))
        if figures.is_national
        else ()
    )


def _blocks(figures: PackFigures, language: str) -> Iterator[PackBlock]:
    if figures.is_drill:
        yield Paragraph(text=format_pack_text("drill_note", language), kind="care")
    if figures.classification is not Classification.OPEN:
        yield Paragraph(text=format_pack_text(f"{figures.classification}_note", language), kind="care")
    yield build_approval(figures, language)
    yield Heading(text=format_pack_text("summary", language))
    yield from build_mark_paragraphs(figures, language)
    yield Paragraph(text=_summary(figures, language))
    yield Paragraph(text=format_pack_text("summary_limits", language))
    times = find_first_ns(figures), find_last_ns(figures), figures.made_ns
    yield Paragraph(text=format_pack_text("zone", language, zone=format_utc_offset(*times)), kind="small")
    if figures.is_covered:
        yield Paragraph(text=format_pack_text("covered", language), kind="care")
    kind = "care" if figures.waiting else "" if figures.changes else "small"
    yield Paragraph(text=format_changes_summary(figures, language), kind=kind)
    yield Heading(text=format_pack_text("overview", language))
    yield _overview(figures, language)
    yield Heading(text=format_pack_text("flights", language))
    yield _flights(figures.flights, language)
    for one in figures.flights:
        if not one.is_complete:
            yield Paragraph(
                text=format_pack_text("not_complete", language, number=str(one.number)), kind="care"
            )
        for kept in one.warnings:
            yield Paragraph(
                text=f"{one.number}. {format_brief_warning(kept, language, finished=one.revision > 0)}",
                kind="small",
            )
    yield Heading(text=format_pack_text("communes", language))
    yield _communes(figures, language)
    if any(one.waiting for one in figures.communes):
        yield Paragraph(text=format_pack_text("waiting_note", language), kind="small")
    if sum(len(one.marks) for one in figures.communes) > len(_numbers_of_marks(figures)):
        yield Paragraph(text=format_pack_text("marks_shared", language), kind="small")
    for kept in figures.remarks:
        yield Paragraph(text=format_brief_warning(kept, language), kind="small")
    yield from build_trouble_blocks(figures, language)
    yield from build_changes_by_commune(figures, language)
    yield from build_settlement_blocks(figures, language)
    yield SignatureBlock()
    for one_commune in figures.communes:
        yield PageBreak()
        yield from _commune(figures, one_commune, language)
    yield PageBreak()
    if figures.loose_marks:
        yield Heading(text=format_pack_text("marks_elsewhere", language))
        yield _marks(figures.loose_marks, language)
    yield from build_loose_changes(figures, language)
    yield from build_source_blocks(figures, language)


def _summary(figures: PackFigures, language: str) -> str:
    first, last = find_first_ns(figures), find_last_ns(figures)
    names = [one.name for one in figures.communes]
    count = format_pack_text("communes_count", language, count=len(names))
    return format_pack_text(
        "summary_said",
        language,
        period=format_period(first, last),
        flights=format_pack_text("flights_count", language, count=len(figures.flights)),
        area=format_imaged(figures, language),
        communes=f"{count}: {format_list(names, language)}"
        if names
        else format_pack_text("no_communes", language),
        last=format_minute(last),
        age=format_age(last, figures.made_ns, language),
    )


def _overview(figures: PackFigures, language: str) -> FigureRow:
    """Build the locator map, if there is one, beside the imaged ground."""
    shown = Figure(picture=OVERVIEW, caption=_with_marks("overview_caption", figures, language))
    if LOCATOR not in figures.pictures:
        return FigureRow(figures=(shown,), columns=1)
    return FigureRow(
        figures=(Figure(picture=LOCATOR, caption=format_pack_text("locator_caption", language)), shown)
    )


def _with_marks(key: str, figures: PackFigures, language: str, **values: object) -> str:
    """Format a map's caption, with the meaning of its red numbers if it has any."""
    said = format_pack_text(key, language, **values)
    is_marked = figures.loose_marks or any(one.marks for one in figures.communes)
    keys = [*(["marks_caption"] if is_marked else []), *(["changes_caption"] if figures.changes else [])]
    return " ".join([said, *(format_pack_text(key, language) for key in keys)])


def _flights(flights: Sequence[PackFlight], language: str) -> Table:
    return Table(
        head=format_table_head(language, "number", "flight", "time", "operator", "gsd", "area", "error"),
        rows=tuple(
            (
                str(one.number),
                one.name,
                format_period(one.first_ns, one.last_ns),
                one.operator or format_pack_text("operator_unknown", language),
                format_centimetres(one.gsd_m, language),
                format_area(one.imaged_m2, language),
                format_flight_error(one, language),
            )
            for one in flights
        ),
        numeric=(0, 4, 5),
    )


def _communes(figures: PackFigures, language: str) -> Block:
    if not figures.communes:
        return Paragraph(text=format_pack_text("no_communes_said", language))
    table = Table(
        head=format_table_head(
            language, "number", "commune", "area", "pct", "last", "age", "marks", "waiting"
        ),
        rows=tuple(
            (
                str(one.number),
                one.name,
                format_area(one.imaged_m2, language),
                format_percent(one.imaged_pct, language),
                format_minute(one.last_ns),
                format_age(one.last_ns, figures.made_ns, language),
                str(len(one.marks)),
                format_pending_cell(one, language),
            )
            for one in figures.communes
        ),
        numeric=(0, 2, 3, 6),
    )
    return drop_empty_columns(table)


def _numbers_of_marks(figures: PackFigures) -> set[int]:
    """Return the numbers of marks in communes, each once."""
    return {mark.number for one in figures.communes for mark in one.marks}


def _commune(figures: PackFigures, one: PackCommune, language: str) -> Iterator[Block]:
    yield Heading(text=format_pack_text("annex", language, number=str(one.number), name=one.name))
    yield _plate(name_commune_picture(one.number), _commune_caption(figures, one, language))
    by_number = {flight.number: flight for flight in figures.flights}
    flights = [by_number[number] for number in one.flights]
    shown = format_area(one.imaged_m2, language)
    which = [f"{flight.number}: " if len(flights) > 1 else "" for flight in flights]
    errors = [
        text + format_flight_error(flight, language) for text, flight in zip(which, flights, strict=True)
    ]
    terms = {
        "area": format_pack_text(
            "share_of_commune", language, area=shown, pct=format_percent(one.imaged_pct, language)
        ),
        "time": format_period(one.first_ns, one.last_ns),
        "age": format_age(one.last_ns, figures.made_ns, language),
        "gsd": format_centimetres(one.gsd_m, language),
        "error": ". ".join(errors),
        "flights": ", ".join(f"{flight.number} {flight.name}" for flight in flights),
    }
    yield Facts(
        rows=tuple((format_pack_text(f"term_{key}", language), value) for key, value in terms.items())
    )
    yield from build_commune_changes(figures, one, language)
    yield Heading(text=format_pack_text("marks", language))
    if one.marks:
        yield _marks(one.marks, language)
        yield Paragraph(text=format_pack_text("marks_status", language), kind="small")
    else:
        yield Paragraph(text=format_pack_text("no_marks", language), kind="small")


def _commune_caption(figures: PackFigures, one: PackCommune, language: str) -> str:
    since = format_age(one.last_ns, figures.made_ns, language)
    last = format_minute(one.last_ns)
    return _with_marks("commune_caption", figures, language, name=one.name, last=last, age=since)


def _marks(marks: Sequence[PackMark], language: str) -> Table:
    table = Table(
        head=format_table_head(language, "number", "kind", "status", "place", "note", "author"),
        rows=tuple(
            (
                str(one.number),
                MARK_KIND_NAMES[one.kind].in_language(language),
                MARK_STATUS_NAMES[one.status].in_language(language),
                format_place(one.lonlat_deg, one.vn2000, language),
                one.note,
                f"{one.author}, {format_minute(one.at_ns)}",
            )
            for one in marks
        ),
        numeric=(0,),
    )
    return drop_empty_columns(table)


def _plate(picture: str, caption: str) -> FigureRow:
    return FigureRow(figures=(Figure(picture=picture, caption=caption),), columns=1)
