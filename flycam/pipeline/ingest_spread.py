"""Frames into the mosaic by a cluster: originals into the store, claims settled here, squares made by
workers.

Who can win what is geometry and settled in one place, as without a cluster. A worker is given a square and
what is claimed there, reads the originals from the store, and merges through the one write path; patches and
merge rule are the same, so the tiles are the same to the last byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord, MosaicInfo
from flycam.errors import FlightBusy, FrameRejected, FrameUnreadable, SourceUnreadable
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.cluster.fence import Fence
from flycam.pipeline.cluster.spread import INGEST, Spread, spread_of
from flycam.pipeline.cluster.squares import AboveSquares, along, square_of, square_zoom
from flycam.pipeline.evidence import keep
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.finish.originals import Originals
from flycam.pipeline.laying.claiming import Claiming
from flycam.pipeline.laying.claims import NO_CLAIM, Claim, Turns
from flycam.pipeline.laying.making import Due, Frame, Maker, Resized
from flycam.pipeline.laying.merging import Records, Rejections
from flycam.pipeline.laying.rectification import parts_of, patch_of, recorded_pose
from flycam.pipeline.laying.refolding import amendments_of
from flycam.pipeline.room import GROUP_BYTES
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace

_TERRAINS_KEPT = 2

Refused = FrameRejected | Resized
"""Why nothing was made of a frame."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a frame claims in one square; nothing: it is only read, and recorded.

    size_px  (width, height) that its pixels are believed to have
    """

    record: FrameRecord
    size_px: tuple[int, int]
    claim: Claim


@dataclass(frozen=True, slots=True)
class Square:
    """A worker's task: a tile some zooms above the base, and what is laid below it."""

    root: TileId
    shares: tuple[Share, ...]


def spread_frames(
    workspace: Workspace,
    mosaic: MosaicInfo,
    todo: Sequence[tuple[FrameRecord, Path]],
    terrain: TerrainGrid,
    rejections: Rejections,
    progress: Progress,
) -> int:
    """Merge frames as `merge_frames` does, by the workers of the cluster; the number of frames merged.

    Also raises ClusterUnavailable and WorkerUnfit; run again, it completes.
    """
    frames = _kept(workspace, todo, rejections, progress)
    spread = spread_of(workspace, mosaic.flight_id, _run_of(mosaic, frames))
    if spread is None or not frames:
        return 0
    terrains = {terrain.dem_id: terrain}
    for dem_id in {frame.placement[2] for frame in frames} - terrains.keys():
        terrains[dem_id] = recorded_terrain(workspace, dem_id)
    maker = Maker(workspace, terrains, workers_here())
    claiming = Claiming(maker, amendments_of(workspace, mosaic))
    while frames:
        frames = _round(spread, mosaic, frames, claiming, rejections, progress)
    spread.clear()
    return len(claiming.laid)


def _kept(
    workspace: Workspace,
    todo: Sequence[tuple[FrameRecord, Path]],
    rejections: Rejections,
    progress: Progress,
) -> list[Frame]:
    """Frames whose originals are in the store, where workers read them."""

    def one(item: tuple[FrameRecord, Path]) -> FrameRejected | None:
        record, path = item
        try:
            keep(workspace, path, record.header.provenance.source_sha256, durable=False)
        except SourceUnreadable as error:
            return FrameUnreadable.because(error)
        return None

    workers = workers_here()
    frames: list[Frame] = []
    for (record, path), lost in zip(todo, ordered_map(one, todo, workers, 2 * workers), strict=True):
        if lost is None:
            frames.append(Frame(record, path, record.header.interior.image_size_px))
        else:
            rejections.add(record.header, lost)
        progress("keep", len(frames), len(todo))
    workspace.store.flush()
    return frames


def _run_of(mosaic: MosaicInfo, frames: Iterable[Frame]) -> str:
    digest = hashlib.sha256(f"{mosaic.mosaic_id} {mosaic.base_zoom}".encode())
    for frame in frames:
        digest.update(str(frame.placement).encode())
    return INGEST + digest.hexdigest()[:32]


def _round(
    spread: Spread,
    mosaic: MosaicInfo,
    frames: Sequence[Frame],
    claiming: Claiming,
    rejections: Rejections,
    progress: Progress,
) -> list[Frame]:
    """Settle who can win what and have it made; the frames to settle again, none if all went as promised."""
    due = [replace(one, lattices=None) for one in claiming.due(frames, Turns(f.tiles for f in frames))]
    squares = squares_of(due, square_zoom(mosaic))
    good, refused = {frame.frame_id: frame for frame in frames}, dict[str, Refused]()
    above = AboveSquares(spread.workspace, mosaic)
    results = spread.work_off(SquareMaker, mosaic, squares)
    for done, (number, found) in enumerate(results, start=1):
        refused.update(found)
        above.written(squares[number].root)
        progress("rectify", done, len(squares))
    above.join()
    for frame_id, why in refused.items():
        if isinstance(why, Resized):
            good[frame_id] = replace(good[frame_id], size_px=why.size_px)
        else:
            rejections.add(good.pop(frame_id).record.header, why)
    for one in due:
        frame_id = one.frame.frame_id
        if frame_id not in refused:
            claiming.laid[frame_id] = one.claim.joined(claiming.laid.get(frame_id, NO_CLAIM))
    return list(good.values()) if refused else []


def squares_of(due: Iterable[Due], zoom: int) -> list[Square]:
    """What is due, by the squares it lies in; a frame that claims nothing goes where its middle is."""
    shares: dict[TileId, list[Share]] = {}
    for one in due:
        for root, claim in _by_square(one, zoom).items():
            shares.setdefault(root, []).append(Share(one.frame.record, one.frame.size_px, claim))
    return [Square(root, tuple(shares[root])) for root in along(shares)]


def _by_square(due: Due, zoom: int) -> Mapping[TileId, Claim]:
    if not due.claim:
        tiles = due.frame.tiles
        middle = TileId(
            z=tiles.z, x=(tiles.x_start + tiles.x_stop - 1) // 2, y=(tiles.y_start + tiles.y_stop - 1) // 2
        )
        return {square_of(middle, zoom): NO_CLAIM}
    parts: dict[TileId, dict[TileId, NDArray[np.bool_]]] = {}
    for tile, blocks in due.claim.blocks.items():
        parts.setdefault(square_of(tile, zoom), {})[tile] = blocks
    return {root: Claim(blocks) for root, blocks in parts.items()}


class SquareMaker:
    """In a worker: lays what is claimed in a square and writes its tiles. Called by several threads."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        self._workspace = workspace
        self._mosaic = mosaic
        self._originals = Originals(workspace, ())
        self._terrain = lru_cache(maxsize=_TERRAINS_KEPT)(partial(recorded_terrain, workspace))

    def __call__(self, square: Square, fence: Fence) -> dict[str, Refused]:
        """Merge a square's shares; the frames of which nothing was made, and why.

        Raises FlightBusy where the flight was amended, or the square given to another, meanwhile, and what
        store and catalogue raise.
        """
        amendments = amendments_of(self._workspace, self._mosaic)
        records = Records(self._workspace)
        refused: dict[str, Refused] = {}
        with MosaicWriter(
            self._workspace.store,
            self._workspace.catalog.tiles,
            replace(self._mosaic, min_zoom=square.root.z),
            origin=self._workspace.box,
            clock_ns=self._workspace.clock_ns,
            amendments=amendments,
            before_append=partial(self._before_append, records, amendments, fence),
            before_group=partial(self._workspace.require_room, GROUP_BYTES),
            workers=1,
        ) as writer:
            for share in square.shares:
                why = self._lay(share, writer, records)
                if why is not None:
                    refused[share.record.frame_id] = why
        records.write()
        return refused

    def _lay(self, share: Share, writer: MosaicWriter, records: Records) -> Refused | None:
        record = share.record
        try:
            pixels = self._originals.of(record)
        except FrameRejected as error:
            return error
        if (pixels.shape[1], pixels.shape[0]) != share.size_px:
            return Resized((pixels.shape[1], pixels.shape[0]))
        exterior, tiles, dem_id = recorded_pose(record)
        records.add(record)
        for on in _pieces(share.claim):
            writer.add(patch_of(record.header, exterior, pixels, self._terrain(dem_id), tiles, *on))
        return None

    def _before_append(self, records: Records, amendments: Amendments, fence: Fence) -> None:
        """Who gave this out may be gone, and with him the flight's lock."""
        if amendments_of(self._workspace, self._mosaic) != amendments:
            raise FlightBusy(
                _(
                    "mosaic {mosaic_id}: its flight was amended while workers wrote it; run again",
                    mosaic_id=self._mosaic.mosaic_id,
                )
            )
        fence.require()
        records.write()


def _pieces(claim: Claim) -> Iterator[tuple[TileRange, NDArray[np.bool_]]]:
    """A claim in parts of bounded size: tiles, and their blocks."""
    places = parts_of(claim.tiles) if claim.tiles else []
    return (on for place in places if (on := claim.on(place)) is not None)
