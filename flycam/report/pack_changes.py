"""Confirmed changes in a briefing pack: place, size, impact, and what is unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from flycam.frame.specialist_layer import LayerKind
from flycam.frame.timestamp import format_minute
from flycam.report.blocks import Block, Figure, FigureRow, Heading, Paragraph, Table, drop_empty_columns
from flycam.report.change_names import CHANGE_KIND_NAMES, LAYER_KIND_NAMES
from flycam.report.number_format import (
    format_area,
    format_area_with_sigma,
    format_list,
    format_metres,
    format_number,
    format_percent,
)
from flycam.report.pack_figures import (
    Counts,
    PackChange,
    PackCommune,
    PackFigures,
    PackLayer,
    PackRoad,
    PackSeenPicture,
    PackSize,
    PackVolume,
)
from flycam.report.pack_pending import format_pending_sentence
from flycam.report.pack_texts import format_pack_text, format_place, format_table_head

_MAX_ROADS = 6


def format_changes_summary(figures: PackFigures, language: str) -> str:
    """Format the changes that wait for review, then the confirmed ones.

    On the ground shown. That none is confirmed does not mean that nothing changed, and never stands alone
    beside pending ones.
    """
    parts = [format_pending_sentence(figures.waiting, language)]
    if figures.waiting_elsewhere:
        parts.append(format_pack_text("waiting_elsewhere", language, count=figures.waiting_elsewhere))
    parts.append(_confirmed_summary(figures, language))
    return " ".join(filter(None, parts))


def _confirmed_summary(figures: PackFigures, language: str) -> str:
    if figures.changes:
        kinds = format_change_kinds(figures, language)
        text = format_pack_text(
            "changes_said", language, kinds=kinds, area=format_area(figures.changes_m2, language)
        )
        if sum(figures.places.values()) < len(figures.changes):
            text = f"{text} {format_pack_text('changes_same', language, count=len(figures.changes))}"
        if doubted := sum(bool(one.doubts) for one in figures.changes):
            text = f"{text} {format_pack_text('changes_doubted', language, count=doubted)}"
    else:
        text = format_pack_text("no_changes", language)
    if not figures.changes_elsewhere:
        return text
    return f"{text} {format_pack_text('changes_elsewhere', language, count=figures.changes_elsewhere)}"


def format_change_kinds(figures: PackFigures, language: str) -> str:
    """Format the number of places of each kind."""
    places = sorted(figures.places.items())
    return ", ".join(format_pack_text(f"counted_{kind}", language, count=count) for kind, count in places)


def build_changes_by_commune(figures: PackFigures, language: str) -> Iterator[Block]:
    """Yield a table with a row for each commune that a confirmed change touches.

    Nothing where there is none.
    """
    if not figures.changes:
        return
    yield Heading(text=format_pack_text("changes", language))
    rows = [
        (
            str(one.number),
            one.name,
            str(one.touched.changes),
            format_area(one.touched.area_m2, language),
            _roads(one.touched.roads_cut, one.touched.counts, language),
            _count(LayerKind.HOUSE, one.touched.counts, language),
            _others(one.touched.counts, language),
        )
        for one in figures.communes
        if one.touched is not None
    ]
    if rows:
        yield Table(
            head=format_table_head(
                language, "number", "commune", "count", "change_area", "roads_cut", "houses", "others"
            ),
            rows=tuple(rows),
            numeric=(0, 2, 3),
        )
    if sum(one.touched.changes for one in figures.communes if one.touched) > sum(figures.places.values()):
        yield Paragraph(text=format_pack_text("changes_shared", language), kind="small")
    near = ", ".join(
        f"{name.in_language(language)} {figures.near_m[kind]:g} m" for kind, name in LAYER_KIND_NAMES.items()
    )
    yield Paragraph(text=format_pack_text("changes_near", language, near=near), kind="small")
    yield from _doubts(figures.changes, language)
    yield from _layers(figures.changes, language)


def name_change_picture(number: int) -> str:
    """Return the name of a change's image, before beside after."""
    return f"change-{number}"


def _sized(one: PackChange, language: str) -> str:
    """Format a change's number, kind and size."""
    kind = CHANGE_KIND_NAMES[one.kind].in_language(language)
    return f"T{one.number}. {kind}, {_size(one.full_size, language)}"


def format_change(figures: PackFigures, one: PackChange, language: str) -> str:
    """Format a change's number, kind, size and its communes in the pack."""
    said = _sized(one, language)
    places = [
        place.name for place in figures.communes if any(one.number == at.number for at in place.changes)
    ]
    return f"{said} – {format_list(places, language, max_parts=2)}" if places else said


def format_cut_roads(one: PackChange, language: str) -> str:
    """Format the roads that a change cuts; "" if none is known."""
    if not one.roads_cut:
        return ""
    return f"{format_pack_text('col_roads_cut', language)}: {_format_road_names(one.roads_cut, language)}"


def build_commune_changes(figures: PackFigures, commune: PackCommune, language: str) -> Iterator[Block]:
    """Yield confirmed changes of one commune, and the share of it that was compared.

    So that "nothing found" differs from "not compared".
    """
    yield Heading(text=format_pack_text("changes_here", language))
    if commune.waiting is not None:
        yield Paragraph(text=format_pending_sentence(commune.waiting, language), kind="care")
    if commune.changes:
        yield from _build_change_list(figures, commune.changes, language)
    elif commune.compared_pct is None:
        yield Paragraph(text=format_pack_text("no_changes_here", language), kind="small")
    else:
        yield Paragraph(text=format_pack_text("none_on_compared", language), kind="small")
    if commune.compared_pct is None:
        said = format_pack_text("not_compared_here", language)
    else:
        said = format_pack_text("compared_here", language, pct=format_percent(commune.compared_pct, language))
    yield Paragraph(text=said, kind="small")


def build_loose_changes(figures: PackFigures, language: str) -> Iterator[Block]:
    """Yield changes that lie in none of the pack's communes."""
    placed = {one.number for commune in figures.communes for one in commune.changes}
    loose = [one for one in figures.changes if one.number not in placed]
    if loose:
        yield Heading(text=format_pack_text("changes_loose", language))
        yield from _build_change_list(figures, loose, language)


def _build_change_list(figures: PackFigures, changes: Sequence[PackChange], language: str) -> Iterator[Block]:
    """Yield a table of changes, notes on its figures, and an image pair of each."""
    yield _table(changes, language)
    if unknown := _unknown_of_all(changes):
        said = format_pack_text(
            "not_known_of",
            language,
            kinds=", ".join(LAYER_KIND_NAMES[kind].in_language(language) for kind in unknown),
        )
        yield Paragraph(text=f"{said[:1].upper()}{said[1:]}.", kind="small")
    keys = ["changes_sizes", *(["changes_parts"] if any(one.size_in_commune for one in changes) else [])]
    if any(one.volume for one in changes):
        keys.append("changes_volumes")
    yield Paragraph(text=" ".join(format_pack_text(key, language) for key in keys), kind="small")
    yield from _doubts(changes, language)
    shown = [one for one in changes if name_change_picture(one.number) in figures.pictures]
    if shown:
        yield FigureRow(
            figures=tuple(
                Figure(picture=name_change_picture(one.number), caption=_pair_caption(one, language))
                for one in shown
            ),
            columns=1,
        )
    missing = [f"T{one.number}" for one in changes if one not in shown]
    if missing:
        said = format_pack_text("pairs_missing", language, changes=format_list(missing, language))
        yield Paragraph(text=said, kind="small")


def _doubts(changes: Sequence[PackChange], language: str) -> Iterator[Block]:
    """Yield the reasons for doubt, each once with the changes it applies to."""
    for doubt in {str(doubt): doubt for one in changes for doubt in one.doubts}.values():
        numbers = [f"T{one.number}" for one in changes if doubt in one.doubts]
        said = format_pack_text(
            "pairs_doubted",
            language,
            changes=format_list(numbers, language),
            doubt=doubt.in_language(language),
        )
        yield Paragraph(text=said, kind="small")


def _pair_caption(one: PackChange, language: str) -> str:
    before, after = (format_seen_picture(picture, language) for picture in one.seen or ())
    key = "pair_drawn" if one.is_drawn else "pair_caption"
    return format_pack_text(key, language, change=_sized(one, language), before=before, after=after)


def format_seen_picture(one: PackSeenPicture, language: str, *, is_slide: bool = False) -> str:
    """Format an image's name and time, and its remarks.

    is_slide: in few words, without a flight's name.
    """
    if one.last_ns is None:
        return (
            format_pack_text("seen_file", language, name=one.name)
            if one.name
            else format_pack_text("seen_nowhere", language)
        )
    said, room = format_minute(one.last_ns), "slide" if is_slide else "seen"
    marks = {f"{room}_stands_in": one.stands_in, "seen_lost": one.is_lost}
    remarks = [format_pack_text(key, language) for key, is_so in marks.items() if is_so]
    if not is_slide:
        return "; ".join([f"{one.name}, {said}", *remarks])
    return f"{said} ({'; '.join(remarks)})" if remarks else said


def _table(changes: Sequence[PackChange], language: str) -> Table:
    """Build a table of changes: kind, size, place, impact, and who confirmed it."""
    table = Table(
        head=format_table_head(
            language, "number", "kind", "change_area", "place", "touched", "note", "decided"
        ),
        rows=tuple(
            (
                f"T{one.number}",
                CHANGE_KIND_NAMES[one.kind].in_language(language),
                _sizes(one, language),
                format_place(one.lonlat_deg, one.vn2000, language),
                _touched(one, _unknown_of_all(changes), language),
                one.note,
                f"{one.author}, {format_minute(one.at_ns)}",
            )
            for one in changes
        ),
    )
    return drop_empty_columns(table)


def _sizes(one: PackChange, language: str) -> str:
    """Format the size of a change and a landslide's known volume.

    The size of its part in the commune first, then of all of it.
    """
    whole = _size(one.full_size, language)
    if one.size_in_commune is None:
        said = whole
    else:
        said = format_pack_text("size_here", language, here=_size(one.size_in_commune, language), whole=whole)
    return said if one.volume is None else f"{said}. {_volume(one.volume, language)}"


def _size(one: PackSize, language: str) -> str:
    return format_area_with_sigma(one.area_m2, one.error_m2, language)


def _volume(one: PackVolume, language: str) -> str:
    parts = [_cubic("volume_lost", one.lost_m3, language)]
    if one.gained_m3 is not None:
        parts.append(_cubic("volume_gained", one.gained_m3, language))
    if one.is_nothing:
        parts.append(format_pack_text("volume_nothing", language))
    parts.append(format_pack_text("volume_of", language, pct=format_percent(one.measured_pct, language)))
    return format_pack_text("volume_said", language, said="; ".join(parts))


def _cubic(key: str, value_and_sigma: tuple[float, float], language: str) -> str:
    value, sigma = (format_number(one, 0, language) for one in value_and_sigma)
    return format_pack_text(key, language, value=value, sigma=sigma)


def _unknown_of_all(changes: Sequence[PackChange]) -> list[LayerKind]:
    """Return kinds of features that are unknown for every change.

    They are stated once, below the table.
    """
    return [kind for kind in LAYER_KIND_NAMES if all(one.counts[kind] is None for one in changes)]


def _touched(one: PackChange, unknown_of_all: Collection[LayerKind], language: str) -> str:
    """Format the impact of a change: roads cut, features in or near it.

    Then kinds of which nothing is known, without those unknown for all changes. It is of the whole change,
    which is stated where the size is also given of a part.
    """
    parts = []
    if cut := format_cut_roads(one, language):
        parts.append(cut)
    for kind, name in LAYER_KIND_NAMES.items():
        count = one.counts[kind]
        if count is not None and (count.inside or count.near):
            parts.append(f"{name.in_language(language)}: {_count(kind, one.counts, language)}")
    nothing_known = all(one.counts[kind] is None for kind in LAYER_KIND_NAMES)
    unknown = [
        name.in_language(language)
        for kind, name in LAYER_KIND_NAMES.items()
        if one.counts[kind] is None and kind not in unknown_of_all
    ]
    if not parts:
        parts.append(format_pack_text("no_layer" if nothing_known else "touches_nothing", language))
    if parts and one.size_in_commune is not None:
        parts[0] = format_pack_text("of_whole", language, said=parts[0])
    if unknown:
        parts.append(format_pack_text("not_known_of", language, kinds=", ".join(unknown)))
    return ". ".join(part[:1].upper() + part[1:] for part in parts)


def _roads(roads: Sequence[PackRoad], counts: Counts, language: str) -> str:
    if counts[LayerKind.ROAD] is None:
        return format_pack_text("no_layer", language)
    return _format_road_names(roads, language) if roads else format_pack_text("none_by_layer", language)


def _format_road_names(roads: Sequence[PackRoad], language: str) -> str:
    """Format roads by name, each with its length under changes."""
    under: dict[str, float] = {}
    for road in roads:
        name = road.name or format_pack_text("road_without_name", language)
        under[name] = under.get(name, 0.0) + (road.under_m or 0.0)
    said = [
        f"{name} ({format_metres(length, language)})" if length else name for name, length in under.items()
    ]
    return format_list(said, language, max_parts=_MAX_ROADS)


def _count(kind: LayerKind, counts: Counts, language: str) -> str:
    count = counts[kind]
    if count is None:
        return format_pack_text("no_layer", language)
    if count.is_complete:
        return format_pack_text("inside_and_near", language, inside=str(count.inside), near=str(count.near))
    parts = ((count.inside, "inside"), (count.near, "near"))
    said = [format_pack_text(where, language, count=str(number)) for number, where in parts if number]
    # "at least none" says nothing
    if not said:
        return format_pack_text("none_in_part", language)
    return ", ".join(format_pack_text("at_least", language, said=one) for one in said)


def _others(counts: Counts, language: str) -> str:
    kinds = (LayerKind.SCHOOL, LayerKind.MAST, LayerKind.POWER)
    if all(counts[kind] is None for kind in kinds):
        return format_pack_text("no_layer", language)
    return "; ".join(
        f"{LAYER_KIND_NAMES[kind].in_language(language)}: {_count(kind, counts, language)}" for kind in kinds
    )


def _layers(changes: Sequence[PackChange], language: str) -> Iterator[Block]:
    """Yield the layers behind the impact, and their age."""
    layers = dict.fromkeys(layer for one in changes for layer in one.layers)
    said = [format_layer_source(layer, language) for layer in layers]
    text = (
        format_pack_text("by_layers", language, layers="; ".join(said))
        if said
        else format_pack_text("by_no_layers", language)
    )
    yield Paragraph(text=text, kind="small")


def format_layer_source(layer: PackLayer, language: str) -> str:
    """Format a layer's owner and date, and whether it is out of date."""
    return format_pack_text(
        "layer_dated" if layer.valid_ns is not None else "layer_undated",
        language,
        name=f"{layer.name} ({layer.owner})" if layer.owner else layer.name,
        at="" if layer.valid_ns is None else format_minute(layer.valid_ns),
        old=format_pack_text("layer_old", language) if layer.is_stale and layer.valid_ns is not None else "",
    )
