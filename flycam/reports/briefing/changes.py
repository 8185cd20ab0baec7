"""Phrases of a briefing pack, its changes and reported marks.

Confirmed changes are listed by commune: place, size, impact, and what is unknown. At the head of the pack
stand people to be rescued, other marks that were only reported, and change candidates that wait for review.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from flycam.change.outlines import ChangeTotals
from flycam.change.volume import VolumeFailure
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.board import (
    CHANGE_KIND_NAMES,
    LAYER_KIND_NAMES,
    MARK_KIND_NAMES,
    MARK_STATUS_NAMES,
    NO_VOLUME_REASONS,
    UNRESOLVED_STATUSES,
    VOLUME_BASIS,
    ChangeKind,
    LayerKind,
    MarkKind,
    MarkStatus,
)
from flycam.model.flight import Classification
from flycam.model.text import (
    format_area,
    format_list,
    format_metres,
    format_number,
    format_percent,
)
from flycam.model.time import format_minute
from flycam.reports.briefing.figures import (
    Counts,
    PackChange,
    PackCommune,
    PackFigures,
    PackFlight,
    PackLayer,
    PackMark,
    PackRoad,
    PackSeenPicture,
    PackSize,
    PackVolume,
)
from flycam.reports.layout import (
    BlockOf,
    Figure,
    FigureRow,
    Heading,
    Paragraph,
    Table,
    Text,
    drop_empty_columns,
)

# -- Phrases shared by parts of a pack: age, expected error, imaged share --------------------------


OVERVIEW, LOCATOR = "overview", "locator"
_MINUTE_NS = 60 * 10**9
_CLASSIFICATIONS = {Classification.INTERNAL: _("INTERNAL"), Classification.RESTRICTED: _("RESTRICTED")}


def prefix_classification(figures: PackFigures, line: Message) -> Message:
    """Prefix a line with the classification, "RESTRICTED · ", unless it is open."""
    if figures.classification is Classification.OPEN:
        return line
    return join([_CLASSIFICATIONS[figures.classification], line], " · ")


def name_commune_picture(number: int) -> str:
    """Return the name of a commune's image."""
    return f"commune-{number}"


def format_age(then_ns: int, now_ns: int) -> Message:
    """Format the time between two moments, in the largest unit of two or more.

    As the web page does (`formatAge`): rounded up, so that nothing looks newer than it is, but for years,
    which are complete ones and stand beside their date.
    """
    passed_ns = max(now_ns - then_ns, 0)
    minutes = passed_ns // _MINUTE_NS
    if minutes < 120:
        return ngettext("{count} minute", "{count} minutes", max(-(-passed_ns // _MINUTE_NS), 1))
    if minutes < 48 * 60:
        return ngettext("{count} hour", "{count} hours", -(-minutes // 60))
    days = -(-minutes // (24 * 60))
    if days <= 2 * 365:
        return ngettext("{count} day", "{count} days", days)
    return ngettext("{count} year", "{count} years", days * 4 // 1461)


def format_imaged(figures: PackFigures) -> Message:
    """Format imaged ground and its share of the communes.

    Where no communes are known, all imaged ground without a share.
    """
    if figures.communes_pct is None:
        return format_area(figures.imaged_m2)
    inside = format_area(sum(one.imaged_m2 for one in figures.communes))
    return _("{area} ({pct} of their area)", area=inside, pct=format_percent(figures.communes_pct))


def format_commune_share(area_m2: float, pct: float) -> Message:
    """Format imaged ground of a commune, and its share of it."""
    return _("{area} ({pct} of the commune)", area=format_area(area_m2), pct=format_percent(pct))


def format_flight_error(one: PackFlight) -> Message:
    """Format a flight's expected error on the ground, or why it is unknown."""
    if one.error_m is None:
        text = _("not known (not finished)") if one.revision == 0 else _("not known (no quality report)")
    else:
        median, p95 = (_within(value) for value in one.error_m)
        text = _("{median}; 95 % within {p95}", median=median, p95=p95)
        if one.shift_m is None:
            text = _("{error} (common shift not known, and not included)", error=text)
        elif one.shift_m > 0.0:
            text = _("{error} (common shift of {shift} included)", error=text, shift=_within(one.shift_m))
    return _("{error}; no terrain known, placed on a plane", error=text) if one.on_plane else text


def _within(value_m: float) -> Message:
    """Format an expected error with as many decimals as captions on the web page."""
    return join(["± ", format_number(value_m, 2 if value_m < 1.0 else 1), "\N{NO-BREAK SPACE}m"], "")


# -- Places in a briefing pack ---------------------------------------------------------------------


def format_place(lonlat_deg: tuple[float, float], vn2000: tuple[float, float, float] | None) -> Text:
    """Format coordinates with decimal points in any language.

    They are copied into other programs.
    """
    lon, lat = lonlat_deg
    latlon_text = f"{lat:.6f}, {lon:.6f}"
    if vn2000 is None:
        return latlon_text
    x, y, meridian_deg = vn2000
    degrees, minutes = divmod(round(meridian_deg * 60), 60)
    meridian = f"{degrees}°{minutes:02}′"
    return _(
        "{place}; VN-2000 X {x} Y {y} (central meridian {meridian})",
        place=latlon_text,
        x=format(x, ".1f"),
        y=format(y, ".1f"),
        meridian=meridian,
    )


# -- Paragraphs at the head of a briefing pack: what was not reviewed yet --------------------------


def list_all_marks(figures: PackFigures) -> list[PackMark]:
    """Return every mark once, by number."""
    marks = [*figures.loose_marks, *(mark for one in figures.communes for mark in one.marks)]
    by_number = {mark.number: mark for mark in marks}
    return [by_number[number] for number in sorted(by_number)]


def format_ground(totals: ChangeTotals) -> Message:
    """Format the ground of changes together."""
    return format_area(totals.area_m2, is_lower_bound=totals.is_lower_bound)


def format_pending(waiting: ChangeTotals) -> Message:
    """Format pending changes in brief: their number, and their ground."""
    return ngettext(
        "{count} change suspected by the program, seen by nobody yet: {area}",
        "{count} changes suspected by the program, seen by nobody yet: {area}",
        waiting.count,
        area=format_ground(waiting),
    )


def format_pending_sentence(waiting: ChangeTotals) -> Message:
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
    return join([str(one.waiting.count), format_ground(one.waiting)], "; ")


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
        sentence = ngettext(
            "PEOPLE TO RESCUE, {count} place: {marks}.",
            "PEOPLE TO RESCUE, {count} places: {marks}.",
            len(rescue),
            marks=join(map(_format_rescue_mark, rescue), "; "),
        )
        yield Paragraph(text=sentence, kind="bad")
    if others := _reported(marks):
        sentence = _(
            "Other marks, reported, not verified: {count} ({kinds}).",
            count=others.total(),
            kinds=_kinds(others),
        )
        yield Paragraph(text=sentence, kind="care")


def build_pending_paragraphs(figures: PackFigures) -> Iterator[Paragraph[Text]]:
    """Yield the changes that wait for review; nothing if none."""
    if figures.waiting is not None:
        yield Paragraph(text=format_pending_sentence(figures.waiting), kind="care")


def _format_rescue_mark(one: PackMark) -> Message:
    mark_label = _("mark {number} ({status})", number=one.number, status=MARK_STATUS_NAMES[one.status])
    return join([mark_label, one.note], ": ") if one.note else mark_label


def format_marks_briefly(marks: Sequence[PackMark]) -> list[Message]:
    """Format marks for a slide: people to be rescued, then others only reported."""
    parts = []
    if rescue := _to_rescue(marks):
        places = ngettext("PEOPLE TO RESCUE: {count} place", "PEOPLE TO RESCUE: {count} places", len(rescue))
        if new := sum(one.status is MarkStatus.OPEN for one in rescue):
            places = join([places, _("({count} reported, not verified)", count=new)])
        parts.append(places)
    if others := _reported(marks):
        parts.append(_("reported, not verified: {kinds}", kinds=_kinds(others)))
    return parts


def _to_rescue(marks: Iterable[PackMark]) -> list[PackMark]:
    return [one for one in marks if one.kind is MarkKind.RESCUE and one.status in UNRESOLVED_STATUSES]


def _reported(marks: Iterable[PackMark]) -> Counter[MarkKind]:
    new: list[MarkKind] = [one.kind for one in marks if one.status is MarkStatus.OPEN]
    return Counter(kind for kind in new if kind is not MarkKind.RESCUE)


def _kinds(some: Counter[MarkKind]) -> Message:
    return join([join([MARK_KIND_NAMES[kind], str(some[kind])]) for kind in MarkKind if some[kind]], ", ")


# -- Confirmed changes -----------------------------------------------------------------------------


_MAX_ROADS = 6
_NO_LAYER = _("not known (no layer)")


def format_changes_summary(figures: PackFigures) -> Message:
    """Format the changes that wait for review, then the confirmed ones.

    On the ground shown. That none is confirmed does not mean that nothing changed, and never stands alone
    beside pending ones.
    """
    return join([*_pending_summary(figures), *_confirmed_summary(figures)])


def _pending_summary(figures: PackFigures) -> Iterator[Message]:
    if figures.waiting is not None:
        yield format_pending_sentence(figures.waiting)
    if figures.waiting_elsewhere:
        yield _(
            "Waiting for review on other ground, not in this pack: {count}.", count=figures.waiting_elsewhere
        )


def _confirmed_summary(figures: PackFigures) -> Iterator[Message]:
    count = len(figures.changes)
    if figures.changes:
        yield _(
            "Changes that an analyst confirmed on the ground shown: {kinds}; {area} together.",
            kinds=format_places(figures.confirmed.places),
            area=format_ground(figures.confirmed),
        )
        if figures.confirmed.count < count:
            yield _(
                "Maps and lists show {count} of them; those that overlap are one place, counted once.",
                count=count,
            )
        elif str(format_area(sum(one.full_size.area_m2 for one in figures.changes))) != str(
            format_area(figures.confirmed.area_m2)
        ):
            yield _("Ground that several of them cover counts once.")
        if doubted := sum(bool(one.doubts) for one in figures.changes):
            yield ngettext(
                "Of these {count} change is of two doubtful pictures.",
                "Of these {count} changes are of two doubtful pictures.",
                doubted,
            )
    else:
        yield _("No change is confirmed on the ground shown: that does not mean that nothing changed.")
    if figures.changes_elsewhere:
        yield _(
            "Confirmed changes on other ground, not in this pack: {count}.", count=figures.changes_elsewhere
        )


def build_changes_by_commune(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield a table with a row for each commune that a confirmed change touches.

    Nothing where there is none.
    """
    if not figures.changes:
        return
    yield Heading(text=_("6. Confirmed changes by commune"))
    rows = [
        (
            str(one.number),
            one.name,
            str(one.touched.ground.count),
            format_ground(one.touched.ground),
            _roads(one.touched.roads_cut, one.touched.counts),
            _count(LayerKind.HOUSE, one.touched.counts),
            _others(one.touched.counts),
        )
        for one in figures.communes
        if one.touched is not None
    ]
    if rows:
        yield Table(
            head=(
                _("No."),
                _("Commune"),
                _("Changes"),
                _("Area"),
                _("Roads cut"),
                _("Houses"),
                _("Other works"),
            ),
            rows=tuple(rows),
            numeric=(0, 2, 3),
        )
    if sum(one.touched.ground.count for one in figures.communes if one.touched) > figures.confirmed.count:
        yield Paragraph(
            text=_(
                "A change that touches several communes counts in each, with only its ground there (annexes"
                " tell that and all of it): columns do not add up to the figures of section 1."
            ),
            kind="small",
        )
    near = [join([name, f"{figures.near_m[kind]:g} m"]) for kind, name in LAYER_KIND_NAMES.items()]
    yield Paragraph(
        text=_(
            "Near is within: {near}. Counted by the layers that are known; where there is no layer nothing is"
            " known, which is not none.",
            near=join(near, ", "),
        ),
        kind="small",
    )
    yield from _doubts(figures.changes)
    yield _layers(figures.changes)


def name_change_picture(number: int) -> str:
    """Return the name of a change's image, before beside after."""
    return f"change-{number}"


def _sized(one: PackChange) -> Message:
    """Format a change's number, kind and size."""
    kind = join([f"T{one.number}.", CHANGE_KIND_NAMES[one.kind]])
    return join([kind, _size(one.full_size)], ", ")


def format_change(figures: PackFigures, one: PackChange) -> Message:
    """Format a change's number, kind, size and its communes in the pack."""
    description = _sized(one)
    places = [
        place.name for place in figures.communes if any(one.number == at.number for at in place.changes)
    ]
    return join([description, format_list(places, max_parts=2)], " – ") if places else description


def format_cut_roads(one: PackChange) -> Message | None:
    """Format the roads that a change cuts; None if none is known."""
    return join([_("Roads cut"), _format_road_names(one.roads_cut)], ": ") if one.roads_cut else None


def build_commune_changes(figures: PackFigures, commune: PackCommune) -> Iterator[BlockOf[Text]]:
    """Yield confirmed changes of one commune, and the share of it that was compared.

    So that "nothing found" differs from "not compared".
    """
    yield Heading(text=pgettext("heading", "Changes"))
    if commune.waiting is not None:
        yield Paragraph(text=format_pending_sentence(commune.waiting), kind="care")
    if commune.changes:
        yield from _build_change_list(figures, commune.changes)
    elif commune.compared_pct is None or commune.waiting is not None:
        note = _("No change is confirmed here: that does not mean that nothing changed.")
        yield Paragraph(text=note, kind="small")
    else:
        yield Paragraph(text=_("No change is confirmed on what was compared."), kind="small")
    if commune.compared_pct is None:
        note = _("No two pictures were compared here: whether anything changed is not known.")
    else:
        note = _(
            "Changes were looked for on {pct} of it, by two pictures; of the rest nothing is known.",
            pct=format_percent(commune.compared_pct),
        )
    yield Paragraph(text=note, kind="small")


def build_loose_changes(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield changes that lie in none of the pack's communes."""
    placed = {one.number for commune in figures.communes for one in commune.changes}
    loose = [one for one in figures.changes if one.number not in placed]
    if loose:
        yield Heading(text=_("Confirmed changes outside these communes"))
        yield from _build_change_list(figures, loose)


def _build_change_list(figures: PackFigures, changes: Sequence[PackChange]) -> Iterator[BlockOf[Text]]:
    """Yield a table of changes, notes on its figures, and an image pair of each."""
    yield _table(changes)
    if unknown := _unknown_of_all(changes):
        yield Paragraph(text=join([_format_unknown(unknown), "."], ""), kind="small")
    notes = [
        _(
            "± is one sigma: of the outline (the detector's, or a hand's) and of the place, AFTER to BEFORE;"
            " it is not the error on the ground."
        )
    ]
    if any(one.size_in_commune for one in changes):
        notes.append(
            _(
                "The table by commune counts only what is in the commune; roads, houses and volumes on "
                "this page are those of the whole change."
            )
        )
    if any(one.full_size.is_lower_bound for one in changes):
        notes.append(
            _(
                "At least: the change reaches the rim of the ground that was compared; how far it goes on is "
                "not known."
            )
        )
    if any(isinstance(one.volume, PackVolume) for one in changes):
        notes += [
            _("Volumes are those between the surfaces of two flights, trees that went included."),
            VOLUME_BASIS,
        ]
    for why, numbers in _group_without_volume(changes).items():
        reason = NO_VOLUME_REASONS[why.value]
        notes.append(
            _("Volume not known: {changes} ({reason}).", changes=format_list(numbers), reason=reason)
        )
    yield Paragraph(text=join(notes), kind="small")
    yield from _doubts(changes)
    shown = [one for one in changes if name_change_picture(one.number) in figures.pictures]
    if shown:
        yield FigureRow(
            figures=tuple(
                Figure(picture=name_change_picture(one.number), caption=_pair_caption(one)) for one in shown
            ),
            columns=1,
        )
    missing = [f"T{one.number}" for one in changes if one not in shown]
    if missing:
        note = _(
            "Without pictures before and after: {changes} (drawn by hand over none that were named, of files"
            " that are not kept, or not among the largest).",
            changes=format_list(missing),
        )
        yield Paragraph(text=note, kind="small")


def _group_without_volume(changes: Sequence[PackChange]) -> dict[VolumeFailure, list[str]]:
    """Return numbers of landslides without a volume, by the reason."""
    numbers: dict[VolumeFailure, list[str]] = {}
    for one in changes:
        if one.volume is not None and not isinstance(one.volume, PackVolume):
            numbers.setdefault(one.volume, []).append(f"T{one.number}")
    return numbers


def _doubts(changes: Sequence[PackChange]) -> Iterator[Paragraph[Text]]:
    """Yield the reasons for doubt, each once with the changes it applies to."""
    for doubt in {str(doubt): doubt for one in changes for doubt in one.doubts}.values():
        numbers = [f"T{one.number}" for one in changes if doubt in one.doubts]
        note = _("{changes}: of two doubtful pictures. {doubt}.", changes=format_list(numbers), doubt=doubt)
        yield Paragraph(text=note, kind="small")


def _pair_caption(one: PackChange) -> Message:
    before, after = map(format_seen_picture, one.seen or ())
    if one.is_drawn:
        return _(
            "{change}, drawn by hand over these two: before on the left ({before}), after on the right"
            " ({after}).",
            change=_sized(one),
            before=before,
            after=after,
        )
    return _(
        "{change}: before on the left ({before}), after on the right ({after}).",
        change=_sized(one),
        before=before,
        after=after,
    )


def format_seen_picture(one: PackSeenPicture, *, is_slide: bool = False) -> Text:
    """Format an image's name and time, and its remarks.

    is_slide: in few words, without a flight's name.
    """
    if one.last_ns is None:
        return (
            _("file {name}, which is not kept here and stays empty", name=one.name)
            if one.name
            else _("gone or not to be shown, and stays empty")
        )
    minute_text, remarks = format_minute(one.last_ns), []
    if one.stands_in:
        other = _("another revision than was used")
        remarks.append(other if is_slide else _("the revision on show, not the one that was used"))
    if one.is_lost:
        remarks.append(_("tiles missing, so that it stays empty: run flycam verify"))
    if not is_slide:
        return join([f"{one.name}, {minute_text}", *remarks], "; ")
    return join([f"{minute_text} (", join(remarks, "; "), ")"], "") if remarks else minute_text


def _table(changes: Sequence[PackChange]) -> Table[Text]:
    """Build a table of changes: kind, size, place, impact, and who confirmed it."""
    table: Table[Text] = Table(
        head=(
            _("No."),
            _("Kind"),
            _("Area"),
            _("Place"),
            _("Touches"),
            _("Note"),
            _("Confirmed by, at"),
        ),
        rows=tuple(
            (
                f"T{one.number}",
                CHANGE_KIND_NAMES[one.kind],
                _sizes(one),
                format_place(one.lonlat_deg, one.vn2000),
                _touched(one, _unknown_of_all(changes)),
                one.note,
                f"{one.author}, {format_minute(one.at_ns)}",
            )
            for one in changes
        ),
    )
    return drop_empty_columns(table)


def _sizes(one: PackChange) -> Message:
    """Format the size of a change and a landslide's known volume.

    The size of its part in the commune first, then of all of it.
    """
    full_text = _size(one.full_size)
    if one.size_in_commune is None:
        text = full_text
    else:
        text = _("{here} in this commune; {whole} in all", here=_size(one.size_in_commune), whole=full_text)
    return join([text, _volume(one.volume)], ". ") if isinstance(one.volume, PackVolume) else text


def _size(one: PackSize) -> Message:
    return format_area(one.area_m2, one.error_m2, is_lower_bound=one.is_lower_bound)


def _volume(one: PackVolume) -> Message:
    value, sigma = (format_number(part, 0) for part in one.lost_m3)
    parts = [_("lost {value} ± {sigma} m³", value=value, sigma=sigma)]
    if one.gained_m3 is not None:
        value, sigma = (format_number(part, 0) for part in one.gained_m3)
        parts.append(_("gained {value} ± {sigma} m³", value=value, sigma=sigma))
    if one.is_nothing:
        parts.append(_("no more than the errors add up to"))
    parts.append(_("measured on {pct} of it", pct=format_percent(one.measured_pct)))
    return _("Volume: {volumes}", volumes=join(parts, "; "))


def _unknown_of_all(changes: Sequence[PackChange]) -> list[LayerKind]:
    """Return kinds of features that are unknown for every change.

    They are stated once, below the table.
    """
    return [kind for kind in LAYER_KIND_NAMES if all(one.counts[kind] is None for one in changes)]


def _format_unknown(kinds: Sequence[LayerKind]) -> Message:
    names = join([LAYER_KIND_NAMES[kind] for kind in kinds], ", ")
    return _("Not known, for there is no layer: {kinds}", kinds=names)


class _Capitalized(Message):
    """A message with a capital letter at its beginning."""

    __slots__ = ()

    def in_language(self, language: str) -> str:
        text = Message.in_language(self, language)
        return text[:1].upper() + text[1:]


def _touched(one: PackChange, unknown_of_all: Collection[LayerKind]) -> Message:
    """Format the impact of a change: roads cut, features in or near it.

    Then kinds of which nothing is known, without those unknown for all changes. It is of the whole change,
    which is stated where the size is also given of a part.
    """
    cut = format_cut_roads(one)
    parts = [cut] if cut else []
    for kind, name in LAYER_KIND_NAMES.items():
        count = one.counts[kind]
        if count is not None and (count.inside or count.near):
            parts.append(join([name, _count(kind, one.counts)], ": "))
    unknown = [kind for kind in LAYER_KIND_NAMES if one.counts[kind] is None]
    if not parts:
        is_all = len(unknown) == len(LAYER_KIND_NAMES)
        parts.append(_NO_LAYER if is_all else _("touches nothing of the layers there are"))
    if one.size_in_commune is not None:
        parts[0] = _("Of the whole change: {extent}", extent=parts[0])
    if unknown_kinds := [kind for kind in unknown if kind not in unknown_of_all]:
        parts.append(_format_unknown(unknown_kinds))
    return join([_Capitalized("{part}", {"part": part}) for part in parts], ". ")


def _roads(roads: Sequence[PackRoad], counts: Counts) -> Message:
    if counts[LayerKind.ROAD] is None:
        return _NO_LAYER
    return _format_road_names(roads) if roads else _("none, by the layers there are")


def _format_road_names(roads: Sequence[PackRoad]) -> Message:
    """Format roads by name, each with its length under changes."""
    under: dict[str, float] = {}
    for road in roads:
        under[road.name] = under.get(road.name, 0.0) + (road.under_m or 0.0)
    road_texts = []
    for name, length in under.items():
        shown = name or _("a road without a name")
        road_texts.append(join([shown, " (", format_metres(length), ")"], "") if length else shown)
    return format_list(road_texts, max_parts=_MAX_ROADS)


def _count(kind: LayerKind, counts: Counts) -> Message:
    count = counts[kind]
    if count is None:
        return _NO_LAYER
    if count.is_complete:
        return _("{inside} inside, {near} near", inside=count.inside, near=count.near)
    # "at least none" says nothing
    parts = [_("at least {count} inside", count=count.inside)] if count.inside else []
    parts += [_("at least {count} near", count=count.near)] if count.near else []
    return join(parts, ", ") if parts else _("none seen, the layers cover only a part")


def _others(counts: Counts) -> Message:
    kinds = (LayerKind.SCHOOL, LayerKind.MAST, LayerKind.POWER)
    if all(counts[kind] is None for kind in kinds):
        return _NO_LAYER
    return join([join([LAYER_KIND_NAMES[kind], _count(kind, counts)], ": ") for kind in kinds], "; ")


def _layers(changes: Sequence[PackChange]) -> Paragraph[Text]:
    """Build the paragraph on the layers behind the impact, and their age."""
    layers = dict.fromkeys(layer for one in changes for layer in one.layers)
    if not layers:
        return Paragraph(text=_("No layer covers the ground of these changes."), kind="small")
    sentence = _("By these layers: {layers}.", layers=join(map(format_layer_source, layers), "; "))
    return Paragraph(text=sentence, kind="small")


def format_layer_source(layer: PackLayer) -> Message:
    """Format a layer's owner and date, and whether it is out of date."""
    name = f"{layer.name} ({layer.owner})" if layer.owner else layer.name
    if layer.valid_ns is None:
        return _("{name}, of an unknown time", name=name)
    at = format_minute(layer.valid_ns)
    if layer.is_stale:
        return _("{name}, as of {at} (old)", name=name, at=at)
    return _("{name}, as of {at}", name=name, at=at)
