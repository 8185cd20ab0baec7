"""Comparison of two flights or images: changes by commune (`flycam compare`).

  sides ─ common grid (the coarser GSD, the work CRS) ─ both resampled to it
   ─ coregistered, or refused ─ AFTER warped onto BEFORE ─ clouds masked
   ─ candidates, where both have colours
   ─ cut to the requested area ─ communes ─ one file ─ the catalogue, where an event's analyst decides

The detector is passed in: this module does not know what a landslide looks like.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
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
from flycam.change.comparison_grid import (
    ImageSource,
    build_common_grid,
    clip_to_area,
    load_comparison_terrain,
    open_image_pair,
    read_source,
    select_comparison_crs,
    select_event_flights,
)
from flycam.change.coregistration import Registration, coregister_images, resample_after
from flycam.change.image_pair import ColourFault, ImagePair, find_colour_fault, is_one_picture, mask_clouds
from flycam.change.outlines import (
    DECIDED,
    DECIMALS,
    ChangePolygon,
    CommuneChanges,
    DetectedCandidate,
    build_windows_layer,
    derive_record_id,
    extract_compared_ground,
    find_communes_in_grid,
    place_candidates,
    reach_rim,
    to_valid_shapes,
    to_wgs84,
    write_change_layers,
)
from flycam.errors import NotFound, OptionUnusable, StoreConflict
from flycam.geodata.communes import read_area_of_interest
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geodata.feature_file import require_suffix
from flycam.geometry.grid import compute_box_distance_m
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_on_grid
from flycam.messages import Message, _, ngettext
from flycam.model.board import POSITIVE_STATUSES, ChangeAction, ChangeKind, ChangeStatus
from flycam.model.flight import Event, FlightState
from flycam.model.records import AuditEntry, BoundsLonLat, CommuneRecord
from flycam.model.text import format_shell_command
from flycam.mosaic.export import require_output_path
from flycam.mosaic.orthorectify.flight_session import make_event
from flycam.mosaic.raster import OutputGrid
from flycam.mosaic.terrain import compute_lonlat_bounds
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Comparisons in the catalogue, and their candidates --------------------------------------------
#
# Their ground tells "no change" from "not looked at": ground under clouds on either date, beyond what both
# images show, or outside of the requested area is not in it.


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedGround:
    """Ground on which changes were looked for (WGS 84), and all changes there.

    Accepted or waiting, visible to the account or not. cut: as `find_cut_changes` has it.
    """

    ground: BaseGeometry
    changes: Sequence[ChangeVersion]
    cut: Collection[ChangeVersion] = ()


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
    found_by = match_comparisons(make_comparison_reader(catalog, until_ns), latest)
    return ComparedGround(
        ground=shapely.union_all(list(group_by_pair(visible).values())),
        changes=latest,
        cut=find_cut_changes(latest, found_by),
    )


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


def find_cut_changes(
    lines: Sequence[ChangeVersion], found_by: Sequence[Comparison | None]
) -> frozenset[ChangeVersion]:
    """Return the changes that reach the rim of the ground on which they were found.

    Beyond that rim (an image's edge, a cloud, the requested area) nothing was compared, so their areas are
    lower bounds. found_by: as of `match_comparisons`; a hand-drawn change has no such rim.
    """
    by_ground: dict[bytes, list[ChangeVersion]] = {}
    for line, one in zip(lines, found_by, strict=True):
        if one is not None:
            by_ground.setdefault(one.wkb, []).append(line)
    cut: set[ChangeVersion] = set()
    for wkb, some in by_ground.items():
        ground = shapely.from_wkb(wkb)
        middle = shapely.box(*ground.bounds).centroid
        to_work = make_point_transform(WGS84, choose_work_crs(middle.x, middle.y))
        shapes = shapely.transform(to_valid_shapes(some), to_work)
        cut.update(itertools.compress(some, reach_rim(shapes, shapely.transform(ground, to_work))))
    return frozenset(cut)


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


# -- Comparison of two flights or images: changes by commune (`flycam compare`) --------------------


# -- Remarks on a comparison for its reader --------------------------------------------------------


_COLOUR_FAULTS: dict[ColourFault, Message] = {
    ColourFault.GREY: _("has no colours (grey, panchromatic or infrared)"),
    ColourFault.UNREAL: _("has not the colours of daylight (an infrared band?)"),
    ColourFault.DARK: _("is too dark to have colours (night?)"),
}


_MIN_UNKNOWN_SHARE = 0.01
_MIN_CLOUD_SHARE = 0.0005


def describe_clouds(share: float) -> list[Message]:
    """Return the remark that clouds hide a share (0 to 1) of common ground, if so.

    It also states which clouds are not recognised (`change.image_pair`).
    """
    if share < _MIN_CLOUD_SHARE:
        return []
    percent = 100.0 * float(share)
    return [
        _(
            "clouds hide {percent} % of the ground in common on one of the dates: nothing is said of it; "
            "only white clouds are recognised, look for grey ones yourself; fly there again under the clouds",
            percent=Message("{value:.0f}" if percent >= 1.0 else "{value:.1f}", {"value": percent}),
        )
    ]


# Share of the windows found; a remark is made where fewer agree.
_MIN_AGREEING_SHARE = 0.5


def list_pair_doubts(sources: tuple[ImageSource, ImageSource], registration: Registration) -> list[Message]:
    """Return why every change between two sides is less sure than elsewhere.

    Most of the ground disagrees with the registration, or a side's photos are not adjusted.
    """
    doubts: list[Message] = []
    if registration.agreed_share < _MIN_AGREEING_SHARE:
        doubts.append(
            _(
                "only {agreed} of {windows} windows found agree on the offset of the pictures, the "
                "others are up to {off_m:.2f} m off: most of the ground changed or does not fit; look at "
                "the registration layer before you trust a change",
                agreed=int(registration.agreed.sum()),
                windows=registration.found,
                off_m=registration.found_p95_m,
            )
        )
    if live := " & ".join(side.name for side in sources if side.is_live):
        doubts.append(
            _(
                "{names}: not finished, its photos lie metres off each other, and so do changes at their "
                "seams; run 'flycam finish' first",
                names=live,
            )
        )
    return doubts


# Offset of AFTER as it came: more is worth an adjustment.
_FAR_PX = 2.0


def list_pair_remarks(
    sources: tuple[ImageSource, ImageSource],
    unfit: Message | None,
    came_off_px: float,
    without_heights: float,
) -> list[Message]:
    """Return remarks on the two sides and the terrain.

    unfit            why the comparison is not recorded, if so
    came_off_px      offset of AFTER from BEFORE before coregistration
    without_heights  share of the common ground whose height is not known, 0 to 1
    """
    remarks: list[Message] = []
    if unfit is not None:
        remarks.append(unfit)
    elif came_off_px > _FAR_PX and (tie_remark := _to_be_tied(*sources)):
        remarks.append(tie_remark)
    remarks += _without_terrain(without_heights)
    if not any(side.flight for side in sources):
        remarks.append(
            _("scores were fitted on drills of flights over mountains: of other pictures they are worth less")
        )
    return remarks


def list_commune_remarks(communes: Sequence[CommuneRecord]) -> list[Message]:
    """Return the remark that no boundaries are known there, if so.

    It concerns this node, not the two images.
    """
    if communes:
        return []
    return [_("no boundaries here: changes have no commune; register them with flycam communes add")]


def _without_terrain(share: float) -> list[Message]:
    """Return the remark on candidates without terrain, on a share (0-1) of ground.

    Slope distinguishes a landslide from a field and a flood from mud.
    """
    if share <= _MIN_UNKNOWN_SHARE:
        return []
    if share > 1.0 - _MIN_UNKNOWN_SHARE / 2:
        return [
            _(
                "no terrain: landslide, flood and other cannot be distinguished, each "
                "candidate is called other, and scores are not probabilities; register it "
                "with 'flycam dem add', or give it with --dem, and compare again"
            )
        ]
    return [
        _(
            "no terrain is known under {percent:.0f} % of the ground: there landslide, flood "
            "and other cannot be distinguished, each candidate is called other, and scores "
            "are not probabilities; register it with 'flycam dem add', or give it with --dem, "
            "and compare again",
            percent=100.0 * share,
        )
    ]


def _to_be_tied(before: ImageSource, after: ImageSource) -> Message | None:
    """Return the command that adjusts a finished flight to an earlier finished one."""
    if before.flight is None or after.flight is None or before.is_live or after.is_live:
        return None
    return _(
        "{after}: was displaced from {before} and was warped onto it; its photos are adjusted by: {command}",
        after=after.name,
        before=before.name,
        command=format_shell_command("finish", after.name, "--reference", before.name),
    )


def explain_unreviewable(sources: tuple[ImageSource, ImageSource]) -> Message | None:
    """Return the reason why a comparison must not be recorded, or None.

    Both sides are one flight or file, or the second was flown first: there "nothing was found" would be
    misread as "no damage".
    """
    before, after = sources
    if is_same_source(before, after):
        return _(
            "{name}: is given as both BEFORE and AFTER: nothing can have changed between the "
            "two; not put up for review, and its ground is not on record as compared; give "
            "two dates",
            name=after.name,
        )
    if before.flight is None or after.flight is None or after.flight.first_ns >= before.flight.first_ns:
        return None
    return _(
        "{after}: was flown before {before}, yet is given as AFTER: what healed is taken for "
        "damage; not put up for review, and its ground is not on record as compared; give "
        "the older one first",
        after=after.name,
        before=before.name,
    )


def describe_same_pixels(sources: tuple[ImageSource, ImageSource]) -> Message:
    """Return the remark that both sides are one image, which must not be recorded."""
    before, after = (side.name for side in sources)
    return _(
        "{before} and {after}: are alike to the pixel, one picture given twice: nothing can have changed "
        "between the two; not put up for review, and its ground is not on record as compared; give two dates",
        before=before,
        after=after,
    )


def describe_other_location(sources: tuple[ImageSource, ImageSource], event: str, off_m: float) -> Message:
    """Return the remark that the ground is too far off to be the event's.

    So far from all that is known of the event, the images are not those that were meant.
    """
    before, after = (side.name for side in sources)
    return _(
        "{before} and {after}: lie {off_km:,.0f} km from every flight of {event} and every commune known "
        "here: not put up for review, and their ground is not on record as compared; give pictures of that "
        "event, or register the boundaries of their ground with flycam communes add",
        before=before,
        after=after,
        off_km=off_m / 1e3,
        event=event,
    )


def is_same_source(before: ImageSource, after: ImageSource) -> bool:
    """Return True if both sides are one flight or file."""
    if before.flight is not None and after.flight is not None:
        return before.flight.flight_id == after.flight.flight_id
    return before.file is not None and before.file == after.file


# -- Distance from an event's flights and the known communes ---------------------------------------


MAX_EVENT_DISTANCE_M = 100_000.0
"""Farthest from all that is known of an event: neighbouring provinces and a river's upper reaches lie nearer.
Chosen, not fitted: what it catches is the wrong file, which lies anywhere on earth."""


def measure_event_distance(catalog: Catalog, event: Event, bounds: BoundsLonLat) -> float | None:
    """Return the metres from bounds to an event's nearest flight or commune.

    bounds: degrees.

    None if that is near enough to be the event's ground, or if neither flight nor commune is known.
    """
    known = [
        flight.bounds_lonlat_deg
        for flight in catalog.flights.flights(event.event_id)
        if flight.state is not FlightState.WITHDRAWN and flight.bounds_lonlat_deg is not None
    ]
    known += catalog.boundaries.boxes()
    nearest_m = min((compute_box_distance_m(bounds, one) for one in known), default=0.0)
    return nearest_m if nearest_m > MAX_EVENT_DISTANCE_M else None


# -- Comparison of two sides -----------------------------------------------------------------------


Mask = NDArray[np.bool_]
DetectorFactory = Callable[..., Callable[[], Sequence[DetectedCandidate]]]
"""`prepare_detection`: (pair, *, stable) to a function that returns candidates; the pair may be freed before
the call."""

FindTerrain = Callable[[], TerrainGrid | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonReport:
    """Result of a comparison.

    common_m2   ground imaged on both dates and free of clouds (inside the requested area): all that the
        result refers to
    is_detected  whether changes were looked for at all, which is impossible between an image and itself;
        the remarks say why not
    by_commune  every commune that the grid touches, the most changed first
    remarks     what the reader has to know
    enqueued    what was written to the catalogue for review; None: nothing, as there is no event, it
        was not requested, or the pair is unfit
    for_review  whether review was requested
    is_unfit    whether it may not be reviewed: the two are one flight or image, in the wrong order, or lie
        far from the event; a remark says which
    """

    path: Path
    crs: str
    gsd_m: float
    common_m2: float
    registration: Registration
    is_detected: bool
    changes: tuple[ChangePolygon, ...]
    by_commune: tuple[CommuneChanges, ...]
    remarks: tuple[Message, ...]
    seconds: float
    enqueued: EnqueueReport | None = None
    for_review: bool = True
    is_unfit: bool = False


def compare_sources(
    workspace: Workspace,
    before: str,
    after: str,
    out: Path,
    make_detector: DetectorFactory,
    *,
    dem: Path | None = None,
    aoi: Path | None = None,
    event: str | None = None,
    for_review: bool = True,
    progress: Progress = ignore_progress,
) -> ComparisonReport:
    """Compare two flights (id or name) or images (path); write candidates to `out`.

    They are also written to the catalogue for review: of the requested event, else of that of both flights;
    but not those of a flight or image beside itself, of two in the wrong order, or of ground far from all
    that is known of the event.

    dem  terrain to judge slopes by; None: what a flight was orthorectified on, else what is registered here
    aoi  polygons to stay inside; the ground around them helps to coregister and to learn what is usual

    Raises OptionUnusable (out; a real event where a side is a drill's), NotFound, SourceUnreadable,
    CrsMissing, InputUnusable (no such folder, area beside the images), what `load_comparison_terrain` raises;
    CoregistrationFailed where the registration is not certain; StorageFailed (a flight was moved to another
    event meanwhile: StoreConflict).
    """
    started = time.monotonic()
    require_output_path(out)
    require_suffix(out)
    sides = open_image_pair(workspace, before, after)
    reviewing = choose_review_event(workspace, sides, event) if for_review else None
    area = None if aoi is None else read_area_of_interest(aoi)
    crs = select_comparison_crs(*sides)
    grid, grid_remarks = build_common_grid(*sides, crs, area, "" if aoi is None else aoi.name)
    unfit = explain_unreviewable(sides) or _describe_other_location(workspace, reviewing, sides, grid, crs)
    find_terrain = partial(load_comparison_terrain, workspace, sides, dem, grid, crs)
    found = _detect(sides, grid, crs, make_detector, find_terrain, area=area, progress=progress)
    if unfit is None and found.is_one_picture:
        unfit = describe_same_pixels(sides)
    looked_for = found.has_colours and not (found.is_one_picture or is_same_source(*sides))
    registration, common = found.registration, found.common
    is_drill = any(side.is_drill for side in sides) or (reviewing is not None and reviewing.is_drill)
    communes = find_communes_in_grid(workspace.catalog, sides[1].flight, grid, crs, is_drill=is_drill)
    compared = extract_compared_ground(common & looked_for, grid)
    changes, by_commune = place_candidates(
        found.candidates, grid, common, compared, communes, crs, registration, on_terrain=found.on_terrain
    )
    write_change_layers(out, changes, compared, registration, grid, crs)
    doubts = list_pair_doubts(sides, registration)
    came_off_px = float(np.hypot(*registration.shift_m)) / registration.gsd_m
    pair_remarks = list_pair_remarks(sides, unfit, came_off_px, found.without_heights)
    warnings = PairWarnings(doubts=doubts, others=[*grid_remarks, *found.remarks, *pair_remarks])
    queue_report = None
    if reviewing is not None and unfit is None:
        queue_report = enqueue_candidates(workspace, reviewing, sides, changes, registration, crs)
        # After its candidates: a comparison recorded without them would read as nothing found.
        store_comparison(workspace, reviewing, sides, compared, registration, grid, crs, warnings)
    return ComparisonReport(
        path=out,
        crs=crs,
        gsd_m=grid.step_x,
        common_m2=float(np.count_nonzero(common)) * grid.step_x**2,
        registration=registration,
        is_detected=looked_for,
        changes=tuple(changes),
        by_commune=tuple(by_commune),
        remarks=(*warnings.all, *list_commune_remarks(communes)),
        seconds=time.monotonic() - started,
        enqueued=queue_report,
        for_review=for_review,
        is_unfit=unfit is not None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Detected:
    """Candidates of the detector, in pixels of the grid.

    common           H×W: imaged on both dates, free of clouds, inside the requested area
    has_colours      whether both have the colours that detection takes
    without_heights  share of the common ground whose height is not known; on_terrain: whether any is known
    is_one_picture   whether both sides are the same, pixel by pixel
    remarks          why changes were not looked for, and what clouds hide
    """

    candidates: Sequence[DetectedCandidate]
    registration: Registration
    common: Mask
    has_colours: bool
    on_terrain: bool
    is_one_picture: bool
    without_heights: float
    remarks: list[Message]


def _detect(
    sources: tuple[ImageSource, ImageSource],
    grid: OutputGrid,
    crs: str,
    detecting: DetectorFactory,
    find_terrain: FindTerrain,
    *,
    area: BaseGeometry | None,
    progress: Progress,
) -> _Detected:
    """Detect candidates where both sides are valid and have colours.

    Raises CoregistrationFailed, and what `find_terrain` raises.
    """
    # both sides over the grid, AFTER coregistered onto BEFORE
    # each side in a thread of its own
    progress("lay", 0, 2)
    with ThreadPoolExecutor(2, thread_name_prefix="lay") as pool:
        both = list(pool.map(lambda side: read_source(side, grid, crs), sources))
    progress("lay", 2, 2)
    (before_rgb, before_seen), (after_rgb, after_seen) = both
    registration = coregister_images(
        before_rgb,
        before_seen,
        after_rgb,
        after_seen,
        gsd_m=grid.step_x,
        names=(sources[0].name, sources[1].name),
        progress=progress,
    )
    is_one = is_one_picture(before_rgb, after_rgb, before_seen & after_seen)
    after_rgb, after_seen = resample_after(registration, after_rgb, after_seen)
    terrain = find_terrain()
    pair = ImagePair(
        before_rgb=before_rgb,
        after_rgb=after_rgb,
        before_seen=before_seen,
        after_seen=after_seen,
        gsd_m=grid.step_x,
        heights_m=_heights(terrain, grid),
    )
    on_terrain = terrain is not None
    pair, hidden = mask_clouds(pair)
    colourless = _colourless(sources, pair)
    find: Callable[[], Sequence[DetectedCandidate]] = tuple
    if not colourless:
        find = detecting(pair, stable=registration.stable((grid.rows, grid.cols)))
    common = pair.both_seen
    # Only now: what is usual around is learnt outside of the area too.
    if area is not None:
        clip_to_area(area, grid, crs, common)
    # share of common ground without height; of all if none is common
    unknown = np.isnan(pair.heights_m)
    without_heights = float((unknown[common] if common.any() else unknown).mean())
    # Large images leave no memory for the pair beside what is made of it now.
    del pair
    progress("change", 0, 1)
    candidates = find()
    progress("change", 1, 1)
    return _Detected(
        candidates=candidates,
        registration=registration,
        common=common,
        has_colours=not colourless,
        on_terrain=on_terrain,
        is_one_picture=is_one,
        without_heights=without_heights,
        remarks=[*colourless, *describe_clouds(hidden)],
    )


def _describe_other_location(
    workspace: Workspace,
    event: Event | None,
    sources: tuple[ImageSource, ImageSource],
    grid: OutputGrid,
    crs: str,
) -> Message | None:
    """Return a remark if the compared ground is too far off to be the event's."""
    if event is None:
        return None
    off_m = measure_event_distance(workspace.catalog, event, compute_lonlat_bounds(grid.bounds, crs))
    return None if off_m is None else describe_other_location(sources, event.name, off_m)


def _colourless(sources: tuple[ImageSource, ImageSource], pair: ImagePair) -> list[Message]:
    """Return a remark on each side without the colours that detection takes."""
    common = pair.both_seen
    faults = [find_colour_fault(rgb, common, pair.gsd_m) for rgb in (pair.before_rgb, pair.after_rgb)]
    return [
        _(
            "{name}: {fault}: changes were not looked for, the pictures were only aligned; "
            "give a colour picture taken by day",
            name=side.name,
            fault=_COLOUR_FAULTS[fault],
        )
        for side, fault in zip(sources, faults, strict=True)
        if fault is not None
    ]


def _heights(terrain: TerrainGrid | None, grid: OutputGrid) -> NDArray[np.float32]:
    if terrain is None:
        return np.full((grid.rows, grid.cols), np.nan, np.float32)
    return interpolate_heights_on_grid(terrain, *grid.centres(0, 0, (grid.rows, grid.cols)))
