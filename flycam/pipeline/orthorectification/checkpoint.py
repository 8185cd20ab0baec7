"""Checkpoint of a merge: frames wholly in the tile log, for the run after a kill.

 <cache>/merging/<mosaic>.json   of what, the log's last line then, and the frames

It is written after the log, so its frames are there: with every group of finished tiles, and where a frame
has waited long for its tiles to be finished, after all of them were written as they are. It is valid where
the same frames are merged into the same log: after an older backup was restored, or with other frames on the
card, all is merged again, which changes nothing but takes its time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from flycam.catalog.records import MosaicInfo
from flycam.geometry.grid import TileId
from flycam.pipeline.orthorectification.rectify_pool import MergeFrame
from flycam.pipeline.workspace import Workspace
from flycam.store.fsync import move_into_place

MAX_INTERVAL_S = 5.0
"""Age at which a merged frame is written to the log, though its tiles are not finished."""
_SHARE = 20.0
"""Notes may take a twentieth of the time, and so may writing unfinished tiles."""

_FOLDER = "merging"


@dataclass(slots=True)
class _MergedFrame:
    """A frame with all its claims merged: its tiles not yet in the log, and when."""

    left: set[TileId]
    at_s: float


class Checkpoint:
    """Checkpoint of one merge.

    write          writes all that is merged to the log
    write_records  writes the records of all merged frames
    """

    def __init__(
        self,
        workspace: Workspace,
        mosaic: MosaicInfo,
        frames: Sequence[MergeFrame],
        write: Callable[[], object],
        write_records: Callable[[], object],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._mosaic, self._clock_s = workspace, mosaic, clock_s
        self._write, self._write_records = write, write_records
        self._path = workspace.cache_dir / _FOLDER / f"{mosaic.mosaic_id}.json"
        self._of = _digest(mosaic, frames)
        self._noted = set(self._read())
        self._laid: dict[str, _MergedFrame] = {}
        self._given: tuple[Collection[TileId], Collection[str]] = ((), ())
        self._note_due_s = self._write_due_s = float("-inf")

    def list_completed(self) -> frozenset[str]:
        """Return ids of frames wholly in the log, by an earlier run or this one."""
        return frozenset(self._noted)

    def mark_merged(self, frame_id: str, tiles: Iterable[TileId]) -> None:
        """Mark a frame's claims, on these tiles, as merged.

        When due, all that is merged is written to the log. Raises what `write` raises.
        """
        began_s = self._clock_s()
        if frame_id not in self._noted:
            self._laid.setdefault(frame_id, _MergedFrame(set(), began_s)).left.update(tiles)
        oldest = next(iter(self._laid.values()), None)
        if oldest is None or began_s < max(oldest.at_s + MAX_INTERVAL_S, self._write_due_s):
            return
        self._write()
        self._note(list(self._laid))
        self._write_due_s = self._due_s(began_s)

    def mark_writing(self, tiles: Collection[TileId]) -> None:
        """Mark tiles as being written; those given before are in the log.

        No frame comes to these tiles any more.
        """
        (logged, frame_ids), self._given = self._given, (frozenset(tiles), list(self._laid))
        for frame_id in frame_ids:
            if frame_id in self._laid:
                self._laid[frame_id].left.difference_update(logged)
        whole = [one for one in frame_ids if one in self._laid and not self._laid[one].left]
        began_s = self._clock_s()
        if not whole or began_s < self._note_due_s:
            return
        self._write_records()
        self._note(whole)
        self._note_due_s = self._due_s(began_s)

    def finish(self) -> None:
        """Delete the checkpoint: all is merged and in the log."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _due_s(self, began_s: float) -> float:
        """Return when a task begun then and ended now may run again."""
        now_s = self._clock_s()
        return now_s + _SHARE * (now_s - began_s)

    def _note(self, frame_ids: Iterable[str]) -> None:
        """Write the checkpoint; a failure only costs the next run its time."""
        for frame_id in frame_ids:
            self._noted.add(frame_id)
            del self._laid[frame_id]
        seq = self._workspace.catalog.tiles.last_seq(self._mosaic.mosaic_id)
        said = {"of": self._of, "seq": seq, "line": self._line(seq), "frames": sorted(self._noted)}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f".{self._path.name}.part")
            part.write_text(json.dumps(said), encoding="utf-8")
            move_into_place(part, self._path)

    def _read(self) -> list[str]:
        try:
            said = json.loads(self._path.read_bytes())
            here = self._line(int(said["seq"]))
            if said["of"] == self._of and here is not None and here == said["line"]:
                return list(map(str, said["frames"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return []

    def _line(self, seq: int) -> str | None:
        """Return the tile and content that a line of the log names."""
        for line in self._workspace.catalog.tiles.log_since(self._mosaic.mosaic_id, seq - 1, 1):
            if line.seq == seq:
                return f"{line.tile_id} {line.content_hash}"
        return None


def _digest(mosaic: MosaicInfo, frames: Iterable[MergeFrame]) -> str:
    digest = hashlib.sha256(f"{mosaic.mosaic_id} {mosaic.base_zoom}".encode())
    for frame in frames:
        digest.update(str((frame.placement, frame.size_px)).encode())
    return digest.hexdigest()
