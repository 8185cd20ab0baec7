"""Paragraphs at the head of a briefing pack: what nobody has looked into yet.

People to be rescued, other marks that were only reported, and change candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from flycam.frame.mark import UNRESOLVED_STATUSES, MarkKind, MarkStatus
from flycam.report.blocks import Paragraph
from flycam.report.mark_names import MARK_KIND_NAMES, MARK_STATUS_NAMES
from flycam.report.number_format import format_area
from flycam.report.pack_figures import PackCommune, PackFigures, PackMark, PackWaiting
from flycam.report.pack_texts import format_pack_text


def list_all_marks(figures: PackFigures) -> list[PackMark]:
    """Return every mark once, by number."""
    marks = [*figures.loose_marks, *(mark for one in figures.communes for mark in one.marks)]
    by_number = {mark.number: mark for mark in marks}
    return [by_number[number] for number in sorted(by_number)]


def format_pending(waiting: PackWaiting | None, language: str) -> str:
    """Format pending changes in brief; "" if none.

    As "2 thay đổi máy nghi, chưa ai xem: 4,98 ha".
    """
    if waiting is None:
        return ""
    count = sum(waiting.places.values())
    return format_pack_text("waiting", language, count=count, area=format_area(waiting.area_m2, language))


def format_pending_sentence(waiting: PackWaiting | None, language: str) -> str:
    """Format pending changes as `format_pending`, with kinds and meaning; "" if none."""
    if waiting is None:
        return ""
    kinds = ", ".join(
        format_pack_text(f"counted_{kind}", language, count=count)
        for kind, count in sorted(waiting.places.items())
    )
    return format_pack_text("waiting_sentence", language, said=format_pending(waiting, language), kinds=kinds)


def format_pending_cell(one: PackCommune, language: str) -> str:
    """Format the number of pending changes in a commune, and their ground there."""
    if one.waiting is None:
        return ""
    return f"{sum(one.waiting.places.values())}; {format_area(one.waiting.area_m2, language)}"


def build_mark_paragraphs(figures: PackFigures, language: str) -> Iterator[Paragraph]:
    """Yield people to be rescued, then other marks only reported; nothing if none."""
    marks = list_all_marks(figures)
    for said, kind in (
        (_format_rescue_marks(marks, language), "bad"),
        (_format_reported_marks(marks, language), "care"),
    ):
        if said:
            yield Paragraph(text=said, kind=kind)


def build_pending_paragraphs(figures: PackFigures, language: str) -> Iterator[Paragraph]:
    """Yield the changes that wait for review; nothing if none."""
    if figures.waiting is not None:
        yield Paragraph(text=format_pending_sentence(figures.waiting, language), kind="care")


def _format_rescue_marks(marks: Iterable[PackMark], language: str) -> str:
    """Format rescue marks: their number, each with status and note; "" if none."""
    some = _to_rescue(marks)
    if not some:
        return ""
    each = [
        format_pack_text(
            "rescue_mark",
            language,
            number=one.number,
            status=MARK_STATUS_NAMES[one.status].in_language(language),
        )
        + (f": {one.note}" if one.note else "")
        for one in some
    ]
    return format_pack_text("rescue", language, count=len(some), marks="; ".join(each))


def _format_reported_marks(marks: Iterable[PackMark], language: str) -> str:
    """Format other marks that were only reported, by kind; "" if none."""
    kinds = _reported(marks)
    if not kinds:
        return ""
    return format_pack_text("reported", language, count=kinds.total(), kinds=_kinds(kinds, language))


def format_marks_briefly(marks: Sequence[PackMark], language: str) -> list[str]:
    """Format marks for a slide: people to be rescued, then others only reported."""
    said = []
    if rescue := _to_rescue(marks):
        said.append(format_pack_text("slide_rescue", language, count=len(rescue)))
        if new := sum(one.status is MarkStatus.OPEN for one in rescue):
            said[0] += f" {format_pack_text('slide_rescue_new', language, count=new)}"
    if others := _reported(marks):
        said.append(format_pack_text("slide_reported", language, kinds=_kinds(others, language)))
    return said


def _to_rescue(marks: Iterable[PackMark]) -> list[PackMark]:
    return [one for one in marks if one.kind is MarkKind.RESCUE and one.status in UNRESOLVED_STATUSES]


def _reported(marks: Iterable[PackMark]) -> Counter[MarkKind]:
    new: list[MarkKind] = [one.kind for one in marks if one.status is MarkStatus.OPEN]
    return Counter(kind for kind in new if kind is not MarkKind.RESCUE)


def _kinds(some: Counter[MarkKind], language: str) -> str:
    return ", ".join(
        f"{MARK_KIND_NAMES[kind].in_language(language)} {some[kind]}" for kind in MarkKind if some[kind]
    )
