"""Paragraphs at the head of a briefing pack: what nobody has looked into yet.

People to be rescued, other marks that were only reported, and change candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flycam.frame.change import ChangeKind
from flycam.frame.mark import UNRESOLVED_STATUSES, MarkKind, MarkStatus
from flycam.messages import Message, _, join, ngettext
from flycam.report.blocks import Paragraph, Text
from flycam.report.mark_names import MARK_KIND_NAMES, MARK_STATUS_NAMES
from flycam.report.number_format import format_area
from flycam.report.pack_figures import PackCommune, PackFigures, PackMark, PackWaiting


def list_all_marks(figures: PackFigures) -> list[PackMark]:
    """Return every mark once, by number."""
    marks = [*figures.loose_marks, *(mark for one in figures.communes for mark in one.marks)]
    by_number = {mark.number: mark for mark in marks}
    return [by_number[number] for number in sorted(by_number)]


def format_pending(waiting: PackWaiting) -> Message:
    """Format pending changes in brief: their number, and their ground."""
    return ngettext(
        "{count} change suspected by the program, seen by nobody yet: {area}",
        "{count} changes suspected by the program, seen by nobody yet: {area}",
        sum(waiting.places.values()),
        area=format_area(waiting.area_m2),
    )


def format_pending_sentence(waiting: PackWaiting) -> Message:
    """Format pending changes as `format_pending`, with kinds and meaning."""
    return _(
        "Waiting for review: {changes} ({kinds}). Neither confirmed nor rejected.",
        changes=format_pending(waiting),
        kinds=format_places(waiting.places),
    )


def format_pending_cell(one: PackCommune) -> Text:
    """Format the number of pending changes in a commune, and their ground there."""
    if one.waiting is None:
        return ""
    return join([str(sum(one.waiting.places.values())), format_area(one.waiting.area_m2)], "; ")


def format_places(places: Mapping[ChangeKind, int]) -> Message:
    """Format the number of places of each kind of change."""
    return join([_count_changes(kind, count) for kind, count in sorted(places.items())], ", ")


def _count_changes(kind: ChangeKind, count: int) -> Message:
    match kind:
        case ChangeKind.LANDSLIDE:
            return ngettext("{count} landslide", "{count} landslides", count)
        case ChangeKind.FLOOD:
            return ngettext("{count} flood", "{count} floods", count)
        case ChangeKind.OTHER:
            return ngettext("{count} other change", "{count} other changes", count)


def build_mark_paragraphs(figures: PackFigures) -> Iterator[Paragraph[Text]]:
    """Yield people to be rescued, then other marks only reported; nothing if none."""
    marks = list_all_marks(figures)
    if rescue := _to_rescue(marks):
        said = ngettext(
            "PEOPLE TO RESCUE, {count} place: {marks}.",
            "PEOPLE TO RESCUE, {count} places: {marks}.",
            len(rescue),
            marks=join(map(_format_rescue_mark, rescue), "; "),
        )
        yield Paragraph(text=said, kind="bad")
    if others := _reported(marks):
        said = _(
            "Other marks, reported, not verified: {count} ({kinds}).",
            count=others.total(),
            kinds=_kinds(others),
        )
        yield Paragraph(text=said, kind="care")


def build_pending_paragraphs(figures: PackFigures) -> Iterator[Paragraph[Text]]:
    """Yield the changes that wait for review; nothing if none."""
    if figures.waiting is not None:
        yield Paragraph(text=format_pending_sentence(figures.waiting), kind="care")


def _format_rescue_mark(one: PackMark) -> Message:
    said = _("mark {number} ({status})", number=one.number, status=MARK_STATUS_NAMES[one.status])
    return join([said, one.note], ": ") if one.note else said


def format_marks_briefly(marks: Sequence[PackMark]) -> list[Message]:
    """Format marks for a slide: people to be rescued, then others only reported."""
    said = []
    if rescue := _to_rescue(marks):
        places = ngettext("PEOPLE TO RESCUE: {count} place", "PEOPLE TO RESCUE: {count} places", len(rescue))
        if new := sum(one.status is MarkStatus.OPEN for one in rescue):
            places = join([places, _("({count} reported, not verified)", count=new)])
        said.append(places)
    if others := _reported(marks):
        said.append(_("reported, not verified: {kinds}", kinds=_kinds(others)))
    return said


def _to_rescue(marks: Iterable[PackMark]) -> list[PackMark]:
    return [one for one in marks if one.kind is MarkKind.RESCUE and one.status in UNRESOLVED_STATUSES]


def _reported(marks: Iterable[PackMark]) -> Counter[MarkKind]:
    new: list[MarkKind] = [one.kind for one in marks if one.status is MarkStatus.OPEN]
    return Counter(kind for kind in new if kind is not MarkKind.RESCUE)


def _kinds(some: Counter[MarkKind]) -> Message:
    return join([join([MARK_KIND_NAMES[kind], str(some[kind])]) for kind in MarkKind if some[kind]], ", ")
