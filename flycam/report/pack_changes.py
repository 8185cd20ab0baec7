"""Confirmed changes as a meeting pack tells of them: where, how large, what they touch, what nobody knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from flycam.frame.moment import minute_of
from flycam.frame.specialist import LayerKind
from flycam.report.blocks import Block, Figure, Heading, Paragraph, Plate, Table, without_empty
from flycam.report.change_names import CHANGE_KINDS, THINGS
from flycam.report.numbers import area, area_within, listed, metres, number, percent
from flycam.report.pack_figures import (
    Counts,
    PackChange,
    PackCommune,
    PackFigures,
    PackLayer,
    PackRoad,
    PackSeen,
    PackSize,
    PackVolume,
)
from flycam.report.pack_unconfirmed import waiting_sentence
from flycam.report.pack_words import head, place_said, told

_MOST_ROADS = 6


def changes_summary(figures: PackFigures, language: str) -> str:
    """What waits for review, then how many are confirmed on the ground shown: that none is does not mean that
    nothing changed, and never stands alone beside what waits."""
    parts = [waiting_sentence(figures.waiting, language)]
    if figures.waiting_elsewhere:
        parts.append(told("waiting_elsewhere", language, count=figures.waiting_elsewhere))
    parts.append(_confirmed_summary(figures, language))
    return " ".join(filter(None, parts))


def _confirmed_summary(figures: PackFigures, language: str) -> str:
    if figures.changes:
        kinds = kinds_said(figures, language)
        text = told("changes_said", language, kinds=kinds, area=area(figures.changes_m2, language))
        if sum(figures.places.values()) < len(figures.changes):
            text = f"{text} {told('changes_same', language, count=len(figures.changes))}"
        if doubted := sum(bool(one.doubts) for one in figures.changes):
            text = f"{text} {told('changes_doubted', language, count=doubted)}"
    else:
        text = told("no_changes", language)
    if not figures.changes_elsewhere:
        return text
    return f"{text} {told('changes_elsewhere', language, count=figures.changes_elsewhere)}"


def kinds_said(figures: PackFigures, language: str) -> str:
    """How many places of each kind."""
    places = sorted(figures.places.items())
    return ", ".join(told(f"counted_{kind}", language, count=count) for kind, count in places)


def changes_by_commune(figures: PackFigures, language: str) -> Iterator[Block]:
    """A row for each commune that a confirmed change touches; nothing where there is none."""
    if not figures.changes:
        return
    yield Heading(text=told("changes", language))
    rows = [
        (
            str(one.number),
            one.name,
            str(one.touched.changes),
            area(one.touched.area_m2, language),
            _roads(one.touched.roads_cut, one.touched.counts, language),
            _count(LayerKind.HOUSE, one.touched.counts, language),
            _others(one.touched.counts, language),
        )
        for one in figures.communes
        if one.touched is not None
    ]
    if rows:
        yield Table(
            head=head(language, "number", "commune", "count", "change_area", "roads_cut", "houses", "others"),
            rows=tuple(rows),
            numeric=(0, 2, 3),
        )
    if sum(one.touched.changes for one in figures.communes if one.touched) > sum(figures.places.values()):
        yield Paragraph(text=told("changes_shared", language), kind="small")
    which = 0 if language == "vi" else 1
    near = ", ".join(f"{names[which]} {figures.near_m[kind]:g} m" for kind, names in THINGS.items())
    yield Paragraph(text=told("changes_near", language, near=near), kind="small")
    yield from _doubts(figures.changes, language)
    yield from _layers(figures.changes, language)


def picture_of_change(number: int) -> str:
    """The name of the picture, before beside after, of the change of this number."""
    return f"change-{number}"


def _sized(one: PackChange, language: str) -> str:
    """Its number, kind and size."""
    kind = CHANGE_KINDS[one.kind][0 if language == "vi" else 1]
    return f"T{one.number}. {kind}, {_size(one.whole, language)}"


def change_said(figures: PackFigures, one: PackChange, language: str) -> str:
    """Its number, kind, size and the pack's communes that it lies in."""
    said = _sized(one, language)
    places = [
        place.name for place in figures.communes if any(one.number == at.number for at in place.changes)
    ]
    return f"{said} – {listed(places, language, most=2)}" if places else said


def cut_roads_said(one: PackChange, language: str) -> str:
    """The roads that it cuts; "" where it cuts none that is known."""
    if not one.roads_cut:
        return ""
    return f"{told('col_roads_cut', language)}: {_named(one.roads_cut, language)}"


def changes_in(figures: PackFigures, commune: PackCommune, language: str) -> Iterator[Block]:
    """Confirmed changes of one commune, one by one, and how much of it was looked at: nothing found is told
    from nobody looked."""
    yield Heading(text=told("changes_here", language))
    if commune.waiting is not None:
        yield Paragraph(text=waiting_sentence(commune.waiting, language), kind="care")
    if commune.changes:
        yield from _listed(figures, commune.changes, language)
    elif commune.compared_pct is None:
        yield Paragraph(text=told("no_changes_here", language), kind="small")
    else:
        yield Paragraph(text=told("none_on_compared", language), kind="small")
    if commune.compared_pct is None:
        said = told("not_compared_here", language)
    else:
        said = told("compared_here", language, pct=percent(commune.compared_pct, language))
    yield Paragraph(text=said, kind="small")


def loose_changes(figures: PackFigures, language: str) -> Iterator[Block]:
    """Those that lie in none of the pack's communes."""
    placed = {one.number for commune in figures.communes for one in commune.changes}
    loose = [one for one in figures.changes if one.number not in placed]
    if loose:
        yield Heading(text=told("changes_loose", language))
        yield from _listed(figures, loose, language)


def _listed(figures: PackFigures, changes: Sequence[PackChange], language: str) -> Iterator[Block]:
    """A table, what its figures mean, and a picture of each before and after."""
    which = 0 if language == "vi" else 1
    yield _table(changes, language)
    if unknown := _unknown_of_all(changes):
        said = told("not_known_of", language, kinds=", ".join(THINGS[kind][which] for kind in unknown))
        yield Paragraph(text=f"{said[:1].upper()}{said[1:]}.", kind="small")
    keys = ["changes_sizes", *(["changes_parts"] if any(one.here for one in changes) else [])]
    if any(one.volume for one in changes):
        keys.append("changes_volumes")
    yield Paragraph(text=" ".join(told(key, language) for key in keys), kind="small")
    yield from _doubts(changes, language)
    shown = [one for one in changes if picture_of_change(one.number) in figures.pictures]
    if shown:
        yield Plate(
            figures=tuple(
                Figure(picture=picture_of_change(one.number), caption=_pair_caption(one, language))
                for one in shown
            ),
            columns=1,
        )
    missing = [f"T{one.number}" for one in changes if one not in shown]
    if missing:
        said = told("pairs_missing", language, changes=listed(missing, language))
        yield Paragraph(text=said, kind="small")


def _doubts(changes: Sequence[PackChange], language: str) -> Iterator[Block]:
    """Why some of them are less sure than others, each reason once with the changes that it is of."""
    for doubt in dict.fromkeys(doubt for one in changes for doubt in one.doubts):
        numbers = [f"T{one.number}" for one in changes if doubt in one.doubts]
        said = told(
            "pairs_doubted",
            language,
            changes=listed(numbers, language),
            doubt=doubt[1 if language == "vi" else 0],
        )
        yield Paragraph(text=said, kind="small")


def _pair_caption(one: PackChange, language: str) -> str:
    before, after = (seen_said(picture, language) for picture in one.seen or ())
    key = "pair_drawn" if one.is_drawn else "pair_caption"
    return told(key, language, change=_sized(one, language), before=before, after=after)


def seen_said(one: PackSeen, language: str, *, is_slide: bool = False) -> str:
    """Which picture it is, and what is to be known of it; is_slide: in few words, without a flight's name."""
    if one.last_ns is None:
        return told("seen_file", language, name=one.name) if one.name else told("seen_nowhere", language)
    said, room = minute_of(one.last_ns), "slide" if is_slide else "seen"
    marks = {f"{room}_stands_in": one.stands_in, "seen_lost": one.is_lost}
    remarks = [told(key, language) for key, is_so in marks.items() if is_so]
    if not is_slide:
        return "; ".join([f"{one.name}, {said}", *remarks])
    return f"{said} ({'; '.join(remarks)})" if remarks else said


def _table(changes: Sequence[PackChange], language: str) -> Table:
    """What each is, how large, where, what it touches, and who confirmed it."""
    which = 0 if language == "vi" else 1
    table = Table(
        head=head(language, "number", "kind", "change_area", "place", "touched", "note", "decided"),
        rows=tuple(
            (
                f"T{one.number}",
                CHANGE_KINDS[one.kind][which],
                _sizes(one, language),
                place_said(one.lonlat_deg, one.vn2000, language),
                _touched(one, _unknown_of_all(changes), language),
                one.note,
                f"{one.author}, {minute_of(one.at_ns)}",
            )
            for one in changes
        ),
    )
    return without_empty(table)


def _sizes(one: PackChange, language: str) -> str:
    """Of its part in the commune first, then of all of it; and a landslide's volume where it is known."""
    whole = _size(one.whole, language)
    if one.here is None:
        said = whole
    else:
        said = told("size_here", language, here=_size(one.here, language), whole=whole)
    return said if one.volume is None else f"{said}. {_volume(one.volume, language)}"


def _size(one: PackSize, language: str) -> str:
    return area_within(one.area_m2, one.error_m2, language)


def _volume(one: PackVolume, language: str) -> str:
    parts = [_cubic("volume_lost", one.lost_m3, language)]
    if one.gained_m3 is not None:
        parts.append(_cubic("volume_gained", one.gained_m3, language))
    if one.is_nothing:
        parts.append(told("volume_nothing", language))
    parts.append(told("volume_of", language, pct=percent(one.measured_pct, language)))
    return told("volume_said", language, said="; ".join(parts))


def _cubic(key: str, value_and_sigma: tuple[float, float], language: str) -> str:
    value, sigma = (number(one, 0, language) for one in value_and_sigma)
    return told(key, language, value=value, sigma=sigma)


def _unknown_of_all(changes: Sequence[PackChange]) -> list[LayerKind]:
    """Kinds of which nothing is known of any of them: said once, below the table."""
    return [kind for kind in THINGS if all(one.counts[kind] is None for one in changes)]


def _touched(one: PackChange, unknown_of_all: Collection[LayerKind], language: str) -> str:
    """In sentences: roads cut, what is in it or near it, and of what nobody knows beside what is told of all;
    all of it of the whole change, which is said where its size is also told of a part."""
    which = 0 if language == "vi" else 1
    parts = []
    if cut := cut_roads_said(one, language):
        parts.append(cut)
    for kind, names in THINGS.items():
        count = one.counts[kind]
        if count is not None and (count.inside or count.near):
            parts.append(f"{names[which]}: {_count(kind, one.counts, language)}")
    nothing_known = all(one.counts[kind] is None for kind in THINGS)
    unknown = [
        names[which]
        for kind, names in THINGS.items()
        if one.counts[kind] is None and kind not in unknown_of_all
    ]
    if not parts:
        parts.append(told("no_layer" if nothing_known else "touches_nothing", language))
    if parts and one.here is not None:
        parts[0] = told("of_whole", language, said=parts[0])
    if unknown:
        parts.append(told("not_known_of", language, kinds=", ".join(unknown)))
    return ". ".join(part[:1].upper() + part[1:] for part in parts)


def _roads(roads: Sequence[PackRoad], counts: Counts, language: str) -> str:
    if counts[LayerKind.ROAD] is None:
        return told("no_layer", language)
    return _named(roads, language) if roads else told("none_by_layer", language)


def _named(roads: Sequence[PackRoad], language: str) -> str:
    """By name, each with its length under changes."""
    under: dict[str, float] = {}
    for road in roads:
        name = road.name or told("road_without_name", language)
        under[name] = under.get(name, 0.0) + (road.under_m or 0.0)
    said = [f"{name} ({metres(length, language)})" if length else name for name, length in under.items()]
    return listed(said, language, most=_MOST_ROADS)


def _count(kind: LayerKind, counts: Counts, language: str) -> str:
    count = counts[kind]
    if count is None:
        return told("no_layer", language)
    if count.is_whole:
        return told("inside_and_near", language, inside=str(count.inside), near=str(count.near))
    parts = ((count.inside, "inside"), (count.near, "near"))
    said = [told(where, language, count=str(number)) for number, where in parts if number]
    if not said:  # none at the least says nothing
        return told("none_in_part", language)
    return ", ".join(told("at_least", language, said=one) for one in said)


def _others(counts: Counts, language: str) -> str:
    which = 0 if language == "vi" else 1
    kinds = (LayerKind.SCHOOL, LayerKind.MAST, LayerKind.POWER)
    if all(counts[kind] is None for kind in kinds):
        return told("no_layer", language)
    return "; ".join(f"{THINGS[kind][which]}: {_count(kind, counts, language)}" for kind in kinds)


def _layers(changes: Sequence[PackChange], language: str) -> Iterator[Block]:
    """By which layers, and how old they are."""
    layers = dict.fromkeys(layer for one in changes for layer in one.layers)
    said = [layer_named(layer, language) for layer in layers]
    text = told("by_layers", language, layers="; ".join(said)) if said else told("by_no_layers", language)
    yield Paragraph(text=text, kind="small")


def layer_named(layer: PackLayer, language: str) -> str:
    """Whose it is, of when, and whether that is old."""
    return told(
        "layer_dated" if layer.valid_ns is not None else "layer_undated",
        language,
        name=f"{layer.name} ({layer.owner})" if layer.owner else layer.name,
        at="" if layer.valid_ns is None else minute_of(layer.valid_ns),
        old=told("layer_old", language) if layer.is_stale and layer.valid_ns is not None else "",
    )
