"""An exchange read, whatever brought it: every object verified, kept, then taken in.

every object verified -> where each flight belongs here -> objects kept -> `taking.take_in`
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from flycam.catalog.retention_records import standing_let_go
from flycam.errors import SourceUnreadable, StorageTrouble, TileCorrupt
from flycam.frame.terraincodec import decode_terrain, encode_terrain
from flycam.frame.tilecodec import decode
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.mosaic.early import early_state
from flycam.mosaic.given import give, give_laid
from flycam.store import keys
from flycam.sync.belonging import Apart, Home, home_of
from flycam.sync.house import House
from flycam.sync.inflating import inflated_bytes
from flycam.sync.laid import laid_in
from flycam.sync.made_whole import given_records
from flycam.sync.manifest import Item, Kind, Manifest
from flycam.sync.records import FlightRecords, records_from_bytes, records_from_values, values_in
from flycam.sync.source import Source, not_what_it_says, object_in, places
from flycam.sync.takeable import require_takeable
from flycam.sync.taking import Hands, TakenIn, Views, older_in, take_in
from flycam.sync.unread import Unread, unread

_MAX_INFLATED_BYTES = 1 << 30  # records of all flights, which are in memory together
_MAX_BYTES = {Kind.RECORDS: 1 << 26, Kind.VIEW: 1 << 20, Kind.TILE: 32 << 20, Kind.TERRAIN: 320 << 20}
"""The largest object that is read in one piece; no other kind is: changes were made whole before."""

Progress = Callable[[str, int, int], None]
"""Stage, how much of it is done, of how much."""


def read_exchange(
    house: House,
    source: Source,
    manifest: Manifest,
    start: int,
    hands: Hands,
    progress: Progress,
    *,
    account: str = "",
) -> TakenIn:
    """Take in an exchange whose first object begins at `start`; all is verified before anything is written.

    account  that brought it over a line, for the audit log; "" for a stick
    Raises as `require_takeable` and `take_in` do, and SourceUnreadable for an object that is not what the
    manifest says, RecordsMissing for records that are said to be known here and are not, DiskFull before what
    is kept for the catalogue would be taken.
    """
    known = list(_known(house, manifest))
    verified = _verified(source, manifest, start, progress)
    verified.records.extend(known)
    left = frozenset(name for one in verified.unread for name in one.mosaics)
    require_takeable(house, manifest, verified.records, str(source.path), left)
    unnamed = _unnamed(house, manifest, verified.records)
    homes = [home_of(house.catalog, one) for one in verified.records]
    here = _wanted(house, manifest, homes)
    left_out = unnamed.union(_let_go(house, manifest, verified))
    _keep(house, source, manifest, start, here, left_out, progress, account)
    _keep_laid(house, manifest, here, verified)
    house.store.flush()
    come = {item.name for item in manifest.items if item.kind is Kind.ORIGINAL}
    house.catalog.kept_originals.note(come - left_out)
    taken = take_in(house, manifest, homes, hands, verified.views, account)
    return replace(taken, apart=(*taken.apart, *verified.unread), unnamed=tuple(sorted(unnamed)))


def _known(house: House, manifest: Manifest) -> Iterator[FlightRecords]:
    """Records that came before. RecordsMissing."""
    for sha256 in manifest.known:
        yield records_from_bytes(given_records(house, manifest.box, sha256), manifest.box)


@dataclass(frozen=True, slots=True)
class _Verified:
    """What an exchange holds that is needed in memory. inflated: bytes of each flight's records; epochs: of
    the tiles that come, by mosaic there; views: early views, by mosaic there; unread: flights whose records
    do not read."""

    records: list[FlightRecords] = field(default_factory=list)
    inflated: list[int] = field(default_factory=list)
    epochs: dict[str, dict[TileId, str]] = field(default_factory=dict)
    views: Views = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)


def _verified(source: Source, manifest: Manifest, start: int, progress: Progress) -> _Verified:
    """Every object read once and held against its hash, records, tiles and terrain opened."""
    verified = _Verified()
    for done, (item, at) in enumerate(places(manifest, start), start=1):
        if item.kind is Kind.ORIGINAL:
            for __ in _original(source, item, at):
                pass
        else:
            _open(source.path, manifest.box, item, _whole(source, item, at), verified)
        progress("verify", done, len(manifest.items))
    return verified


def _open(path: Path, box: str, item: Item, data: bytes, verified: _Verified) -> None:
    """Enter what an object says; each must be what its name says."""
    try:
        if item.kind is Kind.RECORDS:
            verified.inflated.append(inflated_bytes(data))
            if sum(verified.inflated) > _MAX_INFLATED_BYTES:
                raise not_what_it_says(path)
            values = values_in(data, str(path))
            try:
                verified.records.append(records_from_values(values, str(path)))
            except SourceUnreadable as error:
                verified.unread.append(unread(box, item.sha256, values, error))
        elif item.tile is not None and item.kind is Kind.VIEW:
            early_state(data, item.tile.tile_id)
            verified.views.setdefault(item.tile.mosaic_id, {})[item.tile.tile_id] = (
                item.tile.content_hash,
                data,
            )
        elif item.tile is not None:
            tile = decode(data, item.tile.tile_id, item.tile.content_hash)
            verified.epochs.setdefault(item.tile.mosaic_id, {})[tile.tile_id] = tile.epoch
        elif decode_terrain(data).dem_id != item.name:
            raise not_what_it_says(path)
    except TileCorrupt as error:
        raise not_what_it_says(path) from error


def _wanted(house: House, manifest: Manifest, homes: Iterable[Home | Apart]) -> dict[str, str]:
    """The mosaics there that bring what is not here yet or what is in force here, and what each is here.

    What is in force is put again, for it may be damaged here; what an older bundle holds was let go.
    """
    older = older_in(house, manifest)
    belonging = {there: at for one in homes if isinstance(one, Home) for there, at in one.mosaics.items()}
    return {there: at for there, at in belonging.items() if there not in older}


def _let_go(house: House, manifest: Manifest, verified: _Verified) -> Collection[str]:
    """Originals (SHA-256) that are not taken in: that they were let go is known here, or comes with them."""
    come = [item.name for item in manifest.items if item.kind is Kind.ORIGINAL]
    told = [line for one in verified.records for line in one.let_go]
    return standing_let_go([*house.catalog.retention.of_originals(come), *told]).keys()


def _unnamed(house: House, manifest: Manifest, records: Iterable[FlightRecords]) -> frozenset[str]:
    """Originals (SHA-256) that no record names, here or among what comes: nobody would ever look at them, and
    nothing deletes them. Boxes of before send those of flights that stay apart."""
    named = {frame.header.provenance.source_sha256 for one in records for frame in one.frames}
    come = {item.name for item in manifest.items if item.kind is Kind.ORIGINAL} - named
    return frozenset(one for one in come if not house.catalog.retention.names_photo(one))


def _keep(
    house: House,
    source: Source,
    manifest: Manifest,
    start: int,
    here: Mapping[str, str],
    left_out: Collection[str],
    progress: Progress,
    account: str,
) -> None:
    """Objects into the store, looked at again, for the stick may have changed; the caller owes `flush` before
    anything refers to them.

    left_out  originals (SHA-256) that are not kept; account: as of `read_exchange`
    """
    for done, (item, at) in enumerate(places(manifest, start), start=1):
        line = item.tile
        if line is not None and item.kind is Kind.TILE and line.mosaic_id in here:
            log = keys.log_id(manifest.box, line.mosaic_id)
            data = _whole(source, item, at)
            house.require_room(item.size_bytes)
            give(house.store, log, line.seq, here[line.mosaic_id], line.tile_id, data, line.content_hash)
        elif item.kind is Kind.TERRAIN:
            _keep_terrain(house, item, _whole(source, item, at), manifest.box, account)
        elif (
            item.kind is Kind.ORIGINAL
            and item.name not in left_out
            and not _is_here(house, keys.evidence(item.name))
        ):
            _keep_original(house, source, item, at)
        progress("keep", done, len(manifest.items))


def _is_here(house: House, key: str) -> bool:
    """Whether an object is here, and stays through a power cut whoever put it."""
    if not house.store.exists(key):
        return False
    house.store.settle(key, durable=True)
    return True


def _keep_terrain(house: House, item: Item, data: bytes, giver: str, account: str) -> None:
    """Put a recorded terrain where none lies, or a damaged one. One that reads stays, for frames were laid on
    its posts, which its id does not tell: the audit log says that others came under it.
    """
    key = keys.terrain(item.name)
    here = house.store.get(key) if _is_here(house, key) else b""
    if here == data:
        return
    with suppress(TileCorrupt):
        recorded = decode_terrain(here)
        if recorded.dem_id == item.name:
            if encode_terrain(recorded) != encode_terrain(decode_terrain(data)):
                said = f"told by {giver}: other posts than are recorded here, which stay"
                house.catalog.audit.append(
                    account or giver, "terrain refused", item.name, said, at_ns=house.clock_ns()
                )
            return
    house.require_room(item.size_bytes)
    house.store.put(key, data, durable=True)


def _keep_laid(house: House, manifest: Manifest, here: Mapping[str, str], verified: _Verified) -> None:
    """How the giver had laid the frames in the tiles that came, beside them; the caller owes `flush`."""
    for one in verified.records:
        for mosaic in one.mosaics:
            epochs = verified.epochs.get(mosaic.mosaic_id)
            if epochs and mosaic.mosaic_id in here:
                log, until = keys.log_id(manifest.box, mosaic.mosaic_id), manifest.until[mosaic.mosaic_id]
                give_laid(house.store, log, until, laid_in(one, mosaic, epochs))


def _keep_original(house: House, source: Source, item: Item, at: int) -> None:
    """An original under its SHA-256. Raises DiskFull, StorageTrouble, SourceUnreadable."""
    house.require_room(2 * item.size_bytes)  # a copy of it for a moment
    folder = house.cache_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as scratch:
            for data in _original(source, item, at):
                scratch.write(data)
            scratch.flush()
            house.store.put_file(keys.evidence(item.name), Path(scratch.name), durable=True)
    except OSError as error:
        raise StorageTrouble(
            _(
                "{folder}: no copy of a photo can be kept there ({strerror}); free some and "
                "run again, it goes on",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error


def _whole(source: Source, item: Item, at: int) -> bytes:
    """An object's bytes. SourceUnreadable if they are others than the manifest says."""
    return object_in(source, item, at, _MAX_BYTES.get(item.kind, -1))


def _original(source: Source, item: Item, at: int) -> Iterator[bytes]:
    """An original's bytes, some at a time. SourceUnreadable, at the end, if they are others than it says."""
    digest = hashlib.sha256()
    for data in source.blocks(at, item.size_bytes):
        digest.update(data)
        yield data
    if not digest.hexdigest() == item.sha256 == item.name:
        raise not_what_it_says(source.path)
