"""Comparisons in the catalogue, and their candidates.

Their ground tells "no change" from "not looked at": ground under clouds on either date, beyond what both
images show, or outside of the requested area is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import AccessPolicy, LockedPreparedGeometry
from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import (
    Changes,
    ChangeVersion,
    ComparedWindow,
    Comparison,
    parse_revision,
    strip_location,
)
from flycam.change.comparison_grid import ImageSource, select_event_flights
from flycam.change.coregistration import Registration
from flycam.change.outlines import (
    DECIDED,
    DECIMALS,
    ChangePolygon,
    build_windows_layer,
    derive_record_id,
    to_valid_shapes,
    to_wgs84,
)
from flycam.errors import NotFound, OptionUnusable, StoreConflict
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.messages import Message, _, ngettext
from flycam.model.board import POSITIVE_STATUSES, ChangeAction, ChangeKind, ChangeStatus
from flycam.model.flight import Event
from flycam.model.records import AuditEntry
from flycam.mosaic.orthorectify.flight_session import make_event
from flycam.mosaic.raster import OutputGrid
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedGround:
    """Ground on which changes were looked for (WGS 84), and all changes there.

    Accepted or waiting, visible to the account or not.
    """

    ground: BaseGeometry
    changes: Sequence[ChangeVersion]


PairKey = tuple[str, str]
"""Mosaics (of any revision) or names of files: before, after."""

ComparisonReader = Callable[[str], Sequence[Comparison]]
"""Comparisons by id of the event."""

MIN_COMPARED = 0.9
"""Share of a place from which its growth, or that nothing was found there, can be stated: outlines differ at
the rim."""

_MAX_CACHED_GROUNDS, _MAX_CACHED_UNIONS = 256, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class PairWarnings:
    """Warnings on an image pair for those who decide by it.

    doubts: why every change found between its images is less sure than elsewhere; others: all else.
    """

    doubts: Sequence[Message] = ()
    others: Sequence[Message] = ()

    @property
    def all(self) -> tuple[Message, ...]:
        return (*self.doubts, *self.others)


NO_WARNINGS = PairWarnings()


def store_comparison(
    workspace: Workspace,
    event: Event,
    sources: tuple[ImageSource, ImageSource],
    compared: BaseGeometry,
    registration: Registration,
    grid: OutputGrid,
    crs: str,
    warnings: PairWarnings = NO_WARNINGS,
) -> bool:
    """Record the ground of an event (multipolygon in `crs`) that was compared.

    Kept with the registration there and the warnings. Returns True if the record is new, which it also is if
    the warnings changed since the same ground was compared before; False, without a record, where changes
    were not looked for. The outline is shrunk by a pixel before its steps are smoothed: never more than was
    compared.

    Raises StoreConflict if a flight was moved out of the event since it was opened.
    """
    # simplified without reaching beyond
    inner = shapely.simplify(shapely.buffer(compared, -grid.step_x, join_style="mitre"), grid.step_x)
    parts = [part for part in shapely.get_parts(inner) if part.geom_type == "Polygon" and not part.is_empty]
    inner = shapely.MultiPolygon(parts)
    if inner.is_empty:
        return False
    shape = to_wgs84(inner, crs)
    shown, wkb = (sources[0].shown, sources[1].shown), shapely.to_wkb(shape)
    pair_key = strip_location(shown[0]), strip_location(shown[1])
    west, south, east, north = (float(side) for side in shape.bounds)
    at_ns = workspace.clock_ns()
    warning_texts = map(str, warnings.all)
    record = Comparison(
        comparison_id=f"compared-{derive_record_id(event.event_id, *pair_key, wkb.hex(), *warning_texts)}",
        event_id=event.event_id,
        before_shown=shown[0],
        after_shown=shown[1],
        rmse_m=registration.rmse_m,
        author=workspace.operator or workspace.box,
        at_ns=at_ns,
        wkb=wkb,
        bounds_lonlat_deg=(west, south, east, north),
        doubts=tuple(warnings.doubts),
        warnings=tuple(warnings.others),
    )
    entry = AuditEntry(
        who=record.author,
        what="ground compared",
        subject=event.event_id,
        detail=f"{inner.area / 1e4:.2f} ha: {shown[0]} to {shown[1]}",
        at_ns=at_ns,
    )
    layer = build_windows_layer(registration, grid)
    places = make_point_transform(crs, WGS84)(shapely.get_coordinates(layer.shapes)).round(DECIMALS)
    windows = [
        ComparedWindow(
            lonlat_deg=(float(lon), float(lat)),
            state=str(state),
            residual_m=round(float(residual), 3) if np.isfinite(residual) else None,
        )
        for (lon, lat), state, residual in zip(
            places, layer.fields["state"], layer.fields["residual_m"], strict=True
        )
    ]
    of_flights = select_event_flights(sources, event.event_id)
    added = workspace.catalog.comparisons.add([record], windows, lambda _count: entry, flight_ids=of_flights)
    return added > 0


def list_visible_comparisons(
    catalog: Catalog, event_id: str, policy: AccessPolicy, until_ns: int | None = None
) -> list[Comparison]:
    """Return an event's comparisons, without those on flights that the policy hides."""
    found = catalog.comparisons.list_for_event(event_id, until_ns)
    return [one for one in found if not any(policy.hides_mosaic(name) for name in one.mosaics)]


def find_compared_ground(
    catalog: Catalog, event_ids: Sequence[str], policy: AccessPolicy, until_ns: int | None = None
) -> ComparedGround:
    """Return the compared ground of events, and all their changes, hidden or not."""
    visible = [one for name in event_ids for one in list_visible_comparisons(catalog, name, policy, until_ns)]
    latest = [
        line
        for name in event_ids
        for line in catalog.changes.current(name, statuses=POSITIVE_STATUSES, until_ns=until_ns)
    ]
    return ComparedGround(ground=shapely.union_all(list(group_by_pair(visible).values())), changes=latest)


def make_comparison_reader(catalog: Catalog, until_ns: int | None = None) -> ComparisonReader:
    """Return a cached reader of an event's comparisons up to a time (UTC).

    Each event is read once: make a reader for each answer.
    """
    return cache(lambda event_id: tuple(catalog.comparisons.list_for_event(event_id, until_ns)))


def group_by_pair(some: Iterable[Comparison]) -> dict[PairKey, BaseGeometry]:
    """Return the ground (WGS 84) compared for each pair of mosaics or files."""
    pairs: dict[PairKey, list[Comparison]] = {}
    for one in some:
        pairs.setdefault(one.pair, []).append(one)
    return {pair: unite_ground(of_pair) for pair, of_pair in pairs.items()}


def unite_ground(some: Sequence[Comparison]) -> BaseGeometry:
    """Return the union (WGS 84, valid) of some comparisons' ground.

    Cached by their bytes, which never change.
    """
    wkbs = tuple(dict.fromkeys(one.wkb for one in some))
    return _ground(wkbs[0]).shape if len(wkbs) == 1 else _united(wkbs)


@lru_cache(maxsize=_MAX_CACHED_GROUNDS)
def _ground(wkb: bytes) -> LockedPreparedGeometry:
    return LockedPreparedGeometry(shapely.make_valid(shapely.from_wkb(wkb)))


@lru_cache(maxsize=_MAX_CACHED_UNIONS)
def _united(wkbs: tuple[bytes, ...]) -> BaseGeometry:
    return shapely.union_all([_ground(wkb).shape for wkb in wkbs])


def find_comparison_windows(
    catalog: Catalog, line: ChangeVersion, reader: ComparisonReader | None = None
) -> list[ComparedWindow]:
    """Return the windows of the comparison that found a change.

    See `match_comparisons`.
    """
    (found,) = match_comparisons(reader or make_comparison_reader(catalog), [line])
    return [] if found is None else catalog.comparisons.windows(found.comparison_id)


def match_comparisons(reader: ComparisonReader, lines: Sequence[ChangeVersion]) -> list[Comparison | None]:
    """Return for each change the newest comparison that may have found it.

    One of the same revisions and files if recorded, else of the same mosaics; None if none was kept. None
    also for a drawn change, whatever it was drawn over: the registration says nothing about its position.
    """
    events = {line.event_id for line in lines if not line.is_drawn}
    of_pair: dict[tuple[str, PairKey], list[Comparison]] = {}
    for one in (one for event_id in sorted(events) for one in reader(event_id)):
        of_pair.setdefault((one.event_id, one.pair), []).append(one)
    return [
        None if line.is_drawn else _match_comparison(line, of_pair.get((line.event_id, line.pair), ()))
        for line in lines
    ]


def _match_comparison(line: ChangeVersion, made: Sequence[Comparison]) -> Comparison | None:
    pictures, shape = _pictures(line), shapely.from_wkb(line.wkb)
    holding = [one for one in made if _ground(one.wkb).intersects(shape)]
    return max(holding, key=lambda one: (_pictures(one) == pictures, one.at_ns), default=None)


def _pictures(one: ChangeVersion | Comparison) -> PairKey:
    """Return its two image references, revisions included, without folders."""
    return strip_location(one.before_shown), strip_location(one.after_shown)


# -- Candidates that a newer revision did not show again: marked, and ranked below -----------------
#
# Candidates wait in the catalogue for review; new ones are matched with changes of the same image pair.
#
# Such a candidate stays, for an analyst may see what the detector did not. Shares of small shapes are
# computed in degrees.


def find_superseded_candidates(
    lines: Sequence[ChangeVersion], comparisons: Sequence[Comparison]
) -> frozenset[str]:
    """Return ids of untouched waiting changes that were compared again but not found.

    Their ground was compared on a newer revision of the same images: had they been found there again, they
    would have been replaced (`match_candidates`). Likewise candidates found without terrain, once the same
    images were compared with it. lines: current versions; comparisons: of their events.
    """
    shown: dict[tuple[str, str, str, bool], list[ChangeVersion]] = {}
    for line in lines:
        if is_untouched(line):
            shown.setdefault((*_shown(line), line.is_kind_sure), []).append(line)
    judged = [line for line in lines if line.score is not None and line.slope_deg is not None]
    found: set[str] = set()
    for group in shown.values():
        ground = _compared_since(group[0], comparisons, judged)
        if ground is None:
            continue
        shapes = to_valid_shapes(group)
        shares = shapely.area(shapely.intersection(shapes, ground)) / shapely.area(shapes)
        found |= {line.change_id for line, share in zip(group, shares, strict=True) if share >= MIN_COMPARED}
    return frozenset(found)


def is_untouched(line: ChangeVersion) -> bool:
    """Return True if it waits as detected, without an edit or a comment."""
    return line.status is ChangeStatus.PROPOSED and line.action is ChangeAction.FOUND and line.version == 1


def is_older_revision(line: ChangeVersion, other: ChangeVersion | Comparison) -> bool:
    """Return True if one of its revisions is older than the other's and none newer.

    Both are of the same mosaics.
    """
    before = parse_revision(line.before_shown) - parse_revision(other.before_shown)
    after = parse_revision(line.after_shown) - parse_revision(other.after_shown)
    return max(before, after) <= 0 and min(before, after) < 0


def _compared_since(
    line: ChangeVersion, comparisons: Sequence[Comparison], judged: Sequence[ChangeVersion]
) -> BaseGeometry | None:
    """Return ground compared since on newer revisions of its images; None: none.

    judged  changes found with terrain: one of the same images later than a candidate found without shows that
        they were compared again
    """
    is_judged_now = not line.is_kind_sure and any(
        _shown(one) == _shown(line) and one.at_ns > line.at_ns for one in judged
    )
    since = [
        one
        for one in comparisons
        if one.event_id == line.event_id
        and one.pair == line.pair
        and (is_older_revision(line, one) or (is_judged_now and _shown(one) == _shown(line)))
    ]
    return unite_ground(since) if since else None


def _shown(one: ChangeVersion | Comparison) -> tuple[str, str, str]:
    """Return its event and image references, revisions included, without folders."""
    return one.event_id, strip_location(one.before_shown), strip_location(one.after_shown)


# -- Matching of new candidates with known changes of the same image pair --------------------------
#
# Shares of small shapes are computed in degrees.


# Share of the union of both: with as much in common they are one finding.
_SAME_SHARE = 0.5
# Share of the smaller of two: one is a part of the other.
_LIES_ON = 0.5
# Share of a waiting change: with as much of it found again, replacing it loses nothing.
_COVERED = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateMatch:
    """The candidates to write, and the changes that they replace.

    fresh     first versions of candidates that are not known yet; `origins` are the changes that they replace
    replaced  last versions of these changes
    decided   number of candidates skipped because they were decided on in another outline
    """

    fresh: Sequence[ChangeVersion]
    replaced: Sequence[ChangeVersion]
    decided: int


def match_candidates(changes: Changes, found: Sequence[ChangeVersion]) -> CandidateMatch:
    """Match one comparison's candidates with changes of the same image pair.

    A candidate is known if its id is, or if it shares half of the union with a change of its kind that was
    decided on, edited, or that waits since a revision which is not older. An untouched change that waits
    since an older revision is replaced where half of it was found again; so is one found without terrain by
    one found with it. Without terrain kinds cannot be told apart, so there any two kinds match.
    """
    if not found:
        return CandidateMatch(fresh=[], replaced=[], decided=0)
    current = changes.current(found[0].event_id)
    here = {line.change_id for line in current}
    names, sides = {one.change_id for one in found}, found[0].pair
    others = [line for line in current if line.pair == sides and line.change_id not in names]
    decided = [line.change_id for line in others if line.status in DECIDED]
    waiting = [line for line in others if line.status is ChangeStatus.PROPOSED]
    older: list[ChangeVersion] = []
    staying: list[ChangeVersion] = []
    for line in waiting:
        (older if _gives_way(line, found) else staying).append(line)
    touched = {line.change_id for line in staying if not is_untouched(line)}
    # In every outline it ever had: a reviewer may have decided on an earlier one.
    histories = changes.histories({*decided, *touched})
    on_decided = _alike(found, [line for name in decided for line in histories[name]])
    waits = [line for name in sorted(touched) for line in histories[name]]
    known = on_decided | _alike(found, [*staying, *waits])
    fresh = [line for number, line in enumerate(found) if number not in known and line.change_id not in here]
    heirs = _heirs(fresh, older)
    origins: dict[int, list[str]] = {}
    for old, numbers in heirs.items():
        for number in numbers:
            origins.setdefault(number, []).append(older[old].change_id)
    return CandidateMatch(
        fresh=[
            replace(line, origins=tuple(sorted(origins.get(number, ())))) for number, line in enumerate(fresh)
        ],
        replaced=[older[old] for old in heirs],
        decided=len(on_decided),
    )


def _gives_way(line: ChangeVersion, found: Sequence[ChangeVersion]) -> bool:
    """Return True if a waiting change may be replaced by what was found.

    Nobody has edited it, and one of its revisions is older than now and none newer; or it was found without
    terrain, and now there is some.
    """
    if not is_untouched(line):
        return False
    is_judged_now = not line.is_kind_sure and any(one.is_kind_sure for one in found)
    return is_older_revision(line, found[0]) or (is_judged_now and not is_older_revision(found[0], line))


def _alike(found: Sequence[ChangeVersion], there: Sequence[ChangeVersion]) -> set[int]:
    """Return indices of candidates that are one finding with a change."""
    one, other, shared, areas = _overlaps(found, there)
    both = areas[0][one] + areas[1][other] - shared
    return set(one[shared >= _SAME_SHARE * both].tolist())


def _heirs(fresh: Sequence[ChangeVersion], older: Sequence[ChangeVersion]) -> dict[int, list[int]]:
    """Return indices of the candidates that replace a waiting change, by its index."""
    one, other, shared, areas = _overlaps(fresh, older)
    is_same_place = shared >= _LIES_ON * np.minimum(areas[0][one], areas[1][other])
    shapes = to_valid_shapes(fresh), to_valid_shapes(older)
    heirs: dict[int, list[int]] = {}
    for new, old in zip(one[is_same_place].tolist(), other[is_same_place].tolist(), strict=True):
        heirs.setdefault(old, []).append(new)
    return {
        old: sorted(numbers)
        for old, numbers in sorted(heirs.items())
        if shapely.intersection(shapely.union_all(shapes[0][numbers]), shapes[1][old]).area
        >= _COVERED * areas[1][old]
    }


def _overlaps(
    found: Sequence[ChangeVersion], there: Sequence[ChangeVersion]
) -> tuple[Any, Any, Any, list[Any]]:
    """Return intersecting pairs of one kind: indices, shared areas, areas of all.

    A kind that could not be determined matches any.
    """
    shapes, old = to_valid_shapes(found), to_valid_shapes(there)
    one, other = shapely.STRtree(old).query(shapes, predicate="intersects")
    kinds = [np.array([line.kind.value for line in some], dtype=object) for some in (found, there)]
    sure = [np.array([line.is_kind_sure for line in some], dtype=bool) for some in (found, there)]
    same = (kinds[0][one] == kinds[1][other]) | ~sure[0][one] | ~sure[1][other]
    one, other = one[same], other[same]
    shared = shapely.area(shapely.intersection(shapes[one], old[other]))
    return one, other, shared, [shapely.area(shapes), shapely.area(old)]


# -- Entry of candidates in the catalogue ----------------------------------------------------------


# Attempts to write while others decide meanwhile: each needs a decision within milliseconds.
_TRIES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class EnqueueReport:
    """Counts of candidates: new, renewed (replaced an older one), known.

    Known candidates are not written: the change that was found before stays as it was.

    decided       those of the known that were found again slightly differently, and are decided on already
    is_new_event  whether the event was created for them
    """

    event: Event
    new: int
    known: int
    decided: int = 0
    renewed: int = 0
    is_new_event: bool = False


def choose_review_event(
    workspace: Workspace, sources: tuple[ImageSource, ImageSource], event_ref: str | None
) -> Event | None:
    """Return the event to review in: the requested one, else that of both sides.

    None: no event. Two images that belong to no event may begin one, which is recorded only when candidates
    are enqueued.

    Raises NotFound if a flight is given; OptionUnusable where changes found on a drill would be listed beside
    real ones.
    """
    flights = [side.flight for side in sources if side.flight is not None]
    own = {one.event_id for one in flights}
    if event_ref is None:
        return workspace.catalog.flights.event(own.pop()) if len(flights) == 2 and len(own) == 1 else None
    try:
        event = workspace.catalog.flights.event(event_ref)
    except NotFound:
        if flights:
            raise
        return make_event(event_ref, is_drill=any(side.is_drill for side in sources))
    drill = next((side.name for side in sources if side.is_drill), None)
    if drill is not None and not event.is_drill:
        raise OptionUnusable(
            _(
                "--event {name}: is real and {drill} is of a drill: its changes would be "
                "listed with real ones; name the drill",
                name=event.name,
                drill=drill,
            )
        )
    return event


def enqueue_candidates(
    workspace: Workspace,
    event: Event,
    sources: tuple[ImageSource, ImageSource],
    changes: Sequence[ChangePolygon],
    registration: Registration,
    crs: str,
) -> EnqueueReport:
    """Write candidates (in `crs`) to the catalogue, each place of an image pair once.

    A candidate that is known stays as it was decided on or left, also where another revision, area or
    detector draws it otherwise. A change that nobody has edited is replaced by what is found there on a newer
    revision, in a version of its own; a change that is not found again stays.

    Raises StoreConflict if others decide faster than this can be written, or if a flight was moved out of the
    event since it was opened.
    """
    begun = all(one.event_id != event.event_id for one in workspace.catalog.flights.events())
    if begun:
        workspace.catalog.flights.put_event(event)
    shown = sources[0].shown, sources[1].shown
    pair_key = strip_location(shown[0]), strip_location(shown[1])
    at_ns = workspace.clock_ns()
    author = workspace.operator or workspace.box
    step_id = f"found-{derive_record_id(event.event_id, *shown, str(at_ns))}"
    lines = []
    for one in changes:
        shape = to_wgs84(one.polygon, crs)
        wkb = shapely.to_wkb(shape)
        west, south, east, north = (float(side) for side in shape.bounds)
        lines.append(
            ChangeVersion(
                change_id=_change_id(event, pair_key, one, wkb),
                version=1,
                step_id=step_id,
                event_id=event.event_id,
                action=ChangeAction.FOUND,
                status=ChangeStatus.PROPOSED,
                kind=ChangeKind(one.kind),
                score=one.score,
                area_m2=one.area_m2,
                length_m=one.length_m,
                slope_deg=one.slope_deg if math.isfinite(one.slope_deg) else None,
                commune=one.commune,
                tie_m=one.tie_m if math.isfinite(one.tie_m) else None,
                rmse_m=registration.rmse_m,
                error_m=one.error_m if math.isfinite(one.error_m) else None,
                before_shown=shown[0],
                after_shown=shown[1],
                origins=(),
                note="",
                author=author,
                at_ns=at_ns,
                wkb=wkb,
                bounds_lonlat_deg=(west, south, east, north),
            )
        )

    def told(count: int) -> AuditEntry:
        detail = (
            str(ngettext("{count} candidate", "{count} candidates", count))
            + f": {shown[0]} to {shown[1]}, laid within {registration.rmse_m:.2f} m"
        )
        return AuditEntry(
            who=author, what="changes found", subject=event.event_id, detail=detail, at_ns=at_ns
        )

    # what is not known yet is written, and what it replaces superseded; matched again if somebody decided
    # on one of the replaced changes meanwhile
    of_flights = select_event_flights(sources, event.event_id)
    for tries_left in reversed(range(_TRIES)):
        found = match_candidates(workspace.catalog.changes, lines)
        superseded = [_supersede(old, lines[0]) for old in found.replaced]
        try:
            new = workspace.catalog.changes.add_new(
                found.fresh,
                told,
                replaced=superseded,
                replaced_audit_entries=[_make_superseded_entry(line, found.fresh) for line in superseded],
                flight_ids=of_flights,
            )
        except StoreConflict:
            if not tries_left:
                raise
        else:
            break
    renewed = len({one.change_id for one in found.fresh if one.origins})
    return EnqueueReport(
        event=event,
        new=new - renewed,
        known=len(lines) - new,
        decided=found.decided,
        renewed=renewed,
        is_new_event=begun,
    )


def _change_id(event: Event, shown: tuple[str, str], found: ChangePolygon, wkb: bytes) -> str:
    return f"change-{derive_record_id(event.event_id, *shown, *_list_identity_fields(found), wkb.hex())}"


def _list_identity_fields(found: ChangePolygon) -> tuple[str, ...]:
    """Return the fields that identify a candidate besides its outline.

    A candidate judged on terrain differs from one judged without.
    """
    return (found.kind,) if math.isfinite(found.slope_deg) else (found.kind, "no terrain")


def _supersede(old: ChangeVersion, found: ChangeVersion) -> ChangeVersion:
    """Return a waiting change's next version, by the step that found it again."""
    return replace(
        old,
        version=old.version + 1,
        step_id=found.step_id,
        status=ChangeStatus.REPLACED,
        author=found.author,
        at_ns=found.at_ns,
    )


def _make_superseded_entry(line: ChangeVersion, fresh: Sequence[ChangeVersion]) -> AuditEntry:
    heirs = [one for one in fresh if line.change_id in one.origins]
    names = ", ".join(one.change_id for one in heirs)
    detail = f"{line.action}: {line.kind}, {line.status}, version {line.version}: found again as {names}"
    detail += f", {heirs[0].before_shown} to {heirs[0].after_shown}"
    return AuditEntry(who=line.author, what="change", subject=line.change_id, detail=detail, at_ns=line.at_ns)
