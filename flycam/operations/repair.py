"""Repair of a flight's derived objects, and restoring of lost originals.

Tiles, clips and reports are made again by the code that made them; originals are restored from copies. Live
base tiles are rebuilt from the originals, parents from their children, tiles of the published finished
revision by the same `finish`. Nothing is made of a damaged photo: a wrong image in a tile would be worse than
a reported gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from flycam.errors import DataDamaged, EvidenceInsufficient, FlightBusy, InputUnusable, SourceUnreadable
from flycam.geometry.grid import TileId
from flycam.ingest.photos.photo_search import is_outside, walk_folder
from flycam.model.flight import Flight
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, RevisionRecord
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.finish.workflow import finish_flight, plan_layer_jobs, restore_request
from flycam.mosaic.orthorectify.rebuild import find_flight_purged_here, find_remote_photos, rebuild_mosaic
from flycam.mosaic.tiles.writer import DAMAGE, repair_parents
from flycam.operations.backup_folder import MANIFEST, OBJECTS
from flycam.operations.inventory import (
    InventoryItem,
    InventoryKind,
    ObjectState,
    ReadResult,
    find_current_item,
    is_intact,
    verify_object,
)
from flycam.originals import fetch_local_copy
from flycam.reports.quality_report import make_reports
from flycam.storage import keys
from flycam.storage.files import compute_sha256
from flycam.storage.keys import ORIGINALS_DIR
from flycam.workspace import Progress, Workspace

# -- Restoring of lost objects from copies, and the check of a tile's inputs -----------------------
#
# A copy is taken only if its bytes have the object's hash: from a backup by the object's key, from any other
# folder by the SHA-256 of its files, from the cache's copies of originals.


_BY_HASH = frozenset(
    {
        InventoryKind.PHOTO,
        InventoryKind.DEM,
        InventoryKind.LAYER,
        InventoryKind.MARK_PHOTO,
        InventoryKind.RECORDING,
        InventoryKind.FILE,
    }
)


class OriginalRepairer:
    """Restores objects.

    source: a memory card, folder or backup; None: only this node's own copies.
    """

    def __init__(self, workspace: Workspace, source: Path | None) -> None:
        self._workspace = workspace
        self._source = source
        self._in_source: dict[str, Path] | None = None
        self._whole: dict[str, bool] = {}

    def restore(self, read: ReadResult) -> bool:
        """Restore a lost or damaged object.

        Returns True if a copy was found and reads back intact.
        """
        store, broken = self._workspace.store, read.item
        for path in self._copies(broken):
            with suppress(OSError, SourceUnreadable):
                if is_intact(path, broken):
                    sha256 = keys.parse_hash(broken.key) if broken.kind in _BY_HASH else None
                    store.put_file(broken.key, path, durable=True, sha256=sha256)
                    return verify_object(store, broken).state is ObjectState.WHOLE
        return False

    def can_rebuild(self, record: FrameRecord) -> bool:
        """Return True if photo and terrain of a frame's orthopatch are intact.

        A damaged copy of the photo in the cache is deleted, so that it is fetched anew.
        """
        source = record.header.provenance
        photo = InventoryItem(keys.format_original_key(source.source_sha256), InventoryKind.PHOTO)
        needed = [photo] + (
            [InventoryItem(keys.format_terrain_key(record.dem_id), InventoryKind.TERRAIN)]
            if record.dem_id
            else []
        )
        if not all(self._is_intact(item) for item in needed):
            return False
        for path in self._cached(photo):
            if not is_intact(path, photo):
                path.unlink(missing_ok=True)
        return True

    def _is_intact(self, item: InventoryItem) -> bool:
        if item.key not in self._whole:
            self._whole[item.key] = verify_object(self._workspace.store, item).state is ObjectState.WHOLE
        return self._whole[item.key]

    def _copies(self, item: InventoryItem) -> Iterator[Path]:
        yield from self._cached(item)
        if self._source is None:
            return
        path = self._source / OBJECTS / item.key
        if path.is_file():
            yield path
        if item.kind in _BY_HASH and (found := self._files().get(keys.parse_hash(item.key))) is not None:
            yield found

    def _cached(self, item: InventoryItem) -> list[Path]:
        if item.kind not in _BY_HASH:
            return []
        folder = self._workspace.cache_dir / ORIGINALS_DIR / keys.parse_hash(item.key)
        return sorted(path for path in folder.glob("*") if path.is_file())

    def _files(self) -> dict[str, Path]:
        """Map the source's files by SHA-256; read once, when first needed."""
        if self._in_source is None:
            self._in_source = {}
            # a backup is looked up by key instead
            if self._source is not None and not (self._source / MANIFEST).exists():
                for path in walk_folder(self._source, skipped_prefixes=()):
                    with suppress(SourceUnreadable):
                        if not is_outside(path, [self._source]):
                            self._in_source[compute_sha256(path)] = path
        return self._in_source


# -- Repair of a flight's derived objects ----------------------------------------------------------


_LIVE = 0
_REPAIR_ERRORS = (*DAMAGE, DataDamaged, InputUnusable, EvidenceInsufficient)  # NotFound is an InputUnusable
"""Errors of a repair whose inputs are not intact."""

_Mosaic = tuple[str, int]


class FlightRepairer:
    """Repairs one flight.

    busy: keys not checked because another process writes the flight.
    """

    def __init__(
        self, workspace: Workspace, flight: Flight, originals: OriginalRepairer, progress: Progress
    ) -> None:
        self._workspace = workspace
        self._flight = flight
        self._originals = originals
        self._progress = progress
        self.busy: frozenset[str] = frozenset()

    def repair(self, bad: Sequence[ReadResult]) -> list[ReadResult]:
        """Repair what can be made again; return what is still bad.

        Tiles first, then clips and reports, which are made from them.
        """
        try:
            self._tiles([read.item for read in bad])
            self._clips([read.item.name for read in bad if read.item.kind is InventoryKind.CLIP])
            self._reports([read.item for read in bad if read.item.kind is InventoryKind.REPORT])
        except FlightBusy:
            self.busy = frozenset(read.item.key for read in bad)
            return list(bad)
        return [read for read in bad if not self._is_intact_now(read.item)]

    def _tiles(self, bad: Sequence[InventoryItem]) -> None:
        damaged: dict[_Mosaic, list[TileId]] = {}
        for item in bad:
            if item.tile is not None:
                which = item.tile.mosaic_id, item.tile.revision
                damaged.setdefault(which, []).append(item.tile.tile_id)
        for (mosaic_id, revision), tiles in damaged.items():
            mosaic = self._workspace.catalog.tiles.mosaic(mosaic_id, revision)
            with self._workspace.catalog.flights.lock(self._flight.flight_id):
                if revision == _LIVE:
                    self._live(mosaic, tiles)
                else:
                    _try(partial(self._parents, mosaic, tiles))
            if revision != _LIVE and any(tile.z == mosaic.base_zoom for tile in tiles):
                _try(partial(self._finished, mosaic))

    def _live(self, mosaic: MosaicInfo, tiles: Sequence[TileId]) -> None:
        """Rebuild tiles whose photos are all there, and parents above only such tiles.

        Where a peer sent tiles, photos that only it has are not needed: its tiles are merged in.
        """
        base = [tile for tile in tiles if tile.z == mosaic.base_zoom]
        can_fold = self._folding(mosaic)
        unrebuildable = {tile for tile in base if not can_fold(tile)}
        above = find_ancestors(unrebuildable)
        known = [tile for tile in tiles if tile not in unrebuildable and tile not in above]

        def fold() -> None:
            done = rebuild_mosaic(self._workspace, mosaic, self._progress, known=known)
            # differs from before, as after an interrupted withdrawal
            if done.lines:
                self._cover(changed=True)

        if known:
            _try(fold)

    def _folding(self, mosaic: MosaicInfo) -> Callable[[TileId], bool]:
        """Make a check whether a base tile can be rebuilt as it was.

        Flight-wide facts are read once.
        """
        elsewhere = find_remote_photos(self._workspace, self._flight.flight_id)
        purged = find_flight_purged_here(self._workspace, self._flight.flight_id)

        def can_fold(tile: TileId) -> bool:
            frames = self._workspace.catalog.frames.list_touching_tile(
                self._flight.flight_id, tile, FrameStatus.USED
            )
            if any(one.header.provenance.source_sha256 in purged for one in frames):
                return False  # the tile would show less than before
            return all(
                self._originals.can_rebuild(one) or one.header.provenance.source_sha256 in elsewhere
                for one in frames
                if one.header.layer == mosaic.layer
            )

        return can_fold

    def _parents(self, mosaic: MosaicInfo, tiles: Sequence[TileId]) -> None:
        base = {tile for tile in tiles if tile.z == mosaic.base_zoom}
        above = find_ancestors(base)
        repair_parents(
            self._workspace.store,
            self._workspace.catalog.tiles,
            mosaic,
            [tile for tile in tiles if tile not in base and tile not in above],
            origin=self._workspace.box,
            now_ns=self._workspace.clock_ns(),
        )

    def _finished(self, mosaic: MosaicInfo) -> None:
        """Run the same `finish` again if it repairs this very revision only."""
        workspace = self._workspace
        shown = workspace.catalog.tiles.mosaic(mosaic.mosaic_id)
        record = workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
        used = workspace.catalog.frames.list_for_flight(self._flight.flight_id, FrameStatus.USED)
        if shown.revision != mosaic.revision or not all(map(self._originals.can_rebuild, used)):
            return
        request = restore_request(
            record.options, lambda sha256, name: fetch_local_copy(workspace, sha256, name)
        )
        for job in plan_layer_jobs(workspace, self._flight, request):
            existing = workspace.catalog.revisions.find_by_inputs(job.mosaic.mosaic_id, job.digest)
            on_show = workspace.catalog.tiles.mosaic(job.mosaic.mosaic_id).revision
            if not job.skip_reason and (existing is None or existing.revision != on_show):
                return
        finish_flight(workspace, self._flight.flight_id, request, self._progress, make_reports=make_reports)

    def _clips(self, communes: Sequence[str]) -> None:
        if communes:
            with self._workspace.catalog.flights.lock(self._flight.flight_id):
                _try(partial(self._cover, changed=False, again=communes))

    def _cover(self, *, changed: bool, again: Sequence[str] = ()) -> None:
        measure_coverage(self._workspace, self._flight, self._progress, changed=changed, again=again)

    def _reports(self, bad: Sequence[InventoryItem]) -> None:
        lost = {item.key for item in bad}
        finished = [one for one in self._mosaics() if lost and one.revision != _LIVE]
        for mosaic in finished:
            record = self._workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
            if lost & set(record.reports.values()):
                _try(partial(self._report, mosaic, record, lost))

    def _mosaics(self) -> list[MosaicInfo]:
        return self._workspace.catalog.tiles.mosaics(self._flight.flight_id)

    def _report(self, mosaic: MosaicInfo, record: RevisionRecord, lost: set[str]) -> None:
        for key in lost & set(record.reports.values()):
            self._workspace.store.delete(key)
        made, _ = make_reports(self._workspace, self._flight, mosaic, record, self._progress)
        self._workspace.catalog.revisions.put_reports(mosaic.mosaic_id, mosaic.revision, made)

    def _is_intact_now(self, item: InventoryItem) -> bool:
        """Return True if the object now in its place is intact, or none is named.

        A tile may have changed, a clip have another hash, a revision been retired during the verification.
        """
        now = find_current_item(self._workspace.catalog, item)
        return now is None or verify_object(self._workspace.store, now).state is ObjectState.WHOLE


def find_ancestors(tiles: Iterable[TileId]) -> set[TileId]:
    """Return all ancestors of these tiles."""
    found: set[TileId] = set()
    for tile in tiles:
        while tile.z > 0 and (tile := tile.parent()) not in found:
            found.add(tile)
    return found


def _try(make: Callable[[], object]) -> None:
    """Run a repair.

    On inputs that are not intact nothing is made, and the item stays on the list.
    """
    with suppress(*_REPAIR_ERRORS):
        make()
