"""Content of a briefing pack in one language: a signed quick report, and annexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flycam.frame.classification import Classification
from flycam.frame.timestamp import format_minute, format_utc_offset, get_local_zone
from flycam.frame.warning import describe_warning_briefly
from flycam.messages import Message, _, join, pgettext
from flycam.report.blocks import (
    Block,
    BlockOf,
    Facts,
    Figure,
    FigureRow,
    Heading,
    Paragraph,
    Table,
    Text,
    drop_empty_columns,
    put_block,
    put_text,
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
    format_commune_share,
    format_flight_error,
    format_imaged,
    name_commune_picture,
    prefix_classification,
)
from flycam.report.pack_settlements import build_settlement_blocks
from flycam.report.pack_slides import Slide, build_slides, count_communes
from flycam.report.pack_sources import build_source_blocks
from flycam.report.pack_texts import format_place
from flycam.report.pack_title import build_approval, find_first_ns, find_last_ns, format_subtitle
from flycam.report.pack_troubles import build_trouble_blocks
from flycam.report.texts import DRILL_MARK

_DOTS = "…………………"
_CLASSIFICATION_NOTES = {
    Classification.INTERNAL: _("INTERNAL: not to be handed on to anybody without an account here."),
    Classification.RESTRICTED: _(
        "RESTRICTED: shows restricted ground or flights; for those alone who may see them."
    ),
}
COVERED = _(
    "Ground that is hatched or left empty may also be covered by masks (homes, victims): it was imaged."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageBreak:
    """Page break: the next block begins a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureBlock:
    """Recipients and signature; annexes follow."""


PackBlock = Block | PageBreak | SignatureBlock
_MessageBlock = BlockOf[Text] | PageBreak | SignatureBlock


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
    approval: Paragraph[str]
    first: tuple[Paragraph[str], ...]
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
    slides: tuple[Slide[str], ...]
    pictures: Mapping[str, bytes]
    slide_pictures: Mapping[str, bytes]


def build_pack_document(figures: PackFigures, language: str) -> PackDocument:
    """Build the pack in "vi" or "en"."""

    def put(message: Message) -> str:
        return message.in_language(language)

    def put_paragraph(one: Paragraph[Text]) -> Paragraph[str]:
        return Paragraph(text=put_text(one.text, language), kind=one.kind)

    letters = figures.letterhead
    made = datetime.fromtimestamp(figures.made_ns // 10**9, get_local_zone())
    filled = Letterhead(
        parent=letters.parent,
        issuer=letters.issuer or _DOTS,
        number=letters.number,
        place=letters.place or _DOTS,
        signer_title=letters.signer_title or _DOTS,
        recipients=letters.recipients or (_DOTS,),
    )
    footer = _(
        "flycam {version} · made {at} ({zone})",
        version=figures.version,
        at=format_minute(figures.made_ns),
        zone=format_utc_offset(figures.made_ns),
    )
    dateline = _(
        "{place}, {day}/{month}/{year}",
        place=filled.place,
        day=made.strftime("%d"),
        month=made.strftime("%m"),
        year=made.strftime("%Y"),
    )
    closing = _(
        "This is the quick report; a page for each commune ({count}), sources and hashes follow.",
        count=len(figures.communes),
    )
    first = [*build_mark_paragraphs(figures), *build_pending_paragraphs(figures)]
    return PackDocument(
        language=language,
        title=put(_("QUICK REPORT")),
        about=put(format_subtitle(figures)),
        mark=DRILL_MARK if figures.is_drill else "",
        draft="" if figures.approved_by else put(_("DRAFT")),
        footer=put(prefix_classification(figures, footer)),
        page_word=put(_("Page")),
        approval=put_paragraph(build_approval(figures)),
        first=tuple(map(put_paragraph, first)),
        covered=put(COVERED) if figures.is_covered else "",
        made_ns=figures.made_ns,
        letterhead=filled,
        motto=tuple(put_text(line, language) for line in _heading(figures)),
        number=put(_("No.: {number}", number=letters.number or _DOTS)),
        dateline=put(dateline),
        recipients_word=put(_("To:")),
        signer_name=figures.approved_by,
        closing=put(closing),
        blocks=tuple(
            one if isinstance(one, PageBreak | SignatureBlock) else put_block(one, language)
            for one in _blocks(figures)
        ),
        slides=tuple(
            Slide(picture=one.picture, title=put(one.title), line=put(one.line), is_pair=one.is_pair)
            for one in build_slides(figures)
        ),
        pictures=figures.pictures,
        slide_pictures=figures.slides,
    )


def _heading(figures: PackFigures) -> tuple[Text, ...]:
    """Return the lines at the head of the first page.

    As the letterhead says, else the nation's motto where the ground is Viet Nam's: no pack of another
    country's ground goes out under it by itself.
    """
    if figures.letterhead.heading is not None:
        return figures.letterhead.heading
    if not figures.is_national:
        return ()
    return _("SOCIALIST REPUBLIC OF VIET NAM"), _("Independence - Freedom - Happiness")


def _blocks(figures: PackFigures) -> Iterator[_MessageBlock]:
    if figures.is_drill:
        yield Paragraph(text=_("Made for a drill: not a real scene."), kind="care")
    if figures.classification is not Classification.OPEN:
        yield Paragraph(text=_CLASSIFICATION_NOTES[figures.classification], kind="care")
    yield build_approval(figures)
    yield Heading(text=_("1. Summary"))
    yield from build_mark_paragraphs(figures)
    yield Paragraph(text=_summary(figures))
    yield Paragraph(
        text=_(
            "Outside the ground shown (hatched on the map) nothing was flown: that does not mean no damage."
        )
    )
    zone = format_utc_offset(find_first_ns(figures), find_last_ns(figures), figures.made_ns)
    yield Paragraph(text=_("All times in this pack are {zone}.", zone=zone), kind="small")
    if figures.is_covered:
        yield Paragraph(text=COVERED, kind="care")
    kind = "care" if figures.waiting else "" if figures.changes else "small"
    yield Paragraph(text=format_changes_summary(figures), kind=kind)
    yield Heading(text=_("2. Overview map"))
    yield _overview(figures)
    yield Heading(text=_("3. Flights"))
    yield _flights(figures.flights)
    for one in figures.flights:
        if not one.is_complete:
            said = _(
                "{number}. Not complete when this was made: still in the air, or being read in.",
                number=one.number,
            )
            yield Paragraph(text=said, kind="care")
        for kept in one.warnings:
            brief = describe_warning_briefly(kept, finished=one.revision > 0)
            yield Paragraph(text=join([str(one.number), brief], ". "), kind="small")
    yield Heading(text=_("4. By commune"))
    yield _communes(figures)
    if any(one.waiting for one in figures.communes):
        said = _(
            "Waiting: changes suspected by the program that nobody has looked at, and their ground there."
        )
        yield Paragraph(text=said, kind="small")
    if sum(len(one.marks) for one in figures.communes) > len(_numbers_of_marks(figures)):
        yield Paragraph(text=_("A search sector over several communes counts in each."), kind="small")
    for kept in figures.remarks:
        yield Paragraph(text=describe_warning_briefly(kept), kind="small")
    yield from build_trouble_blocks(figures)
    yield from build_changes_by_commune(figures)
    yield from build_settlement_blocks(figures)
    yield SignatureBlock()
    for one_commune in figures.communes:
        yield PageBreak()
        yield from _commune(figures, one_commune)
    yield PageBreak()
    if figures.loose_marks:
        yield Heading(text=_("Field marks outside these communes"))
        yield _marks(figures.loose_marks)
    yield from build_loose_changes(figures)
    yield from build_source_blocks(figures)


def _summary(figures: PackFigures) -> Message:
    first, last = find_first_ns(figures), find_last_ns(figures)
    names = [one.name for one in figures.communes]
    return _(
        "Flights: {count}, {period}, show {area} in {communes}. The newest picture was taken at {last},"
        " {age} before this report was made.",
        period=format_period(first, last),
        count=len(figures.flights),
        area=format_imaged(figures),
        communes=join([count_communes(len(names)), format_list(names)], ": ")
        if names
        else _("an area without known commune boundaries"),
        last=format_minute(last),
        age=format_age(last, figures.made_ns),
    )


def _overview(figures: PackFigures) -> FigureRow[Text]:
    """Build the locator map, if there is one, beside the imaged ground."""
    said = _(
        "Ground shown, newer pictures on top. Yellow: commune boundaries, numbered as in the table;"
        " hatched: not flown."
    )
    shown = Figure(picture=OVERVIEW, caption=_with_marks(said, figures))
    if LOCATOR not in figures.pictures:
        return FigureRow(figures=(shown,), columns=1)
    where = _(
        "Where it is: the blue frame is the overview map; yellow: communes with pictures, orange: with"
        " confirmed changes, numbered as in the table; the arrow points north."
    )
    return FigureRow(figures=(Figure(picture=LOCATOR, caption=where), shown))


def _with_marks(said: Message, figures: PackFigures) -> Message:
    """Format a map's caption, with the meaning of its red numbers if it has any."""
    parts = [said]
    if figures.loose_marks or any(one.marks for one in figures.communes):
        parts.append(_("Red numbers: field marks."))
    if figures.changes:
        parts.append(_("T and number, violet: confirmed changes."))
    return join(parts)


def _flights(flights: Sequence[PackFlight]) -> Table[Text]:
    return Table(
        head=(
            _("No."),
            _("Flight"),
            pgettext("column", "Taken"),
            _("Operator"),
            _("GSD"),
            _("Shown"),
            _("Error on the ground"),
        ),
        rows=tuple(
            (
                str(one.number),
                one.name,
                format_period(one.first_ns, one.last_ns),
                one.operator or _("not on record"),
                format_centimetres(one.gsd_m),
                format_area(one.imaged_m2),
                format_flight_error(one),
            )
            for one in flights
        ),
        numeric=(0, 4, 5),
    )


def _communes(figures: PackFigures) -> BlockOf[Text]:
    if not figures.communes:
        return Paragraph(text=_("No commune boundaries are known for this area."))
    table: Table[Text] = Table(
        head=(
            _("No."),
            _("Commune"),
            _("Shown"),
            _("Share"),
            _("Newest picture"),
            _("Age"),
            _("Marks"),
            _("Waiting"),
        ),
        rows=tuple(
            (
                str(one.number),
                one.name,
                format_area(one.imaged_m2),
                format_percent(one.imaged_pct),
                format_minute(one.last_ns),
                format_age(one.last_ns, figures.made_ns),
                str(len(one.marks)),
                format_pending_cell(one),
            )
            for one in figures.communes
        ),
        numeric=(0, 2, 3, 6),
    )
    return drop_empty_columns(table)


def _numbers_of_marks(figures: PackFigures) -> set[int]:
    """Return the numbers of marks in communes, each once."""
    return {mark.number for one in figures.communes for mark in one.marks}


def _commune(figures: PackFigures, one: PackCommune) -> Iterator[BlockOf[Text]]:
    yield Heading(text=_("Annex {number}. {name}", number=one.number, name=one.name))
    age = format_age(one.last_ns, figures.made_ns)
    caption = _(
        "{name}: newest picture {last}, {age} before this report; hatched: not flown.",
        name=one.name,
        last=format_minute(one.last_ns),
        age=age,
    )
    plate = Figure(picture=name_commune_picture(one.number), caption=_with_marks(caption, figures))
    yield FigureRow(figures=(plate,), columns=1)
    by_number = {flight.number: flight for flight in figures.flights}
    flights = [by_number[number] for number in one.flights]
    errors = [format_flight_error(flight) for flight in flights]
    if len(flights) > 1:
        errors = [
            join([str(flight.number), error], ": ") for flight, error in zip(flights, errors, strict=True)
        ]
    yield Facts(
        rows=(
            (_("Ground shown"), format_commune_share(one.imaged_m2, one.imaged_pct)),
            (_("Taken"), format_period(one.first_ns, one.last_ns)),
            (_("Age of the newest picture when this was made"), age),
            (_("Ground sample distance"), format_centimetres(one.gsd_m)),
            (_("Error on the ground (1 sigma)"), join(errors, ". ")),
            (_("Flights"), ", ".join(f"{flight.number} {flight.name}" for flight in flights)),
        )
    )
    yield from build_commune_changes(figures, one)
    yield Heading(text=_("Field marks"))
    if one.marks:
        yield _marks(one.marks)
        said = _("The status tells of the work on it, not that it was verified.")
        yield Paragraph(text=said, kind="small")
    else:
        yield Paragraph(text=_("Nothing is marked here."), kind="small")


def _marks(marks: Sequence[PackMark]) -> Table[Text]:
    table: Table[Text] = Table(
        head=(_("No."), _("Kind"), _("Status"), _("Place"), _("Note"), _("By, at")),
        rows=tuple(
            (
                str(one.number),
                MARK_KIND_NAMES[one.kind],
                MARK_STATUS_NAMES[one.status],
                format_place(one.lonlat_deg, one.vn2000),
                one.note,
                f"{one.author}, {format_minute(one.at_ns)}",
            )
            for one in marks
        ),
        numeric=(0,),
    )
    return drop_empty_columns(table)
