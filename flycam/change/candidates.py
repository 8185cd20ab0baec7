"""Queue of change candidates: matched, written to the catalogue, superseded.

Candidates wait in the catalogue for review. New ones are matched with changes of the same image pair; those
that a newer revision did not show again are marked and ranked below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.changes import Changes, ChangeVersion, Comparison, parse_revision, strip_location
from flycam.change.comparison_grid import ImageSource, select_event_flights
from flycam.change.comparison_store import MIN_COMPARED, unite_ground
from flycam.change.coregistration import Registration
from flycam.change.outlines import DECIDED, derive_record_id, to_valid_shapes, to_wgs84
from flycam.change.polygons import ChangePolygon
from flycam.errors import NotFound, OptionUnusable, StoreConflict
from flycam.messages import _, ngettext
from flycam.model.board import ChangeAction, ChangeKind, ChangeStatus
from flycam.model.flight import Event
from flycam.model.records import AuditEntry
from flycam.mosaic.orthorectify.flight_session import make_event
from flycam.workspace import Workspace

# -- Candidates that a newer revision did not show again: marked, and ranked below -----------------
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
    begun = _create_event_if_missing(workspace, event)
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

    found, new = _enqueue(workspace, lines, told, select_event_flights(sources, event.event_id))
    renewed = len({one.change_id for one in found.fresh if one.origins})
    return EnqueueReport(
        event=event,
        new=new - renewed,
        known=len(lines) - new,
        decided=found.decided,
        renewed=renewed,
        is_new_event=begun,
    )


def _create_event_if_missing(workspace: Workspace, event: Event) -> bool:
    """Create the event unless it exists; return True if it was created."""
    if any(one.event_id == event.event_id for one in workspace.catalog.flights.events()):
        return False
    workspace.catalog.flights.put_event(event)
    return True


def _change_id(event: Event, shown: tuple[str, str], found: ChangePolygon, wkb: bytes) -> str:
    return f"change-{derive_record_id(event.event_id, *shown, *_list_identity_fields(found), wkb.hex())}"


def _list_identity_fields(found: ChangePolygon) -> tuple[str, ...]:
    """Return the fields that identify a candidate besides its outline.

    A candidate judged on terrain differs from one judged without.
    """
    return (found.kind,) if math.isfinite(found.slope_deg) else (found.kind, "no terrain")


def _enqueue(
    workspace: Workspace,
    lines: Sequence[ChangeVersion],
    make_entry: Callable[[int], AuditEntry],
    of_flights: Collection[str],
) -> tuple[CandidateMatch, int]:
    """Write candidates that are not known yet and supersede those they replace.

    Returns the match, and the number of changes that were created. Matches again if somebody decided on one
    of the replaced changes meanwhile. Raises StoreConflict.
    """
    for tries_left in reversed(range(_TRIES)):
        found = match_candidates(workspace.catalog.changes, lines)
        superseded = [_supersede(old, lines[0]) for old in found.replaced]
        try:
            new = workspace.catalog.changes.add_new(
                found.fresh,
                make_entry,
                replaced=superseded,
                replaced_audit_entries=[_make_superseded_entry(line, found.fresh) for line in superseded],
                flight_ids=of_flights,
            )
        except StoreConflict:
            if not tries_left:
                raise
        else:
            break
    return found, new


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
