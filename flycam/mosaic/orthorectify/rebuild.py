"""Rebuild of a flight's tiles from the originals.

After a withdrawal, after reprocessing, and where objects are lost or damaged, it is the same job: find the
tiles that differ from what the recorded frames make them, and rebuild those. Killed half-way, the same
command completes it, for the remaining work is read off the tiles themselves.

Of another node's frames there may be tiles here and no photos, and originals may have been deleted. Where
such frames lie, what must go is emptied and what is available is merged: the photos here, and the peers'
tiles (docs/decisions/0021-sync.md, 0029-retention.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import derive_placement_id, select_current_placement, to_placement
from flycam.catalog.peers import ClaimKind, Permission
from flycam.catalog.retention import PurgeRecord
from flycam.concurrency import count_workers, map_ordered
from flycam.errors import FrameRejected, InputUnusable, OriginalPurged, SourceUnreadable
from flycam.geometry.grid import TileId, TileRange, compute_tile_range, make_tile_range
from flycam.geometry.terrain import TerrainGrid
from flycam.media.pixels import open_pixels
from flycam.messages import _
from flycam.model.flight import Layer
from flycam.model.frame import MosaicTile, OrthoPatch, derive_frame_id
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, Placement
from flycam.mosaic.orthorectify.rectification import get_recorded_pose, orthorectify_frame
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.tiles.codec import TileLog
from flycam.mosaic.tiles.merge import Amendments, ReplacedPlacements, TileCanvas, merge_patch
from flycam.mosaic.tiles.peers import (
    PeerTiles,
    has_peer_tiles,
    merge_peer_tiles,
    read_cursors,
    remove_previews,
)
from flycam.mosaic.tiles.writer import MosaicWriter, find_damaged_tiles, repair_parents
from flycam.originals import PhotoCache, fetch_local_copy, find_flight_purged, store_and_decode_original
from flycam.storage import keys
from flycam.workspace import Progress, Workspace

_TERRAINS_AT_ONCE = 4
# Neighbouring blocks of tiles see the same photos.
_PHOTO_BYTES = 320 << 20

Pixels = NDArray[np.uint8]
_NO_CARD_PATHS: Mapping[str, Path] = MappingProxyType({})


# -- Amendments of a mosaic, from the catalogue ----------------------------------------------------


def load_amendments(catalog: Catalog, mosaic: MosaicInfo) -> Amendments:
    """Load a mosaic's amendments: frames withdrawn and placements replaced."""
    placements = catalog.placements.list_for_flight(mosaic.flight_id)
    return collect_amendments(
        mosaic.layer,
        catalog.frames.list_for_flight(mosaic.flight_id, None if placements else FrameStatus.WITHDRAWN),
        placements,
        (one.frame_id for one in catalog.frames.withdrawals(mosaic.flight_id)),
    )


def collect_amendments(
    layer: Layer,
    records: Iterable[FrameRecord],
    placements: Iterable[Placement],
    withdrawn_ids: Iterable[str],
) -> Amendments:
    """Collect the amendments of one layer's mosaic from the records of a flight.

    records  its frames, at least those that were withdrawn or have placements
    """
    by_frame: dict[str, list[Placement]] = {}
    for placement in placements:
        by_frame.setdefault(placement.frame_id, []).append(placement)
    withdrawn: dict[str, TileRange | None] = dict.fromkeys(withdrawn_ids)
    replaced: dict[str, ReplacedPlacements] = {}
    for record in records:
        if record.status is FrameStatus.WITHDRAWN:
            withdrawn[record.frame_id] = record.tiles if record.header.layer == layer else None
        frame_placements = by_frame.get(record.frame_id, [])
        if any(one.layer == layer for one in frame_placements):
            replaced[record.frame_id] = _replaced(frame_placements, layer)
    return Amendments(withdrawn=withdrawn, replaced=replaced)


def _replaced(placements: list[Placement], layer: Layer) -> ReplacedPlacements:
    """Return the current and superseded placements of a frame in one layer's mosaic.

    A frame moved to another layer has no current placement here.
    """
    best = select_current_placement(placements)
    is_in_layer = best.layer == layer and best.exterior is not None
    active = (best.version, best.dem_id) if is_in_layer and best.dem_id is not None else None
    superseded_tiles = {
        derive_placement_id(one): one.tiles for one in placements if one.layer == layer and one is not best
    }
    return ReplacedPlacements(
        current=active, superseded=superseded_tiles, placement=derive_placement_id(best) if active else None
    )


# -- Tiles touched by amendments -------------------------------------------------------------------
#
# Rebuilt tiles are never merged with their former state. The rebuild of a block appears in the log at once,
# with the new epoch, so a run that was killed half-way leaves whole tiles of the old or of the new epoch, and
# running again finds the tiles that are still of an old one.


# 8×8 tiles: 30 MB of canvases, and about the tiles of one frame
_BLOCK_BITS = 3


def find_stale_tiles(tile_log: TileLog, mosaic: MosaicInfo, amendments: Amendments) -> list[TileId]:
    """Find base tiles in the log whose epoch differs from what the amendments give."""
    heads = tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    return [head.tile_id for head in heads if head.epoch != amendments.epoch(head.tile_id)]


def rebuild_stale_tiles(
    writer: MosaicWriter,
    tile_ids: Iterable[TileId],
    patches_of: Callable[[TileRange], Iterable[OrthoPatch]],
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Rebuild base tiles in place of their former state; return log lines appended.

    patches_of(tiles)  makes again, from the recorded poses and terrain, the patch of every frame that touches
        the given rectangle; a patch may be cut to it. Called once for a block of at most 8×8 tiles
    progress           gets the number of tiles done

    The writer leaves out what is forbidden and gives each tile its epoch. Raises StoreConflict if another
    process adds frames to the same tiles meanwhile; running again completes.
    """
    blocks: dict[tuple[int, int], list[TileId]] = {}
    for tile_id in tile_ids:
        blocks.setdefault((tile_id.y >> _BLOCK_BITS, tile_id.x >> _BLOCK_BITS), []).append(tile_id)
    lines = done = 0
    for __, members in sorted(blocks.items()):
        lines += writer.rebuild(members, patches_of(compute_tile_range(members)))
        done += len(members)
        progress(done)
    return lines


# -- Rebuild of a flight's mosaic ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class RebuildReport:
    """Result of a rebuild.

    lines: appended to the tile log; repaired: tiles whose object was lost or damaged.
    """

    lines: int = 0
    repaired: int = 0


def list_live_mosaics(workspace: Workspace, flight_id: str) -> list[MosaicInfo]:
    """Return the live mosaics of a flight, one for each layer."""
    return [mosaic for mosaic in workspace.catalog.tiles.mosaics(flight_id) if mosaic.revision == 0]


def rebuild_mosaic(
    workspace: Workspace,
    mosaic: MosaicInfo,
    progress: Progress,
    *,
    also: Iterable[TileRange] = (),
    paths: Mapping[str, Path] = _NO_CARD_PATHS,
    check: bool = False,
    known: Sequence[TileId] = (),
) -> RebuildReport:
    """Rebuild base tiles whose epoch differs from that of recorded amendments.

    also   further tiles to rebuild: where frames were placed that were not there before
    paths  photos at hand by frame id, which need not be fetched from the store
    check  also read every tile's object, and make those again that are lost or damaged
    known  tiles already found lost or damaged: made again without reading the others

    Raises OriginalPurged where a tile is lost that cannot be made again, for its photos were deleted;
    InputUnusable if a stored original does not read, StorageFailed (run again: it completes).
    """
    catalog = workspace.catalog
    amendments = load_amendments(workspace.catalog, mosaic)
    damaged = _damaged(workspace, mosaic, progress) if check else list(known)
    broken = {tile_id for tile_id in damaged if tile_id.z == mosaic.base_zoom}
    stale = find_stale_tiles(catalog.tiles, mosaic, amendments)
    todo = {*stale, *broken, *(t for tiles in also for t in tiles)}
    frames = _used(workspace, mosaic)
    _require_originals(workspace, mosaic, frames, broken)
    far = _without_photos(workspace, mosaic, frames, paths, todo)
    todo -= far
    with MosaicWriter(
        workspace.store,
        catalog.tiles,
        mosaic,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        amendments=amendments,
        damaged=broken,
        workers=count_workers(),
    ) as writer:
        replay = Replay(workspace, frames, paths)
        lines = rebuild_stale_tiles(writer, todo, replay, lambda done: progress("refold", done, len(todo)))
    lines += _merge_foreign_tiles(workspace, mosaic, far, amendments, broken, paths)
    if len(damaged) > len(broken):
        repair_parents(
            workspace.store,
            catalog.tiles,
            mosaic,
            damaged,
            origin=workspace.box,
            now_ns=workspace.clock_ns(),
        )
    # A preview may show what must go.
    if amendments.withdrawn:
        remove_previews(
            workspace.store, catalog.tiles, mosaic, origin=workspace.box, clock_ns=workspace.clock_ns
        )
    return RebuildReport(lines=lines, repaired=len(damaged))


def has_original(
    workspace: Workspace, record: FrameRecord, paths: Mapping[str, Path] = _NO_CARD_PATHS
) -> bool:
    """Return True if a frame's photo is in the store or at hand.

    Photos of another node need not be.
    """
    evidence = keys.format_original_key(record.header.provenance.source_sha256)
    return record.frame_id in paths or workspace.store.exists(evidence)


def _can_orthorectify(
    workspace: Workspace,
    record: FrameRecord,
    moved: Collection[str],
    paths: Mapping[str, Path] = _NO_CARD_PATHS,
) -> bool:
    """Return True if a frame's photo and its terrain are here, and it may be laid from them.

    Another node may have reprocessed it on a terrain that has not arrived yet.

    moved  frames that a peer alone placed where they are (`find_moved_by_peers`)
    """
    if record.dem_id is None or record.frame_id in moved or not has_original(workspace, record, paths):
        return False
    return workspace.store.exists(keys.format_terrain_key(record.dem_id))


def find_moved_by_peers(catalog: Catalog, frames: Iterable[FrameRecord]) -> set[str]:
    """Return frames that a peer alone placed anew, or by whose record they name another frame's original.

    Their originals here are not laid by that, unless somebody here allowed the peer: it would show elsewhere,
    in the open, ground that is withheld where it is. The peer's own tiles show them.
    """
    every = list(frames)
    placements = {derive_placement_id(to_placement(one)): one for one in every if one.exterior is not None}
    claims = catalog.peers.find_claims(ClaimKind.PLACEMENT, placements)
    flights = {one.flight_id for one in every}
    allowed = {
        (node, flight_id)
        for node in {one.node for one in claims}
        for flight_id, permission in catalog.peers.find_permissions(node, flights).items()
        if permission is Permission.ALLOWED
    }
    moved = {
        placements[one.item].frame_id
        for one in claims
        if (one.node, placements[one.item].flight_id) not in allowed
    }
    hashes = {one.frame_id: one.header.provenance.source_sha256 for one in every}
    filmed = [sha256 for frame_id, sha256 in hashes.items() if frame_id != derive_frame_id(sha256)]
    named = catalog.frames.find_by_originals(filmed)
    return moved | {frame_id for frame_id, sha256 in hashes.items() if len(named.get(sha256, ())) > 1}


def find_remote_photos(workspace: Workspace, flight_id: str) -> set[str]:
    """Return SHA-256 of a flight's used photos that are on another node alone.

    They are not here, and never were. If no peer sent a tile of it, none: a photo that is missing there is
    lost.
    """
    mosaics = list_live_mosaics(workspace, flight_id)
    if not any(has_peer_tiles(workspace.store, one.mosaic_id) for one in mosaics):
        return set()
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    missing = {one.header.provenance.source_sha256 for one in used if not has_original(workspace, one)}
    return missing - workspace.catalog.kept_originals.filter_known(missing)


def make_tile_rebuilder(
    workspace: Workspace,
    mosaic: MosaicInfo,
    amendments: Amendments,
    paths: Mapping[str, Path] = _NO_CARD_PATHS,
) -> Callable[[TileId], MosaicTile]:
    """Return a function that builds a base tile from photos and terrain here."""
    used = _used(workspace, mosaic)
    moved = find_moved_by_peers(workspace.catalog, used)
    here = [record for record in used if _can_orthorectify(workspace, record, moved, paths)]
    replay = Replay(workspace, here, paths)

    def fold(tile_id: TileId) -> MosaicTile:
        tile = TileCanvas(tile_id, amendments.epoch(tile_id)).freeze()
        for patch in replay(make_tile_range(tile_id)):
            if not amendments.forbids(patch):
                tile = merge_patch(tile, patch, tile_id, tile.epoch)
        return tile

    return fold


def _merge_foreign_tiles(
    workspace: Workspace,
    mosaic: MosaicInfo,
    tile_ids: Collection[TileId],
    amendments: Amendments,
    broken: Collection[TileId],
    paths: Mapping[str, Path],
) -> int:
    """Merge base tiles with photos of other nodes.

    Their remains with peers' tiles and with photos here.
    """
    if not tile_ids:
        return 0
    peer_tiles = PeerTiles(workspace.store, mosaic.mosaic_id, read_cursors(workspace.store))
    fold = make_tile_rebuilder(workspace, mosaic, amendments, paths)
    return merge_peer_tiles(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        tile_ids,
        lambda tile_id: [*peer_tiles.states(tile_id, amendments), fold(tile_id)],
        amendments=amendments,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        damaged=broken,
        workers=count_workers(),
    )


def _used(workspace: Workspace, mosaic: MosaicInfo) -> list[FrameRecord]:
    used = workspace.catalog.frames.list_for_flight(mosaic.flight_id, FrameStatus.USED)
    return [record for record in used if record.header.layer == mosaic.layer]


def _without_photos(
    workspace: Workspace,
    mosaic: MosaicInfo,
    frames: Sequence[FrameRecord],
    paths: Mapping[str, Path],
    tile_ids: Collection[TileId],
) -> set[TileId]:
    """Return tiles touched by a frame that cannot be orthorectified here.

    Its photo, or terrain, is on another node, or was deleted. Otherwise, in a mosaic without tiles from peers
    a missing photo is lost.
    """
    found: set[TileId] = set()
    purged = find_flight_purged(workspace, mosaic.flight_id)
    is_given = has_peer_tiles(workspace.store, mosaic.mosaic_id)
    moved = find_moved_by_peers(workspace.catalog, frames)
    if not (is_given or purged or moved):
        return found
    for record in frames:
        touched = record.tiles.select(tile_ids) if record.tiles else set()
        sha256 = record.header.provenance.source_sha256
        may_miss = is_given or sha256 in purged or record.frame_id in moved
        if touched and may_miss and not _can_orthorectify(workspace, record, moved, paths):
            found |= touched
    return found


def find_flight_purged_here(workspace: Workspace, flight_id: str) -> dict[str, PurgeRecord]:
    """Return originals of a flight that were deleted here, by SHA-256.

    No other node need hold them.
    """
    purged = find_flight_purged(workspace, flight_id)
    return {sha256: line for sha256, line in purged.items() if line.box == workspace.box}


def _require_originals(
    workspace: Workspace, mosaic: MosaicInfo, frames: Iterable[FrameRecord], broken: Collection[TileId]
) -> None:
    """Raise OriginalPurged where a lost tile showed a photo that was deleted.

    Without it the tile would be made of less, and an intact one in a backup could not be restored.
    """
    purged = find_flight_purged_here(workspace, mosaic.flight_id) if broken else {}
    for record in frames if purged else ():
        line = purged.get(record.header.provenance.source_sha256)
        lost = sorted(record.tiles.select(broken)) if record.tiles else []
        if line is not None and lost:
            name = f"{lost[0].z}/{lost[0].x}/{lost[0].y}"
            raise OriginalPurged(
                _(
                    "{name}: this tile is lost, and {line_name}, which it showed, was "
                    "deleted under the retention term; put the tile back from a backup: "
                    "flycam verify --from BACKUP",
                    name=name,
                    line_name=line.name,
                )
            )


def _damaged(workspace: Workspace, mosaic: MosaicInfo, progress: Progress) -> list[TileId]:
    heads = workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision)
    return find_damaged_tiles(
        workspace.store, heads, lambda done: progress("check", done, len(heads)), count_workers()
    )


class Replay:
    """Orthopatches made again from the original, the recorded pose and terrain.

    Called with a rectangle of base tiles; yields the orthopatch of each frame that touches it, cut to it.
    """

    def __init__(
        self,
        workspace: Workspace,
        frames: Iterable[FrameRecord],
        paths: Mapping[str, Path] = _NO_CARD_PATHS,
    ) -> None:
        self._workspace = workspace
        self._frames = list(frames)
        self._paths = paths
        self._photos = PhotoCache(workspace, (), load=self._load, memory_bytes=_PHOTO_BYTES)
        self._terrain = lru_cache(maxsize=_TERRAINS_AT_ONCE)(partial(load_recorded_terrain, workspace))

    def __call__(self, tiles: TileRange) -> Iterator[OrthoPatch]:
        touching = [r for r in self._frames if r.tiles and not r.tiles.intersection(tiles).is_empty]
        workers = count_workers()
        yield from map_ordered(lambda record: self._patch(record, tiles), touching, workers, workers + 1)

    def _patch(self, record: FrameRecord, tiles: TileRange) -> OrthoPatch:
        exterior, frame_tiles, dem_id = get_recorded_pose(record)
        terrain: TerrainGrid = self._terrain(dem_id)
        return orthorectify_frame(
            record.header, exterior, self._photos.read(record), terrain, frame_tiles, tiles
        )

    def _load(self, record: FrameRecord) -> Pixels:
        provenance = record.header.provenance
        path = self._paths.get(record.frame_id)
        if path is not None:
            try:
                return store_and_decode_original(
                    self._workspace, path, provenance.source_sha256, durable=True
                )
            except FrameRejected as error:
                raise SourceUnreadable(error.message) from error
        copy = fetch_local_copy(self._workspace, provenance.source_sha256, provenance.source_name)
        try:
            return open_pixels(copy)
        except FrameRejected as error:
            raise InputUnusable(
                _(
                    "{source_name}: its stored original no longer reads; restore the store",
                    source_name=provenance.source_name,
                )
            ) from error
