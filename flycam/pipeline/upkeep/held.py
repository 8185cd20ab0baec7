"""What a house holds: every object that the catalogue names, and originals that only the store knows of.

Told part by part, so that a part can be read, copied and ticked off by itself: originals by the first two
digits of their hash, recorded terrain, what other boxes gave, meeting packs, and each flight's tiles and
products. Tile
states that were replaced, revisions that were retired and a live flight's newest picture are nobody's loss
and are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from flycam.catalog.catalog import Catalog
from flycam.catalog.packs import PackState
from flycam.catalog.records import FrameStatus, MosaicInfo, RevisionRecord, RevisionState
from flycam.catalog.retention_records import key_of, standing_let_go
from flycam.frame.flight import Flight, FlightState
from flycam.frame.tile import TileRecord
from flycam.mosaic.given import has_given
from flycam.pipeline.evidence import let_go_here
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.base import ObjectStore

_LIVE = 0


class Kind(StrEnum):
    """What an object is, which decides how it is checked and what can make it again."""

    PHOTO = "photo"
    DEM = "dem"
    LAYER = "layer"
    MARK_PHOTO = "mark_photo"
    RECORDING = "recording"
    FILE = "file"
    TERRAIN = "terrain"
    GIVEN = "given"
    TILE = "tile"
    CLIP = "clip"
    REPORT = "report"
    PACK = "pack"


REPLACED = frozenset({Kind.TILE, Kind.CLIP, Kind.REPORT})
"""In whose place another object comes, and which are freed then: see `standing_of`."""


@dataclass(frozen=True, slots=True)
class Held:
    """One object.

    flight_id  whose it is; "" for what belongs to the house
    name       as people know it: a photo's or a layer's name, a commune's code
    tile       its line in the log, of a tile
    """

    key: str
    kind: Kind
    flight_id: str = ""
    name: str = ""
    tile: TileRecord | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """name: what it is ticked off under; flight: whose tiles and products these are."""

    name: str
    digits: str = ""
    flight: Flight | None = None


_TERRAIN, _GIVEN, _PACKS = Part("terrain"), Part("given"), Part("packs")


def parts_of(flights: Iterable[Flight]) -> list[Part]:
    """The parts of a house with these flights. Originals and terrain first: what can be made again is made
    from them."""
    originals = [Part(f"originals/{n:02x}", digits=f"{n:02x}") for n in range(256)]
    laid = [Part(f"flights/{flight.flight_id}", flight=flight) for flight in flights]
    return [*originals, _TERRAIN, _GIVEN, _PACKS, *laid]


class Holdings:
    """All that a catalogue and a store hold, part by part. Keeps about 500 bytes a photo in memory.

    let_go  keys of originals that the box of this name let go under a retention term: they are not held, also
            where their bytes are still to be deleted
    """

    def __init__(self, catalog: Catalog, store: ObjectStore, box: str) -> None:
        self._catalog = catalog
        self._store = store
        standing = standing_let_go(catalog.retention.lines())
        own = let_go_here(catalog, box, standing).values()
        self.let_go = frozenset(key_of(one.kind, one.sha256) for one in own)
        may_miss = {key_of(one.kind, one.sha256) for lines in standing.values() for one in lines}
        self._flights = catalog.flights.flights()
        self._finished = {
            (one.mosaic_id, one.revision): one
            for one in catalog.revisions.all()
            if one.state is RevisionState.PUBLISHED
        }
        self._given = {
            mosaic.flight_id
            for mosaic in catalog.tiles.mosaics()
            if mosaic.revision == _LIVE and has_given(store, mosaic.mosaic_id)
        }
        self._flights_here = [flight for flight in self._flights if not self._is_announced(flight)]
        self._originals: dict[str, Held] = {}
        self._by_digits: dict[str, list[str]] = {}
        self._terrain: dict[str, Held] = {}
        for held in self._named():
            known = self._terrain if held.kind is Kind.TERRAIN else self._originals
            known.setdefault(held.key, held)
        absent = self.let_go | self._never_here(may_miss)
        for key, held in self._originals.items():
            if key in absent or (key in may_miss and held.kind is not Kind.PHOTO):
                continue
            self._by_digits.setdefault(keys.hash_in(key)[:2], []).append(key)

    def parts(self) -> list[Part]:
        """As `parts_of` its flights."""
        return parts_of(self._flights)

    def of(self, part: Part) -> Iterator[Held]:
        """The objects of a part, each once."""
        if part.flight is not None:
            return self._of_flight(part.flight)
        if part.digits:
            listed = (
                key
                for prefix in keys.originals_prefixes(part.digits)
                for key in self._store.list(prefix)
                if key not in self.let_go
            )
            return _joined(self._originals, self._by_digits.get(part.digits, ()), listed, Kind.FILE)
        if part == _GIVEN:
            return (Held(key, Kind.GIVEN) for key in self._store.list(keys.given_prefix()))
        if part == _PACKS:
            return iter(_packs_of(self._catalog))
        return _joined(self._terrain, self._terrain, self._store.list(keys.terrain_prefix()), Kind.TERRAIN)

    def size_of(self, part: Part) -> int:
        """About how many objects a part has, without listing any: of tiles and of what is named."""
        if part.flight is None:
            if part == _GIVEN:
                return 0  # the catalogue names none of them
            if part == _PACKS:
                return len(_packs_of(self._catalog))
            return len(self._by_digits.get(part.digits, ()) if part.digits else self._terrain)
        mosaics = self._mosaics_of(part.flight)
        return sum(self._catalog.tiles.count(mosaic.mosaic_id, mosaic.revision) for mosaic in mosaics)

    def _mosaics_of(self, flight: Flight) -> list[MosaicInfo]:
        """The live revision and the finished ones that may be shown."""
        return [
            one
            for one in self._catalog.tiles.mosaics(flight.flight_id)
            if one.revision == _LIVE or (one.mosaic_id, one.revision) in self._finished
        ]

    def _is_announced(self, flight: Flight) -> bool:
        """Whether nothing is here of a flight but its records and views of its coarse tiles, which another
        box sent ahead of all else. A flight's own photos have their names before its records are written
        (decision 0003)."""
        if flight.state is not FlightState.INGESTING or flight.flight_id in self._given:
            return False
        frames = self._catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
        originals = (keys.evidence(one.header.provenance.source_sha256) for one in frames)
        if any(map(self._store.exists, originals)):
            return False
        heads = self._catalog.tiles.heads
        return not any(heads(one.mosaic_id, one.revision, one.base_zoom) for one in self._mosaics_of(flight))

    def _never_here(self, let_go_by_any: Collection[str]) -> set[str]:
        """Keys of photos of which only another box's records are here, as far as that is known: where another
        box gave tiles of a flight, a photo of it may lie there alone, and what another let go does not come
        any more. What lay here is held, whoever else let go of it."""
        photos = {
            keys.hash_in(key): key
            for key, held in self._originals.items()
            if held.kind is Kind.PHOTO and (held.flight_id in self._given or key in let_go_by_any)
        }
        kept = self._catalog.kept_originals.among(photos)
        return {key for sha256, key in photos.items() if sha256 not in kept}

    def _named(self) -> Iterator[Held]:
        for flight in self._flights_here:
            yield from self._frames_of(flight)
            for piece in self._catalog.recordings.of_flight(flight.flight_id):
                if piece.let_go_ns is None:
                    yield Held(keys.recording(piece.sha256), Kind.RECORDING, flight.flight_id)
        for record in self._finished.values():
            for key in _terrain_of(record):
                yield Held(key, Kind.TERRAIN, self._catalog.tiles.mosaic(record.mosaic_id).flight_id)
        for dem in self._catalog.terrain.dems():
            if dem.key is not None:
                yield Held(dem.key, Kind.DEM, name=dem.name)
        for layer in self._catalog.layers.all():
            yield Held(keys.evidence(layer.sha256), Kind.LAYER, name=layer.name)
        for area in self._catalog.restrictions.areas():
            yield Held(keys.evidence(area.sha256), Kind.LAYER, name=area.name)
        for mark in self._catalog.marks.current(with_removed=True):
            for line in self._catalog.marks.history(mark.mark_id):
                if line.photo_sha256:
                    yield Held(keys.evidence(line.photo_sha256), Kind.MARK_PHOTO, name=line.note[:40])

    def _frames_of(self, flight: Flight) -> Iterator[Held]:
        # a rejected photo is not kept, and one that was withdrawn before it came is not either
        for record in self._catalog.frames.of_flight(flight.flight_id, FrameStatus.USED):
            source = record.header.provenance
            yield Held(keys.evidence(source.source_sha256), Kind.PHOTO, flight.flight_id, source.source_name)
            if record.dem_id is not None:
                yield Held(keys.terrain(record.dem_id), Kind.TERRAIN, flight.flight_id)

    def _of_flight(self, flight: Flight) -> Iterator[Held]:
        for mosaic in self._mosaics_of(flight):
            record = self._finished.get((mosaic.mosaic_id, mosaic.revision))
            for head in self._catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision):
                name = f"{head.tile_id.z}/{head.tile_id.x}/{head.tile_id.y}"
                yield Held(head.key, Kind.TILE, flight.flight_id, name, head)
            for name, key in ({} if record is None else record.reports).items():
                yield Held(key, Kind.REPORT, flight.flight_id, name)
        for one in self._catalog.boundaries.coverage(flight.flight_id):
            if one.clip_key is not None:
                yield Held(one.clip_key, Kind.CLIP, flight.flight_id, one.commune_code)


def was_let_go(workspace: Workspace, held: Held) -> bool:
    """Whether an object that is not there was let go while the house was being read: a recording for room,
    what another box gave for what it gave later, an original under a retention term of this house."""
    catalog, store = workspace.catalog, workspace.store
    if held.kind is Kind.GIVEN:
        return not store.exists(held.key)
    if held.key.startswith(keys.all_originals_prefixes()):
        sha256 = keys.hash_in(held.key)
        if let_go_here(catalog, workspace.box, standing_let_go(catalog.retention.of_originals([sha256]))):
            return not store.exists(held.key)
    if held.kind is Kind.PACK:
        return held not in _packs_of(catalog)
    if held.kind is not Kind.RECORDING:
        return False
    kept = [one for one in catalog.recordings.of_flight(held.flight_id) if one.let_go_ns is None]
    return keys.hash_in(held.key) not in {one.sha256 for one in kept}


def standing_of(catalog: Catalog, held: Held) -> Held | None:
    """The object that the catalogue names now in the place of a tile, clip or report (`REPLACED`); None where
    it names none, or shows none of its revision."""
    if held.kind is Kind.CLIP:
        clips = {one.commune_code: one.clip_key for one in catalog.boundaries.coverage(held.flight_id)}
        key = clips.get(held.name)
        return None if key is None else replace(held, key=key)
    if held.tile is not None:
        line = held.tile
        head = catalog.tiles.head(line.mosaic_id, line.revision, line.tile_id)
        is_shown = line.revision == _LIVE or _is_published(catalog, line.mosaic_id, line.revision)
        return replace(held, key=head.key, tile=head) if head is not None and is_shown else None
    for mosaic in catalog.tiles.mosaics(held.flight_id):
        if held.key.startswith(keys.product_prefix(mosaic.mosaic_id, mosaic.revision)):
            key = catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).reports.get(held.name)
            is_shown = _is_published(catalog, mosaic.mosaic_id, mosaic.revision)
            return replace(held, key=key) if key is not None and is_shown else None
    return None


def _is_published(catalog: Catalog, mosaic_id: str, revision: int) -> bool:
    return catalog.revisions.get(mosaic_id, revision).state is RevisionState.PUBLISHED


def _packs_of(catalog: Catalog) -> list[Held]:
    made = [one for one in catalog.packs.all() if one.state is PackState.MADE]
    return [Held(keys.pack(one.pack_id, one.sha256), Kind.PACK, name=one.pack_id) for one in made]


def _terrain_of(record: RevisionRecord) -> Iterator[str]:
    surface = record.stats.get("surface") or {}
    for dem_id in (record.dem_id, surface.get("terrain_id")):
        if dem_id:
            yield keys.terrain(dem_id)
    if record.support_key is not None:
        yield record.support_key


def _joined(
    known: Mapping[str, Held], named: Iterable[str], listed: Iterable[str], kind: Kind
) -> Iterator[Held]:
    """What is listed, as it is known, and what is named besides: that is lost."""
    left = set(named)
    for key in listed:
        left.discard(key)
        yield known.get(key) or Held(key, kind)
    for key in sorted(left):
        yield known[key]
