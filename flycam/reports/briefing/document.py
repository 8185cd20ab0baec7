"""Content of a briefing pack in one language: report, annexes, slides.

The pack is a signed quick report ("báo cáo nhanh") with annexes: known trouble, settlements, sources. Slides
of 1920×1080 show place, time, expected error and changes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic

from flycam.change.outlines import ChangeTotals
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.board import (
    ACCESS_NAMES,
    LAYER_KIND_NAMES,
    MARK_KIND_NAMES,
    MARK_STATUS_NAMES,
    ROADS_SAY_NAMES,
    Access,
    is_road_blocked,
)
from flycam.model.flight import DRILL_MARK, Classification, is_unnamed
from flycam.model.text import format_area, format_centimetres, format_list, format_percent, format_period
from flycam.model.time import VIETNAM, format_minute, format_utc_offset, get_local_zone
from flycam.model.warning import describe_warning_briefly
from flycam.reports.briefing.changes import (
    LOCATOR,
    OVERVIEW,
    build_changes_by_commune,
    build_commune_changes,
    build_loose_changes,
    build_mark_paragraphs,
    build_pending_paragraphs,
    format_age,
    format_change,
    format_changes_summary,
    format_commune_share,
    format_cut_roads,
    format_flight_error,
    format_ground,
    format_imaged,
    format_layer_source,
    format_marks_briefly,
    format_pending,
    format_pending_cell,
    format_place,
    format_places,
    format_seen_picture,
    list_all_marks,
    name_change_picture,
    name_commune_picture,
    prefix_classification,
)
from flycam.reports.briefing.figures import (
    Letterhead,
    PackChange,
    PackCommune,
    PackFigures,
    PackFlight,
    PackMark,
    PackSettlement,
    has_one_signatory,
)
from flycam.reports.layout import (
    Block,
    BlockOf,
    Facts,
    Figure,
    FigureRow,
    Heading,
    Paragraph,
    T_co,
    Table,
    Text,
    drop_empty_columns,
    put_block,
    put_text,
)

# -- Settlements: isolated, reachable, or unknown if nobody reported -------------------------------


_MAX_ROWS = 60


def build_settlement_blocks(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield the numbers by access, and a table of set or proposed settlements.

    Nothing without settlements.
    """
    if not figures.settlements:
        return
    yield Heading(text=_("7. Settlements"))
    counts = Counter(one.access for one in figures.settlements)
    counted = join([join([name, str(counts[access])], ": ") for access, name in ACCESS_NAMES.items()], ", ")
    yield Paragraph(
        text=_(
            "As reported: {counts}. Unknown: not reported; cut roads only suggest it.",
            counts=counted,
        )
    )
    rows = [
        one
        for one in figures.settlements
        if one.at_ns is not None or one.road_evidence.proposed_access is Access.ISOLATED
    ]
    if rows:
        yield Table(
            head=(
                _("Settlement"),
                _("Commune"),
                _("Access"),
                _("By roads"),
                _("Note"),
                _("By, at"),
            ),
            rows=tuple(_row(one) for one in rows[:_MAX_ROWS]),
        )
    if len(rows) > _MAX_ROWS:
        note = _("Not listed here, but in data.gpkg: {count}.", count=len(rows) - _MAX_ROWS)
        yield Paragraph(text=note, kind="small")


def _row(one: PackSettlement) -> tuple[Text, ...]:
    by = _("not reported") if one.at_ns is None else f"{one.author}, {format_minute(one.at_ns)}"
    return one.name, one.commune, ACCESS_NAMES[one.access], ROADS_SAY_NAMES[one.road_evidence], one.note, by


# -- Last annex: photos by hash, and the state of the audit log ------------------------------------


_MAX_SOURCES = 300


def build_source_blocks(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield photos with their hashes, and the audit log's last line."""
    yield Heading(text=_("Annex {number}. Sources and hashes", number=len(figures.communes) + 1))
    yield Paragraph(
        text=_(
            "Each photo is named by the SHA-256 of its original, kept as it is while its term lasts."
            " The whole list: photo-sources.csv; hashes of every file of the pack:"
            " manifest.sha256 (sha256sum -c manifest.sha256 checks them)."
        )
    )
    yield from _audit(figures)
    rows = [
        (str(one.number), source.name, source.sha256) for one in figures.flights for source in one.sources
    ]
    further_rows = [
        (one.name, source.name, source.sha256) for one in figures.further_flights for source in one.sources
    ]
    count = len(rows) + len(further_rows)
    if count > _MAX_SOURCES:
        yield Paragraph(
            text=_("Photos: {count}, listed in photo-sources.csv only.", count=count), kind="small"
        )
        return
    columns = (_("Flight"), pgettext("original", "Photo"), "SHA-256")
    yield Table(head=columns, rows=tuple(rows), numeric=(0,))
    if further_rows:
        note = _("Photos of other flights, on which the ground before or after a change is shown:")
        yield Paragraph(text=note, kind="small")
        yield Table(head=columns, rows=tuple(further_rows))


def _audit(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield what later proves that the log still holds these lines."""
    if not figures.audit_head:
        yield Paragraph(text=_("The audit log has no line yet."), kind="small")
        return
    number, __, digest = figures.audit_head.partition(":")
    rows = [(_("Last line, number"), number), (_("Digest of that line"), digest)]
    if figures.audit_key:
        # half a signature fits on one line
        half = len(figures.audit_signature) // 2
        rows += [
            (_("The node's key (Ed25519)"), figures.audit_key),
            (_("Signature, first half"), figures.audit_signature[:half]),
            (_("Signature, second half"), figures.audit_signature[half:]),
        ]
    yield Paragraph(
        text=_(
            "The audit log as it was then; flycam audit verify --head NUMBER:DIGEST shows whether it is "
            "unchanged."
        ),
        kind="small",
    )
    yield Table(head=(_("Audit log"), _("Value")), rows=tuple(rows))


# -- Subject (the events, or the time of flight), and approval -------------------------------------


def format_subtitle(figures: PackFigures) -> Message:
    """Format the line below the title."""
    if named := _list_event_names(figures):
        return _("On pictures of the scene taken from the air – {events}", events=", ".join(named))
    return _(
        "On pictures of the scene taken from the air, {period}",
        period=format_period(find_first_ns(figures), find_last_ns(figures)),
    )


def format_events(figures: PackFigures) -> Message:
    """Format at most two events, for a slide."""
    named = _list_event_names(figures)
    return format_list(named, max_parts=2) if named else _("Pictures from the air")


def find_first_ns(figures: PackFigures) -> int:
    """Return when the first image was taken, UTC."""
    return min(one.first_ns for one in figures.flights)


def find_last_ns(figures: PackFigures) -> int:
    """Return when the newest image was taken, UTC."""
    return max(one.last_ns for one in figures.flights)


def build_approval(figures: PackFigures) -> Paragraph[Text]:
    """Build the paragraph on requester and approver; it shows if they are one person."""
    requester, name = figures.requested_by, figures.approved_by
    when = {"at": format_minute(figures.made_ns), "zone": format_utc_offset(figures.made_ns)}
    if name and has_one_signatory(requester, name):
        sentence = _(
            "Asked for and approved by one person, {name}, at {at} ({zone}): nobody else has checked it.",
            name=name,
            **when,
        )
        return Paragraph(text=sentence, kind="care")
    sentence = (
        _("Approved by {name} at {at} ({zone}).", name=name, **when)
        if name
        else _("A draft that no leader has approved: not yet a basis for decisions.")
    )
    sentence = join([sentence, _("Asked for by {name}.", name=requester)]) if requester else sentence
    return Paragraph(text=sentence, kind="good" if name else "bad")


def _list_event_names(figures: PackFigures) -> list[str]:
    return [one for one in figures.events if not is_unnamed(one)]


# -- Texts of the slides ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Slide(Generic[T_co]):
    """Slide with a title that is read from five metres, and a line below it.

    is_pair: before beside after.
    """

    picture: str
    title: T_co
    line: T_co
    is_pair: bool = False


def build_slides(figures: PackFigures) -> Iterator[Slide[Message]]:
    """Yield the overview, a slide for each commune, and the largest changes."""
    parts = format_marks_briefly(list_all_marks(figures))
    if figures.waiting is not None:
        parts.append(format_pending(figures.waiting))
    parts.append(_shown(format_imaged(figures)))
    if figures.communes:
        parts.append(count_communes(len(figures.communes)))
    if figures.changes:
        parts.append(_changed(format_places(figures.confirmed.places), figures.confirmed))
    yield Slide(
        picture=OVERVIEW,
        title=join([format_events(figures), _when(find_last_ns(figures), figures)], " – "),
        line=_line(figures, *parts),
    )
    for one in figures.communes:
        yield _make_commune_slide(figures, one)
    for change in figures.changes:
        if name_change_picture(change.number) in figures.slides:
            yield _change(figures, change)


def _make_commune_slide(figures: PackFigures, one: PackCommune) -> Slide[Message]:
    by_number = {flight.number: flight for flight in figures.flights}
    worst = max((by_number[number] for number in one.flights), key=_badness)
    parts = format_marks_briefly(one.marks)
    if one.waiting is not None:
        parts.append(format_pending(one.waiting))
    parts.append(_shown(format_commune_share(one.imaged_m2, one.imaged_pct)))
    if one.compared_pct is None:
        parts.append(_("before and after not compared"))
    else:
        parts.append(_("before and after compared on {pct} of it", pct=format_percent(one.compared_pct)))
    if one.touched is not None:
        parts.append(_changed(str(one.touched.ground.count), one.touched.ground))
    elif one.compared_pct is not None and one.waiting is None:
        parts.append(_("no change confirmed on what was compared"))
    parts.append(join([_("Error on the ground"), format_flight_error(worst)], ": "))
    return Slide(
        picture=name_commune_picture(one.number),
        title=join([one.name, _when(one.last_ns, figures)], " – "),
        line=_line(figures, *parts),
    )


def _change(figures: PackFigures, one: PackChange) -> Slide[Message]:
    parts = [
        join([word, format_seen_picture(seen, is_slide=True)], ": ")
        for word, seen in zip((_("BEFORE"), _("AFTER")), one.seen or (), strict=False)
    ]
    if one.is_drawn:
        parts.append(_("drawn by hand"))
    if one.doubts:
        parts.append(_("two doubtful pictures"))
    if cut := format_cut_roads(one):
        parts.append(cut)
    parts.append(_("confirmed by {name}", name=one.author))
    return Slide(
        picture=name_change_picture(one.number),
        title=format_change(figures, one),
        line=_line(figures, *parts),
        is_pair=True,
    )


def count_communes(count: int) -> Message:
    """Format a number of communes."""
    return ngettext("{count} commune", "{count} communes", count)


def _changed(counted: Text, totals: ChangeTotals) -> Message:
    return _(
        "confirmed changes (violet): {changes}; {area} in all", changes=counted, area=format_ground(totals)
    )


def _line(figures: PackFigures, *parts: Message) -> Message:
    covered = [_("partly masked")] if figures.is_covered else []
    return prefix_classification(figures, join([*parts, *covered], " · "))


def _badness(flight: PackFlight) -> float:
    """Return a flight's rank where one error stands for several; unknown is worst."""
    return math.inf if flight.error_m is None else flight.error_m[1]


def _shown(size: Message) -> Message:
    return join([_("Shown"), size], ": ")


def _when(last_ns: int, figures: PackFigures) -> Message:
    fields = {
        "time": format_minute(last_ns),
        "zone": format_utc_offset(last_ns),
        "age": format_age(last_ns, figures.made_ns),
    }
    if get_local_zone() is VIETNAM:
        # who reads Vietnamese needs no zone then
        return pgettext("in Viet Nam", "{time} {zone} ({age} ago)", **fields)
    return _("{time} {zone} ({age} ago)", **fields)


# -- Known trouble: blocked roads, dead masts, power cuts ------------------------------------------


_MAX_NAMES = 8


def build_trouble_blocks(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield a row for each layer of each commune, and for marks.

    Where no layer reports a status, that is stated.
    """
    if not figures.communes:
        return
    yield Heading(text=_("5. Known trouble by layers and marks"))
    rows = [row for one in figures.communes for row in _rows(one)]
    if rows:
        yield Table(
            head=(_("No."), _("Commune"), _("What"), _("How many"), _("Trouble"), _("By, as of")),
            rows=tuple(rows),
            numeric=(0, 3),
        )
        yield Paragraph(
            text=_(
                "As the owners of layers report, at the time given; and marks of blocked "
                "roads, reported or being dealt with. What is not in the table is not known to "
                "be without trouble."
            ),
            kind="small",
        )
    else:
        yield Paragraph(text=_("No trouble is known: that does not mean that there is none."))
    if figures.layers_with_status:
        layers = join(map(format_layer_source, figures.layers_with_status), "; ")
        note = _("Layers that give the present state: {layers}.", layers=layers)
    else:
        note = _("No layer gives the present state there (roads, masts, power): nothing is known.")
    yield Paragraph(text=note, kind="small")


def _rows(commune: PackCommune) -> Iterator[tuple[Text, ...]]:
    where = str(commune.number), commune.name
    marks = [one for one in commune.marks if is_road_blocked(one.kind, one.status)]
    if marks:
        newest = max(marks, key=lambda one: one.at_ns)
        by = f"{newest.author}, {format_minute(newest.at_ns)}"
        details = _join_some([_format_mark(one) for one in marks])
        yield *where, _("road blocked (mark)"), str(len(marks)), details, by
    for one in commune.troubles:
        # with the owner's words; nameless ones as counts
        named = [f"{name}: {status}" for name, status in one.things if name]
        nameless = Counter(status for name, status in one.things if not name)
        counted = [
            _("{count} without a name: {status}", count=count, status=status)
            for status, count in nameless.items()
        ]
        details = _join_some([*named, *counted])
        kind = LAYER_KIND_NAMES[one.kind]
        yield *where, kind, str(len(one.things)), details, format_layer_source(one.layer)


def _format_mark(one: PackMark) -> Message:
    status = MARK_STATUS_NAMES[one.status]
    return _("mark {number}: {note} ({status})", number=one.number, note=one.note, status=status)


def _join_some(parts: Sequence[Text]) -> Message:
    """Join with semicolons, as texts of owners and people may hold commas."""
    some = join(parts[:_MAX_NAMES], "; ")
    if len(parts) <= _MAX_NAMES:
        return some
    return _("{parts}; and {count} more", parts=some, count=len(parts) - _MAX_NAMES)


# -- Quick report ("báo cáo nhanh") and annexes ----------------------------------------------------


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

    mark       on every page of an exercise, "" otherwise; draft: the same, "" once approved
    letterhead, dateline, closing, signer_name  the form of an official document; empty fields become dots
    motto      lines over the date; none: no nation's
    footer     on every page; page_word goes before the page's number
    approval   who requested it and who approved it, or that nobody has
    first      warnings at the head: marks and changes that nobody has reviewed yet
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
    first, last = find_first_ns(figures), find_last_ns(figures)
    names = [one.name for one in figures.communes]
    yield Paragraph(
        text=_(
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
    )
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
            note = _(
                "{number}. Not complete when this was made: still in the air, or being read in.",
                number=one.number,
            )
            yield Paragraph(text=note, kind="care")
        for warning in one.warnings:
            brief = describe_warning_briefly(warning, finished=one.revision > 0)
            yield Paragraph(text=join([str(one.number), brief], ". "), kind="small")
    yield Heading(text=_("4. By commune"))
    yield _communes(figures)
    waiting = [one.waiting.count for one in figures.communes if one.waiting]
    if waiting:
        note = _(
            "Waiting: changes suspected by the program that nobody has looked at, and their ground there."
        )
        if figures.waiting and sum(waiting) > figures.waiting.count:
            note = join([note, _("A change across a boundary counts in each commune.")])
        yield Paragraph(text=note, kind="small")
    # each once
    if sum(len(one.marks) for one in figures.communes) > len(
        {mark.number for one in figures.communes for mark in one.marks}
    ):
        yield Paragraph(text=_("A search sector over several communes counts in each."), kind="small")
    for warning in figures.remarks:
        yield Paragraph(text=describe_warning_briefly(warning), kind="small")
    yield from build_trouble_blocks(figures)
    yield from build_changes_by_commune(figures)
    yield from build_settlement_blocks(figures)
    yield SignatureBlock()
    for one_commune in figures.communes:
        yield PageBreak()
        yield from _describe_commune(figures, one_commune)
    yield PageBreak()
    if figures.loose_marks:
        yield Heading(text=_("Field marks outside these communes"))
        yield _marks(figures.loose_marks)
    yield from build_loose_changes(figures)
    yield from build_source_blocks(figures)


def _overview(figures: PackFigures) -> FigureRow[Text]:
    """Build the locator map, if there is one, beside the imaged ground."""
    caption_text = _(
        "Ground shown, newer pictures on top. Yellow: commune boundaries, numbered as in the table;"
        " hatched: not flown."
    )
    shown = Figure(picture=OVERVIEW, caption=_with_marks(caption_text, figures))
    if LOCATOR not in figures.pictures:
        return FigureRow(figures=(shown,), columns=1)
    where = _(
        "Where it is: the blue frame is the overview map; yellow: communes with pictures, orange: with"
        " confirmed changes, numbered as in the table; the arrow points north."
    )
    return FigureRow(figures=(Figure(picture=LOCATOR, caption=where), shown))


def _with_marks(caption: Message, figures: PackFigures) -> Message:
    """Format a map's caption, with the meaning of its red numbers if it has any."""
    parts = [caption]
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


def _describe_commune(figures: PackFigures, one: PackCommune) -> Iterator[BlockOf[Text]]:
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
        note = _("The status is that of the work on it, and does not mean that it was verified.")
        yield Paragraph(text=note, kind="small")
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
