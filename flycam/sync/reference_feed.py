"""Reference data that a server shares with nodes.

Restricted areas, redactions, withdrawals, confirmed changes, layers, communes, terrain. Each item has a
name, its bytes under their SHA-256 and a time; the bytes of equal records are equal, also after a
restart. What is withheld from the account is left out before an item is built, so that its hash does not
reveal it either. Format: docs/formats/sync.md, decision 0025.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import PurePath
from typing import Any

import shapely

from flycam.access.policy import AccessPolicy
from flycam.catalog.access import RedactionFootprint, RedactionRecord, RestrictedArea
from flycam.catalog.changes import (
    ChangeVersion,
    Comparison,
    find_note_version,
    format_quoted_note,
    select_effective_versions,
)
from flycam.errors import ObjectMissing, SourceUnreadable
from flycam.messages import _
from flycam.model.access import RedactionStep
from flycam.model.board import POSITIVE_STATUSES, ChangeAction, ChangeStatus
from flycam.model.flight import Classification, Event
from flycam.model.records import CommuneRecord, LayerFeatureRecord, LayerRecord, Withdrawal
from flycam.model.text import strip_url_credentials
from flycam.storage import keys
from flycam.sync.exchange import (
    DECODE_ERRORS,
    Count,
    Name,
    Sha256,
    ShortHash,
    compress,
    decompress_values,
    encode_json,
    from_values,
    to_values,
)
from flycam.workspace import Workspace

# -- Review histories of changes: versions to share, and the merged history of two nodes -----------


def select_confirmed_lines(history: Sequence[ChangeVersion]) -> list[ChangeVersion]:
    """Return the versions of a change by which it was confirmed or ceased to be.

    That is what a viewer sees of it over time. The version that ends a confirmation comes without its
    note. A note that another analyst wrote before the confirmation is quoted under their name.
    """
    found: list[ChangeVersion] = []
    was_confirmed = False
    for number, line in enumerate(history, 1):
        is_confirmed = line.status is ChangeStatus.ACCEPTED
        if is_confirmed:
            found.append(_attribute_note(line, history[:number], found))
        elif was_confirmed:
            found.append(replace(line, note=""))
        was_confirmed = is_confirmed
    return found


def _attribute_note(
    line: ChangeVersion, until: Sequence[ChangeVersion], shared_lines: Sequence[ChangeVersion]
) -> ChangeVersion:
    """Return the version, its note quoted under its writer unless shared as theirs."""
    pile = select_effective_versions(until)
    writer = find_note_version(pile) if pile else line
    is_told = any((one.step_id, one.note) == (writer.step_id, line.note) for one in [*shared_lines, line])
    return line if is_told else replace(line, note=format_quoted_note(line.note, writer.author, line.author))


def merge_change_histories(
    histories: Mapping[str, Sequence[ChangeVersion]], received: Sequence[ChangeVersion]
) -> tuple[list[ChangeVersion], list[str]]:
    """Return (versions to append here, changes whose decision here holds).

    histories  versions here, by change
    received   all versions that a server sends of the same event, complete each time
    """
    there = {(line.change_id, line.step_id) for line in received}
    known = {(line.change_id, line.step_id) for lines in histories.values() for line in lines}
    own_ns = {
        change_id: max(own)
        for change_id, lines in histories.items()
        if (own := [one.at_ns for one in lines if _is_decided_here(one, there)])
    }
    last_ns: dict[str, int] = {}
    for line in received:
        last_ns[line.change_id] = max(last_ns.get(line.change_id, 0), line.at_ns)
    held = {change_id for change_id, at_ns in own_ns.items() if at_ns >= last_ns.get(change_id, at_ns + 1)}
    versions = {change_id: lines[-1].version for change_id, lines in histories.items()}
    steps: dict[tuple[int, str], list[ChangeVersion]] = {}
    for line in received:
        if (line.change_id, line.step_id) not in known:
            is_found_again = line.action is ChangeAction.FOUND and line.change_id in histories
            if not is_found_again:
                steps.setdefault((line.at_ns, line.step_id), []).append(line)
    new: list[ChangeVersion] = []
    waiting: set[str] = set()
    for __, lines in sorted(steps.items()):
        if any(line.change_id in held for line in lines):
            held.update(line.change_id for line in lines)
            waiting.update(line.change_id for line in lines)
            continue
        for line in lines:
            versions[line.change_id] = versions.get(line.change_id, 0) + 1
            new.append(replace(line, version=versions[line.change_id]))
    return new, sorted(waiting)


def _is_decided_here(line: ChangeVersion, there: set[tuple[str, str]]) -> bool:
    return line.action is not ChangeAction.FOUND and (line.change_id, line.step_id) not in there


# -- Comparisons that a server shares: those whose changes are all shared too ----------------------
#
# Otherwise a node would read "nothing found" where an analyst has yet to decide, or where a change is
# withheld from it.


def list_shared_comparisons(
    node: Workspace, event_id: str, shared_change_ids: Collection[str], access_policy: AccessPolicy
) -> Iterator[Comparison]:
    """Yield the comparisons of an event that the account may see, oldest first.

    shared_change_ids  ids of changes that are sent in their current version
    """
    positive = node.catalog.changes.current(event_id, statuses=POSITIVE_STATUSES)
    unshared_pairs = {line.pair for line in positive if line.change_id not in shared_change_ids}
    for one in node.catalog.comparisons.list_for_event(event_id):
        is_hidden = any(access_policy.hides_mosaic(name) for name in one.mosaics) or access_policy.is_outside(
            one.wkb
        )
        if not is_hidden and one.pair not in unshared_pairs:
            yield one


# -- Feed of the items that an account may have ----------------------------------------------------


ITEM_NAME_DIGITS = 16
"""Digits of an item's SHA-256 that name it in a request."""
MAX_FEED_ITEMS_PER_REQUEST = 32
"""Items that one request may name."""
MAX_FEED_ITEM_BYTES, MAX_THING_VALUES = 1 << 28, 12_000_000
"""Of one item, decompressed; terrain is a file of any size."""
_MAX_LISTING_BYTES, _MAX_LISTING_VALUES = 16 << 20, 1 << 20
_MAX_TERRAIN_BYTES = 1 << 30
# of communes of one date: a redrawn one resends its group, not all
_COMMUNE_GROUPS = 16
# of changes, about: a decision resends only the last group
_STEPS_PER_GROUP = 32
_BLOCK = 1 << 20
_DAY_NS, _EPOCH_DAY = 86_400 * 10**9, date(1970, 1, 1).toordinal()
_SMALL_BITS = 3


class ReferenceKind(StrEnum):
    """Kind of a feed item."""

    AREA = "area"
    MASK = "mask"
    WITHDRAWN = "withdrawn"
    CHANGES = "changes"
    LAYER = "layer"
    COMMUNES = "communes"
    TERRAIN = "terrain"


URGENT_KINDS = (ReferenceKind.AREA, ReferenceKind.MASK, ReferenceKind.WITHDRAWN)
"""Kinds that tell what must not be shown: sent before all others."""
_NO_FLIGHT = "0"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedItem:
    """One item of reference data.

    name      an id within its kind; of changes the event's id, "/" and the first step's, or the
              comparison's; of redactions their photo's frame; of withdrawals the flight's id at the server
    at_ns     when it was made or decided, UTC
    metadata  of terrain its file's name, datum and stated sigmas
    """

    kind: ReferenceKind
    name: Name
    sha256: Sha256
    size_bytes: Count
    at_ns: int
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedListing:
    """Items of a feed as they are listed, without their bytes."""

    box: Name
    state: ShortHash
    items: tuple[FeedItem, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaPayload:
    """Content of an AREA."""

    area: RestrictedArea


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPayload:
    """Content of a MASK: all versions of a photo's redactions, and their ground."""

    lines: tuple[RedactionRecord, ...]
    grounds: tuple[RedactionFootprint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawnPayload:
    """Content of a WITHDRAWN: frames of one flight."""

    withdrawals: tuple[Withdrawal, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangesPayload:
    """Content of CHANGES: decisions, or a comparison, of one event."""

    event: Event
    lines: tuple[ChangeVersion, ...] = ()
    compared: tuple[Comparison, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerPayload:
    """Content of a LAYER."""

    layer: LayerRecord
    features: tuple[LayerFeatureRecord, ...]
    level: Classification


@dataclass(frozen=True, kw_only=True, slots=True)
class CommunesPayload:
    """Content of COMMUNES: those of one date in one group."""

    communes: tuple[CommuneRecord, ...]


@dataclass(frozen=True, slots=True)
class ReferenceFeed:
    """All items that an account may have.

    state     the server's fingerprint of it
    payloads  bytes by SHA-256; none for terrain, whose file is in the store
    """

    state: str
    items: tuple[FeedItem, ...]
    payloads: Mapping[str, bytes]

    def blocks(self, node: Workspace, things: Iterable[FeedItem], start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes of items in a row, from `start` on; ObjectMissing if the store lost them."""
        for thing in things:
            data, key = self.payloads.get(thing.sha256), keys.format_original_key(thing.sha256)
            while length and start < thing.size_bytes:
                size = min(_BLOCK, thing.size_bytes - start, length)
                yield node.store.get_range(key, start, size) if data is None else data[start : start + size]
                start += size
                length -= size
            start = 0


PAYLOADS: Mapping[ReferenceKind, type] = {
    ReferenceKind.AREA: AreaPayload,
    ReferenceKind.MASK: MaskPayload,
    ReferenceKind.WITHDRAWN: WithdrawnPayload,
    ReferenceKind.CHANGES: ChangesPayload,
    ReferenceKind.LAYER: LayerPayload,
    ReferenceKind.COMMUNES: CommunesPayload,
}
"""Content of an item, by kind; terrain is a file."""


def compute_feed_state(node: Workspace, access_policy: AccessPolicy) -> str:
    """Return a fingerprint, 32 hex digits, that changes whenever the feed does.

    Fast to compute. A terrain file that is lost, or restored, changes it.
    """
    catalog = node.catalog
    layers = catalog.layers.stamp()
    levels = catalog.restrictions.levels()
    inputs: tuple[object, ...] = (
        access_policy.fingerprint,
        layers,
        [levels.get(layer_id, "") for layer_id, _ in layers],
        [(one.area_id, one.sha256, sorted(one.roles), one.added_ns) for one in catalog.restrictions.areas()],
        catalog.changes.stamp(),
        catalog.comparisons.stamp(),
        catalog.boundaries.stamp(),
        sorted(
            (one.name, one.sha256, one.size_bytes, sorted(one.metadata.items()))
            for one in _iterate_terrain(node)
        ),
        [(name, payload) for name, _, payload in _iterate_redactions(node, access_policy)],
        catalog.frames.count_withdrawals(),
    )
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:32]


def build_feed(node: Workspace, access_policy: AccessPolicy) -> ReferenceFeed:
    """Build the feed that this access policy allows, in the order it is sent."""
    state = compute_feed_state(node, access_policy)
    made: list[tuple[FeedItem, bytes]] = []
    for kind, make in _MAKERS.items():
        for name, at_ns, payload in make(node, access_policy):
            data = compress(encode_json(to_values(payload)))
            sha256 = hashlib.sha256(data).hexdigest()
            made.append(
                (FeedItem(kind=kind, name=name, sha256=sha256, size_bytes=len(data), at_ns=at_ns), data)
            )
    things = [*(thing for thing, _ in made), *_iterate_terrain(node)]
    return ReferenceFeed(state, sort_feed_items(things), {thing.sha256: data for thing, data in made})


def sort_feed_items(things: Iterable[FeedItem]) -> tuple[FeedItem, ...]:
    """Sort items as they are sent: urgent kinds first, then by size, newest first.

    Small sizes come first; sizes within a factor of eight count as one.
    """
    return tuple(
        sorted(
            things,
            key=lambda one: (
                one.kind not in URGENT_KINDS,
                one.size_bytes.bit_length() // _SMALL_BITS,
                -one.at_ns,
                one.kind,
                one.name,
            ),
        )
    )


def encode_feed_listing(node: Workspace, feed: ReferenceFeed) -> bytes:
    """Encode the listing of items, compressed."""
    return compress(encode_json(to_values(FeedListing(box=node.box, state=feed.state, items=feed.items))))


def decode_feed_listing(data: bytes, place: str) -> FeedListing:
    """Decode a listing; SourceUnreadable, naming `place`, for anything else."""
    try:
        values = decompress_values(data, _MAX_LISTING_BYTES, _MAX_LISTING_VALUES)
        listing = from_values(FeedListing, values)
        for one in listing.items:
            is_large = one.kind is not ReferenceKind.TERRAIN and one.size_bytes > MAX_FEED_ITEM_BYTES
            if not one.size_bytes or is_large:
                raise ValueError(f"{one.name!r:.60} of {one.size_bytes!r:.20} bytes")
        return listing
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: its list of what it holds in common does not read ({error}); bring "
                "both nodes to the same version",
                place=place,
                error=error,
            )
        ) from error


_FeedEntries = Iterator[tuple[str, int, Any]]


def _iterate_areas(node: Workspace, access_policy: AccessPolicy) -> _FeedEntries:
    for area in node.catalog.restrictions.areas():
        if not access_policy.is_outside(area.wkb):
            yield area.area_id, area.added_ns, AreaPayload(area=area)


def _iterate_redactions(node: Workspace, access_policy: AccessPolicy) -> _FeedEntries:
    """Yield the redactions of each photo, revoked ones too, with their ground.

    None whose ground is outside the account's communes. Revocations that other nodes request stay here.
    """
    photos: dict[str, list[RedactionRecord]] = {}
    for line in node.catalog.redactions.lines():
        if line.step is not RedactionStep.REVOCATION_REQUESTED:
            photos.setdefault(line.frame_id, []).append(line)
    known: dict[str, list[RedactionFootprint]] = {}
    every = [line.line_id for lines in photos.values() for line in lines]
    for one in node.catalog.redactions.list_footprints(every):
        if not shapely.from_wkb(one.wkb).is_empty:
            known.setdefault(one.line_id, []).append(one)
    for frame_id, lines in sorted(photos.items()):
        grounds = tuple(one for line in lines for one in known.get(line.line_id, ()))
        if grounds and all(access_policy.is_outside(one.wkb) for one in grounds):
            continue
        yield frame_id, max(one.at_ns for one in lines), MaskPayload(lines=tuple(lines), grounds=grounds)


def _iterate_withdrawals(node: Workspace, access_policy: AccessPolicy) -> _FeedEntries:
    """Yield withdrawn frames by flight.

    None outside the account's communes, and for an account with such bounds none of unknown ground.
    """
    frames = node.catalog.frames
    flights: dict[str, list[Withdrawal]] = {}
    for one in frames.withdrawals():
        flights.setdefault(one.flight_id, []).append(one)
    for flight_id, some in sorted(flights.items()):
        shown = some if access_policy.visible_bounds is None else _filter_by_ground(node, some, access_policy)
        if shown:
            payload = WithdrawnPayload(withdrawals=tuple(shown))
            yield flight_id or _NO_FLIGHT, max(one.withdrawn_ns for one in shown), payload


def _filter_by_ground(
    node: Workspace, some: Sequence[Withdrawal], access_policy: AccessPolicy
) -> list[Withdrawal]:
    known = node.catalog.frames.get_many([one.frame_id for one in some])
    inside = {
        one.frame_id for one in known if one.footprint_wkb and not access_policy.is_outside(one.footprint_wkb)
    }
    return [one for one in some if one.frame_id in inside]


def _iterate_layers(node: Workspace, access_policy: AccessPolicy) -> _FeedEntries:
    """Yield the visible features of each layer, with its classification."""
    for layer in node.catalog.layers.all():
        if access_policy.hides_layer(layer.layer_id):
            continue
        found, _ = node.catalog.layers.features(layer.layer_id, None, _MAX_TERRAIN_BYTES)
        features = sorted(
            (one for one in found if not access_policy.is_outside(one.wkb)), key=lambda one: one.number
        )
        if not features:
            continue
        level = node.catalog.restrictions.level(layer.layer_id)
        shown = _redact_layer(layer, features)
        yield (
            layer.layer_id,
            layer.refreshed_ns,
            LayerPayload(layer=shown, features=tuple(features), level=level),
        )


def _redact_layer(layer: LayerRecord, features: Sequence[LayerFeatureRecord]) -> LayerRecord:
    """Return the layer as these features make it, without local folders or URL keys."""
    west, south, east, north = zip(*(one.bounds_lonlat_deg for one in features), strict=True)
    address = layer.source.startswith(("http://", "https://"))
    return replace(
        layer,
        source=strip_url_credentials(layer.source) if address else PurePath(layer.source).name,
        features=len(features),
        troubles=sum(one.condition.is_trouble for one in features),
        has_status=any(one.status for one in features),
        bounds_lonlat_deg=(min(west), min(south), max(east), max(north)),
    )


def _iterate_communes(node: Workspace, _policy: AccessPolicy) -> _FeedEntries:
    groups: dict[str, list[CommuneRecord]] = {}
    for one in node.catalog.boundaries.editions():
        group = hashlib.sha256(one.code.encode()).digest()[0] % _COMMUNE_GROUPS
        groups.setdefault(f"{one.valid_from.isoformat()}/{group}", []).append(one)
    for name, some in groups.items():
        # validity end and search name are derived by each catalogue itself
        plain = tuple(replace(one, valid_to=None, search_name="") for one in some)
        yield name, (some[0].valid_from.toordinal() - _EPOCH_DAY) * _DAY_NS, CommunesPayload(communes=plain)


def _iterate_changes(node: Workspace, access_policy: AccessPolicy) -> _FeedEntries:
    """Yield confirmed changes in the order decided, in groups, then each comparison.

    After a decision only the last group differs from what came before.
    """
    changes = node.catalog.changes
    events = {one.event_id: one for one in node.catalog.flights.events()}
    for event_id in sorted((changes.events() | node.catalog.comparisons.events()) & events.keys()):
        steps: dict[tuple[int, str], list[ChangeVersion]] = {}
        accepted_ids = set()
        for now in changes.current(event_id):
            history = changes.history(now.change_id)
            if not any(access_policy.hides_change(line) for line in history):
                for line in select_confirmed_lines(history):
                    steps.setdefault((line.at_ns, line.step_id), []).append(line)
                if now.status is ChangeStatus.ACCEPTED:
                    accepted_ids.add(now.change_id)
        event = events[event_id]
        for some in _group_steps(sorted(steps)):
            lines = tuple(line for step in some for line in steps[step])
            yield f"{event_id}/{some[0][1]}", some[-1][0], ChangesPayload(event=event, lines=lines)
        for one in list_shared_comparisons(node, event_id, accepted_ids, access_policy):
            yield f"{event_id}/{one.comparison_id}", one.at_ns, ChangesPayload(event=event, compared=(one,))


def _group_steps(steps: Sequence[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Yield steps in groups that end by a hash of a step's id.

    So a later step changes no group but the last.
    """
    group: list[tuple[int, str]] = []
    for step in steps:
        group.append(step)
        if hashlib.sha256(step[1].encode()).digest()[0] % _STEPS_PER_GROUP == 0:
            yield group
            group = []
    if group:
        yield group


_MAKERS: Mapping[ReferenceKind, Callable[[Workspace, AccessPolicy], _FeedEntries]] = {
    ReferenceKind.AREA: _iterate_areas,
    ReferenceKind.MASK: _iterate_redactions,
    ReferenceKind.WITHDRAWN: _iterate_withdrawals,
    ReferenceKind.CHANGES: _iterate_changes,
    ReferenceKind.LAYER: _iterate_layers,
    ReferenceKind.COMMUNES: _iterate_communes,
}


def _iterate_terrain(node: Workspace) -> Iterator[FeedItem]:
    """Yield terrain files that were copied at registration.

    Those registered in place (a VRT names other files) are not sent.
    """
    for dem in node.catalog.terrain.dems():
        if dem.key is None:
            continue
        try:
            size = node.store.size(dem.key)
        except ObjectMissing:
            size = 0
        if not size:
            # `flycam verify` reports it
            continue
        values = {"name": dem.name, "datum": dem.vertical_datum, "sigma": dem.sigma_m}
        yield FeedItem(
            kind=ReferenceKind.TERRAIN,
            name=dem.dem_id,
            sha256=dem.sha256,
            size_bytes=size,
            at_ns=dem.added_ns,
            metadata=values,
        )
