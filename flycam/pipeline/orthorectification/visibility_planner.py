"""Plan of the blocks on which each frame is made.

Claims of a flight's frames are solved as far ahead as they depend on each other, with their lattices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.lattice import FrameLattices
from flycam.mosaic.amendments import Amendments
from flycam.pipeline.orthorectification.rectify_pool import MergeFrame, RectifyJob, RectifyPool
from flycam.pipeline.orthorectification.visibility import TileCountdown, VisibilitySolver, WinningBlocks

# Frames whose promises are known before one is made, at most: some strips of a flight. Of these only up to
# the last that shares half its tiles: frames farther off seldom win what it can.
_FRAMES_AHEAD = 192
_SHARED_TILE_SHARE = 0.5
# Lattices of frames ahead held in memory; those that come when it is full are made again at their turn.
_LATTICE_BYTES_AHEAD = 64 << 20


class VisibilityPlanner:
    """Planner of the frames' claims.

    laid    merged blocks by frame id, kept up to date by the caller
    before  ids of frames of which an earlier run merged all claims
    """

    def __init__(
        self, maker: RectifyPool, amendments: Amendments, before: frozenset[str] = frozenset()
    ) -> None:
        self._before = set(before)
        self._maker = maker
        self._amendments = amendments
        self.laid: dict[str, WinningBlocks] = {}

    def plan_jobs(self, frames: Sequence[MergeFrame], countdown: TileCountdown) -> Iterator[RectifyJob]:
        """Yield what each frame claims and was not merged yet.

        Once the promises of enough frames ahead are known. Frames with all merged are left out.
        """
        claims, prepared, entered = VisibilitySolver(), _Prepared(), 0
        open_tiles: dict[str, Iterable[TileId]] = {frame.frame_id: frame.tiles for frame in frames}
        entering = [f for f in frames if not self._amendments.forbids_placement(*f.placement)]
        coming = zip(entering, self._maker.compute_bounds(entering), strict=True)
        for frame, due in zip(frames, _count_entering_before(frames, entering), strict=True):
            for one, (bounds, lattices) in islice(coming, max(due - entered, 0)):
                entered += 1
                claims.add_frame(one.frame_id, one.tiles, bounds)
                # all it can ever claim: promises only grow
                first = claims.solve(one.frame_id)
                countdown.settle(one.tiles, first)
                open_tiles[one.frame_id] = first.blocks.keys()
                prepared.add(one.frame_id, lattices and _only(lattices, one.tiles, first))
            claim = claims.solve(frame.frame_id)
            # Only once: where others break their promises it claims more.
            if frame.frame_id in self._before:
                self._before.discard(frame.frame_id)
                self.laid[frame.frame_id] = claim
            before = self.laid.get(frame.frame_id)
            claims.remove_frame(frame.frame_id)
            lattices = prepared.pop(frame.frame_id)
            rest = claim if before is None else claim.subtract(before)
            countdown.settle(open_tiles.pop(frame.frame_id), rest)
            if rest or before is None:
                yield RectifyJob(frame, rest, lattices)


def _count_entering_before(frames: Sequence[MergeFrame], entering: Sequence[MergeFrame]) -> Iterator[int]:
    """Yield for each frame how many entering frames must promise before it is made."""
    places = {frame.frame_id: number for number, frame in enumerate(entering)}
    tiles = [frame.tiles for frame in entering]
    low = np.array([(one.x_start, one.y_start) for one in tiles]).reshape(-1, 2)
    high = np.array([(one.x_stop, one.y_stop) for one in tiles]).reshape(-1, 2)
    for frame in frames:
        number = places.get(frame.frame_id)
        if number is None:
            yield 0
            continue
        ahead = slice(number, number + _FRAMES_AHEAD)
        sides = np.minimum(high[ahead], high[number]) - np.maximum(low[ahead], low[number])
        shared = np.maximum(sides, 0).prod(axis=1)
        yield number + 1 + int(np.flatnonzero(shared >= _SHARED_TILE_SHARE * shared[0])[-1])


class _Prepared:
    """Frames with known promises, with as many of their lattices as fit in memory."""

    def __init__(self) -> None:
        self._lattices: dict[str, FrameLattices | None] = {}
        self._size_bytes = 0

    def add(self, frame_id: str, lattices: FrameLattices | None) -> None:
        """Add a frame; its lattices are dropped where there is no room for them."""
        size = lattices.size_bytes if lattices else 0
        fits = self._size_bytes + size <= _LATTICE_BYTES_AHEAD
        self._lattices[frame_id] = lattices if fits else None
        self._size_bytes += size if fits else 0

    def pop(self, frame_id: str) -> FrameLattices | None:
        """Remove a frame and return its lattices, if they are there."""
        lattices = self._lattices.pop(frame_id, None)
        self._size_bytes -= lattices.size_bytes if lattices else 0
        return lattices


def _only(lattices: FrameLattices, tiles: TileRange, claim: WinningBlocks) -> FrameLattices:
    """Return the lattices of the tiles that can still be claimed."""
    return lattices.restrict(tiles, tiles, np.array([tile in claim.blocks for tile in tiles], dtype=bool))
