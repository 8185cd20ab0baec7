"""What a meeting pack tells before all else, for nobody has looked into it yet: people to be rescued, other
marks that were only reported, and changes that a program suspects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from flycam.frame.mark import UNRESOLVED, MarkKind, MarkStatus
from flycam.report.blocks import Paragraph
from flycam.report.mark_names import MARK_KINDS, MARK_STATUSES
from flycam.report.numbers import area
from flycam.report.pack_figures import PackCommune, PackFigures, PackMark, PackWaiting
from flycam.report.pack_words import told


def marks_of(figures: PackFigures) -> list[PackMark]:
    """Every mark once, by its number."""
    marks = [*figures.loose_marks, *(mark for one in figures.communes for mark in one.marks)]
    by_number = {mark.number: mark for mark in marks}
    return [by_number[number] for number in sorted(by_number)]


def waiting_said(waiting: PackWaiting | None, language: str) -> str:
    """ "2 thay đổi máy nghi, chưa ai xem: 4,98 ha"; "" where none waits."""
    if waiting is None:
        return ""
    count = sum(waiting.places.values())
    return told("waiting", language, count=count, area=area(waiting.area_m2, language))


def waiting_sentence(waiting: PackWaiting | None, language: str) -> str:
    """As `waiting_said`, with kinds, and what it means; "" where none waits."""
    if waiting is None:
        return ""
    kinds = ", ".join(
        told(f"counted_{kind}", language, count=count) for kind, count in sorted(waiting.places.items())
    )
    return told("waiting_sentence", language, said=waiting_said(waiting, language), kinds=kinds)


def waiting_cell(one: PackCommune, language: str) -> str:
    """How many wait in a commune, and their ground there."""
    if one.waiting is None:
        return ""
    return f"{sum(one.waiting.places.values())}; {area(one.waiting.area_m2, language)}"


def marks_first(figures: PackFigures, language: str) -> Iterator[Paragraph]:
    """People to be rescued, then other marks that were only reported; nothing where there are none."""
    marks = marks_of(figures)
    for said, kind in ((_rescue_said(marks, language), "bad"), (_reported_said(marks, language), "care")):
        if said:
            yield Paragraph(text=said, kind=kind)


def waiting_first(figures: PackFigures, language: str) -> Iterator[Paragraph]:
    """What waits for review; nothing where nothing does."""
    if figures.waiting is not None:
        yield Paragraph(text=waiting_sentence(figures.waiting, language), kind="care")


def _rescue_said(marks: Iterable[PackMark], language: str) -> str:
    """People to be rescued: how many marks, and how each stands in whose words; "" where there are none."""
    some = _to_rescue(marks)
    if not some:
        return ""
    which = 0 if language == "vi" else 1
    each = [
        told("rescue_mark", language, number=one.number, status=MARK_STATUSES[one.status][which])
        + (f": {one.note}" if one.note else "")
        for one in some
    ]
    return told("rescue", language, count=len(some), marks="; ".join(each))


def _reported_said(marks: Iterable[PackMark], language: str) -> str:
    """Of all other marks those that were only reported, by kind; "" where there are none."""
    kinds = _reported(marks)
    if not kinds:
        return ""
    return told("reported", language, count=kinds.total(), kinds=_kinds(kinds, language))


def marks_in_short(marks: Sequence[PackMark], language: str) -> list[str]:
    """For a slide: people to be rescued first, then what else was only reported."""
    said = []
    if rescue := _to_rescue(marks):
        said.append(told("slide_rescue", language, count=len(rescue)))
        if new := sum(one.status is MarkStatus.OPEN for one in rescue):
            said[0] += f" {told('slide_rescue_new', language, count=new)}"
    if others := _reported(marks):
        said.append(told("slide_reported", language, kinds=_kinds(others, language)))
    return said


def _to_rescue(marks: Iterable[PackMark]) -> list[PackMark]:
    return [one for one in marks if one.kind is MarkKind.RESCUE and one.status in UNRESOLVED]


def _reported(marks: Iterable[PackMark]) -> Counter[MarkKind]:
    new: list[MarkKind] = [one.kind for one in marks if one.status is MarkStatus.OPEN]
    return Counter(kind for kind in new if kind is not MarkKind.RESCUE)


def _kinds(some: Counter[MarkKind], language: str) -> str:
    which = 0 if language == "vi" else 1
    return ", ".join(f"{MARK_KINDS[kind][which]} {some[kind]}" for kind in MarkKind if some[kind])
