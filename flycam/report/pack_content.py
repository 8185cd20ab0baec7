"""The meeting pack said in one language: a quick report (báo cáo nhanh) that is signed, and its annexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flycam.frame.classification import Classification
from flycam.frame.moment import house_zone, minute_of, zone_at
from flycam.frame.warning import brief
from flycam.report.blocks import Block, Facts, Figure, Heading, Paragraph, Plate, Table, without_empty
from flycam.report.mark_names import MARK_KINDS, MARK_STATUSES
from flycam.report.numbers import area, centimetres, listed, percent, period
from flycam.report.pack_changes import changes_by_commune, changes_in, changes_summary, loose_changes
from flycam.report.pack_figures import (
    Letterhead,
    PackCommune,
    PackFigures,
    PackFlight,
    PackMark,
)
from flycam.report.pack_said import (
    LOCATOR,
    OVERVIEW,
    age,
    error_said,
    imaged_said,
    picture_of_number,
    stamped,
)
from flycam.report.pack_settlements import settlements_said
from flycam.report.pack_slides import Slide, slides_said
from flycam.report.pack_sources import sources_said
from flycam.report.pack_title import about, approval, first_ns, last_ns
from flycam.report.pack_troubles import troubles_said
from flycam.report.pack_unconfirmed import marks_first, waiting_cell, waiting_first
from flycam.report.pack_words import head, place_said, told
from flycam.report.words import DRILL_MARK


@dataclass(frozen=True, kw_only=True, slots=True)
class PageBreak:
    """What follows begins a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """To whom the document goes and who signs it; annexes follow."""


PackBlock = Block | PageBreak | Signature


@dataclass(frozen=True, kw_only=True, slots=True)
class PackDocument:
    """The pack in one language.

    mark       on every page of a drill, "" otherwise; draft as well, "" once approved
    letterhead, dateline, closing, signer_name  the form of an official document; empty fields become dots
    motto      lines over the date; none: no nation's
    footer     on every page; page_word goes before the page's number
    approval   who asked for it and who approved it, or that nobody has
    first      what nobody has looked into yet, in the order in which it is told
    covered    that masks left something empty, "" where they did not
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


def pack_document(figures: PackFigures, language: str) -> PackDocument:
    """The pack in "vi" or "en"."""
    letters, dots = figures.letterhead, told("dots", language)
    made = datetime.fromtimestamp(figures.made_ns // 10**9, house_zone())
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
        title=told("title", language),
        about=about(figures, language),
        mark=DRILL_MARK if figures.is_drill else "",
        draft="" if figures.approved_by else told("draft", language),
        footer=stamped(figures, language)
        + told(
            "footer",
            language,
            version=figures.version,
            at=minute_of(figures.made_ns),
            zone=zone_at(figures.made_ns),
        ),
        page_word=told("page", language),
        approval=approval(figures, language),
        first=(*marks_first(figures, language), *waiting_first(figures, language)),
        covered=told("covered", language) if figures.is_covered else "",
        made_ns=figures.made_ns,
        letterhead=filled,
        motto=_heading(figures, language),
        number=told("number", language, number=letters.number or dots),
        dateline=told("dateline", language, place=filled.place, **date),
        recipients_word=told("recipients", language),
        signer_name=figures.approved_by,
        closing=told("closing", language, count=len(figures.communes)),
        blocks=tuple(_blocks(figures, language)),
        slides=tuple(slides_said(figures, language)),
        pictures=figures.pictures,
        slide_pictures=figures.slides,
    )


def _heading(figures: PackFigures, language: str) -> tuple[str, ...]:
    """What stands at the head of the first page: as the letterhead says, else the nation's where the ground
    is Viet Nam's. No pack of another country's ground goes out under it by itself."""
    if figures.letterhead.heading is not None:
        return figures.letterhead.heading
    return (told("motto", language), told("motto_below", language)) if figures.is_national else ()


def _blocks(figures: PackFigures, language: str) -> Iterator[PackBlock]:
    if figures.is_drill:
        yield Paragraph(text=told("drill_note", language), kind="care")
    if figures.classification is not Classification.OPEN:
        yield Paragraph(text=told(f"{figures.classification}_note", language), kind="care")
    yield approval(figures, language)
    yield Heading(text=told("summary", language))
    yield from marks_first(figures, language)
    yield Paragraph(text=_summary(figures, language))
    yield Paragraph(text=told("summary_limits", language))
    times = first_ns(figures), last_ns(figures), figures.made_ns
    yield Paragraph(text=told("zone", language, zone=zone_at(*times)), kind="small")
    if figures.is_covered:
        yield Paragraph(text=told("covered", language), kind="care")
    kind = "care" if figures.waiting else "" if figures.changes else "small"
    yield Paragraph(text=changes_summary(figures, language), kind=kind)
    yield Heading(text=told("overview", language))
    yield _overview(figures, language)
    yield Heading(text=told("flights", language))
    yield _flights(figures.flights, language)
    for one in figures.flights:
        if not one.is_complete:
            yield Paragraph(text=told("not_complete", language, number=str(one.number)), kind="care")
        for kept in one.warnings:
            yield Paragraph(
                text=f"{one.number}. {brief(kept, language, finished=one.revision > 0)}", kind="small"
            )
    yield Heading(text=told("communes", language))
    yield _communes(figures, language)
    if any(one.waiting for one in figures.communes):
        yield Paragraph(text=told("waiting_note", language), kind="small")
    if sum(len(one.marks) for one in figures.communes) > len(_numbers_of_marks(figures)):
        yield Paragraph(text=told("marks_shared", language), kind="small")
    for kept in figures.remarks:
        yield Paragraph(text=brief(kept, language), kind="small")
    yield from troubles_said(figures, language)
    yield from changes_by_commune(figures, language)
    yield from settlements_said(figures, language)
    yield Signature()
    for one_commune in figures.communes:
        yield PageBreak()
        yield from _commune(figures, one_commune, language)
    yield PageBreak()
    if figures.loose_marks:
        yield Heading(text=told("marks_elsewhere", language))
        yield _marks(figures.loose_marks, language)
    yield from loose_changes(figures, language)
    yield from sources_said(figures, language)


def _summary(figures: PackFigures, language: str) -> str:
    first, last = first_ns(figures), last_ns(figures)
    names = [one.name for one in figures.communes]
    count = told("communes_count", language, count=len(names))
    return told(
        "summary_said",
        language,
        period=period(first, last),
        flights=told("flights_count", language, count=len(figures.flights)),
        area=imaged_said(figures, language),
        communes=f"{count}: {listed(names, language)}" if names else told("no_communes", language),
        last=minute_of(last),
        age=age(last, figures.made_ns, language),
    )


def _overview(figures: PackFigures, language: str) -> Plate:
    """Where it is, where that is known, and beside it what was imaged."""
    shown = Figure(picture=OVERVIEW, caption=_with_marks("overview_caption", figures, language))
    if LOCATOR not in figures.pictures:
        return Plate(figures=(shown,), columns=1)
    return Plate(figures=(Figure(picture=LOCATOR, caption=told("locator_caption", language)), shown))


def _with_marks(key: str, figures: PackFigures, language: str, **values: object) -> str:
    """The caption of a map, with what the red numbers are where there are any."""
    said = told(key, language, **values)
    is_marked = figures.loose_marks or any(one.marks for one in figures.communes)
    keys = [*(["marks_caption"] if is_marked else []), *(["changes_caption"] if figures.changes else [])]
    return " ".join([said, *(told(key, language) for key in keys)])


def _flights(flights: Sequence[PackFlight], language: str) -> Table:
    return Table(
        head=head(language, "number", "flight", "time", "operator", "gsd", "area", "error"),
        rows=tuple(
            (
                str(one.number),
                one.name,
                period(one.first_ns, one.last_ns),
                one.operator or told("operator_unknown", language),
                centimetres(one.gsd_m, language),
                area(one.imaged_m2, language),
                error_said(one, language),
            )
            for one in flights
        ),
        numeric=(0, 4, 5),
    )


def _communes(figures: PackFigures, language: str) -> Block:
    if not figures.communes:
        return Paragraph(text=told("no_communes_said", language))
    table = Table(
        head=head(language, "number", "commune", "area", "pct", "last", "age", "marks", "waiting"),
        rows=tuple(
            (
                str(one.number),
                one.name,
                area(one.imaged_m2, language),
                percent(one.imaged_pct, language),
                minute_of(one.last_ns),
                age(one.last_ns, figures.made_ns, language),
                str(len(one.marks)),
                waiting_cell(one, language),
            )
            for one in figures.communes
        ),
        numeric=(0, 2, 3, 6),
    )
    return without_empty(table)


def _numbers_of_marks(figures: PackFigures) -> set[int]:
    """Of marks in communes, each once."""
    return {mark.number for one in figures.communes for mark in one.marks}


def _commune(figures: PackFigures, one: PackCommune, language: str) -> Iterator[Block]:
    yield Heading(text=told("annex", language, number=str(one.number), name=one.name))
    yield _plate(picture_of_number(one.number), _commune_caption(figures, one, language))
    by_number = {flight.number: flight for flight in figures.flights}
    flights = [by_number[number] for number in one.flights]
    shown = area(one.imaged_m2, language)
    which = [f"{flight.number}: " if len(flights) > 1 else "" for flight in flights]
    errors = [text + error_said(flight, language) for text, flight in zip(which, flights, strict=True)]
    terms = {
        "area": told("share_of_commune", language, area=shown, pct=percent(one.imaged_pct, language)),
        "time": period(one.first_ns, one.last_ns),
        "age": age(one.last_ns, figures.made_ns, language),
        "gsd": centimetres(one.gsd_m, language),
        "error": ". ".join(errors),
        "flights": ", ".join(f"{flight.number} {flight.name}" for flight in flights),
    }
    yield Facts(rows=tuple((told(f"term_{key}", language), value) for key, value in terms.items()))
    yield from changes_in(figures, one, language)
    yield Heading(text=told("marks", language))
    if one.marks:
        yield _marks(one.marks, language)
        yield Paragraph(text=told("marks_status", language), kind="small")
    else:
        yield Paragraph(text=told("no_marks", language), kind="small")


def _commune_caption(figures: PackFigures, one: PackCommune, language: str) -> str:
    since = age(one.last_ns, figures.made_ns, language)
    last = minute_of(one.last_ns)
    return _with_marks("commune_caption", figures, language, name=one.name, last=last, age=since)


def _marks(marks: Sequence[PackMark], language: str) -> Table:
    which = 0 if language == "vi" else 1
    table = Table(
        head=head(language, "number", "kind", "status", "place", "note", "author"),
        rows=tuple(
            (
                str(one.number),
                MARK_KINDS[one.kind][which],
                MARK_STATUSES[one.status][which],
                place_said(one.lonlat_deg, one.vn2000, language),
                one.note,
                f"{one.author}, {minute_of(one.at_ns)}",
            )
            for one in marks
        ),
        numeric=(0,),
    )
    return without_empty(table)


def _plate(picture: str, caption: str) -> Plate:
    return Plate(figures=(Figure(picture=picture, caption=caption),), columns=1)
