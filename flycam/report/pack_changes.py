"""Confirmed changes as a meeting pack tells of them: where, how large, what they touch, what nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flycam.frame.specialist import LayerKind
from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.change_names import CHANGE_KINDS, THINGS
from flycam.report.numbers import area, listed, metres, moment, percent
from flycam.report.pack_figures import Counts, PackChange, PackCommune, PackFigures, PackLayer, PackRoad
from flycam.report.pack_words import head, place_said, told

_MOST_ROADS = 6


def changes_summary(figures: PackFigures, language: str) -> str:
    """How many are confirmed on the ground shown; that none is does not mean that nothing changed."""
    if figures.changes:
        which = 0 if language == "vi" else 1
        said = [
            f"{CHANGE_KINDS[kind][which].lower()}: {count}" for kind, count in sorted(figures.places.items())
        ]
        text = told("changes_said", language, kinds=", ".join(said), area=area(figures.changes_m2, language))
        if sum(figures.places.values()) < len(figures.changes):
            text = f"{text} {told('changes_same', language, count=len(figures.changes))}"
    else:
        text = told("no_changes", language)
    if not figures.changes_elsewhere:
        return text
    return f"{text} {told('changes_elsewhere', language, count=figures.changes_elsewhere)}"


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
    yield from _layers(figures.changes, language)


def changes_in(commune: PackCommune, language: str) -> Iterator[Block]:
    """Confirmed changes of one commune, one by one, and how much of it was looked at: nothing found is told
    from nobody looked."""
    yield Heading(text=told("changes_here", language))
    if commune.changes:
        yield changes_table(commune.changes, language)
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
        yield changes_table(loose, language)


def changes_table(changes: Sequence[PackChange], language: str) -> Table:
    """What each is, where, what it touches, and who confirmed it."""
    which = 0 if language == "vi" else 1
    return Table(
        head=head(language, "number", "kind", "place", "touched", "note", "decided"),
        rows=tuple(
            (
                f"T{one.number}",
                f"{CHANGE_KINDS[one.kind][which]}, {area(one.area_m2, language)}",
                place_said(one.lonlat_deg, one.vn2000, language),
                _touched(one, language),
                one.note,
                f"{one.author}, {moment(one.at_ns)}",
            )
            for one in changes
        ),
    )


def _touched(one: PackChange, language: str) -> str:
    """In sentences: roads cut, what is in it or near it, and of what nobody knows."""
    which = 0 if language == "vi" else 1
    parts = []
    if one.roads_cut:
        parts.append(f"{told('col_roads_cut', language)}: {_named(one.roads_cut, language)}")
    for kind, names in THINGS.items():
        count = one.counts[kind]
        if count is not None and (count.inside or count.near):
            parts.append(f"{names[which]}: {_count(kind, one.counts, language)}")
    unknown = [names[which] for kind, names in THINGS.items() if one.counts[kind] is None]
    if not parts and len(unknown) < len(THINGS):
        parts.append(told("touches_nothing", language))
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
        at="" if layer.valid_ns is None else moment(layer.valid_ns),
        old=told("layer_old", language) if layer.is_stale and layer.valid_ns is not None else "",
    )
