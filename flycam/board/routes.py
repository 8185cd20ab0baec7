"""Routes of marks, reported access, specialist layers, meetings and their places.

Marks are seen by everybody and written by operators and above. Every edit is a new version. Edits come by PUT
with JSON or a photo: no page of another site can make a browser send that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from flycam.access.policy import AccessPolicy, build_withheld_error
from flycam.board.layers import is_url
from flycam.board.marks import (
    MAX_MARK_CORNERS,
    MAX_REACH_M,
    REACH_M,
    AccessReport,
    MarkEdit,
    add_mark_photo,
    build_mark_collection,
    build_mark_feature,
    encode_mark_shape,
    list_access_history,
    list_event_settlements,
    report_access,
    serialize_settlement,
    write_mark,
)
from flycam.catalog.board import (
    BriefingPlace,
    BriefingVersion,
    SettlementVersion,
    make_layer_not_found,
    make_mark_not_found,
)
from flycam.catalog.catalog import Catalog
from flycam.catalog.tables import intersect_boxes, is_touching
from flycam.errors import AccessDenied, InputUnusable, NotFound, StoreConflict
from flycam.http.guards import (
    AccessPolicyHere,
    AnalystPrincipal,
    CatalogHere,
    GuardedRoute,
    GuestPrincipal,
    OperatorPrincipal,
    Principal,
    ServicesHere,
    ViewerPrincipal,
    get_services,
    require_operator,
    require_viewer,
)
from flycam.http.protocol import (
    BRIEF_CACHE_HEADERS,
    MAX_LARGE_BYTES,
    Json,
    format_iso_or_none,
    parse_bounds,
    parse_until,
    read_body,
    take_fitting_outlines,
    to_geojson_collection,
    to_geojson_feature,
)
from flycam.messages import _
from flycam.model.access import Role
from flycam.model.board import Access, LayerKind, MarkKind, MarkStatus, get_stale_after_s, is_stale
from flycam.model.flight import Classification
from flycam.model.records import AuditEntry, BoundsLonLat, LayerFeatureRecord, LayerRecord, MarkVersion
from flycam.model.text import (
    MAX_NOTE_LENGTH,
    is_printable,
    strip_unprintable,
    strip_url_credentials,
    to_search_key,
)
from flycam.model.time import format_iso
from flycam.originals import require_not_purged
from flycam.storage import keys
from flycam.workspace import Workspace

router = APIRouter(route_class=GuardedRoute)

_MAX_MARKS = 5000


class MarkBody(BaseModel):
    """A mark as it is to be. places: [longitude, latitude] of a point, or the corners of a sector."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    event_id: Annotated[str, Field(max_length=200)]
    kind: MarkKind
    status: MarkStatus = MarkStatus.OPEN
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    places: Annotated[list[tuple[float, float]], Field(min_length=1, max_length=MAX_MARK_CORNERS)]


@router.get("/api/marks", dependencies=[Depends(require_viewer)])
def list_marks(
    catalog: CatalogHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str | None, Query(max_length=200)] = None,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    removed: bool = False,
    vn2000: bool = False,
    until: datetime | None = None,
) -> Json:
    """Marks of an event (id or name), else of all, as they stand (GeoJSON), the newest first; with `removed`
    also those taken off the map.

    bounds is west,south,east,north in degrees; with `vn2000` each has its VN-2000 coordinates too; with
    `until` (without a zone it is Vietnam's) as they stood then.
    """
    event_id = None if event is None else catalog.flights.event(event).event_id
    found = catalog.marks.current(
        event_id, parse_bounds(bounds), with_removed=removed, until_ns=parse_until(until)
    )
    found = [one for one in found if not access_policy.is_outside(one.wkb)]
    answer = build_mark_collection(found[:_MAX_MARKS], catalog.boundaries if vn2000 else None)
    return {**answer, "numberMatched": len(found), "numberReturned": min(len(found), _MAX_MARKS)}


@router.get("/api/marks/{mark_id}", dependencies=[Depends(require_viewer)])
def get_mark_history(mark_id: str, catalog: CatalogHere, access_policy: AccessPolicyHere) -> Json:
    """Every line of a mark, the first first: who wrote what, and when."""
    return build_mark_collection(_find_lines(catalog, mark_id, access_policy), catalog.boundaries)


@router.put("/api/marks/{mark_id}")
def put_mark(mark_id: str, mark: MarkBody, principal: OperatorPrincipal, services: ServicesHere) -> Json:
    """Write a mark: new with based_on 0, else a change of the version that was seen (409: there is a newer).

    The caller makes the id, "mark-" and 8 to 40 hex digits: the same sent twice is written once. 403 where it
    would lie beyond the communes that the caller is there for.
    """
    if mark.based_on:
        _find_lines(services.workspace.catalog, mark_id, principal.access_policy)
    edit = MarkEdit(mark_id=mark_id, **mark.model_dump())
    if principal.access_policy.is_outside(encode_mark_shape(edit)):
        raise _build_outside_error(principal.name)
    return build_mark_feature(write_mark(services.workspace, edit, principal.name), None)


@router.put(
    "/api/marks/{mark_id}/photo",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_mark_photo(
    mark_id: str,
    request: Request,
    principal: OperatorPrincipal,
    services: ServicesHere,
    based_on: Annotated[int, Query(ge=1, le=1_000_000)],
) -> Json:
    """Give a mark a photo (JPEG, PNG, WebP): kept as pixels only, without what else the file holds."""
    await asyncio.to_thread(_find_lines, services.workspace.catalog, mark_id, principal.access_policy)
    data = await read_body(request, MAX_LARGE_BYTES)
    # again: the token may have been revoked while the body came
    await asyncio.to_thread(require_operator, request)
    line = await asyncio.to_thread(
        add_mark_photo, services.workspace, mark_id, based_on, data, principal.name
    )
    return build_mark_feature(line, None)


@router.get("/api/marks/{mark_id}/photo")
def get_mark_photo(
    mark_id: str,
    catalog: CatalogHere,
    services: ServicesHere,
    principal: ViewerPrincipal,
    version: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> Response:
    """The photo of a mark, of its last line or an older version."""
    lines = _find_lines(catalog, mark_id, principal.access_policy)
    if any(principal.access_policy.touches(one.wkb) for one in lines):
        raise build_withheld_error(mark_id, principal.name)
    line = next((one for one in lines if one.version == version), None) if version else lines[-1]
    if line is None or line.photo_sha256 is None:
        raise NotFound(_("{mark_id}: has no photo there; see its history", mark_id=mark_id))
    require_not_purged(services.workspace, line.photo_sha256)
    jpeg = services.workspace.store.get(keys.format_original_key(line.photo_sha256))
    return Response(jpeg, media_type="image/jpeg", headers=BRIEF_CACHE_HEADERS)


def _find_lines(catalog: Catalog, mark_id: str, access_policy: AccessPolicy) -> list[MarkVersion]:
    """Return the versions of a mark that lie where the policy shows ground.

    Raises NotFound, also for a mark that now lies outside it.
    """
    lines = catalog.marks.history(mark_id)
    if access_policy.is_outside(lines[-1].wkb):
        raise make_mark_not_found(mark_id)
    return [one for one in lines if not access_policy.is_outside(one.wkb)]


def _build_outside_error(name: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{name}: this place is beyond the communes that the account is for; mark one within them",
            name=name,
        )
    )


# -- Routes of reported access to settlements ------------------------------------------------------


class SettlementAccessBody(BaseModel):
    """Report on a settlement. based_on: the version that was seen, 0 for the first report."""

    event_id: Annotated[str, Field(max_length=200)]
    access: Access
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH * 2)] = ""
    based_on: Annotated[int, Field(ge=0, le=1_000_000)]


@router.get("/api/settlements", dependencies=[Depends(require_viewer)])
def list_settlements(
    services: ServicesHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
    reach: Annotated[float, Query(gt=0, le=MAX_REACH_M)] = REACH_M,
    until: datetime | None = None,
) -> Json:
    """Settlements of an event: `access` as a person said (unknown where nobody has), `proposed` by the roads
    that confirmed changes cut, and why (`roads_say`). reach: metres within which a road reaches one."""
    workspace = services.workspace
    found = list_event_settlements(
        workspace, workspace.catalog.flights.event(event), reach, parse_until(until), access_policy
    )
    return {"reach_m": reach, "settlements": [serialize_settlement(one) for one in found]}


@router.get("/api/settlements/{settlement_id}", dependencies=[Depends(require_viewer)])
def get_settlement_history(
    settlement_id: str,
    services: ServicesHere,
    access_policy: AccessPolicyHere,
    event: Annotated[str, Query(max_length=200)],
) -> Json:
    """All that was said of a settlement in an event, the first first."""
    workspace = services.workspace
    lines = list_access_history(
        workspace, workspace.catalog.flights.event(event), settlement_id, access_policy
    )
    return {"lines": [_describe_settlement(line) for line in lines]}


@router.put("/api/settlements/{settlement_id}")
def set_settlement_access(
    settlement_id: str, body: SettlementAccessBody, principal: AnalystPrincipal, services: ServicesHere
) -> Json:
    """Say whether a settlement can be reached (409: somebody said something since it was seen)."""
    report = AccessReport(
        event=body.event_id,
        settlement=settlement_id,
        access=body.access,
        note=body.note,
        based_on=body.based_on,
    )
    return _describe_settlement(
        report_access(services.workspace, report, principal.name, principal.access_policy)
    )


def _describe_settlement(line: SettlementVersion) -> Json:
    return {
        "settlement_id": line.settlement_id,
        "event_id": line.event_id,
        "version": line.version,
        "name": line.name,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
        "note": line.note,
        "said_by": line.author,
        "said": format_iso(line.at_ns, "seconds"),
    }


# -- Search of layer features by name, ignoring accents and case -----------------------------------


_BATCH_SIZE = 100
"""Hits read at a time: where all features are visible, only the first few are needed."""


@dataclass(frozen=True, slots=True)
class _FeatureName:
    key: str
    layer_id: str
    number: int
    box: BoundsLonLat


class FeatureNameIndex:
    """Names of all features, read again when a layer changes. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[str, int], ...] | None = None
        self._names: list[_FeatureName] = []

    def search(
        self, text: str, policy: AccessPolicy, limit: int
    ) -> list[tuple[LayerRecord, LayerFeatureRecord]]:
        """Search features whose name contains the text, within the access policy.

        Villages come first, then names that begin with the text.
        """
        key = to_search_key(text)
        if not key:
            return []
        found: list[tuple[LayerRecord, LayerFeatureRecord]] = []
        ranked = self._ranked(key, policy)
        while len(found) < limit and (some := list(islice(ranked, _BATCH_SIZE))):
            things = self._catalog.layers.get_many([(name.layer_id, name.number) for _, name in some])
            # some may be gone: their layer is being read again
            there = [
                (layer, things[one])
                for layer, name in some
                if (one := (name.layer_id, name.number)) in things
            ]
            are_outside = policy.are_outside([one.wkb for _, one in there])
            found += [one for one, is_out in zip(there, are_outside, strict=True) if not is_out]
        return found[:limit]

    def _ranked(self, key: str, policy: AccessPolicy) -> Iterator[tuple[LayerRecord, _FeatureName]]:
        layers = {
            one.layer_id: one for one in self._catalog.layers.all() if not policy.hides_layer(one.layer_id)
        }
        near = policy.visible_bounds
        hits = [
            one
            for one in self._known()
            if key in one.key and one.layer_id in layers and (near is None or is_touching(one.box, near))
        ]

        def rank(one: _FeatureName) -> tuple[bool, bool, str, str, int]:
            is_village = layers[one.layer_id].kind is LayerKind.SETTLEMENT
            return (not is_village, not one.key.startswith(key), one.key, one.layer_id, one.number)

        return ((layers[one.layer_id], one) for one in sorted(hits, key=rank))

    def _known(self) -> list[_FeatureName]:
        with self._lock:
            stamp = self._catalog.layers.stamp()
            if stamp != self._stamp:
                rows = self._catalog.layers.names()
                self._names = [
                    _FeatureName(to_search_key(name), layer_id, number, box)
                    for layer_id, number, name, box in rows
                ]
                self._stamp = stamp
            return self._names


# -- Routes of specialist layers -------------------------------------------------------------------


MAX_FEATURES = 5000
_NAMED_TOLERANCE_M = 50.0


def _now_ns(request: Request) -> int:
    return get_services(request).workspace.clock_ns()


Now = Annotated[int, Depends(_now_ns)]


@router.get("/api/layers", dependencies=[Depends(require_viewer)])
def list_layers(catalog: CatalogHere, now_ns: Now, access_policy: AccessPolicyHere) -> list[Json]:
    """Every layer: whose, of what, of when (`valid`), whether that counts as old by now (`stale`)."""
    levels = catalog.restrictions.levels()
    return [
        {
            **_describe_layer(layer, now_ns),
            "classification": levels.get(layer.layer_id, Classification.OPEN).value,
        }
        for layer in catalog.layers.all()
        if not access_policy.hides_layer(layer.layer_id)
    ]


@router.get("/api/things", dependencies=[Depends(require_viewer)])
def search_features(
    request: Request,
    now_ns: Now,
    access_policy: AccessPolicyHere,
    q: Annotated[str, Query(min_length=1, max_length=100)],
    limit: Annotated[int, Query(ge=1, le=50)] = 8,
) -> Json:
    """Things of all layers by name (accents and case aside), villages first, as GeoJSON; what is withheld of
    the layers is withheld here."""
    names: FeatureNameIndex = request.app.state.thing_names
    found = names.search(q, access_policy, limit)
    return to_geojson_collection(
        to_geojson_feature(
            one.wkb, {**build_feature_properties(layer, one, now_ns), "layer": layer.name}, _NAMED_TOLERANCE_M
        )
        for layer, one in found
    )


@router.get("/api/layers/{layer_id}/features", dependencies=[Depends(require_viewer)])
def list_layer_features(
    layer_id: str,
    catalog: CatalogHere,
    now_ns: Now,
    access_policy: AccessPolicyHere,
    bounds: Annotated[str | None, Query(max_length=120)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FEATURES)] = 2000,
    tolerance_m: Annotated[float, Query(ge=0, le=5000)] = 0.0,
) -> Json:
    """Features of a layer (id or name) as GeoJSON, those in trouble first.

    bounds is west,south,east,north in degrees. `numberMatched` says how many there are that the visitor may
    see, `numberReturned` how many of them are in the answer.
    """
    layer = catalog.layers.get(layer_id)
    if access_policy.hides_layer(layer.layer_id):
        raise make_layer_not_found(layer_id)
    if access_policy.visible_bounds is None:
        found, matched = catalog.layers.features(layer.layer_id, parse_bounds(bounds), limit)
    else:
        found, matched = _find_features_inside(
            catalog, layer.layer_id, parse_bounds(bounds), access_policy, limit
        )
    found = take_fitting_outlines(found)
    answer = to_geojson_collection(
        to_geojson_feature(one.wkb, build_feature_properties(layer, one, now_ns), tolerance_m)
        for one in found
    )
    return {**answer, "numberMatched": matched, "numberReturned": len(found)}


def _find_features_inside(
    catalog: Catalog, layer_id: str, bounds: BoundsLonLat | None, access_policy: AccessPolicy, limit: int
) -> tuple[list[LayerFeatureRecord], int]:
    """Return features and count as `SpecialistLayers.features`, within the policy.

    The bounds of the visible communes hold others too, so that each feature is tested.
    """
    found: list[LayerFeatureRecord] = []
    box, matched, offset = intersect_boxes(bounds, access_policy.visible_bounds), 0, 0
    while True:
        some, in_box = catalog.layers.features(layer_id, box, MAX_FEATURES, offset)
        are_outside = access_policy.are_outside([one.wkb for one in some])
        inside = [one for one, is_out in zip(some, are_outside, strict=True) if not is_out]
        found += inside[: limit - len(found)]
        matched, offset = matched + len(inside), offset + len(some)
        if not some or offset >= in_box:
            return found, matched


def _describe_layer(layer: LayerRecord, now_ns: int) -> Json:
    return {
        "layer_id": layer.layer_id,
        "name": layer.name,
        "kind": layer.kind.value,
        "owner": layer.owner or None,
        # paths of this machine and keys in an address are secret
        "source": strip_url_credentials(layer.source) if is_url(layer.source) else Path(layer.source).name,
        "valid": format_iso_or_none(layer.valid_ns),
        "stale": is_stale(layer.valid_ns, now_ns, has_status=layer.has_status),
        "stale_after_s": get_stale_after_s(has_status=layer.has_status),
        "refreshed": format_iso(layer.refreshed_ns),
        "features": layer.features,
        "troubles": layer.troubles,
        "bounds": layer.bounds_lonlat_deg,
    }


def build_feature_properties(layer: LayerRecord, feature: LayerFeatureRecord, now_ns: int) -> Json:
    """Return the properties of a layer's feature.

    The layer names the owner where its file does not. `valid` is only what was read with the feature: the
    layer's own time is that of its newest feature.
    """
    return {
        "layer_id": layer.layer_id,
        "number": feature.number,
        "kind": layer.kind.value,
        "name": feature.name or None,
        "owner": feature.owner or layer.owner or None,
        "status": feature.status or None,
        "condition": feature.condition.value,
        "valid": format_iso_or_none(feature.valid_ns),
        "stale": is_stale(feature.valid_ns, now_ns, has_status=layer.has_status),
    }


# -- Meetings: the presented view, and the places of a briefing ------------------------------------
#
# `/api/meeting` has the presenter and the view that followers see; `/events` sends changes at once. It is of
# this moment and of this server only: nothing is stored. A presenter's page reports every few seconds; when
# it has been silent for long, nobody presents any more. A presenter is an account with its page: the page's
# id alone, which all followers receive, makes nobody the presenter.
#
# The places of a briefing (`/api/meeting/places`) are stored, one list an event, with versions.


# -- Briefings: edits of the list of places --------------------------------------------------------


MAX_PLACES = 60
MAX_NAME_LENGTH = 120

_MAX_VIEW_LENGTH = 8000


def write_briefing(
    workspace: Workspace, event_id: str, based_on: int, places: Sequence[BriefingPlace], who: str
) -> BriefingVersion:
    """Set the places of an event, in this order; the same list again changes nothing.

    based_on  the version that the caller saw; 0 where there was none

    Raises InputUnusable (a view, a name, too many), NotFound (the event), StoreConflict (the list has changed
    since).
    """
    checked = _validate_places(places)
    if event_id not in {one.event_id for one in workspace.catalog.flights.events()}:
        raise NotFound(
            _(
                "{event_id}: there is no such event; the places of a meeting belong to one",
                event_id=event_id[:40],
            )
        )
    last = workspace.catalog.briefings.last(event_id)
    if last is not None and last.places == checked:
        # the answer to an identical request was lost, and the client sent it again
        is_lost_answer = (last.version, last.author) == (based_on + 1, who)
        if is_lost_answer or last.version == based_on:
            return last
    if based_on != (last.version if last else 0):
        raise StoreConflict(
            _("{event_id}: somebody changed these places meanwhile; look at them again", event_id=event_id)
        )
    line = BriefingVersion(
        event_id=event_id,
        version=based_on + 1,
        places=checked,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    detail = f"version {line.version}: {len(checked)} places"
    entry = AuditEntry(who=who, what="places", subject=event_id, detail=detail, at_ns=line.at_ns)
    workspace.catalog.briefings.append(line, entry)
    return line


def require_view(view: Mapping[str, str]) -> None:
    """Raise InputUnusable for a view that no address of the map's page has."""
    if sum(map(len, view.values())) > _MAX_VIEW_LENGTH:
        raise InputUnusable(
            _("the view that is presented is too long for an address; present again from the map's page")
        )
    for word, value in view.items():
        if not is_printable(value):
            raise InputUnusable(
                _(
                    "the view that is presented ({word}) holds characters that no address of "
                    "a page has (control characters, half letters); present again from the "
                    "map's page",
                    word=word,
                )
            )


def _validate_places(places: Sequence[BriefingPlace]) -> list[BriefingPlace]:
    if len(places) > MAX_PLACES:
        raise InputUnusable(
            _(
                "the list holds more than {most_places} places; take some off the list",
                most_places=MAX_PLACES,
            )
        )
    return [_validate_place(number, one) for number, one in enumerate(places, 1)]


def _validate_place(number: int, place: BriefingPlace) -> BriefingPlace:
    require_view(place.view)
    name = strip_unprintable(place.name)
    if not name or len(name) > MAX_NAME_LENGTH:
        raise InputUnusable(
            _(
                "place {number}: give it a name of 1 to {name_letters} letters",
                number=number,
                name_letters=MAX_NAME_LENGTH,
            )
        )
    west, south, east, north = place.bounds
    if not (west < east and south < north):
        raise InputUnusable(
            _("place {number}: its bounds are empty; look at it on the map and add it again", number=number)
        )
    return BriefingPlace(name=name, view=dict(place.view), bounds=place.bounds)


# -- Presented view, and its routes (`/api/meeting`) -----------------------------------------------


PRESENTER_TIMEOUT_S = 150.0
"""The presentation ends after so long without a report of the presenter's page. Browsers let a hidden page
send once a minute: one such report may be lost."""

ViewWord = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[a-z]+$")]
DegreesValue = Annotated[float, Field(ge=-180.0, le=180.0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Presentation:
    """View that is presented.

    version   grows with every report of a presenter, also of another one
    screen    id of the presenting page, of its own making
    since_ns  when this presenter began
    view      parameters of the page's address, so that any page can show the view
    bounds    ground on the presenter's screen: west, south, east, north in degrees
    """

    version: int
    presenter: str
    screen: str
    since_ns: int
    view: Mapping[str, str]
    bounds: tuple[float, float, float, float]

    def is_shown_by(self, who: str, screen: str) -> bool:
        """Return True if this account presents on this screen."""
        return (self.presenter, self.screen) == (who, screen)


class Meeting:
    """The one presentation of a server. Safe to use from several threads."""

    def __init__(self, clock_ns: Callable[[], int], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_ns, self._clock_s = clock_ns, clock_s
        self._lock = threading.Lock()
        self._shown: Presentation | None = None
        # from the clock, so that it exceeds any version of before a restart
        self._version = clock_ns() // 1_000_000
        self._last_report_s = 0.0
        self._listeners: list[Callable[[], object]] = []

    def get_current(self) -> Presentation | None:
        """Return the current presentation; None if nobody presents."""
        with self._lock:
            return self._get_current()

    def show(
        self,
        who: str,
        screen: str,
        view: Mapping[str, str],
        bounds: tuple[float, float, float, float],
        *,
        take: bool,
    ) -> tuple[Presentation, bool]:
        """Show a view; return (what is shown now, True if the presenter is new).

        A presenter is new where nobody presented, or another account, or another screen of the same. Raises
        StoreConflict where another presents and `take` is False.
        """
        with self._lock:
            before = self._get_current()
            is_same = before is not None and before.is_shown_by(who, screen)
            if before is not None and not is_same and not take:
                raise StoreConflict(
                    _("{presenter} presents now; take over first", presenter=before.presenter)
                )
            self._last_report_s = self._clock_s()
            if before is not None and is_same and (before.view, before.bounds) == (view, bounds):
                return before, False
            self._version += 1
            shown = self._shown = Presentation(
                version=self._version,
                presenter=who,
                screen=screen,
                since_ns=before.since_ns if before is not None and is_same else self._clock_ns(),
                view=view,
                bounds=bounds,
            )
        self._notify()
        return shown, not is_same

    def end(self, who: str, screen: str, *, for_another: bool = False) -> bool:
        """End the presentation of this screen; return True if it was presenting.

        for_another: it may be another account's.
        """
        with self._lock:
            shown = self._get_current()
            if shown is None or shown.screen != screen or not (for_another or shown.presenter == who):
                return False
            self._shown = None
        self._notify()
        return True

    def _get_current(self) -> Presentation | None:
        """Return the current presentation, with the lock held."""
        if self._shown is not None and self._clock_s() - self._last_report_s > PRESENTER_TIMEOUT_S:
            self._shown = None
        return self._shown

    def add_listener(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener` when another view is shown; return a function that stops this."""
        with self._lock:
            self._listeners = [*self._listeners, listener]

        def stop() -> None:
            with self._lock:
                self._listeners = [one for one in self._listeners if one is not listener]

        return stop

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


class PresentedViewBody(BaseModel):
    """View on a presenter's page. view: parameters of its address; take: take over from another presenter."""

    screen: Annotated[str, Field(min_length=8, max_length=40, pattern=r"^[0-9a-f]+$")]
    view: Annotated[dict[ViewWord, str], Field(max_length=20)]
    bounds: tuple[DegreesValue, DegreesValue, DegreesValue, DegreesValue]
    take: bool = False


def _get_meeting(request: Request) -> Meeting:
    meeting: Meeting = request.app.state.meeting
    return meeting


MeetingHere = Annotated[Meeting, Depends(_get_meeting)]


@router.get("/api/meeting")
def get_presentation(meeting: MeetingHere, principal: GuestPrincipal) -> Json | None:
    """The view presented, by whom, since when; null: none, or none that the caller may see."""
    return describe_presentation(filter_presentation(meeting.get_current(), principal))


@router.put("/api/meeting")
def present_view(
    view: PresentedViewBody, meeting: MeetingHere, principal: OperatorPrincipal, request: Request
) -> Json | None:
    """Present a view, and go on presenting it (409: somebody else presents, and `take` is not said)."""
    require_view(view.view)
    shown = meeting.get_current()
    if not view.take and shown is not None and filter_presentation(shown, principal) is None:
        raise StoreConflict(_("somebody presents now; take over first"))
    shown, is_new = meeting.show(principal.name, view.screen, view.view, view.bounds, take=view.take)
    if is_new:
        _audit(request, principal.name, "presents", view.screen)
    return describe_presentation(shown)


@router.delete("/api/meeting")
def end_presentation(
    meeting: MeetingHere,
    principal: OperatorPrincipal,
    request: Request,
    screen: Annotated[str, Query(min_length=8, max_length=40)],
) -> dict[str, bool]:
    """End one's own presentation on a screen, an administrator anybody's; nothing happens where another
    presents by now."""
    ended = meeting.end(principal.name, screen, for_another=principal.has_role(Role.ADMIN))
    if ended:
        _audit(request, principal.name, "presents no more", screen)
    return {"ended": ended}


def filter_presentation(shown: Presentation | None, principal: Principal) -> Presentation | None:
    """Return the presentation if it is visible to the principal, else None."""
    if shown is None or not is_visible_to(principal, shown.view.get("event", ""), shown.bounds):
        return None
    return shown


def is_visible_to(principal: Principal, event_id: str, bounds: tuple[float, float, float, float]) -> bool:
    """Return True if a view of an event ("": none) is for the principal.

    Guests of an event see its views; the ground must lie within the access policy.
    """
    only = principal.account.event_id if principal.account else ""
    if only and only != event_id:
        return False
    return principal.access_policy.is_nothing or not principal.access_policy.is_outside(
        shapely.to_wkb(shapely.box(*bounds))
    )


def describe_presentation(shown: Presentation | None) -> Json | None:
    """Describe a presentation for `/api/meeting` and the event `meeting`."""
    if shown is None:
        return None
    return {
        "version": shown.version,
        "presenter": shown.presenter,
        "screen": shown.screen,
        "since": format_iso(shown.since_ns),
        "view": dict(shown.view),
        "bounds": list(shown.bounds),
    }


def _audit(request: Request, who: str, what: str, screen: str) -> None:
    get_services(request).workspace.catalog.audit.append(who, what, screen)


# -- Routes of a briefing's places (`/api/meeting/places`) -----------------------------------------


EventParameter = Annotated[str, Query(max_length=200)]


class BriefingPlaceBody(BaseModel):
    """A view of the map with a name. view: words of the page's address."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    view: Annotated[dict[ViewWord, str], Field(max_length=20)]
    bounds: tuple[DegreesValue, DegreesValue, DegreesValue, DegreesValue]


class BriefingPlacesBody(BaseModel):
    """The list as it is to be. based_on: the version that was seen, 0 where there was none."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    places: Annotated[list[BriefingPlaceBody], Field(max_length=MAX_PLACES)]


@router.get("/api/meeting/places")
def list_briefing_places(catalog: CatalogHere, event: EventParameter, principal: ViewerPrincipal) -> Json:
    """The places of an event (id or name) in their order, and who left them so when; version 0: nobody
    made a list. Without those that are not for whoever asks."""
    return _describe_places(catalog.briefings.last(catalog.flights.event(event).event_id), principal)


@router.put("/api/meeting/places")
def put_briefing_places(
    body: BriefingPlacesBody, event: EventParameter, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Make these the places of an event (409: somebody changed the list since it was seen). Places that are
    not for whoever asks stay, after the others."""
    wanted = [BriefingPlace(name=one.name, view=one.view, bounds=one.bounds) for one in body.places]
    catalog = services.workspace.catalog
    event_id = catalog.flights.event(event).event_id
    last = catalog.briefings.last(event_id)
    unseen = (
        [one for one in last.places if not is_visible_to(principal, event_id, one.bounds)] if last else []
    )
    wanted += [one for one in unseen if one not in wanted]
    return _describe_places(
        write_briefing(services.workspace, event_id, body.based_on, wanted, principal.name), principal
    )


def _describe_places(line: BriefingVersion | None, principal: Principal) -> Json:
    if line is None:
        return {"version": 0, "places": [], "author": None, "time": None}
    places = [
        {"name": one.name, "view": dict(one.view), "bounds": list(one.bounds)}
        for one in line.places
        if is_visible_to(principal, line.event_id, one.bounds)
    ]
    return {"version": line.version, "places": places, "author": line.author, "time": format_iso(line.at_ns)}
