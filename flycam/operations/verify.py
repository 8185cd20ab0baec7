"""Scrub: every object of the node is read back, compared with its hash, and repaired.

    inventory -> parts, longest unread first -> read each object -> repair -> read again -> tick the part off

Derived objects are made again by the code that made them; originals are restored from a memory card, folder
or backup that has them (`flycam.operations.verify`). The rest is listed, each with its cure. After a kill the
next run reads the parts that were not ticked off first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flycam.access.audit import AuditVerification, make_audit_error, verify_audit_log
from flycam.concurrency import count_workers, map_ordered
from flycam.errors import (
    DataDamaged,
    EvidenceInsufficient,
    FlightBusy,
    InputUnusable,
    NotFound,
    OptionUnusable,
    SourceUnreadable,
    StorageFailed,
)
from flycam.geometry.grid import TileId
from flycam.ingest.photos.photo_search import is_outside, resolve_links, walk_folder
from flycam.messages import Message, _, ngettext
from flycam.model.flight import Flight
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, RevisionRecord
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.eviction import DAY_S
from flycam.mosaic.finish.workflow import finish_flight, plan_layer_jobs, restore_request
from flycam.mosaic.orthorectify.rebuild import find_flight_purged_here, find_remote_photos, rebuild_mosaic
from flycam.mosaic.tiles.writer import DAMAGE, repair_parents
from flycam.operations.backup import MANIFEST, OBJECTS
from flycam.operations.inventory import (
    REPLACEABLE_KINDS,
    Inventory,
    InventoryItem,
    InventoryKind,
    InventoryPart,
    ObjectState,
    ProgressCounter,
    ReadResult,
    find_current_item,
    is_intact,
    verify_object,
    was_purged,
)
from flycam.originals import fetch_local_copy
from flycam.reports.quality_report import make_reports
from flycam.storage import keys
from flycam.storage.files import compute_sha256
from flycam.storage.keys import ORIGINALS_DIR, VERIFY_LEDGER_FILE
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Repair of a flight's derived objects, and restoring of lost originals -------------------------
#
# Tiles, clips and reports are made again by the code that made them; originals are restored from copies. Live
# base tiles are rebuilt from the originals, parents from their children, tiles of the published finished
# revision by the same `finish`. Nothing is made of a damaged photo: a wrong image in a tile would be worse
# than a reported gap.


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
                root = resolve_links(self._source)
                for path in walk_folder(self._source, skipped_prefixes=()):
                    with suppress(SourceUnreadable):
                        if not is_outside(resolve_links(path), [root]):
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


# -- Scrub: every object of the node is read back and compared with its hash -----------------------


# -- Advice on objects that the node cannot make again by itself -----------------------------------


_FROM_COPY = _("put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP")
_ADVICE = {
    InventoryKind.PHOTO: _(
        "put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP; a lost "
        "picture of a video is made again from the same video: flycam live"
    ),
    InventoryKind.TERRAIN: _(
        "put it back from a backup (flycam verify --from BACKUP), or ingest the flight's "
        "photos, or its video, again"
    ),
    InventoryKind.TILE: _(
        "the photos or the terrain it is made of are not whole: bring those back and verify again, put it "
        "back from a backup, or run 'flycam finish' for a new revision"
    ),
    InventoryKind.GIVEN: _(
        "put it back from a backup (flycam verify --from BACKUP), or have the node "
        "that gave it write all of it once more: flycam bundle write --all"
    ),
    InventoryKind.CLIP: _("the tiles it is cut from are not whole: bring those back and verify again"),
    InventoryKind.REPORT: _("make it again: flycam report FLIGHT OUT.pdf"),
    InventoryKind.PACK: _(
        "put it back from a backup (flycam verify --from BACKUP), or ask for a new meeting pack on the map"
    ),
}
_BUSY = _("its flight is being written at this moment: verify again when that is done")
_NOT_TRIED = _("nothing was repaired in this dry run: flycam verify makes it again, or says what it lacks")


def choose_advice(item: InventoryItem, *, is_busy: bool, was_tried: bool) -> Message:
    """Choose the advice for a lost or damaged object.

    is_busy: its flight could not be written now; was_tried: a repair was attempted.
    """
    if not was_tried and item.kind in REPLACEABLE_KINDS:
        return _NOT_TRIED
    return _BUSY if is_busy else _ADVICE.get(item.kind, _FROM_COPY)


# -- Ledger of when each part was last read back intact --------------------------------------------
#
# A text file in the cache, a line a part: `UTC nanoseconds, space, name`. Lines are only added; the last one
# of a name holds. It can be deleted: then all parts count as never read.


_MAX_BYTES = 1 << 20
_DIGITS = 20


class VerifyLedger:
    """Read times of parts, kept in `folder`.

    A time after `now_ns` comes from a clock that was set back later, and proves nothing.
    """

    def __init__(self, folder: Path, now_ns: int) -> None:
        self._path = folder / VERIFY_LEDGER_FILE
        text = self._found()
        self._read_ns = {name: ns for name, ns in _parsed(text) if ns <= now_ns}
        self._is_long = len(text) > _MAX_BYTES
        # completes a line that a kill cut short, which is then ignored
        self._begin = "" if text.endswith("\n") else "\n"

    def sort_oldest_first(self, parts: Sequence[InventoryPart]) -> list[InventoryPart]:
        """Sort parts by read time, those never read first; stable."""
        return sorted(parts, key=self.get_read_time)

    def get_read_time(self, part: InventoryPart) -> int:
        """Return when a part was last read intact, UTC ns; 0: never."""
        return self._read_ns.get(part.name, 0)

    def mark_read(self, part: InventoryPart, now_ns: int) -> None:
        """Note that a part was read and is intact. Raises StorageFailed."""
        self._read_ns[part.name] = now_ns
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_long:
                self._shorten()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{self._begin}{now_ns} {part.name}\n")
            self._begin = ""
        except OSError as error:
            raise StorageFailed(
                _(
                    "{path}: cannot be written ({strerror}); free some space there and run again",
                    path=self._path,
                    strerror=error.strerror,
                )
            ) from error

    def _shorten(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join(f"{ns} {name}\n" for name, ns in self._read_ns.items()), encoding="utf-8")
        fresh.replace(self._path)
        self._is_long, self._begin = False, ""

    def _found(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _parsed(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        ns, _, name = line.partition(" ")
        if ns.isdecimal() and ns.isascii() and len(ns) < _DIGITS and name:
            yield name, int(ns)


# -- Scrub of the parts ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """Scope of a verification, and permitted repairs.

    since_s  leave out what was read back intact within so many seconds; None: nothing
    share    of all parts (0 to 1), those that were not read for longest
    source   a memory card, folder or backup from which lost and damaged objects are restored
    repair   make again what can be made again
    """

    since_s: float | None = None
    share: float = 1.0
    source: Path | None = None
    repair: bool = True


VERIFY_ALL = VerifyRequest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A lost or damaged object.

    flight: name of its flight; advice: None once it is repaired.
    """

    item: InventoryItem
    state: ObjectState
    flight: str
    advice: Message | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """Result of a verification.

    left       parts that were not read, because less was requested
    purged     originals that were purged here under a retention term: they are not lost
    catalogue  faults that the database found in its own file
    """

    objects: int
    size: int
    parts: int
    left: int
    purged: int
    damages: tuple[Damage, ...]
    catalogue: tuple[str, ...]
    audit: AuditVerification
    seconds: float

    @property
    def unrepaired(self) -> list[Damage]:
        """Objects that are still lost or damaged."""
        return [one for one in self.damages if one.advice is not None]

    @property
    def error(self) -> DataDamaged | None:
        """Error that decides the exit code; None if all is intact."""
        if self.unrepaired:
            count, first = len(self.unrepaired), self.unrepaired[0].item.key
            return DataDamaged(
                ngettext(
                    "{count} object is lost or damaged (the first: {first}); each is listed with its cure",
                    "{count} objects are lost or damaged (the first: {first}); each is listed with its cure",
                    count,
                    first=first,
                )
            )
        if self.catalogue:
            return DataDamaged(
                _(
                    "the catalogue's file is damaged ({catalogue}); restore the last backup",
                    catalogue=self.catalogue[0],
                )
            )
        return make_audit_error(self.audit)


def verify_objects(
    workspace: Workspace, request: VerifyRequest = VERIFY_ALL, progress: Progress = ignore_progress
) -> VerifyReport:
    """Read everything back, repair what can be repaired, and report the rest.

    The steps are those above. Memory: a few blocks of 4 MB, one tile a worker, and about 500 bytes a photo; a
    repair takes what the writers take. Raises OptionUnusable, StorageFailed (store or database do not
    respond; run again: it resumes).
    """
    began_ns = workspace.clock_ns()
    _check(request)
    catalogue, audit = tuple(workspace.catalog.check()), verify_audit_log(workspace)
    holdings = Inventory(workspace.catalog, workspace.store, workspace.box)
    ledger = VerifyLedger(workspace.cache_dir, began_ns)
    every = holdings.list_parts()
    parts = _due(every, ledger, request, began_ns)
    originals = OriginalRepairer(workspace, request.source)
    damages: list[Damage] = []
    tally = ProgressCounter("verify", sum(map(holdings.estimate_size, parts)), progress)
    for part in parts:
        bad = [
            one
            for one in _read(workspace, holdings.list_items(part), tally)
            if one.state is not ObjectState.WHOLE
        ]
        found = _repair(workspace, part, bad, originals, request, progress)
        damages += found
        # a part with damage is read again by the next run
        if all(one.advice is None for one in found):
            ledger.mark_read(part, workspace.clock_ns())
    tally.finish()
    report = VerifyReport(
        objects=tally.done,
        size=tally.size,
        parts=len(parts),
        left=len(every) - len(parts),
        purged=len(holdings.let_go),
        damages=tuple(damages),
        catalogue=catalogue,
        audit=audit,
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
    )
    if damages and request.repair:
        _record(workspace, report)
    return report


def _read(
    workspace: Workspace, objects: Iterable[InventoryItem], tally: ProgressCounter
) -> Iterator[ReadResult]:
    """Verify objects in several threads, a bounded number of them at a time."""
    workers = count_workers()
    for read in map_ordered(partial(verify_object, workspace.store), objects, workers, 4 * workers):
        tally.count(read.size)
        yield read


def _check(request: VerifyRequest) -> None:
    if not 0.0 < request.share <= 1.0:
        raise OptionUnusable(_("--share {share:g}: give a part of 1, such as 0.1", share=request.share))
    if request.since_s is not None and not request.since_s >= 0.0:
        raise OptionUnusable(
            _("--since {since_s:g}: give a number of days, 0 or more", since_s=request.since_s / DAY_S)
        )
    if request.source is not None and not request.source.is_dir():
        raise OptionUnusable(
            _(
                "--from {source}: there is no such folder; give a card, a folder or a backup",
                source=request.source,
            )
        )


def _due(
    parts: Sequence[InventoryPart], ledger: VerifyLedger, request: VerifyRequest, now_ns: int
) -> list[InventoryPart]:
    """Select the parts to read, longest unread first.

    Originals before what is made of them.
    """
    due = ledger.sort_oldest_first(parts)
    if request.since_s is not None:
        old_ns = now_ns - int(request.since_s * 1e9)
        due = [part for part in due if ledger.get_read_time(part) < old_ns]
    return sorted(due[: math.ceil(request.share * len(parts))], key=lambda part: part.flight is not None)


def _repair(
    workspace: Workspace,
    part: InventoryPart,
    bad: Sequence[ReadResult],
    originals: OriginalRepairer,
    request: VerifyRequest,
    progress: Progress,
) -> list[Damage]:
    """Repair the damaged objects of a part; return each as repaired or with advice."""
    bad = [read for read in bad if not was_purged(workspace, read.item)]
    if not bad:
        return []
    busy: frozenset[str] = frozenset()
    left = list(bad)
    if request.repair:
        left = [read for read in left if not originals.restore(read)]
        if part.flight is not None and left:
            repairer = FlightRepairer(workspace, part.flight, originals, progress)
            left = repairer.repair(left)
            busy = repairer.busy
    advice_by_key = {
        read.item.key: choose_advice(read.item, is_busy=read.item.key in busy, was_tried=request.repair)
        for read in left
    }
    return [
        Damage(
            item=read.item,
            state=read.state,
            flight=_flight_name(workspace, read.item),
            advice=advice_by_key.get(read.item.key),
        )
        for read in bad
    ]


def _flight_name(workspace: Workspace, item: InventoryItem) -> str:
    try:
        return workspace.catalog.flights.flight(item.flight_id).name if item.flight_id else ""
    except NotFound:
        return item.flight_id


def _record(workspace: Workspace, report: VerifyReport) -> None:
    mended = len(report.damages) - len(report.unrepaired)
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "verify",
        workspace.box,
        f"{mended} objects made again or put back, {len(report.unrepaired)} still lost or damaged",
        at_ns=workspace.clock_ns(),
    )
